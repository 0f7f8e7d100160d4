"""How many directions a layer uses, and how fast their variances fall."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from infoplane.arrays import LARGE, rows_of
from infoplane.data import Array, RunData, Slot
from infoplane.errors import EstimationError
from infoplane.estimators.base import Cost
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.layers.representation import (
    FEWEST,
    FEWEST_TO_HALVE,
    ChosenSamples,
    Null,
    OfRepresentation,
    beside_null,
    without_value,
)
from infoplane.estimators.quantities import RENYI_ENTROPY, SPECTRAL, Quantity
from infoplane.numerics.intervals import random_halves
from infoplane.numerics.spectra import (
    OPERATORS,
    Moments,
    Operator,
    Spectrum,
    moments,
    null_spectrum,
)
from infoplane.numerics.spectral_measures import (
    FEWEST_RANKS,
    MEASURES,
    RANKS,
    Measure,
    power_law,
    renyi_entropy,
)

NULL_DRAWS = 4
"""Random spectra behind a null."""

ENOUGH = 4
"""Samples for each unit from which on ranks have a bias of at most 6 %."""

_STEPS = {"bfloat16": 2.0**-7}
"""Relative steps of encodings that are handed out as another dtype."""

_KEPT_RANKS = 20  # whose eigenvalues are all kept; of the others, some at even steps of log rank
_KEPT = 64


@dataclass(frozen=True, eq=False)
class SpectralContext:
    """What all checkpoints of a layer share."""

    samples: ChosenSamples
    resolution: float | None  # relative step of the stored numbers, None for that of the dtype
    nulls: Mapping[str, Null | None]


@dataclass(frozen=True)
class SpectrumOfLayer(OfRepresentation):
    """Ranks and entropies of the spectrum of a layer, and the exponent of its decay.

    One decomposition of each operator serves all: `rankme` is exp H of the singular values of the
    raw layer, `vne` the entropy of its rows scaled to length 1, not centred; all others are about
    the eigenvalues of the covariance: `effective_rank` exp H, `participation_ratio` (sum)^2 / sum
    of squares, `stable_rank` sum / largest, `alpha_req` the exponent of the fall with rank,
    `vne_centred` H in bits, `saturation` the share of units that 99 % of the variance take.

    Parameters
    ----------
    first_rank, last_rank : int, default 12, 100
        Ranks between which alpha is fitted; at least 20 must be above the rounding of the numbers.
        Layers of fewer units have no alpha.
    order : numbers, default none
        Orders of Renyi entropies of the covariance, in bits; 1 is `vne_centred`.
    directions : bool, default true
        Whether to decompose rows of length 1, which `vne` alone takes and which costs as much as
        all other measures.
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
    Ranks grow with the number of samples until there are four times as many as units: below, they
    are flagged `small_n`. Compare them at one number of samples alone. The null is what independent
    normal units of equal variance read, at the same numbers of samples and units.

    References
    ----------
    Garrido et al.: "RankMe", ICML 2023. Roy, Vetterli: "The effective rank", EUSIPCO 2007. Agrawal
    et al.: "alpha-ReQ", NeurIPS 2022. Kim et al.: "VNE", CVPR 2023.
    """

    first_rank: int = RANKS[0]
    last_rank: int = RANKS[1]
    order: tuple[float, ...] | None = None
    directions: bool = True
    halves: int = 5
    max_samples: int = 2000

    name: ClassVar[str] = "spectrum"
    title: ClassVar[str] = "spectrum"
    quantities: ClassVar[tuple[Quantity, ...]] = (*SPECTRAL, RENYI_ENTROPY)

    def __post_init__(self) -> None:
        self._expect(self.first_rank >= 1, "first_rank of at least 1", self.first_rank)
        told = f"last_rank of at least {self._fewest}"
        self._expect(self.last_rank >= self._fewest, told, self.last_rank)
        orders = [order >= 0 for order in self._orders]  # NaN is not
        self._expect(all(orders), "orders of at least 0", self.order)
        self._check_samples()

    def cost(self, n_samples: int, n_units: int) -> Cost:
        """Return what a cell costs: products, and decompositions of the smaller side."""
        n = min(n_samples, self.max_samples)
        half = n // 2

        def seconds(rows: int, *, read: bool = True) -> float:
            small, large = min(rows, n_units), max(rows, n_units)
            products = (1 + (rows >= n_units and self.directions)) * 4e-11 * small**2 * large * read
            return products + (1 + self.directions) * (3e-8 * small**2 + 7e-11 * small**3)

        of_halves = self.halves * seconds(half, read=n >= n_units)
        small = min(n, n_units)
        memory = 2**26 + 48 * small**2 + 8 * min(n * n_units, LARGE)
        return Cost(5e-3 + seconds(n) + of_halves, memory)

    def prepare_layer(
        self, shared: ChosenSamples, run: RunData, layer: Slot, rng: np.random.Generator
    ) -> SpectralContext:
        """Return the null of a layer of this shape."""
        steps = None if layer.encoding is None else _STEPS.get(layer.encoding)
        nulls: dict[str, list[float]] = {}
        for _ in range(NULL_DRAWS if shared.n >= FEWEST else 0):
            drawn = {
                one: null_spectrum(one, shared.n, layer.n_units, rng) for one in self._operators
            }
            for name, value in self._values(drawn).items():
                nulls.setdefault(name, []).append(value)
        return SpectralContext(shared, steps, {k: Null.of(found) for k, found in nulls.items()})

    def estimate(
        self, prepared: SpectralContext, activations: Array, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        """Return the measures of one cell.

        Raises
        ------
        EstimationError
            If there are fewer than 3 samples.
        """
        samples = prepared.samples
        if samples.n < FEWEST:
            raise EstimationError(f"expected at least {FEWEST} samples, got {samples.n}")
        values = rows_of(activations, samples.rows)
        whole = moments(values, self._operators, prepared.resolution)
        spectra = self._spectra(whole)
        if not len(spectra["covariance"].resolved):
            told = without_value("the layer does not vary", samples, "constant")
            return dict.fromkeys([key for key in self._keys if key != "alpha_req"], told)
        count = self.halves if samples.n >= FEWEST_TO_HALVE else 0
        parts = [
            self._values(self._spectra(whole.part(rows)))
            for rows in random_halves(samples.n, count, rng)
        ]
        return {
            key: self._estimate(key, value, [part[key] for part in parts], spectra, prepared)
            for key, value in self._values(spectra).items()
            if key != "alpha_req" or len(spectra["covariance"].values) >= self._fewest
        }

    def left_out(self, quantity: str) -> str:
        """Return for which layers there is no exponent, and no entropy of directions."""
        if quantity == "alpha_req":
            return f"layers of fewer than {self._fewest} units or samples have too few ranks"
        return "directions is false" if quantity == "vne" and not self.directions else ""

    @property
    def _fewest(self) -> int:
        """Samples and units below which a layer has too few ranks for an exponent."""
        return self.first_rank + FEWEST_RANKS - 1

    @property
    def _orders(self) -> tuple[float, ...]:
        return self.order or ()

    @property
    def _operators(self) -> tuple[Operator, ...]:
        return tuple(one for one in OPERATORS if one != "cosine" or self.directions)

    @property
    def _measures(self) -> dict[str, Measure]:
        return {name: one for name, one in MEASURES.items() if one.operator in self._operators}

    def _spectra(self, of: Moments) -> dict[Operator, Spectrum]:
        return {operator: of.spectrum(operator) for operator in self._operators}

    @property
    def _keys(self) -> list[str]:
        return [*self._measures, *(_at(order, self._orders) for order in self._orders)]

    def _values(self, spectra: Mapping[Operator, Spectrum]) -> dict[str, float]:
        """Return the measures by key; NaN where one is not defined."""
        if not all(len(one.resolved) for one in spectra.values()):
            return dict.fromkeys(self._keys, math.nan)
        found = {name: one.of(spectra[one.operator]) for name, one in self._measures.items()}
        covariance = spectra["covariance"]
        found["alpha_req"] = power_law(covariance, (self.first_rank, self.last_rank)).alpha
        for order in self._orders:
            found[_at(order, self._orders)] = renyi_entropy(covariance.shares, order)
        return found

    def _estimate(
        self,
        key: str,
        value: float,
        halves: list[float],
        spectra: Mapping[Operator, Spectrum],
        prepared: SpectralContext,
    ) -> Estimate:
        operator = MEASURES[key].operator if key in MEASURES else "covariance"
        spectrum, samples = spectra[operator], prepared.samples
        flags = ["small_n"] * (samples.n < ENOUGH * spectrum.d)
        told: dict[str, Any] = {"operator": operator, "resolved": len(spectrum.resolved)}
        if key == "alpha_req":
            fit = power_law(spectrum, (self.first_rank, self.last_rank))
            if math.isnan(fit.alpha):
                reason = (
                    f"expected {FEWEST_RANKS} ranks from {fit.ranks[0]} on above rounding, "
                    f"got {fit.ranks[1] - fit.ranks[0] + 1}"
                )
                return without_value(reason, samples)
            told |= {"r2": fit.r2, "ranks": list(fit.ranks)}
        if key in ("rankme", "effective_rank", "vne"):  # one of each operator
            told["eigenvalues"] = kept_eigenvalues(spectrum)
        if operator == "cosine":
            told["zero_rows"] = spectrum.zero_rows / spectrum.n
            flags += ["zero_rows"] * (spectrum.zero_rows > 0)
        return beside_null(
            value,
            halves,
            prepared.nulls.get(key),
            samples,
            bounds=_bounds(key, spectrum),
            flags=flags,
            diagnostics=told,
            rate=0.5 if key == "stable_rank" else 1.0,  # of the largest eigenvalue, of sums
        )


def kept_eigenvalues(spectrum: Spectrum) -> dict[str, Any]:
    """Return the eigenvalues that results keep: all of the first, some of the others, by rank."""
    values = spectrum.resolved
    log_steps = np.geomspace(_KEPT_RANKS, max(len(values), _KEPT_RANKS), _KEPT - _KEPT_RANKS)
    ranks = np.union1d(np.arange(1, _KEPT_RANKS + 1), np.rint(log_steps).astype(np.int64))
    ranks = ranks[ranks <= len(values)]
    return {
        "ranks": ranks.tolist(),
        "values": [float(f"{value:.6g}") for value in values[ranks - 1]],
        "sum": float(f"{values.sum():.6g}"),
        "floor": float(f"{spectrum.floor:.3g}"),
    }


def _bounds(key: str, spectrum: Spectrum) -> tuple[float | None, float | None]:
    centred = key not in MEASURES or MEASURES[key].operator == "covariance"
    most = float(min(spectrum.n - centred, spectrum.d))
    if key == "alpha_req":
        return 0.0, None
    if key == "saturation":
        return 0.0, 1.0
    if key.startswith(("vne", RENYI_ENTROPY.name)):
        return 0.0, math.log2(most)
    return 1.0, most


def _at(order: float, orders: tuple[float, ...]) -> str:
    """Return the key of a Renyi entropy, with its order if it is one of several."""
    return f"{RENYI_ENTROPY.name}@order={order:g}" if len(orders) > 1 else RENYI_ENTROPY.name
