"""``infoplane inspect``: show what runs and results contain, and rescue damaged runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from infoplane.cli.options import SharedOptions, globbed, shared_options, text_or_json
from infoplane.errors import ExitCode, InputError


@click.command()
@click.argument("files", nargs=-1, required=True, callback=globbed, metavar="FILE...")
@click.option("--verify", "check", is_flag=True, help="Compare every byte with its checksum.")
@click.option("--rescue", metavar="OUT", help="Copy the intact steps of a damaged run to OUT.")
@click.option("--stats", is_flag=True, help="Show statistics of each layer at every step.")
@click.option("--tree", is_flag=True, help="Show every stored array and its size.")
@text_or_json
@click.option("--wide", is_flag=True, help="Show all columns of the tables.")
@shared_options
@click.pass_obj
def inspect(
    shared: SharedOptions,
    files: tuple[str, ...],
    check: bool,
    rescue: str | None,
    stats: bool,
    tree: bool,
    form: str,
    wide: bool,
) -> int:
    """Show what is in recorded runs, packed runs and results.

    No code of a model is run or unpickled, and no link out of a file is followed.

    \b
    infoplane inspect runs/s0
    infoplane inspect runs/s0.h5 --verify
    infoplane inspect runs/s0 --rescue runs/s0-rescued
    infoplane inspect results.json --format json
    """
    from infoplane.cli.output import plain, print_json
    from infoplane.results.inspection import SCHEMA, contents, describe

    if rescue is not None:
        if len(files) != 1 or check or stats or tree:
            raise InputError("--rescue: expected one FILE and no other option")
        return _rescue(shared, files[0], rescue)
    if check:
        return _verify(files, form)
    described = []
    for name in files:
        found = describe(Path(name), every_step=stats)
        if tree and found["kind"] != "results":
            from infoplane.runs.run import Run

            found["arrays"] = [
                {"name": array, "shape": list(shape), "dtype": dtype, "bytes": size}
                for array, shape, dtype, size in contents(Run(Path(name)))
            ]
        described.append(found)
    if form == "json":
        print_json({"schema": SCHEMA, "files": described})
    else:
        texts = ["\n".join(_text(found, wide=wide)) for found in described]
        click.echo(plain("\n\n".join(texts)))
    return ExitCode.OK


def _verify(files: Sequence[str], form: str) -> int:
    from infoplane.cli.output import print_json, printable
    from infoplane.results.inspection import SCHEMA, damage, is_empty

    found = {name: damage(Path(name)) for name in files}
    empty = [name for name, many in found.items() if not many and is_empty(Path(name))]
    if form == "json":
        wrong = [
            {"file": name, "step": one.step, "layer": one.layer, "message": one.message}
            for name, many in found.items()
            for one in many
        ]
        print_json({"schema": SCHEMA, "files": list(files), "wrong": wrong, "empty": empty})
    else:
        for name, many in found.items():
            for one in many:
                where = "" if one.message.startswith(name) else f"{printable(name)}: "
                click.echo(f"{where}{printable(one.message)}")
            if many and not any(one.damage for one in many):
                click.echo(
                    "hint: it cannot be read, which is no damage: see to the cause", err=True
                )
            elif many and Path(name).exists():
                remedy = _remedy(name, without_steps=many[0].step is None and many[0].layer is None)
                click.echo(f"hint: {remedy}", err=True)
            if not many:
                told = "no complete step" if name in empty else "intact"
                click.echo(f"{printable(name)}: {told}")
    if any(found.values()):
        return ExitCode.DATA
    return ExitCode.NOTHING if empty else ExitCode.OK


def _remedy(name: str, *, without_steps: bool = False) -> str:
    """Return what can be done about damaged steps, or where nothing tells the steps."""
    from infoplane.cli.output import printable

    shown = printable(name)
    if without_steps and not Path(name).is_file():
        return f"put a copy of it into {shown}, or record the run again"
    again = "pack the run" if Path(name).is_file() else f"record with --resume -o {shown}"
    return f"save what is intact: infoplane inspect {shown} --rescue OUT; or {again} again"


def _rescue(shared: SharedOptions, name: str, output: str) -> int:
    from infoplane.runs.run import Run
    from infoplane.runs.verify import rescue
    from infoplane.text import counted

    kept = rescue(Run(Path(name)), Path(output))
    if not shared.quiet:
        steps = f"{counted(len(kept), 'step')}, {kept[0]:,}..{kept[-1]:,}"
        click.echo(f"wrote {output}: the {steps}, intact of {name}", err=True)
    return ExitCode.OK


def _text(found: Mapping[str, Any], *, wide: bool) -> list[str]:
    return _results_text(found) if found["kind"] == "results" else _run_text(found, wide=wide)


def _run_text(found: Mapping[str, Any], *, wide: bool) -> list[str]:
    from infoplane.cli.output import printable, width
    from infoplane.cli.table_columns import Column, render
    from infoplane.text import counted

    limit = None if wide else width()
    manifest, steps = found["manifest"], found["steps"]
    lines = [_first_line(found)]
    parts = [f"run {printable(found['run'])}"]
    for key in ("group", "seed", "split"):
        if manifest.get(key) is not None:
            parts.append(f"{key} {printable(str(manifest[key]))}")
    parts.append(f"N {found['n']:,}" if found["n"] else "weights alone, no activations")
    parts += [f"{found['passes']} passes"] * (found["passes"] > 1)
    parts += [f"{printable(name)} {n:,}" for name, n in found["splits"].items()]
    if found["classes"]:
        parts += [counted(len(found["classes"]), "class")]
        parts += [f"H(Y) {found['h_y']:.2f} bits"]
    lines.append("   ".join(parts))
    if steps:
        metrics = "; metrics: " + printable(" ".join(found["metrics"])) if found["metrics"] else ""
        more = "".join(f"; {name}" for name in ("gradients", "curvature") if found[name])
        lines.append(f"{counted(len(steps), 'step')} {steps[0]:,}..{steps[-1]:,}{metrics}{more}")
    if found["losses"]:
        lines.append(_losses_text(found["losses"]))
    for one in found["damaged"]:
        lines.append(f"step {one['step']} cannot be read: {printable(one['reason'])}")
    if found["damaged"]:
        lines.append(_remedy(found["path"]))
    for one in found["incomplete"]:
        lines.append(f"step {one['step']} is incomplete: {one['reason']}")
    if found["unfinished"]:
        files = counted(found["unfinished"], "unfinished file")
        lines.append(f"{files} of a recording that is running or was cut short")
    layers = found["layers"]
    if layers:
        several = len({layer["step"] for layer in layers}) > 1
        columns = [Column("step", [f"{layer['step']:,}" for layer in layers], right=True)]
        columns += [
            Column("layer", [printable(layer["name"]) for layer in layers], names=True),
            Column("type", [printable(layer["type"]) for layer in layers], drop=2),
            Column("shape", ["x".join(map(str, layer["shape"])) for layer in layers], right=True),
            Column("dtype", [printable(layer["dtype"]) for layer in layers], drop=1),
            Column("min", [_number(layer["min"]) for layer in layers], right=True),
            Column("max", [_number(layer["max"]) for layer in layers], right=True),
            Column("zeros", [_share(layer["zeros"]) for layer in layers], right=True),
        ]
        for title, key, drop in (
            ("constant", "constant_units", 3),
            ("NaN, inf", "nonfinite", 4),
            ("distinct rows", "distinct", 0),
        ):
            cells = [_count(layer.get(key)) for layer in layers]
            columns.append(Column(title, cells, right=True, drop=drop))
        lines += ["", *render(columns if several else columns[1:], limit=limit)]
        lines += ["", *_roles(layers)]
    if weights := found["weights"]:
        lines += ["", *_weights(weights, limit)]
    if "arrays" in found:
        arrays = found["arrays"]
        columns = [
            Column("array", [printable(array["name"]) for array in arrays]),
            Column("shape", ["x".join(map(str, array["shape"])) for array in arrays], right=True),
            Column("dtype", [printable(array["dtype"]) for array in arrays]),
            Column("bytes", [f"{array['bytes']:,}" for array in arrays], right=True, drop=1),
        ]
        lines += ["", *render(columns, limit=limit)]
    return lines


def _weights(weights: Sequence[Mapping[str, Any]], limit: int | None) -> list[str]:
    """Return the table of the recorded weights, and what of them is kept."""
    from infoplane.cli.output import printable
    from infoplane.cli.table_columns import Column, render

    kept = {"singular-values": "singular values"}
    columns = [
        Column("weight", [printable(one["name"]) for one in weights], names=True),
        Column("type", [printable(one["type"]) for one in weights], drop=2),
        Column("shape", ["x".join(map(str, one["shape"])) for one in weights], right=True),
        Column("dtype", [printable(one["dtype"]) for one in weights], drop=1),
        Column("kept", [kept.get(one["kept"], one["kept"]) for one in weights]),
        Column("NaN, inf", [_count(one["nonfinite"]) for one in weights], right=True, drop=4),
        Column("also", [printable(", ".join([*one["roles"], *one["tied"]])) for one in weights]),
    ]
    if len({one["step"] for one in weights}) > 1:
        steps = [f"{one['step']:,}" for one in weights]
        columns.insert(0, Column("step", steps, right=True))
    return render(columns, limit=limit)


def _roles(layers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say which layers hold the logits and the features, or what to record for it."""
    from infoplane.cli.output import printable

    known = ("features", "logits")
    found = {role: layer for role in known for layer in layers if role in layer["roles"]}
    lines = [f"{role}: {printable(layer['name'])}" for role, layer in found.items()]
    if "features" in found:
        lines[0] += f", given to {printable(str(found['features']['head']))}"
    if "logits" not in found:
        lines.append(
            "logits: unknown; record the layer that the model returns, or name it with --logits"
        )
    if "features" not in found:
        lines.append(
            "features: unknown; record what the last linear layer is given, e.g. --layers '**', or "
            "name the layer with --head"
        )
    return lines


def _losses_text(losses: Mapping[str, Any]) -> str:
    from infoplane.cli.output import printable
    from infoplane.text import counted

    if losses["n"] is None:
        return f"loss log cannot be read: {printable(losses['error'])}"
    count = f"{losses['n']:,} losses of steps {losses['first_step']:,}..{losses['last_step']:,}"
    tokens = f", {losses['tokens']:,.0f} tokens" if losses["tokens"] is not None else ""
    bad = (
        f"; NaN or inf at {counted(losses['nonfinite'], 'step')}, at step "
        f"{losses['first_nonfinite']:,} first"
        if losses["nonfinite"]
        else ""
    )
    return f"log: {count}{tokens}{bad}"


def _results_text(found: Mapping[str, Any]) -> list[str]:
    from infoplane.cli.output import printable
    from infoplane.text import counted

    tool = found["tool"] or {}
    lines = [
        _first_line(found),
        f"created {printable(str(found['created']))} by infoplane "
        f"{printable(str(tool.get('version')))}",
    ]
    for recording in found["recordings"]:
        lines.append(
            f"run {printable(str(recording['run']))}   N {recording['n']:,}   "
            f"{counted(recording['steps'], 'step')}   layers: "
            + printable(" ".join(recording["layers"][:20]))
        )
    pairs = found["similarities"]
    if found["rows"] or not pairs:
        names = [printable(str(estimator["id"])) for estimator in found["estimators"]]
        lines.append("estimators: " + ", ".join(names))
        lines.append(
            f"{counted(found['rows'], 'row')}, {found['without_value']:,} without a value; "
            f"quantities: {printable(' '.join(found['quantities']))}"
        )
    if pairs:
        axes = ", ".join(f"{printable(axis)} {count:,}" for axis, count in pairs["pairs"].items())
        lines.append("similarities: " + printable(", ".join(pairs["measures"])))
        lines.append(
            f"{counted(sum(pairs['pairs'].values()), 'pair')} ({axes}), "
            f"{pairs['without_value']:,} without a value"
        )
        found = {**found, "flags": Counter(found["flags"]) + Counter(pairs["flags"])}
    for key in ("flags", "verdicts"):
        if found[key]:
            counts = (f"{printable(str(name))} {count:,}" for name, count in found[key].items())
            lines.append(f"{key}: " + ", ".join(counts))
    return lines


def _first_line(found: Mapping[str, Any]) -> str:
    from infoplane.cli.output import printable

    return (
        f"{printable(found['path'])}   {printable(str(found['format']))}   {found['kind']}   "
        f"{found['bytes']:,} bytes   {printable(str(found['status']))}"
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
