"""Warnings of a recording that are given once, not at every step."""

from __future__ import annotations

import logging

from infoplane.recording.hooks.state import State
from infoplane.runs.step_writer import StepWriter

log = logging.getLogger("infoplane")


class Warnings:
    """What was told already of the layers and of the passes."""

    def __init__(self) -> None:
        self._nonfinite: set[str] = set()
        self._left: set[str] = set()

    def of_left(self, step: int, state: State) -> None:
        """Warn of what the passes changed and what could not be put back, once for each."""
        if new := [what for what in state.left if what not in self._left]:
            self._left.update(new)
            log.warning(
                "the passes of step %d changed %s, which cannot be put back: what follows is not "
                "as without the recording; let the model leave it alone where not self.training",
                step,
                ", ".join(new[:3]) + (f" and {len(new) - 3} more" if new[3:] else ""),
            )

    def of_nonfinite(self, writer: StepWriter) -> None:
        """Warn of NaN and infinity, once for each layer."""
        names = [layer.name for layer in writer.layers.values() if layer.n_nonfinite]
        if new := [name for name in names if name not in self._nonfinite]:
            self._nonfinite.update(new)
            log.warning("NaN or inf in the outputs at step %d: %s", writer.step, ", ".join(new))
