"""What ``record --dry-run`` and ``analyze --dry-run`` print."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from infoplane.analysis.plan import PlannedWork, wall_seconds
from infoplane.cli.output import printable, width
from infoplane.cli.sizes import size_text
from infoplane.cli.table_columns import Column, render

if TYPE_CHECKING:
    from infoplane.recording.plan import RecordingPlan


def recording_described(plan: RecordingPlan, steps: Sequence[int | None], output: str) -> str:
    """Return the plan of a recording as text, a line per layer."""
    from infoplane.recording.plan import sample_bytes

    layers, weights = plan.layers, plan.weights
    known = [f"{step:,}" for step in steps if step is not None]
    span = f"steps {known[0]}..{known[-1]}" if known else "steps"
    if len(known) < len(steps):
        span += f", {len(steps) - len(known)} to be read from the files"
    size = [size_text(plan.n_samples * sample_bytes(layer)) for layer in layers]
    columns = [
        Column("layer", [printable(layer.name) for layer in layers], names=True),
        Column("type", [printable(layer.type) for layer in layers], drop=1),
        Column("shape", ["x".join(map(str, layer.shape)) for layer in layers], right=True),
        Column("dtype", [layer.encoding or layer.dtype for layer in layers]),
        Column("reduction", [layer.reduction for layer in layers], drop=2),
        Column("a step", size, right=True),
    ]
    if not any(layer.reduction != "none" for layer in layers):
        columns = [column for column in columns if column.title != "reduction"]
    passes = f" x {plan.n_passes} passes" if plan.n_passes > 1 else ""
    kept = [one.reduction.replace("none", "whole").replace("-", " ") for one in weights]
    shapes = ["x".join(map(str, (one.summary or one).shape)) for one in weights]
    of_weights = [
        Column("weight", [printable(one.name) for one in weights], names=True),
        Column("shape", shapes, right=True),
        Column("kept", kept),
        Column("a step", [size_text(sample_bytes(one)) for one in weights], right=True),
    ]
    what = [f"{len(layers):,} layers x {plan.n_samples:,} samples{passes}"] if layers else []
    what += [f"{len(weights):,} weights"] if weights else []
    place = Path(output).absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    return "\n".join(
        [
            f"would record {plan.n_steps:,} checkpoints ({span}) x {' and '.join(what)} in "
            f"{printable(output)}",
            *(f"  {line}" for line in (render(columns, limit=width()) if layers else [])),
            *(f"  {line}" for line in (render(of_weights, limit=width()) if weights else [])),
            f"about {_clock(plan.seconds)}, {size_text(plan.bytes)} of {size_text(free)} free"
            + (": too large" if plan.bytes > free else ""),
        ]
    )


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
        used, recorded = work.samples
        each = f"{_clock(work.seconds_each):>8} each  {_clock(work.seconds):>12}"
        each += f"  {used:,} of {recorded:,} samples" if used < recorded else ""
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
