"""Make large layers small while they are recorded.

A reduction g is the same function for every sample and step, so I(X;g(T)) <= I(X;T): what is
measured of a reduced layer is a lower bound of what the whole layer holds. ``sketch`` keeps
distances best; ``gap`` makes another variable of the layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from infoplane.data import Array, IntArray
from infoplane.errors import DataError, InputError
from infoplane.patterns import is_literal
from infoplane.recording.hooks.layers import chosen_by
from infoplane.recording.hooks.outputs import UnfitLayerError
from infoplane.seeding import generator

MOST_UNITS = 16384
"""Units of a layer beyond which a choice is asked for."""

_WITH_SIZE = ("grid", "tokens", "sketch")
_MAP, _TOKENS = (3, 5, "(n, channels, ...)"), (3, 3, "(n, length, units)")
_AXES = {
    **dict.fromkeys(("gap", "grid"), _MAP),
    **dict.fromkeys(("last", "mean", "tokens"), _TOKENS),
}
"""Least and greatest number of axes of an output, and what they are."""

_KINDS = ("flatten", "gap", "grid:K", "last", "mean", "tokens:K", "sketch:K")


@dataclass(frozen=True)
class Reduction:
    """A function of the output of a layer.

    ``flatten`` keeps all units; ``gap`` averages a map (n, channels, ...) over its places,
    ``grid:K`` over K x K parts of it; of tokens (n, length, units) ``last`` and ``mean`` keep one,
    those that the attention mask leaves out not counted, and ``tokens:K`` K of them at positions
    drawn once; ``sketch:K`` is a CountSketch of all units to K (Charikar, Chen, Farach-Colton:
    "Finding frequent items in data streams", 2002). What has no more parts or units than K is kept.

    Raises
    ------
    InputError
        If ``kind`` is none of these, or ``size`` is missing, needless or below 1.
    """

    kind: str
    size: int | None = None
    named: bool = field(default=True, compare=False)  # by the name of the layer, not by a glob

    def __post_init__(self) -> None:
        known = {one.partition(":")[0] for one in _KINDS}
        sized = self.kind in _WITH_SIZE
        fits = sized and self.size is not None and self.size >= 1
        if self.kind not in known or not (fits or (not sized and self.size is None)):
            raise InputError(
                f"expected a reduction among {', '.join(_KINDS)} with K of at least 1, got "
                f"{self!s:.80}"
            )

    def __str__(self) -> str:
        return self.kind if self.size is None else f"{self.kind}:{self.size}"

    @property
    def of_tokens(self) -> bool:
        """Whether it heeds the mask of the tokens."""
        return self.kind in ("last", "mean", "tokens")

    def fits(self, tensor: torch.Tensor) -> bool:
        """Tell whether an output has the axes that it needs."""
        low, high, _ = _AXES.get(self.kind, (1, math.inf, ""))
        return low <= tensor.ndim <= high

    @classmethod
    def parse(cls, text: str) -> Reduction:
        """Return the reduction that ``KIND`` or ``KIND:K`` names."""
        kind, colon, size = text.partition(":")
        if colon and not size.isdecimal():
            raise InputError(f"expected a whole number after {kind}:, got {size!r:.40}")
        return cls(kind, int(size) if colon else None)

    def applied(
        self, tensor: torch.Tensor, name: str, mask: torch.Tensor | None, positions: IntArray | None
    ) -> torch.Tensor:
        """Return the reduced output of the layer ``name``.

        Parameters
        ----------
        tensor : tensor (n_samples, ...)
            The output.
        mask : tensor of bool (n_samples, length), optional
            True where a sample has a token.
        positions : array of int, optional
            Those of ``tokens:K``.

        Raises
        ------
        DataError
            If the output has no such axes.
        """
        if self.kind == "flatten":
            return tensor
        tensor = self._dense(tensor, name)
        if not self.fits(tensor):
            raise DataError(
                f"layer {name!r}: {self} needs an output of shape {_AXES[self.kind][2]}, got "
                f"{tuple(tensor.shape)}",
                hint=f"choose another: --reduce '{name}=sketch:1024'",
            )
        if self.kind in ("gap", "grid"):
            return self._pooled(_floating(tensor))
        if self.kind == "sketch":
            assert self.size is not None
            flat = _floating(tensor).flatten(1)
            if flat.shape[1] <= self.size:
                return flat
            buckets, signs = _hashes(name, flat.shape[1], self.size)
            signed = flat * torch.from_numpy(signs).to(flat)
            made = flat.new_zeros(len(flat), self.size)
            return made.index_add_(1, torch.from_numpy(buckets).to(flat.device), signed)
        if self.kind == "tokens":
            assert positions is not None
            return tensor[:, torch.from_numpy(positions).to(tensor.device)]
        if mask is None:
            return tensor[:, -1] if self.kind == "last" else _floating(tensor).mean(1)
        if mask.shape != tensor.shape[:2]:
            raise DataError(
                f"layer {name!r}: {self} under a mask of {mask.shape[1]} places, the layer has "
                f"{tensor.shape[1]} tokens",
                hint=f"choose another mask with --mask '{name}=NAME', or none: '{name}=none'",
            )
        real = mask.to(tensor.device)
        if self.kind == "last":
            length = tensor.shape[1]
            last = (real * torch.arange(1, length + 1, device=tensor.device)).argmax(1)
            return tensor[torch.arange(len(tensor), device=tensor.device), last]
        weights = real.to(_floating(tensor).dtype)
        total = (_floating(tensor) * weights[..., None]).sum(1)
        return total / weights.sum(1, keepdim=True)

    def positions(self, name: str, length: int, mask: Array | None) -> IntArray | None:
        """Return the positions of ``tokens:K``, of those where every sample has a token.

        Raises
        ------
        DataError
            If there are fewer than K.
        """
        if self.kind != "tokens":
            return None
        assert self.size is not None
        usable = np.arange(length) if mask is None else np.flatnonzero(mask.all(axis=0))
        if len(usable) < self.size:
            raise DataError(
                f"layer {name!r}: {self}: {len(usable)} of {length} positions have a token in "
                "every sample",
                hint="choose fewer, or last, mean or sketch:K",
            )
        chosen: IntArray = np.sort(generator(0, "tokens", name).permutation(usable)[: self.size])
        return chosen

    def _pooled(self, tensor: torch.Tensor) -> torch.Tensor:
        places = tensor.ndim - 2
        if self.kind == "gap":
            return tensor.flatten(2).mean(2)
        assert self.size is not None
        pool: Callable[..., torch.Tensor] = (
            torch.nn.functional.adaptive_avg_pool1d,
            torch.nn.functional.adaptive_avg_pool2d,
            torch.nn.functional.adaptive_avg_pool3d,
        )[places - 1]
        return pool(tensor, [min(self.size, side) for side in tensor.shape[2:]])

    def _dense(self, tensor: torch.Tensor, name: str) -> torch.Tensor:
        """Return the values that a quantised or sparse tensor stands for."""
        if tensor.is_complex():
            raise DataError(
                f"layer {name!r}: {self} needs real numbers, got {tensor.dtype}",
                hint=f"keep all of it: --reduce '{name}=flatten'; or leave the layer out",
            )
        tensor = tensor.dequantize() if tensor.is_quantized else tensor
        return tensor if tensor.layout is torch.strided else tensor.to_dense()


def by_glob(values: Mapping[str, str]) -> dict[str, Reduction]:
    """Return the one reduction of each glob; one with wildcards names no layer.

    Raises
    ------
    InputError
        If a reduction is unknown.
    """
    parsed = {glob: Reduction.parse(text) for glob, text in values.items()}
    return {glob: replace(one, named=is_literal(glob)) for glob, one in parsed.items()}


def several_by_glob(values: Mapping[str, str]) -> dict[str, tuple[Reduction, ...]]:
    """Return the reductions of globs, of which each may have several: ``last,mean``.

    Raises
    ------
    InputError
        If a reduction is unknown.
    """
    split = {glob: dict.fromkeys(text.split(",")) for glob, text in values.items()}
    return {
        glob: tuple(by_glob({glob: text.strip()})[glob] for text in texts)
        for glob, texts in split.items()
    }


def chosen_reductions(
    values: Mapping[str, tuple[Reduction, ...]], layers: Mapping[str, Any]
) -> dict[str, tuple[Reduction, ...]]:
    """Return the reductions of every layer for which a glob gives some; the last match holds.

    Raises
    ------
    NotFoundError
        If a glob matches no chosen layer.
    """
    chosen: dict[str, tuple[Reduction, ...]] = {}
    for pattern, reductions in values.items():
        found = chosen_by(pattern, layers, "for which a reduction is given")
        chosen.update(dict.fromkeys(found, reductions))
    return chosen


def check_units(name: str, shape: tuple[int, ...]) -> None:
    """Ask for a choice where a layer is large.

    Raises
    ------
    DataError
        If a sample has more than 16,384 units.
    """
    units = math.prod(shape)
    if units > MOST_UNITS:
        raise UnfitLayerError(
            name,
            f"{units:,} units, for which --reduce '{name}=sketch:1024' would make a choice",
            f"layer {name!r}: {' x '.join(map(str, shape))} = {units:,} units for each sample, "
            f"more than {MOST_UNITS:,}",
            f"choose how to keep it: --reduce '{name}=sketch:1024' (or gap, grid:4, ...), or "
            f"all of it: --reduce '{name}=flatten'",
        )


def _floating(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor in which sums are exact enough: float64 for whole numbers of 32 bits."""
    wide = not tensor.is_floating_point() and tensor.itemsize >= 4
    return tensor.double() if wide or tensor.dtype is torch.float64 else tensor.float()


@lru_cache(maxsize=256)
def _hashes(name: str, units: int, size: int) -> tuple[IntArray, Array]:
    """Return bucket and sign of every unit, drawn from the name of the layer."""
    rng = generator(0, "sketch", name)
    return rng.integers(0, size, units), 2.0 * rng.integers(0, 2, units) - 1.0
