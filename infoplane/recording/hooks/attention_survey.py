"""Find the attention of a model, from a pass of a few samples."""

from __future__ import annotations

from infoplane.data import Slot
from infoplane.recording.hooks.modes import evaluation_mode
from infoplane.recording.hooks.passes import ProbePasses

_FEW = 4


def find_attention(passes: ProbePasses) -> tuple[Slot, ...]:
    """Return what is recorded of attention; nothing where none was asked for.

    Raises
    ------
    DataError
        If the model has none, or a pattern means none of it.
    """
    attention = passes.attention
    if not attention.patterns:
        return ()
    batch = passes.batch(slice(0, min(_FEW, passes.probe.n_samples)))
    attention.begin_step()
    attention.active = True
    try:
        with (
            evaluation_mode(passes.model),
            passes.captured(lambda *told: None, lambda error: None) as begin,
        ):
            begin()
            passes.forward(batch)
        attention.check()
        return attention.slots()
    finally:
        attention.active = False
        attention.begin_step()
