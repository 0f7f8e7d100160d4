"""Progress on stderr: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from infoplane.cli import signals

if TYPE_CHECKING:
    from infoplane.calls import Progress as Told
    from infoplane.cli.shared_options import SharedOptions


class Progress:
    """Counts pieces of work and says so.

    On a terminal a bar of rich; in a pipe a line per 10 % or 30 s. ``--progress`` chooses: ``bar``
    or ``plain`` wherever it is, ``none``, as ``--quiet``, for silence. Colours are no matter here:
    a bar is drawn by the stream being a terminal, not by FORCE_COLOR.
    """

    def __init__(self, title: str, total: int, unit: str, shared: SharedOptions) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = 0
        self.failed = 0
        self._quiet = bool(shared.quiet) or shared.progress == "none"
        self._style = shared.progress
        self._bar: Any = None

    def __enter__(self) -> Progress:
        self._start = self._last_line = time.monotonic()
        self._said = 0
        terminal = sys.stderr.isatty() and self._style != "plain"
        if not self._quiet and (terminal or self._style == "bar"):
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn(self.title.ljust(8), markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn(self.unit, markup=False),
                TimeRemainingColumn(),
                console=Console(stderr=True, force_terminal=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(self.title, total=self.total)
        return self

    def begin(self, text: str) -> None:
        """Say what lies ahead, off a terminal."""
        if self._bar is None and not self._quiet:
            click.echo(f"{self.title:<8} {self.total:,} {self.unit}, {text}", err=True)

    def advance(self, *, failed: bool = False) -> None:
        """Count one piece of work; raise if a signal has arrived meanwhile."""
        signals.check()
        self.done += 1
        self.failed += failed
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done)
            return
        now = time.monotonic()
        tenth = 10 * self.done // max(self.total, 1)
        due = tenth > self._said or now - self._last_line > 30
        # The first seconds pass in silence: short work needs no running commentary.
        if due and now - self._start > 2 and self.done < self.total:
            self._said, self._last_line = tenth, now
            left = (now - self._start) / self.done * (self.total - self.done)
            self._say(f"{100 * self.done // self.total} %, about {_clock(left)} left")

    def __exit__(self, kind: object = None, *raised: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        if kind is None:
            failed = f"{self.failed} failed, " if self.failed else ""
            self._say(f"{failed}{_clock(time.monotonic() - self._start)}")

    def _say(self, text: str) -> None:
        if not self._quiet:
            line = f"{self.title:<8} {self.done:,}/{self.total:,} {self.unit}, {text}"
            click.echo(line, err=True)


class Stages:
    """Shows every stage of a call of the library as a `Progress`; it is what the call tells.

    Parameters
    ----------
    unit : str
        Of which the stages count pieces of work.
    shared : SharedOptions
        How, and whether, progress is shown.
    begin : str, optional
        What is said before the first stage, off a terminal.

    Attributes
    ----------
    done : mapping of str to int
        Pieces of work that were finished, by stage.
    """

    def __init__(self, unit: str, shared: SharedOptions, *, begin: str | None = None) -> None:
        self._unit, self._shared, self._begin = unit, shared, begin
        self._shown: Progress | None = None
        self.done: dict[str, int] = {}

    def __enter__(self) -> Stages:
        return self

    def __call__(self, now: Told) -> None:
        """Begin a stage, or count a piece of its work; end it after the last one."""
        if self._shown is None:
            self._shown = Progress(now.stage, now.total, self._unit, self._shared).__enter__()
            if self._begin is not None and not self.done:
                self._shown.begin(self._begin)
            self.done[now.stage] = 0
        if now.done:
            self._shown.advance(failed=now.failed > self._shown.failed)
            self.done[now.stage] = now.done
        if now.done == now.total:
            self.__exit__()

    def __exit__(self, *raised: object) -> None:
        if self._shown is not None:
            self._shown.__exit__(*raised)
            self._shown = None


def _clock(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"
