"""Warnings of a recording that are given once, not at every step."""

from __future__ import annotations

import logging

from infoplane.data import SlotKind
from infoplane.recording.hooks.state import State
from infoplane.runs.step_writer import StepWriter

log = logging.getLogger("infoplane")


class Warnings:
    """What was told already of the layers and of the passes."""

    def __init__(self) -> None:
        self._nonfinite: set[tuple[SlotKind, str]] = set()
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
        """Warn of NaN and infinity, once for each layer and weight."""
        told: dict[SlotKind, str] = {"layer": "outputs", "weight": "weights"}
        for kind, what in told.items():
            names = [one.name for one in writer.written[kind].values() if one.n_nonfinite]
            if new := [name for name in names if (kind, name) not in self._nonfinite]:
                self._nonfinite.update((kind, name) for name in new)
                log.warning(
                    "NaN or inf in the %s at step %d: %s", what, writer.step, ", ".join(new)
                )
