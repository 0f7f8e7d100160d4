"""Cost of a recording before it begins: layers, bytes, seconds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from infoplane.data import Slot
from infoplane.errors import DataError
from infoplane.recording.checkpoints.models import load_checkpoint
from infoplane.recording.checkpoints.read import load_weights
from infoplane.recording.checkpoints.steps import Checkpoint, Steps
from infoplane.recording.hooks.further_passes import slots_of_passes
from infoplane.recording.hooks.modes import evaluation_mode
from infoplane.recording.hooks.passes import ProbePasses
from infoplane.recording.hooks.survey import surveyed
from infoplane.recording.weights import WeightRecorder, summary_seconds

_BYTES_PER_SECOND = 1e9
"""Of writing with checksum and statistics, roughly, on one core."""


@dataclass(frozen=True)
class RecordingPlan:
    """What is recorded, and what that takes."""

    n_steps: int
    n_samples: int
    layers: tuple[Slot, ...]
    seconds: float = 0.0  # of all steps; 0 if it was not measured
    weights: tuple[Slot, ...] = ()
    n_passes: int = 1
    attention: tuple[Slot, ...] = ()

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The arrays of a step: layers, further passes of them, and attention."""
        return self.layers + slots_of_passes(self.layers, self.n_passes) + self.attention

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample in all arrays."""
        return sum(map(sample_bytes, self.slots))

    @property
    def step_bytes(self) -> int:
        """Bytes of one step."""
        return self.n_samples * self.sample_bytes + self.weight_bytes

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights of one step."""
        return sum(map(sample_bytes, self.weights))

    @property
    def bytes(self) -> int:
        """Bytes of all steps."""
        return self.n_steps * self.step_bytes

    def check(self, most: int, what: str) -> None:
        """Refuse to record more than ``most`` bytes.

        Raises
        ------
        DataError
            If the layers need more; the message shows the sum and says ``what`` there is.
        """
        if self.bytes <= most:
            return
        terms = [f"{self.n_samples:,} samples x {self.sample_bytes:,} bytes"] * bool(self.layers)
        terms += [f"{self.weight_bytes:,} bytes of weights"] * bool(self.weights)
        each = terms[0] if len(terms) == 1 else f"({' + '.join(terms)})"
        kind, slots = ("layer", self.layers) if self.layers else ("weight", self.weights)
        largest = sorted(slots, key=sample_bytes, reverse=True)[:3]
        parts = ", ".join(f"{one.name} {sample_bytes(one):,} bytes" for one in largest)
        of_each = ", for each sample" if self.layers else ""
        if self.layers and self.n_samples * self.sample_bytes >= self.weight_bytes:
            hint = f"record fewer --samples or layers, or reduce: --reduce '{largest[0].name}="
            hint += "sketch:256'"
        else:
            hint = "record fewer weights whole: --weights summary keeps their singular values"
        raise DataError(
            f"the run would take {self.n_steps:,} steps x {each} = {self.bytes:,} bytes, more than "
            f"the {most:,} {what}; largest of {len(slots)} {kind}s{of_each}: {parts}",
            hint=hint,
            code="IP308",
        )


def sample_bytes(layer: Slot) -> int:
    """Return the bytes of one sample of a layer."""
    return layer.n_units * np.dtype(layer.dtype).itemsize


def plan_recording(
    passes: ProbePasses, n_steps: int, weights: WeightRecorder | None = None
) -> RecordingPlan:
    """Return what it takes to record ``n_steps`` steps, from passes of a few samples.

    Raises
    ------
    DataError
        If the model fails, or a layer cannot be recorded.
    """
    layers = surveyed(passes)
    chosen = weights.of_model(passes.model, passes.roles.head) if weights else []
    return RecordingPlan(
        n_steps,
        passes.n_samples,
        layers,
        weights=WeightRecorder.slots(chosen),
        n_passes=passes.noise.passes,
        attention=passes.attention_slots,
    )


def plan_checkpoints(
    passes: ProbePasses,
    checkpoints: Sequence[Checkpoint],
    *,
    key: str | None = None,
    strict: bool = True,
    trust_model: bool = False,
    reference: str = "",
    recorded_weights: WeightRecorder | None = None,
) -> RecordingPlan:
    """Return what it takes to record checkpoints; the first is loaded, and one batch timed.

    Raises
    ------
    InfoplaneError
        If the first checkpoint cannot be recorded, as ``record_checkpoints``.
    """
    first = checkpoints[0].path
    start = time.perf_counter()
    weights = load_weights(first, key, trust_model=trust_model)
    Steps().of(checkpoints[0], weights)
    passes = passes.of(
        load_checkpoint(passes.model, first, weights, reference, key, strict=strict)[0]
    )
    loading = time.perf_counter() - start
    plan = plan_recording(passes, len(checkpoints), recorded_weights)  # warms up, too
    with evaluation_mode(passes.model):
        start = time.perf_counter()
        passes.found_layers(batch := next(passes.batches()))
        forward = (time.perf_counter() - start) / (batch.stop - batch.start) * plan.n_samples
        forward *= plan.n_passes
    each = loading + forward + plan.step_bytes / _BYTES_PER_SECOND
    each += sum(map(summary_seconds, plan.weights))
    return replace(plan, seconds=plan.n_steps * each)
