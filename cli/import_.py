"""``infoplane import``: make a run of arrays that are there already."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infoplane.cli.globs import kinds_by_glob
from infoplane.cli.options import Location, SharedOptions, globbed, shared_options
from infoplane.cli.progress import Stages
from infoplane.text import counted, printable, some_of

if TYPE_CHECKING:
    from infoplane.importing.session import Import


@click.command("import")
@click.argument("files", nargs=-1, required=True, callback=globbed, metavar="FILE...")
@click.option(
    "-o", "--output", required=True, type=Location(), metavar="RUN", help="Folder of the run."
)
@click.option(
    "--layout",
    metavar="PATTERN",
    help="Where step and layer stand in folders, file and key, e.g. 'epoch_{step}/{layer}.npy'; * "
    "is anything between slashes. Default: a word such as step or epoch announces the step, the "
    "rest of the key or of the file name is the layer.",
)
@click.option(
    "-l",
    "--layers",
    multiple=True,
    metavar="GLOB",
    help="Layers to import, in the order of the network; repeatable, !GLOB excludes. Default: all, "
    "in the order of the file, or by name where it has none.",
)
@click.option(
    "--inputs",
    metavar="NAME|FILE[:NAME]|none",
    help="The inputs X. Default: an array called inputs, input or x.",
)
@click.option(
    "--labels",
    metavar="NAME|FILE[:NAME]|none",
    help="The labels, or real targets; a .txt file has one a line. Default: an array called "
    "labels, targets or y.",
)
@click.option(
    "--label-bins",
    type=click.IntRange(2),
    metavar="K",
    help="Turn scalar targets into K classes with equally many samples.",
)
@click.option(
    "--reduce",
    "reductions",
    multiple=True,
    metavar="GLOB=KIND",
    help="Make large layers small, as record --reduce. Required above 16,384 units.",
)
@click.option("--logits", metavar="NAME", help="The layer of the logits, for -e output.")
@click.option("--name", metavar="TEXT", help="Name of the run. Default: the name of the folder.")
@click.option("--group", metavar="TEXT", help="Group of runs that differ only in their seed.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier run in RUN.")
@click.option(
    "-n", "--dry-run", is_flag=True, help="Show what each array is taken for; write nothing."
)
@shared_options
@click.pass_obj
def import_(
    shared: SharedOptions,
    /,
    files: tuple[str, ...],
    output: str,
    reductions: tuple[str, ...],
    dry_run: bool,
    **chosen: Any,  # as `Import` calls them
) -> None:
    """Make a run of activations that are there as arrays, to be analyzed like any other.

    FILE is .npz, .npy, .h5, .safetensors, .pt (torch.save of a dict of tensors), a store of Zarr,
    or a folder of these, that of thingsvision too. Rows are samples, the same in all arrays.
    Numbers beside them become metrics. Nothing in a file is run.

    \b
    infoplane import acts.npz -o runs/s0
    infoplane import step_*.pt --labels labels.npy -o runs/s0
    infoplane import acts/ --layout 'epoch_{step}/{layer}.npy' --labels y.npy -o runs/s0
    """
    from infoplane.importing.session import Import

    chosen["reduce"] = kinds_by_glob(reductions)
    found = Import(files, output, **chosen)
    if dry_run:
        click.echo("\n".join(_lines(found)))
        return
    stages = Stages("steps", shared)
    run = found.run(stages)
    size = sum(file.stat().st_size for file in Path(output).rglob("*.h5"))
    click.echo(
        f"imported {counted(len(run.steps), 'step')} x {counted(len(run.layers), 'layer')}, "
        f"N = {run.n_samples:,}, in {printable(output)} ({size / 1e6:,.1f} MB)"
    )
    click.echo("\n".join(_lines(found)))


def _lines(found: Import) -> Iterator[str]:
    """Yield what the arrays are taken for."""
    steps = some_of([f"{step:,}" for step in found.steps], 12)
    yield f"steps:  {steps}" + ("" if found.steps_told else "  (no name tells a step)")
    yield "layers: " + some_of(
        [f"{printable(name)} {_shape(shape)}" for name, shape in found.shapes.items()],
        12,
        between=", ",
    )
    for role in ("inputs", "labels"):
        yield f"{role}: {printable(found.sources.get(role, 'none'))}"
    if found.metrics:
        yield f"metrics: {printable(some_of(list(found.metrics), 12))}"
    for one in found.left_out:
        yield f"left out: {printable(one)}"


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
