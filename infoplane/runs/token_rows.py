"""A run whose rows are tokens: the positions of its sequences that are no padding."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from infoplane.arrays import count_nonfinite_rows, rows_of
from infoplane.data import NO_LABEL, Array, ProbeSet, Slot, split_rows
from infoplane.errors import DataError
from infoplane.runs.files import listed
from infoplane.runs.run import Run
from infoplane.target_classes import target_classes
from infoplane.text import counted
from infoplane.tokens import masks_of_tokens

log = logging.getLogger("infoplane")

_OF_TOKENS = ("position", "unit")


@dataclass(frozen=True)
class TokenRun(Run):
    """A run seen by tokens: a row is one position of one sequence.

    Rows are numbered by sequence, then by position. Padding and tokens without a label are left
    out. X of a token is its sequence up to there, or all of it: it is not written out, so that the
    inputs are unknown, and each row counts as another input.

    Raises
    ------
    DataError
        If no layer has positions, or labels, mask and layers do not go together.
    """

    @classmethod
    def of(cls, run: Run) -> TokenRun:
        """Return a run by tokens; say what is left out."""
        found = cls(**{field.name: getattr(run, field.name) for field in fields(run)})
        found._tell()
        return found

    @cached_property
    def sequences(self) -> Run:
        """The run as it is recorded: its rows are whole sequences."""
        return Run(self.path)

    @cached_property
    def length(self) -> int:
        """Positions of each sequence: those of labels and mask, else those of most layers."""
        probe = self.whole_probe
        for array in (probe.token_labels, probe.token_mask):
            if array is not None:
                return int(array.shape[1])
        lengths = [slot.shape[0] for slot in self.sequences.layers if slot.axes == _OF_TOKENS]
        if not lengths:
            raise self._without("no layer has positions")
        return max(dict.fromkeys(lengths), key=lengths.count)

    @cached_property
    def _recorded(self) -> dict[str, Slot]:
        """The layers that have these positions, as they are recorded."""
        found = {
            slot.name: slot
            for slot in self.sequences.layers
            if slot.axes == _OF_TOKENS and slot.shape[0] == self.length
        }
        if not found:
            raise self._without(f"no layer has the {self.length} positions of labels or mask")
        return found

    def _without(self, why: str) -> DataError:
        shapes = listed([f"{slot.name} {slot.shape}" for slot in self.sequences.layers], 4)
        return DataError(
            f"{self.path}: rows cannot be tokens: {why}: expected layers of shape (length, units) "
            f"for each sample, found {shapes}",
            hint="leave --rows out; or record the layers whole, without --reduce last or mean",
        )

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """The layers that have positions, of one token; and the weights."""
        kept = []
        for slot in self.sequences.slots:
            if slot.kind == "layer" and slot.name in self._recorded:
                kept.append(replace(slot, shape=slot.shape[1:], axes=_OF_TOKENS[1:]))
            elif slot.kind == "weight":
                kept.append(slot)
        return tuple(kept)

    @cached_property
    def layers(self) -> tuple[Slot, ...]:
        """The layers that have positions."""
        return tuple(slot for slot in self.slots if slot.kind == "layer")

    @cached_property
    def mask(self) -> NDArray[np.bool_] | None:
        """True where a sequence has a token (n_sequences, length); None if nothing says it."""
        probe = self.whole_probe
        if probe.token_mask is not None:
            return probe.token_mask
        masks = masks_of_tokens(probe.arguments)
        fitting = {name: mask for name, mask in masks.items() if mask.shape[1] == self.length}
        if masks and not fitting:
            shapes = listed([f"{name} {mask.shape}" for name, mask in masks.items()])
            raise DataError(
                f"{self.path}: expected a mask of {self.length} positions, found {shapes}",
                hint="give token_mask, of shape (n, length), with the probe set",
            )
        different = {mask.tobytes() for mask in fitting.values()}
        if len(different) > 1:
            raise DataError(
                f"{self.path}: several masks may be of these tokens: {listed(fitting)}",
                hint="give token_mask, of shape (n, length), with the probe set",
            )
        return next(iter(fitting.values()), None)

    @cached_property
    def _usable(self) -> NDArray[np.bool_]:
        """Which rows are tokens, with a label if there are labels of tokens."""
        probe = self.whole_probe
        found = np.ones((self.n_samples, self.length), dtype=bool)
        if self.mask is not None:
            found &= self.mask
        if probe.token_labels is not None:
            found &= probe.token_labels != NO_LABEL
        return found.ravel()

    @property
    def n_rows(self) -> int:
        """Rows of all sequences, padding included."""
        return self.n_samples * self.length

    @cached_property
    def kept(self) -> NDArray[np.int64]:
        """Rows of the split that is seen, without those that are left out."""
        usable = np.flatnonzero(self._usable)
        if self.split is not None:
            part = split_rows(self.splits)[self.split]
            first, last = part.start * self.length, part.stop * self.length
            usable = usable[(usable >= first) & (usable < last)]
        found = np.setdiff1d(usable, self.dropped)
        if len(found) < 2:
            raise DataError(
                f"{self.path}: expected at least 2 tokens, found {len(found)}: the others are "
                "padding, or have no label",
                hint="check the mask and the labels of the probe set",
            )
        return found

    @cached_property
    def probe(self) -> ProbeSet:
        """The tokens; each has the label of its own, or else that of its sequence."""
        probe, of = self.whole_probe, self.kept // self.length
        labels = probe.labels
        if self.label_bins is not None:
            labels = target_classes(probe.numbers, self.label_bins)
        if probe.token_labels is not None:
            labels = probe.token_labels.ravel()[self.kept]
        elif labels is not None:
            labels = labels[of]
        return ProbeSet(
            np.empty((len(of), 0), np.float32),
            labels,
            None if probe.targets is None else probe.targets[of],
            ids=self.kept,
            sequences=of,
        )

    @cached_property
    def probe_hash(self) -> str:
        """A hash of the kept tokens and of the samples that they are of."""
        digest = hashlib.sha256(f"tokens {self.length}".encode())
        digest.update(self.kept.tobytes())
        for part in (self.probe.labels, self.probe.targets):
            digest.update(b"" if part is None else np.ascontiguousarray(part).data)
        digest.update(repr(self.manifest["probe"].get("sha256")).encode())
        return "sha256:" + digest.hexdigest()

    def content_hash(self) -> str:
        """Return a hash of what was recorded, and of which tokens are seen."""
        digest = hashlib.sha256(super().content_hash().encode())
        digest.update(f"tokens {self.length}".encode())
        return "sha256:" + digest.hexdigest()

    def spoiled(self, step: int) -> frozenset[str]:
        """Return the names of the layers whose kept tokens hold NaN or inf at a step."""
        names = [slot.name for slot in self.layers]
        suspect = [name for name in names if self.step_info(step).slot(name).nonfinite]
        return frozenset(n for n in suspect if count_nonfinite_rows(self.activations(step, n)))

    def of_samples(self, step: int, slot: Slot, *, verify: bool = False) -> Array:
        """Return the kept tokens of a layer (n_tokens, n_units)."""
        recorded = self._recorded[slot.name]
        found = self.stored(step, recorded, verify=verify)
        found = rows_of(found.reshape(self.n_rows, -1), self.kept)
        return self.values_of(found, recorded)

    def check(self) -> None:
        """Check the run as it is recorded."""
        self.sequences.check()

    def _tell(self) -> None:
        """Say which layers, positions and labels are left out."""
        others = [slot.name for slot in self.sequences.layers if slot.name not in self._recorded]
        if others:
            log.warning(
                "%s: --rows token leaves out layers without %d positions: %s",
                self.path, self.length, listed(others, 6),
            )  # fmt: skip
        labels, mask = self.whole_probe.token_labels, self.mask
        if mask is None:
            why = "all positions are tokens, as no mask of shape (n, length) says which are padding"
            log.warning("%s: %s", self.path, why)
        elif padded := int((~mask).sum()):
            log.warning("%s: padding is left out: %s of %s", self.path, f"{padded:,}",
                        counted(mask.size, "position"))  # fmt: skip
        if labels is not None:
            real = labels if mask is None else labels[mask]
            if missing := int((real == NO_LABEL).sum()):
                log.warning("%s: tokens without a label (%d) are left out: %s of %s", self.path,
                            NO_LABEL, f"{missing:,}", counted(real.size, "token"))  # fmt: skip
        elif self.whole_probe.labels is not None:
            log.warning("%s: the labels are of sequences: each token has that of its own",
                        self.path)  # fmt: skip
