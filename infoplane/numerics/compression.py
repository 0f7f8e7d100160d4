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
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infoplane.arrays import taken
from infoplane.data import FloatArray, IntArray
from infoplane.numerics.tensors import Tensor, array_module, beside, double, fetched

MOST_LOSS = 0.05
"""Bits that compression may lose."""

_ITERATIONS = 2  # of the search for directions
_ALL_UNITS = 96  # up to this width compression is not worth while
_WORTH = 0.6  # nor is it for more than this share of the directions
_PAIR_ROWS = 1024  # rows whose distances give the median
_SPECTRUM_ROWS = 512  # and those that tell how many directions to look for
_HELD_VALUES = 1 << 28  # values of a layer that are held in memory
_CHUNK_VALUES = 1 << 24
_FAR = 300.0  # largest squared distance from the centre, in median distances, for float32
_JITTER = 1e-14  # of the largest square, a row: rounding then leaves a Gram matrix positive


@dataclass(frozen=True, eq=False)
class Points:
    """A layer projected, in units of its median distance.

    Parameters
    ----------
    scores : array or tensor (n, n_dims)
        Coordinates of the rows, float32 or float64.
    dropped : array (n_dropped,)
        Variances along directions that were found and left out.
    missed : float
        Variance along all ``outside`` others together.
    outside : int
        Directions that were not looked at.
    """

    scores: Tensor
    dropped: FloatArray
    missed: float
    outside: int

    def loss(self, sigma: float) -> float:
        """Return how many bits the projection loses at most at this size of noise."""
        return _loss(self.dropped, sigma) + _spread_loss(self.missed, self.outside, sigma)


class Layer:
    """Distinct rows of a layer, centred, in units of their median distance.

    Parameters
    ----------
    activations : array or tensor (n_samples, n_units)
        Of any real dtype; it may be mapped from a file.
    rows : array (n,)
        The rows that are wanted, in their order: at least 2.
    counts : array (n,), optional
        Samples that each row stands for; one unless given.

    Attributes
    ----------
    median : float
        Median distance between two samples, from at most 1024 of them at equal intervals. If most
        samples are equal it is that of those which differ; 0 if the numbers cannot tell them apart.
    spacing : float
        Rounding step of the largest number; 0 of whole numbers.
    dominance : float
        Share of the variance that is in one unit.
    """

    def __init__(self, activations: Tensor, rows: IntArray, counts: IntArray | None = None) -> None:
        self._activations, self._rows = activations, rows
        self.n, self.n_units = len(rows), int(activations.shape[1])
        samples = rows if counts is None else np.repeat(rows, counts)
        at = np.linspace(0, len(samples) - 1, min(len(samples), _PAIR_ROWS)).astype(np.int64)
        some = samples[at]
        chosen = _taken(activations, some)
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
        self._gram, self.median, self.dominance = np.zeros((1, 1)), 0.0, 0.0
        if not norms.max() > 0.0:
            return
        self.dominance = float(variances.max() / variances.sum())
        unit = math.sqrt(float(np.median(norms[norms > 0.0])))
        chosen /= unit
        norms /= unit**2
        if norms.max() <= _FAR and isinstance(chosen, np.ndarray):
            chosen = chosen.astype(np.float32)
        gram = fetched(chosen @ chosen.T).astype(np.float64)
        squares = np.add.outer(norms, norms) - 2.0 * gram
        i, j = np.triu_indices(len(norms), k=1)
        pairs = squares[i, j]
        pairs[some[i] == some[j]] = 0.0
        median = float(np.median(pairs))
        if not median > 0.0 and (pairs > 0.0).any():
            median = float(np.median(pairs[pairs > 0.0]))
        if median > 0.0:
            self.median = unit * math.sqrt(median)
            self._gram = gram / median

    @cached_property
    def _rows_and_norms(self) -> tuple[Tensor | None, FloatArray, type[np.floating]]:
        """All rows in memory unless they are too many, their norms, and the precision for them."""
        small = self.n * self.n_units <= _HELD_VALUES
        for dtype in (np.float32, np.float64):
            norms, blocks = [], []
            for block in self._blocks(dtype):
                norms.append(fetched((block * block).sum(1)).astype(np.float64))
                blocks += [block] if small else []
            squares = np.concatenate(norms)
            if squares.max() <= _FAR:
                break
        return (_joined(blocks) if small else None), squares, dtype

    @property
    def norms(self) -> FloatArray:
        """Squared distances from the centre (n,)."""
        return self._rows_and_norms[1]

    def _chunks(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield the rows in blocks, with their places."""
        if self._rows_and_norms[0] is not None:
            yield slice(0, self.n), self._rows_and_norms[0]
            return
        start = 0
        for block in self._blocks(self._rows_and_norms[2]):
            yield slice(start, start + len(block)), block
            start += len(block)

    def _blocks(self, dtype: type[np.floating]) -> Iterator[Tensor]:
        step = max(1, _CHUNK_VALUES // self.n_units)
        for start in range(0, self.n, step):
            block = double(_taken(self._activations, self._rows[start : start + step]))
            block -= beside(self._centre, block)
            block /= self.median
            yield _as(block, dtype)

    def points(self, sigma: float, weights: FloatArray, rng: np.random.Generator) -> Points:
        """Return the layer projected so that at most 0.05 bits are lost at this size of noise.

        Parameters
        ----------
        sigma : float
            Standard deviation of the noise, in median distances.
        weights : array (n,)
            Share of the samples that each row stands for.
        rng : numpy.random.Generator
            Starts the search for directions.
        """
        nothing = np.empty(0)
        if self.n_units <= _ALL_UNITS and self._rows_and_norms[0] is not None:
            return Points(self._rows_and_norms[0], nothing, 0.0, 0)
        most = _WORTH * min(self.n, self.n_units)
        wanted = self._directions_needed(sigma)
        for more in (1.0, 1.5):
            if more * wanted <= most:
                found = self._projected(int(more * wanted), sigma, weights, rng)
                if found is not None:
                    return found
        if self._rows_and_norms[0] is not None and self.n_units <= 2 * self.n:
            return Points(self._rows_and_norms[0], nothing, 0.0, 0)
        return Points(self._gram_root(), nothing, 0.0, 0)

    def _directions_needed(self, sigma: float) -> int:
        """Return how many directions to look for, by the spectrum of some rows."""
        step = -(-len(self._gram) // _SPECTRUM_ROWS)
        gram = self._gram[::step, ::step]
        variances = np.linalg.eigvalsh(gram)[::-1] / len(gram)
        tail = np.cumsum(np.maximum(variances[::-1], 0.0))[::-1]
        needed = int(np.searchsorted(-tail, -MOST_LOSS * 2.0 * math.log(2.0) * sigma**2))
        return max(_ALL_UNITS, int(1.45 * needed) + 32)

    def _projected(
        self, wanted: int, sigma: float, weights: FloatArray, rng: np.random.Generator
    ) -> Points | None:
        """Return the layer on ``wanted`` directions or fewer, None if they lose too much."""
        dtype = self._rows_and_norms[2]
        frame = rng.standard_normal((self.n_units, wanted), dtype=np.float32).astype(dtype)
        for _ in range(_ITERATIONS):
            image: Tensor = 0.0
            for _, block in self._chunks():
                image = image + block.T @ (block @ beside(frame, block))
            frame = array_module(image).linalg.qr(image)[0]
        scores = _joined([block @ frame for _, block in self._chunks()])
        kept = fetched((scores * scores).sum(1)).astype(np.float64)
        missed = max(float(weights @ (self.norms - kept)), 0.0)
        outside = self.n_units - wanted
        if _spread_loss(missed, outside, sigma) > 0.6 * MOST_LOSS:
            return None
        moments = fetched(scores.T @ (scores * beside(_as(weights, dtype), scores)[:, None]))
        values, vectors = np.linalg.eigh(moments.astype(np.float64))
        room = MOST_LOSS - _spread_loss(missed, outside, sigma)
        losses = np.cumsum(0.5 * np.log2(1.0 + np.maximum(values, 0.0) / sigma**2))
        cut = min(int(np.searchsorted(losses, room)), len(values) - 1)
        turned = beside(_as(vectors[:, : cut - 1 if cut else None : -1], dtype), scores)
        return Points(scores @ turned, np.maximum(values[:cut], 0.0), missed, outside)

    def _gram_root(self) -> Tensor:
        """Return coordinates (n, n) with the distances of the rows, of a layer of more units."""
        gram = np.empty((self.n, self.n))
        for place, block in self._chunks():
            for other, second in self._chunks():
                if other.start <= place.start:
                    gram[place, other] = fetched(double(block) @ double(second).T)
                    gram[other, place] = gram[place, other].T
        gram[np.diag_indices(self.n)] += _JITTER * self.n * self.norms.max()
        return _as(np.linalg.cholesky(gram), self._rows_and_norms[2])


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
