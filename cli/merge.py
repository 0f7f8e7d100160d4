"""``infoplane merge``: join results documents into one."""

from __future__ import annotations

from pathlib import Path

import click

from infoplane.cli.options import Location, SharedOptions, globbed, shared_options


@click.command()
@click.argument("results", nargs=-1, required=True, callback=globbed, metavar="RESULTS...")
@click.option(
    "-o",
    "--output",
    required=True,
    type=Location(),
    metavar="FILE",
    help="Merged document; .json.gz is compressed, - is stdout.",
)
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
@shared_options
@click.pass_obj
def merge(shared: SharedOptions, results: tuple[str, ...], output: str, overwrite: bool) -> None:
    """Join results documents of different runs or estimators into one.

    Use it for parts that were analyzed on different machines. Seeds of one network are averaged,
    and verdicts are computed again. Documents that contradict each other are refused.

    \b
    infoplane merge s0.json s1.json -o all.json
    """
    from infoplane.cli.output import new_file, print_json
    from infoplane.results.file import read_results, write_results
    from infoplane.results.merging import merged

    target = None if output == "-" else new_file(output, overwrite=overwrite)
    documents = [read_results(Path(path)) for path in results]
    whole = merged(documents, names=list(results))
    if target is None:
        print_json(whole)
        return
    write_results(target, whole)
    if not shared.quiet:
        runs, rows = len(whole["recordings"]), len(whole["rows"])
        pairs = len((whole.get("similarities") or {}).get("rows", ()))
        told = f"{runs:,} runs, {rows:,} rows" + (f", {pairs:,} pairs" if pairs else "")
        click.echo(f"wrote {output} ({told})", err=True)
