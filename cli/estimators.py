"""``infoplane estimators``: list the estimators, or describe one."""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from infoplane.cli.options import shared_options
from infoplane.errors import InputError

if TYPE_CHECKING:
    from infoplane.estimators.base import Estimator
    from infoplane.estimators.description import Description

log = logging.getLogger("infoplane")


@click.command()
@click.argument("name", required=False)
@shared_options
def estimators(name: str | None) -> None:
    """List the estimators, or describe one: parameters, cost, limits, source.

    \b
    infoplane estimators
    infoplane estimators dse
    infoplane estimators path/to/file.py:Class    # runs this code
    """
    from infoplane.cli.output import plain, printable, width
    from infoplane.cli.table_columns import Column, render
    from infoplane.estimators.description import describe
    from infoplane.estimators.registry import PRESETS, estimator_class, estimator_names

    if name is None:
        classes = {}
        for key in estimator_names():
            try:
                classes[key] = estimator_class(key)
            except InputError as error:
                log.warning("%s", error)
        titles = {key: printable(cls.title) for key, cls in classes.items()}
        used = max(map(len, classes)) + max(map(len, titles.values())) + 4
        room = max(20, (width() or 100) - used)
        lines = [
            (key, titles[key], part) if i == 0 else ("", "", part)
            for key, cls in classes.items()
            for i, part in enumerate(_measured(cls, room))
        ]
        heads = ("name", "estimator", "quantities")
        rows = [
            Column(head, list(cells), drop=i // 2)
            for i, (head, cells) in enumerate(zip(heads, zip(*lines, strict=True), strict=True))
        ]
        click.echo(plain("\n".join(render(rows, limit=width()))))
        click.echo("in bits where no unit is named")
        for preset, members in PRESETS.items():
            click.echo(f"-e {preset} stands for {' and '.join(members)}")
        return
    if name in PRESETS:
        for member in PRESETS[name]:
            click.echo(
                plain("\n".join(_described(describe(estimator_class(member.partition(":")[0])))))
            )
        return
    click.echo(plain("\n".join(_described(describe(estimator_class(name))))))


def _measured(cls: type[Estimator], room: int) -> list[str]:
    """Return the quantities of an estimator in lines, each with its unit unless it is bits."""
    texts = (q.symbol if q.unit == "bits" else f"{q.symbol} ({q.unit})" for q in cls.quantities)
    whole = ", ".join(text.replace(" ", "\N{NO-BREAK SPACE}") for text in texts)
    lines = textwrap.wrap(whole, room)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _described(about: Description) -> Iterator[str]:
    """Yield the lines of a description."""
    from infoplane.cli.sizes import size_text
    from infoplane.cli.table_columns import Column, render

    yield from _wrapped(about.summary, 0)
    yield "\nQuantities"
    yield from (f"  {q.name:12} {q.symbol}, {q.unit}" for q in about.quantities)
    yield "\nParameters"
    for parameter in about.parameters:
        yield f"  {parameter.name}={_written(parameter.default)}"
        yield from _wrapped(f"({parameter.type})", 6)
        yield from _wrapped(parameter.meaning, 6)
    yield "\nCost of a cell, about, on one core"
    columns = [
        Column("samples", [f"{samples:,}" for samples, _ in about.costs]),
        Column("units", [f"{units:,}" for _, units in about.costs]),
        Column("time", [f"{c.seconds:.2g} s" for c in about.costs.values()]),
        Column("memory", [size_text(c.bytes) for c in about.costs.values()]),
    ]
    yield from (f"  {line}" for line in render(columns, limit=None))
    for title, text in (("Limits", about.limits), ("Notes", about.notes), ("Source", about.source)):
        if text:
            yield f"\n{title}"
            yield from _wrapped(text, 2)


def _wrapped(text: str, blanks: int) -> Iterator[str]:
    """Yield the paragraphs of a text in lines that fit, an empty line between them."""
    from infoplane.cli.output import width

    fit = max(width() or 80, 40) - blanks
    for index, paragraph in enumerate(filter(None, text.split("\n\n"))):
        if index:
            yield ""
        yield from (" " * blanks + line for line in textwrap.wrap(paragraph, fit))


def _written(value: object) -> str:
    if isinstance(value, tuple):
        return "+".join(map(_written, value))
    return str(value).lower() if isinstance(value, (bool, type(None))) else str(value)
