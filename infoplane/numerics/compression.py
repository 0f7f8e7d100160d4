"""Compression of a layer by principal components, with a bound on what it loses.

Distances between wide activations take time, and most of their directions hold next to nothing.
Projected on q orthonormal directions, a layer with noise of standard deviation sigma loses at most

    1/2 sum_j log2(1 + lambda_j / sigma^2)

bits of any information, lambda_j being the variances along what is left out. The bound holds for
whichever directions are kept, so they may come from a quick randomised search: what it misses is
seen in the variance that is left.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from infoplane.arrays import taken
from infoplane.data import FloatArray, IntArray
from infoplane.numerics.kernels.bracket import Support
from infoplane.numerics.tensors import Tensor, array_module, beside, double, fetched, place_of

MOST_LOSS = 0.05
"""Bits that compression may lose."""

_ALL_UNITS = 96  # up to this width compression is not worth while
_WORTH = 0.6  # nor is it for more than this share of the directions
_SEARCH = (1.2, 16)  # directions that are looked for, by those that are expected to be needed
_UNSEEN = 0.9  # share of the loss that may be in directions that were not looked at
_PAIR_ROWS = 1024  # samples whose distances give the median
_SPECTRUM_ROWS = 512  # and those that tell where to look
_CHOSEN_VALUES = 1 << 26
_HELD_VALUES = 1 << 28  # values of a layer that are held in memory
_CHUNK_VALUES = 1 << 24
_CACHED_VALUES = 1 << 16  # that a processor converts at a time
_SINGLE = 8000.0  # largest squared distance from the centre, in variances of noise, for float32
_CANCELLED = 1e-4  # of the norms: a median squared distance that float32 would lose digits of
_TINY = 1e-300
_EVERY = 7  # of the distances are looked at for a jump: no divisor of their number in a row
_SHARES = np.linspace(0.45, 0.9, 19)
_JITTER = 1e-14  # of the largest square, a row: rounding then leaves a Gram matrix positive


@dataclass(frozen=True, eq=False)
class Points:
    """A layer projected, in units of its median distance.

    Parameters
    ----------
    scores : array or tensor (n, n_dims)
        Coordinates of the rows, float32 or float64.
    directions : array or tensor (n_units, n_dims) or None
        What the rows are projected on; None if these are all units, or turned.
    dropped : array (n_dropped,)
        Variances along directions that were found and left out.
    missed : float
        Variance along all ``outside`` others together.
    outside : int
        Directions that were not looked at.
    """

    scores: Tensor
    directions: Tensor | None = None
    dropped: FloatArray = field(default_factory=lambda: np.empty(0))
    missed: float = 0.0
    outside: int = 0

    def loss(self, sigma: float) -> float:
        """Return how many bits the projection loses at most at this size of noise."""
        return _loss(self.dropped, sigma) + _spread_loss(self.missed, self.outside, sigma)


class Layer:
    """Distinct rows of a layer, centred, in units of their median distance.

    Parameters
    ----------
    activations : array or tensor (n_samples, n_units)
        Of any real dtype; it may be mapped from a file.
    found : Support
        Its distinct rows, at least 2.

    Attributes
    ----------
    median : float
        Median distance between two samples that differ, from at most 1024 samples, the same ones
        in all layers of as many; 0 if the numbers cannot tell them apart.
    spacing : float
        Rounding step of the largest number; 0 of whole numbers.
    jump : float
        By what factor distances grow from one quantile to another that is 5 % higher, at most and
        from 45 % to 90 %: a large one if some are within clusters, others between them, and the
        median is among the former, or at their edge.
    dominance : float
        Share of the variance that is in one unit.
    """

    def __init__(self, activations: Tensor, found: Support) -> None:
        self._activations, self._found = activations, found
        self.n, self.n_units = len(found.rows), int(activations.shape[1])
        count = min(_PAIR_ROWS, max(64, _CHOSEN_VALUES // self.n_units))
        # At random, so that no period in the order of the samples is met.
        some = np.random.default_rng(0).permutation(found.n_samples)[:count]
        some = found.entries[np.sort(some)]
        chosen = _taken(activations, found.rows[some])
        self.spacing = _spacing(chosen)
        chosen = double(chosen)
        # A few rows far away would move the mean away from all others.
        chosen -= (first := chosen.mean(0))
        norms = fetched((chosen * chosen).sum(1))
        near = np.flatnonzero(norms <= 4.0 * np.median(norms))
        second = chosen[beside(near, chosen)].mean(0)
        chosen -= second
        self._centre = fetched(first + second)
        variances = fetched((chosen * chosen).mean(0))
        norms = fetched((chosen * chosen).sum(1))
        self.median, self.jump, self.dominance = 0.0, 1.0, 0.0
        if not norms.max() > 0.0:
            return
        self.dominance = float(variances.max() / variances.sum())
        unit = math.sqrt(float(np.median(norms[norms > 0.0])))
        chosen /= unit
        norms /= unit**2
        states = found.states[some]
        differ = states[:, None] != states
        single = _as(chosen, np.float32)
        for array in (single, chosen):
            gram = fetched(array @ array.T).astype(np.float64)
            squares = (np.add.outer(norms, norms) - 2.0 * gram)[differ]
            below, median = _middle(squares)
            if below > _CANCELLED * norms.max():
                break
        if median > 0.0:
            self.median = unit * math.sqrt(median)
            self.jump = math.sqrt(_largest_growth(squares[::_EVERY]))
            step = -(-len(single) // _SPECTRUM_ROWS)
            self._some = single[::step] / np.float32(math.sqrt(median))
            self._gram = gram[::step, ::step] / median

    def _blocks(self, dtype: type[np.floating], values: int) -> Iterator[tuple[slice, Tensor]]:
        """Yield about so many values at a time, with their places."""
        step = max(1, values // self.n_units)
        for start in range(0, self.n, step):
            place = slice(start, min(start + step, self.n))
            block = double(_taken(self._activations, self._found.rows[place]))
            block -= beside(self._centre, block)
            block *= 1.0 / self.median
            yield place, _as(block, dtype)

    def _rows(self, sigma: float) -> _Rows:
        """Return all rows, in a precision that is enough for this size of noise."""
        values = _CACHED_VALUES if isinstance(self._activations, np.ndarray) else _CHUNK_VALUES
        held, squares = None, np.empty(self.n)
        for dtype in (np.float32, np.float64):
            if self.n * self.n_units <= _HELD_VALUES:
                held = _empty((self.n, self.n_units), dtype, self._activations)
            for place, block in self._blocks(dtype, values):
                squares[place] = fetched((block * block).sum(1))
                if held is not None:
                    held[place] = block
            if squares.max() <= _SINGLE * sigma**2:
                break
        return _Rows(self, held, squares, dtype)

    def points(
        self, sigma: float, rng: np.random.Generator, *, finest: float | None = None
    ) -> Points:
        """Return the layer projected so that at most 0.05 bits are lost at this size of noise.

        Parameters
        ----------
        sigma : float
            Standard deviation of the noise, in median distances.
        rng : numpy.random.Generator
            Draws directions where those of some rows are too few.
        finest : float, optional
            The smallest noise that the points will have; ``sigma`` unless given.
        """
        rows = self._rows(sigma if finest is None else min(finest, sigma))
        if self.n_units <= _ALL_UNITS and rows.held is not None:
            return Points(rows.held)
        wanted = self._directions_needed(sigma)
        for more in (1.0, 1.4):
            if more * wanted <= _WORTH * min(self.n, self.n_units):
                found = self._projected(rows, int(more * wanted), sigma, rng)
                if found is not None:
                    return found
        if rows.held is not None and self.n_units <= 2 * self.n:
            return Points(rows.held)
        return Points(rows.gram_root())

    def _directions_needed(self, sigma: float) -> float:
        """Return how many directions to look for, by the spectra of some rows and of half of them.

        With twice the rows about as many are added as from half of them to all.
        """
        counts = []
        for gram in (self._gram, self._gram[::2, ::2]):
            variances = np.linalg.eigvalsh(gram) / len(gram)  # ascending
            left = np.cumsum(np.maximum(variances, 0.0))
            small = int(np.searchsorted(left, MOST_LOSS * 2.0 * math.log(2.0) * sigma**2))
            counts.append(len(gram) - small)
        share, more = _SEARCH
        return max(_ALL_UNITS, share * (2 * counts[0] - counts[1]) + more)

    def _projected(
        self, rows: _Rows, wanted: int, sigma: float, rng: np.random.Generator
    ) -> Points | None:
        """Return the layer on ``wanted`` directions or fewer, None if they lose too much."""
        frame = self._first_frame(wanted, rows.dtype, rng)
        image: Tensor = 0.0
        for _, block in rows.chunks():
            image = image + block.T @ (block @ beside(frame, block))
        frame = array_module(image).linalg.qr(image)[0]
        scores = _joined([block @ frame for _, block in rows.chunks()])
        weights = self._found.weights
        kept = fetched((scores * scores).sum(1)).astype(np.float64)
        missed = max(float(weights @ (rows.norms - kept)), 0.0)
        outside = self.n_units - wanted
        unseen = _spread_loss(missed, outside, sigma)
        if unseen > _UNSEEN * MOST_LOSS:
            return None
        shares = beside(weights.astype(rows.dtype), scores)
        moments = fetched(scores.T @ (scores * shares[:, None]))
        values, vectors = np.linalg.eigh(moments.astype(np.float64))
        losses = np.cumsum(0.5 * np.log2(1.0 + np.maximum(values, 0.0) / sigma**2))
        cut = min(int(np.searchsorted(losses, MOST_LOSS - unseen)), wanted - 1)
        turned = beside(vectors[:, cut:].astype(rows.dtype), scores)
        dropped = np.maximum(values[:cut], 0.0)
        return Points(scores @ turned, frame @ turned, dropped, missed, outside)

    def _first_frame(
        self, wanted: int, dtype: type[np.floating], rng: np.random.Generator
    ) -> FloatArray:
        """Return directions (n_units, wanted) to start from: the principal ones of some rows."""
        vectors = np.linalg.eigh(self._gram)[1][:, ::-1][:, :wanted].astype(np.float32)
        frame = fetched(self._some).T @ vectors
        missing = wanted - frame.shape[1]
        if missing > 0:
            drawn = rng.standard_normal((self.n_units, missing), dtype=np.float32)
            frame = np.concatenate([frame, drawn], axis=1)
        return frame.astype(dtype, copy=False)


@dataclass(frozen=True, eq=False)
class _Rows:
    """All rows of a layer, in memory unless they are too many, and their squared norms."""

    layer: Layer
    held: Tensor | None
    norms: FloatArray
    dtype: type[np.floating]

    def chunks(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield the rows in blocks, with their places."""
        if self.held is not None:
            yield slice(0, self.layer.n), self.held
        else:
            yield from self.layer._blocks(self.dtype, _CHUNK_VALUES)

    def gram_root(self) -> Tensor:
        """Return coordinates (n, n) with the distances of the rows, of a layer of more units."""
        n = self.layer.n
        gram = np.empty((n, n))
        for place, block in self.chunks():
            for other, second in self.chunks():
                if other.start <= place.start:
                    gram[place, other] = fetched(double(block) @ double(second).T)
                    gram[other, place] = gram[place, other].T
        gram[np.diag_indices(n)] += _JITTER * n * self.norms.max()
        return beside(np.linalg.cholesky(gram).astype(self.dtype), block)


def _middle(values: FloatArray) -> tuple[float, float]:
    """Return the quantiles of 45 % and 50 %, 0 of no values."""
    if not len(values):
        return 0.0, 0.0
    places = [int(share * (len(values) - 1)) for share in (0.45, 0.5)]
    below, median = np.partition(values, places)[places]
    return float(below), float(median)


def _largest_growth(values: FloatArray) -> float:
    """Return by how much values grow within 5 % of them at most, from 45 % to 90 %."""
    quantiles = np.maximum(np.quantile(values, _SHARES), _TINY)
    return float((quantiles[2:] / quantiles[:-2]).max())


def _spacing(array: Tensor) -> float:
    values = fetched(array)
    if values.dtype.kind != "f":
        return 0.0
    return float(np.abs(values).max()) * float(np.finfo(values.dtype).eps)


def _loss(variances: FloatArray, sigma: float) -> float:
    return float(0.5 * np.log2(1.0 + variances / sigma**2).sum())


def _spread_loss(variance: float, n: int, sigma: float) -> float:
    """Return the largest loss that a variance in ``n`` directions may stand for."""
    return 0.5 * n * math.log2(1.0 + variance / (n * sigma**2)) if n else 0.0


def _taken(activations: Tensor, rows: IntArray) -> Tensor:
    if isinstance(activations, np.ndarray):
        return taken(activations, rows)
    return activations[beside(rows, activations)]


def _joined(blocks: list[Tensor]) -> Tensor:
    return blocks[0] if len(blocks) == 1 else array_module(blocks[0]).concatenate(blocks)


def _as(array: Tensor, dtype: type[np.floating]) -> Tensor:
    """Return an array or tensor in this dtype."""
    if isinstance(array, np.ndarray):
        return array.astype(dtype, copy=False)
    return array.float() if dtype is np.float32 else array.double()


def _empty(shape: tuple[int, int], dtype: type[np.floating], other: Tensor) -> Tensor:
    """Return room for an array or tensor beside another one."""
    module = array_module(other)
    return module.empty(shape, dtype=getattr(module, np.dtype(dtype).name), **place_of(other))
