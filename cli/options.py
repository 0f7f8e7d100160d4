"""Options that every command shares; they may stand before or after the command.

-c, --config FILE   configuration file, instead of the nearest one; --no-config: none
-q, --quiet         no progress; twice: errors only
-v, --verbose       more detail; twice: tracebacks
--color             auto, always, never; auto follows NO_COLOR, FORCE_COLOR and the stream
--progress          auto, bar, plain, none; auto is a bar on a terminal
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from infoplane.cli.settings import Location, configure
from infoplane.configuration import Configuration
from infoplane.text import printable

__all__ = ["Location", "Verbosity", "verbosity"]

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_RANK = {
    ParameterSource.DEFAULT: 0,
    ParameterSource.DEFAULT_MAP: 1,
    ParameterSource.ENVIRONMENT: 2,
    ParameterSource.COMMANDLINE: 3,
}


@dataclass
class Verbosity:
    """What the shared options say: how much goes to stderr, and in which form."""

    quiet: int = 0
    verbose: int = 0
    color: str = "auto"
    progress: str = "auto"
    config: str | None = None
    no_config: bool = False
    configuration: Configuration = field(default_factory=Configuration)
    _ranks: dict[str, int] = field(default_factory=dict)

    def take(self, name: str, value: Any, source: ParameterSource | None) -> None:
        """Set an option unless a stronger source has set it; -q and -v before and after add up."""
        rank = _RANK.get(source, 0) if source else 0
        if rank < self._ranks.get(name, 0):
            return
        if rank == self._ranks.get(name) == _RANK[ParameterSource.COMMANDLINE] and isinstance(
            value, int
        ):
            value += getattr(self, name)
        self._ranks[name] = rank
        setattr(self, name, value)

    @property
    def colors(self) -> bool | None:
        """Whether to write colours; None lets the stream decide."""
        if self.color != "auto":
            return self.color == "always"
        if os.environ.get("NO_COLOR"):
            return False
        if os.environ.get("FORCE_COLOR", "0") not in ("", "0"):
            return True
        return False if os.environ.get("TERM") == "dumb" else None

    def apply(self) -> None:
        """Set the level of the log accordingly."""
        logger = logging.getLogger("infoplane")
        if not any(isinstance(handler, _Stderr) for handler in logger.handlers):
            logger.addHandler(_Stderr())
            logger.propagate = False
        level = logging.ERROR if self.quiet > 1 else logging.WARNING
        if self.verbose:
            level = logging.INFO if self.verbose == 1 else logging.DEBUG
        logger.setLevel(level)


def verbosity(command: Decorated, *, told: bool = False) -> Decorated:
    """Add the shared options to a command; ``ctx.obj`` is the `Verbosity` of the invocation.

    Only where they are ``told`` all of them stand in the help.
    """

    def take(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        said = ctx.ensure_object(Verbosity)
        name = str(parameter.name)
        said.take(name, value, ctx.get_parameter_source(name))
        said.apply()
        ctx.color = said.colors

    def choose(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        said = ctx.ensure_object(Verbosity)
        said.apply()
        name = str(parameter.name)
        said.take(name, value, ctx.get_parameter_source(name))
        if name == "config" and not isinstance(ctx.command, click.Group):
            ctx.default_map = configure(ctx, said)

    def shared(*names: str, **how: Any) -> Callable[[Decorated], Decorated]:
        rare = names[0] not in ("-q", "-v")
        return click.option(*names, expose_value=False, hidden=rare and not told, **how)

    for option in (
        shared("--progress", type=click.Choice(["auto", "bar", "plain", "none"]), default="auto",
               callback=take, help="Form of the progress on stderr."),
        shared("--color", type=click.Choice(["auto", "always", "never"]), default="auto",
               callback=take, help="Colours; auto: on a terminal, by NO_COLOR and FORCE_COLOR."),
        shared("-v", "--verbose", count=True, callback=take,
               help="More detail (-v), tracebacks (-vv)."),
        shared("-q", "--quiet", count=True, callback=take,
               help="No progress (-q), errors only (-qq)."),
        shared("-c", "--config", metavar="FILE", is_eager=True, callback=choose,
               help="Configuration. Default: the nearest infoplane.toml."),
        shared("--no-config", is_flag=True, is_eager=True, callback=choose,
               help="Read no configuration file."),
    ):  # fmt: skip
        command = option(command)
    return command


class _Stderr(logging.Handler):
    """Writes the log to stderr, a line per message, whatever names a message holds."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message."""
        level = record.levelname.lower()
        click.echo(f"{level}: {printable(record.getMessage())}", err=True)
