"""The intrinsic dimension of a layer, from the distances between neighbours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from infoplane.arrays import LARGE, rows_of
from infoplane.data import Array, FloatArray, IntArray, RunData, Slot
from infoplane.errors import EstimationError
from infoplane.estimators.base import Cost
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.layers.representation import (
    ChosenSamples,
    Null,
    OfRepresentation,
    beside_null,
    without_value,
)
from infoplane.estimators.quantities import DIMENSIONS, Quantity
from infoplane.estimators.trust import NORMAL_QUANTILE
from infoplane.numerics.discrete.symbols import row_symbols
from infoplane.numerics.intervals import neighbor_rate, random_halves
from infoplane.numerics.neighbors.terms import dimension_from
from infoplane.numerics.neighbors.two_neighbors import (
    DISCARDED,
    FEWEST,
    SquaredDistances,
    censored_dimension,
    ratios_of,
)

TWONN, MLE = (quantity.name for quantity in DIMENSIONS)

_LARGE_SCALE = 4  # at which the dimension is compared with that of the nearest neighbours
_FALL = 0.75  # share of it that is left there, below which it is flagged
_ROUNDED = 0.1  # of the distance of a neighbour: rounding that changes its ratio
_MANY_TWINS = 0.5
_SHARED = 1.2  # of the error: 1.05 to 1.37 in 1 to 20 dimensions, by simulation


@dataclass(frozen=True, eq=False)
class DimensionContext:
    """What all checkpoints of a layer share."""

    samples: ChosenSamples
    nulls: Mapping[str, Null | None]
    step: float | None  # relative step of the stored numbers, None for that of the dtype


@dataclass(frozen=True)
class Dimension(OfRepresentation):
    """Intrinsic dimension: how many directions a layer has around each of its samples.

    `intrinsic_dimension` is that of two nearest neighbours (TwoNN) by maximum likelihood, the
    largest tenth of the ratios censored; `intrinsic_dimension_mle` that of k neighbours (Levina,
    Bickel, averaged after MacKay, Ghahramani). Repeated rows count once.

    Parameters
    ----------
    scale : numbers, default 1
        Neighbourhoods so many times as large: the mean over as many disjoint parts of the samples.
    k : int, default 20
        Neighbours of `intrinsic_dimension_mle`; at least 3.
    halves : int, default 5
        Random halves of the samples behind the intervals; 0 leaves these out.
    max_samples : int, default 2000
        More samples are subsampled, once for the whole run, classes keeping their shares.

    Raises
    ------
    InputError
        If a parameter is unfit.

    Warnings
    --------
    The values are too low for many dimensions; the null is that of a layer of full dimension. Of n
    samples no more than 2 log10(n / neighbours) dimensions can be told: where its interval reaches
    above, a value is flagged `small_n`, and `biased` where halves of the samples read so much less
    that a bias above 5 % follows. Noise smaller than the distance between neighbours is not seen,
    larger noise is a dimension.

    References
    ----------
    Facco et al., Scientific Reports 7, 2017. Levina, Bickel, NeurIPS 2004. Eckmann, Ruelle, Physica
    D 56, 1992 (dimensions that n samples can tell).
    """

    scale: tuple[int, ...] = (1,)
    k: int = 20
    halves: int = 5
    max_samples: int = 2000

    name: ClassVar[str] = "dimension"
    title: ClassVar[str] = "intrinsic dimension"
    version: ClassVar[str] = "2"
    quantities: ClassVar[tuple[Quantity, ...]] = DIMENSIONS

    def __post_init__(self) -> None:
        self._expect(min(self.scale, default=0) >= 1, "scales of at least 1", self.scale)
        self._expect(self.k >= 3, "k of at least 3", self.k)
        self._check_samples(FEWEST)

    def cost(self, n_samples: int, n_units: int) -> Cost:
        """Return what a cell costs: neighbours of all samples, of parts and of halves."""
        n = min(n_samples, self.max_samples)
        searches = len(self.scale) + 0.25 + self.halves * 0.25 * len(self.scale)
        seconds = 5e-11 * n**2 * n_units + searches * 2e-8 * n**2
        return Cost(1e-2 + seconds, 2**27 + 8 * min(n**2, LARGE) + 4 * min(n * n_units, LARGE))

    def prepare_layer(
        self, shared: ChosenSamples, run: RunData, layer: Slot, rng: np.random.Generator
    ) -> DimensionContext:
        """Return the null of a layer of this shape: normal units."""
        nulls: dict[str, Null | None] = {}
        if shared.n >= FEWEST:
            drawn = SquaredDistances.of(_normal_points(shared.n, layer.n_units, rng))
            every = np.arange(shared.n)
            for which, value in self._values(drawn, every, self.scale, rng)[0].items():
                nulls[self._key(*which)] = Null.of([value])
        step = 2.0**-7 if layer.encoding == "bfloat16" else None
        return DimensionContext(shared, nulls, step)

    def estimate(
        self, prepared: DimensionContext, activations: Array, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        """Return the dimensions of one cell.

        Raises
        ------
        EstimationError
            If fewer than 10 samples are distinct.
        """
        samples = prepared.samples
        values = np.asarray(rows_of(activations, samples.rows))
        rows = np.sort(np.unique(row_symbols(values).ids, return_index=True)[1])
        if len(rows) == 1:
            constant = without_value("the layer does not vary", samples, "constant")
            return dict.fromkeys((TWONN, MLE), constant)
        if len(rows) < FEWEST:
            few = f"expected at least {FEWEST} distinct samples, got {len(rows)}"
            raise EstimationError(few)
        pairs = SquaredDistances.of(rows_of(values, rows))
        every = np.arange(len(rows))
        found, nearest = self._values(pairs, every, self._scales, rng)
        flags = self._flags(values, len(rows), nearest, prepared.step)
        count = self.halves if len(rows) >= 4 * FEWEST else 0
        halves = [
            self._values(pairs, half, self.scale, rng)[0]
            for half in random_halves(len(rows), count, rng)
        ]
        coarse, fine = found.get((TWONN, _LARGE_SCALE)), found.get((TWONN, 1))
        if coarse is not None and fine is not None:
            flags += ["scale_dependent"] * bool(coarse < _FALL * fine)
        told = {"distinct": len(rows), "at_scale_4": coarse}
        return {
            self._key(*which): self._estimate(
                which, value, [half[which] for half in halves if which in half], prepared, flags,
                told,
            )
            for which, value in found.items()
            if which[1] in self.scale
        }  # fmt: skip

    @property
    def _scales(self) -> tuple[int, ...]:
        """The scales that are asked for, and those that are compared."""
        return tuple(dict.fromkeys((*self.scale, 1, _LARGE_SCALE)))

    def _key(self, name: str, scale: int) -> str:
        return f"{name}@scale={scale}" if len(self.scale) > 1 else name

    def _values(
        self,
        pairs: SquaredDistances,
        samples: IntArray,
        scales: tuple[int, ...],
        rng: np.random.Generator,
    ) -> tuple[dict[tuple[str, int], float], float]:
        """Return the dimensions by name and scale, where samples allow, and the median distance."""
        found: dict[tuple[str, int], float] = {}
        nearest = math.nan
        for scale in scales:
            parts = np.array_split(rng.permutation(samples), scale)
            k = min(self.k, len(parts[-1]) - 1)
            if len(parts[-1]) < FEWEST:
                continue
            distances = [pairs.nearest(np.sort(part), k) for part in parts]
            found[TWONN, scale] = float(
                np.mean([censored_dimension(ratios_of(d)) for d in distances])
            )
            if k == self.k:
                found[MLE, scale] = float(np.mean([dimension_from(one) for one in distances]))
            if scale == 1:
                nearest = float(np.median(distances[0][:, 0]))
        return found, nearest

    def _flags(self, values: Array, distinct: int, nearest: float, step: float | None) -> list[str]:
        if step is None:
            step = float(np.finfo(values.dtype).eps) if values.dtype.kind == "f" else 0.0
        squares = np.einsum("ij,ij->i", values, values, dtype=np.float64)
        rounding = step * math.sqrt(float(squares.mean()) / 6.0)  # of a difference, uniform errors
        raised = {
            "atoms": distinct < (1.0 - _MANY_TWINS) * len(values),
            "rounded": rounding > _ROUNDED * nearest,
        }
        return [flag for flag, is_raised in raised.items() if is_raised]

    def _estimate(
        self,
        which: tuple[str, int],
        value: float,
        halves: list[float],
        prepared: DimensionContext,
        flags: list[str],
        told: Mapping[str, Any],
    ) -> Estimate:
        name, scale = which
        neighbours = scale * (2 if name == TWONN else self.k)
        # Of independent ratios; those of two samples that are nearest to each other are not.
        used = (1.0 - DISCARDED) * told["distinct"]
        error = _SHARED * value / math.sqrt(used) if name == TWONN else 0.0
        most = 2.0 * math.log10(told["distinct"] / neighbours)  # Eckmann, Ruelle
        few = value + NORMAL_QUANTILE * error > most
        return beside_null(
            value, halves, prepared.nulls.get(self._key(name, scale)), prepared.samples,
            bounds=(0.0, None), flags=[*flags, *["small_n"] * few], diagnostics=told,
            rate=neighbor_rate(max(1, round(value))), error=error,
        )  # fmt: skip


def _normal_points(n: int, d: int, rng: np.random.Generator) -> FloatArray:
    """Return points (n, min(n, d)) at the distances of normal ones of d independent units.

    Of more units than points their products are drawn (Wishart, by Bartlett's decomposition).
    """
    if d <= n:
        return rng.standard_normal((n, d))
    drawn = np.tril(rng.standard_normal((n, n)), -1)
    np.fill_diagonal(drawn, np.sqrt(rng.chisquare(d - np.arange(n))))
    return drawn
