"""The options that every command shares, as one invocation gives them."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from typing import Any

import click
from click.core import ParameterSource

from infoplane.cli.configuration import Configuration
from infoplane.text import printable

_RANK = {
    ParameterSource.DEFAULT: 0,
    ParameterSource.DEFAULT_MAP: 1,
    ParameterSource.ENVIRONMENT: 2,
    ParameterSource.COMMANDLINE: 3,
}


@dataclass
class SharedOptions:
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
        rank = _rank(source)
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


def rank_of(context: click.Context, name: str) -> int:
    """Return how strong the source of an option is: default, file, environment, command line."""
    return _rank(context.get_parameter_source(name))


def _rank(source: ParameterSource | None) -> int:
    return _RANK.get(source, 0) if source else 0


class _Stderr(logging.Handler):
    """Writes the log to stderr, a line per message, whatever names a message holds."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message."""
        level = record.levelname.lower()
        click.echo(f"{level}: {printable(record.getMessage())}", err=True)
