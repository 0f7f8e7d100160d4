"""``infoplane estimators``."""

from __future__ import annotations

from dataclasses import MISSING, fields

import click

from infoplane.cli.options import verbosity


@click.command()
@click.argument("name", required=False)
@verbosity
def estimators(name: str | None) -> None:
    """List the estimators, or the parameters of one.

    \b
    infoplane estimators
    infoplane estimators dse
    """
    import inspect

    from infoplane.cli.output import plain, width
    from infoplane.cli.table import Column, render
    from infoplane.estimators import estimator_class, estimator_names
    from infoplane.records import QUANTITIES

    if name is None:
        classes = {key: estimator_class(key) for key in estimator_names()}
        rows = [
            Column("name", list(classes)),
            Column("estimator", [cls.title for cls in classes.values()]),
            Column(
                "quantities, bits",
                [", ".join(QUANTITIES[q] for q in cls.quantities) for cls in classes.values()],
                drop=1,
            ),
        ]
        click.echo(plain("\n".join(render(rows, limit=width()))))
        return
    cls = estimator_class(name)
    click.echo(plain(inspect.getdoc(cls) or cls.title))
    click.echo("\nDefaults:")
    for field in fields(cls):
        default = field.default
        if default is MISSING and field.default_factory is not MISSING:
            default = field.default_factory()
        click.echo(plain(f"  {field.name}={default}"))
