"""Options that every command shares; they may stand before or after the command.

-c, --config FILE   configuration file, instead of the nearest one; --no-config: none
-q, --quiet         no progress; twice: errors only
-v, --verbose       more detail; twice: tracebacks
--color             auto, always, never; auto follows NO_COLOR, FORCE_COLOR and the stream
--progress          auto, bar, plain, none; auto is a bar on a terminal
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from infoplane import system
from infoplane.cli.settings import Location, configure
from infoplane.cli.shared_options import SharedOptions

__all__ = [
    "Location", "SharedOptions", "executor_option", "globbed", "jobs_option", "seed_option",
    "shared_options", "text_or_json",
]  # fmt: skip

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def globbed(
    ctx: click.Context, parameter: click.Parameter, names: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the paths that globs match, where the shell leaves that to its programs."""
    if system.SHELL_RESOLVES_GLOBS:
        return names
    found = (
        [name] if os.path.lexists(name) else sorted(glob.glob(name)) or [name]  # noqa: PTH207
        for name in names
    )
    return tuple(path for paths in found for path in paths)


text_or_json = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Of what goes to stdout.",
)


jobs_option = click.option(
    "-j",
    "--jobs",
    type=int,
    metavar="N",
    help="Worker processes. Default: one per core. The numbers do not depend on this.",
)

seed_option = click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed of all random draws."
)

executor_option = click.option(
    "--executor",
    default="processes",
    show_default=True,
    metavar="KIND",
    help="processes (on this machine), dask[=ADDRESS], or mpi.",
)


def shared_options(command: Decorated, *, told: bool = False) -> Decorated:
    """Add the shared options to a command; ``ctx.obj`` is the `SharedOptions` of the invocation.

    Only where they are ``told`` all of them stand in the help.
    """

    def take(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        shared = ctx.ensure_object(SharedOptions)
        name = str(parameter.name)
        shared.take(name, value, ctx.get_parameter_source(name))
        shared.apply()
        ctx.color = shared.colors

    def choose(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        shared = ctx.ensure_object(SharedOptions)
        shared.apply()
        name = str(parameter.name)
        shared.take(name, value, ctx.get_parameter_source(name))
        if name == "config" and not isinstance(ctx.command, click.Group):
            ctx.default_map = configure(ctx, shared)

    def option(*names: str, **how: Any) -> Callable[[Decorated], Decorated]:
        rare = names[0] not in ("-q", "-v")
        return click.option(*names, expose_value=False, hidden=rare and not told, **how)

    for decorate in (
        option("--progress", type=click.Choice(["auto", "bar", "plain", "none"]), default="auto",
               callback=take, help="How progress is shown on stderr."),
        option("--color", type=click.Choice(["auto", "always", "never"]), default="auto",
               callback=take, help="Colours; auto follows NO_COLOR, FORCE_COLOR and the terminal."),
        option("-v", "--verbose", count=True, callback=take, is_eager=True,
               help="More detail (-v), tracebacks (-vv)."),
        option("-q", "--quiet", count=True, callback=take, is_eager=True,
               help="No progress (-q), errors only (-qq)."),
        option("-c", "--config", metavar="FILE", is_eager=True, callback=choose,
               help="Configuration. Default: the nearest infoplane.toml."),
        option("--no-config", is_flag=True, is_eager=True, callback=choose,
               help="Read no configuration file."),
    ):  # fmt: skip
        command = decorate(command)
    return command
