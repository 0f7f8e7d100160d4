"""Try where the layers of a model hold the tokens of an input.

If inputs are cut short together with their mask, the layers whose length changes hold their tokens.
If one token is changed, a layer that does not mix tokens changes at one place: where it holds that
token. Attention does not mix what a mask leaves out, so the token is changed under the mask too.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import torch

from infoplane.data import FloatArray
from infoplane.errors import DataError
from infoplane.recording.hooks.capture import At, captured
from infoplane.recording.hooks.layers import Layer
from infoplane.recording.hooks.masks import TokenMask
from infoplane.recording.hooks.modes import evaluation_mode
from infoplane.recording.hooks.outputs import Address, Key, UnfitLayerError, to_array
from infoplane.recording.hooks.passes import ProbePasses
from infoplane.recording.hooks.wrappers import named_layers
from infoplane.recording.probes.batches import Batch
from infoplane.seeding import generator

log = logging.getLogger("infoplane")

Lengths: TypeAlias = dict[Key, int]
"""Number of tokens of layers."""

_Seen: TypeAlias = dict[Key, FloatArray]
"""A number for each sample and place of a layer, in the order of the pass."""

_BOTH: tuple[At, At] = ("input", "output")

_SMALL = 1e-3
"""Of the largest change in a layer: no change of a place. Masks as low numbers leave a trace."""


@dataclass
class Places:
    """Where layers hold the tokens of an input."""

    own: set[Key] = field(default_factory=set)  # each token where the input has it
    mixed: set[Key] = field(default_factory=set)  # not to be told, but those before have them so
    single: set[Key] = field(default_factory=set)  # each token at one place, maybe another
    moved: set[Key] = field(default_factory=set)  # change at all


@dataclass
class Tries:
    """Passes of one batch with inputs that are cut or changed."""

    passes: ProbePasses
    batch: Batch

    def cut(self, names: Sequence[str], length: int) -> Lengths | None:
        """Return the lengths of layers if arguments are cut; None if the model fails."""
        if length < 3:  # what is cut to one place may be broadcast
            return None
        seen = self._seen(self.batch.cut(dict.fromkeys(names, length), shorter(length)))
        return None if seen is None else {key: one.shape[1] for key, one in seen.items()}

    def places(
        self,
        names: Sequence[str],
        masks: Sequence[TokenMask],
        length: int,
        cut: Lengths | None,
    ) -> Places:
        """Return where layers hold the tokens of inputs, which are changed at two places."""
        several = sorted({min(1, length - 1), max(length - 2 if length > 3 else length - 1, 0)})
        where = [several[row % len(several)] for row in range(len(self.batch))]
        new = {name: _changed(self.batch.argument(name), length, where) for name in names}
        tried: list[tuple[_Seen, _Seen]] = []
        for left_out in ([], several) if masks else ([],):
            under = {
                one.name: one.without(self.batch.argument(one.name), left_out) for one in masks
            }
            before = self._seen(self.batch.replaced(under))
            after = self._seen(self.batch.replaced({**under, **new}))
            if before and after:
                tried.append((before, after))
        found = Places()
        told = broken = False
        for key in tried[0][0] if tried else ():
            signs = list(_signs(key, tried, where))
            found.moved.update([key] * any(sign.moved for sign in signs))
            found.single.update([key] * any(sign.single for sign in signs))
            n_places = tried[0][0][key].shape[1]
            fits = n_places == length and (cut or {}).get(key) == shorter(length)
            if any(sign.own for sign in signs):
                found.own.add(key)
                told = told or fits
            elif any(sign.other for sign in signs):
                broken = broken or fits
            elif fits and told and not broken:
                found.mixed.add(key)
        return found

    def _seen(self, batch: Batch) -> _Seen | None:
        """Return what layers hold, and what all modules take and return; None if a pass fails."""
        seen: _Seen = {}

        def receive(name: str, call: int, address: Address, tensor: torch.Tensor) -> None:
            tensor = self.passes.by_sample(name, tensor, len(batch))
            if tensor.ndim == 3:
                seen[name, call] = _by_place(tensor, name)

        def watch(name: str, call: int, address: Address, tensor: torch.Tensor) -> None:
            plain = tensor.ndim == 3 and not tensor.is_nested
            if plain and tensor.shape[0] == len(batch) != tensor.shape[1]:
                seen[name, call] = _by_place(tensor, name)
                seen[f"{name}, channels first", call] = _by_place(tensor.mT, name)

        named = named_layers(self.passes.model).items()
        try:
            with evaluation_mode(self.passes.model), ExitStack() as stack:
                for at in _BOTH:
                    watched = {f"{at} of {name}": Layer(module) for name, module in named}
                    stack.enter_context(captured(watched, watch, at, _ignored))
                stack.enter_context(self.passes.captured(receive, _ignored))
                self.passes.forward(batch)
        except DataError as error:
            log.debug("not to be cut or changed: %s", error)
            return None
        return seen


def shorter(length: int) -> int:
    """Return the length to which inputs are cut."""
    return max(length // 2, 2)


@dataclass(frozen=True)
class _Sign:
    """What a change of one token in every sample says of a layer."""

    moved: bool
    single: bool
    own: bool
    other: bool


def _signs(key: Key, tried: Sequence[tuple[_Seen, _Seen]], where: Sequence[int]) -> Iterator[_Sign]:
    for before, after in tried:
        a, b = before.get(key), after.get(key)
        if a is None or b is None or a.shape != b.shape:
            continue
        change = np.abs(a - b)
        largest = change.max(axis=1, keepdims=True)
        noise = 8 * float(np.finfo(np.float32).eps) * float(np.abs(a).max())
        moved = (change > _SMALL * largest) & (change > noise)
        rows = [frozenset(np.flatnonzero(row).tolist()) for row in moved]
        single = all(len(row) == 1 for row in rows)
        yield _Sign(
            moved=bool(moved.any()),
            single=single and len(set(rows)) == len(set(where)),
            own=all(row == {place} for row, place in zip(rows, where, strict=True)),
            other=any(
                row and place not in row and not _blank(a, place)
                for row, place in zip(rows, where, strict=True)
            ),
        )


def _by_place(tensor: torch.Tensor, name: str) -> FloatArray:
    """Return a number for each sample and place (n_samples, length), drawn from all its units."""
    values = np.nan_to_num(to_array(tensor, name).astype(np.float64))
    units = values.reshape(*values.shape[:2], -1)
    return np.asarray(units @ _weights(units.shape[2]))


@lru_cache(maxsize=32)
def _weights(size: int) -> FloatArray:
    return generator(0, "places", size).normal(size=size)


def _blank(values: FloatArray, place: int) -> bool:
    """Tell whether all samples have one value at a place, as what a mask multiplies by 0."""
    if place >= values.shape[1] or len(values) < 2:
        return False
    return float(np.ptp(values[:, place])) <= 1e-6 * float(np.abs(values).max())


def _changed(values: torch.Tensor, length: int, where: Sequence[int]) -> torch.Tensor:
    """Return an input with another token of the input at a place of each sample."""
    axis = next(axis for axis in range(1, values.ndim) if values.shape[axis] == length)
    old = values.movedim(axis, 1)
    new = old.clone()
    for row, place in enumerate(where):
        others = [old[(row + 1) % len(old), place], *old[row]]
        unlike = (one for one in others if not torch.equal(one, old[row, place]))
        other = old[row, place] + 1 if values.is_floating_point() else old[row, place]
        new[row, place] = next(unlike, other)
    return new.movedim(1, axis)


def _ignored(error: UnfitLayerError) -> None:
    """Leave out a layer without a tensor."""
