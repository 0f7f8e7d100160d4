"""Options that every command shares; they may stand before or after the command.

-q, --quiet      no progress; twice: errors only
-v, --verbose    more detail; twice: tracebacks
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


@dataclass
class Verbosity:
    """How much is said on stderr."""

    quiet: int = 0
    verbose: int = 0

    def apply(self) -> None:
        """Set the level of the log accordingly."""
        logging.basicConfig(format="%(levelname)s: %(message)s", stream=sys.stderr)
        logging.addLevelName(logging.WARNING, "warning")
        level = logging.ERROR if self.quiet > 1 else logging.WARNING
        logging.getLogger("infoplane").setLevel(logging.DEBUG if self.verbose > 1 else level)


def verbosity(command: Decorated) -> Decorated:
    """Add -q and -v to a command or group; ``ctx.obj`` is the `Verbosity` of the invocation."""

    def add(ctx: click.Context, parameter: click.Parameter, value: int) -> None:
        said = ctx.ensure_object(Verbosity)
        setattr(said, str(parameter.name), getattr(said, str(parameter.name)) + value)
        said.apply()

    common: dict[str, Any] = {"count": True, "expose_value": False, "callback": add}
    quiet = click.option("-q", "--quiet", help="No progress (-q), errors only (-qq).", **common)
    verbose = click.option("-v", "--verbose", help="More detail (-v), tracebacks (-vv).", **common)
    return quiet(verbose(command))
