"""What ``analyze --dry-run`` prints."""

from __future__ import annotations

from collections.abc import Sequence

from infoplane.cli.sizes import size_text
from infoplane.planning import PlannedWork, wall_seconds


def described(works: Sequence[PlannedWork], *, runs: int, jobs: int, output: str) -> str:
    """Return the plan of an analysis as text, a line per estimator."""
    cells = sum(work.cells for work in works)
    cached = sum(work.cached for work in works)
    lines = [
        f"would estimate {cells:,} cells of {runs} run{'s' * (runs != 1)} ({cached:,} cached), "
        f"write {'stdout' if output == '-' else output}"
    ]
    width = max(len(work.estimator) for work in works)
    for work in works:
        todo = work.cells - work.cached
        each = f"{_clock(work.seconds_each):>8} each  {_clock(work.seconds):>12}"
        lines.append(
            f"  {work.estimator:<{width}}  {todo:>9,} cells  " + (each if todo else "all cached")
        )
    if cached < cells:
        most = max(work.bytes for work in works if work.cached < work.cells)
        many = f"{jobs} processes" if jobs > 1 else "1 process"
        lines.append(
            f"about {_clock(wall_seconds(works, jobs))} on {many}, {size_text(most)} per process"
        )
    return "\n".join(lines)


def _clock(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60:,} h {minutes % 60:02d} min"
