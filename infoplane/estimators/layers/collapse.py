"""How far the classes of a layer have collapsed, and how it is aligned with the labels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from infoplane.arrays import LARGE, rows_of
from infoplane.data import Array, IntArray, Slot
from infoplane.errors import EstimationError
from infoplane.estimators.base import Cost
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.layers.collapse_head import Head, head_measures, head_of, head_slots
from infoplane.estimators.layers.collapse_measures import UNDEFINED, collapse_flags, unfit_classes
from infoplane.estimators.layers.representation import (
    FEWEST,
    FEWEST_TO_HALVE,
    ChosenSamples,
    Null,
    OfRepresentation,
    beside_null,
    without_value,
)
from infoplane.estimators.quantities import COLLAPSE, OF_HEAD, RDM_STABILITY, Quantity
from infoplane.numerics.collapse import ClassScatter, gram_norm, scatters
from infoplane.numerics.discrete.symbols import row_symbols
from infoplane.numerics.kernels.mixtures import stratified
from infoplane.numerics.representational_distances import FEWEST_UNITS, split_half_stability

_FEW_OF_A_CLASS = 10  # samples on average, below which a scatter within classes says little
_NOISY = 0.3  # share of a deviation from which on its noise is a bias of 5 %: half the square
_SIMPLEX = ("nc2_equinorm", "nc2_equiangle", "nc2_etf")
_RDM_SAMPLES = 300  # between which distances are taken: their ranks cost n^2


@dataclass(frozen=True)
class Collapse(OfRepresentation):
    """Neural collapse by depth, alignment with the labels, and stability of distances.

    `nc1` is Tr(within-class scatter, pseudo-inverse of that of the class means) / K,
    `nc1_quotient` the quotient of their traces, `cdnv` the mean over pairs of classes of variance /
    squared distance. `nc2_equinorm`, `nc2_equiangle` and `nc2_etf` say how far the class means are
    from the corners of a simplex. All fall to 0 as classes collapse. `label_alignment` is the
    centred kernel alignment (linear CKA) with one-hot labels, `class_separation` the share of the
    variance between classes, `centroid_nuclear_norm` the nuclear norm of the class means of rows of
    length 1. Of the features that the head is given, `nc3` is the squared distance of its weight
    from the class means, both of norm 1, and `nc4` the share of samples that it assigns to another
    class than that of the nearest mean. `rdm_stability` is the rank correlation of distances in two
    halves of the units.

    Parameters
    ----------
    permutations : int, default 5
        Permutations of the labels behind the null.
    halves : int, default 5
        Random halves of the samples behind the intervals; 0 leaves these out.
    splits : int, default 10
        Halvings of the units behind `rdm_stability`, on 300 samples at most; 0 leaves it out.
    max_samples : int, default 2000
        More samples are subsampled, once for the whole run, classes keeping their shares.

    Raises
    ------
    InputError
        If a parameter is unfit.

    Warnings
    --------
    NC1 depends on the number of samples of a class, and NC2 is small for random means in many
    dimensions too: read both beside their nulls, and compare at equal numbers of samples alone.

    References
    ----------
    Papyan, Han, Donoho: "Prevalence of neural collapse", PNAS 117, 2020. Galanti, György, Hutter,
    ICLR 2022. Cristianini et al.: "On kernel-target alignment", NeurIPS 2001. Yerxa et al., NeurIPS
    2023.
    """

    permutations: int = 5
    halves: int = 5
    splits: int = 10
    max_samples: int = 2000

    name: ClassVar[str] = "collapse"
    title: ClassVar[str] = "class geometry"
    version: ClassVar[str] = "3"
    quantities: ClassVar[tuple[Quantity, ...]] = (*COLLAPSE, *OF_HEAD, RDM_STABILITY)

    def __post_init__(self) -> None:
        self._expect(self.permutations >= 0, "permutations of at least 0", self.permutations)
        self._expect(self.splits >= 0, "splits of at least 0", self.splits)
        self._check_samples()

    def cost(self, n_samples: int, n_units: int) -> Cost:
        """Return what a cell of ten classes costs."""
        n = min(n_samples, self.max_samples)
        labellings = 1 + self.permutations + self.halves
        small, large = min(n, n_units), max(n, n_units)
        seconds = 1.2e-8 * labellings * n * n_units
        seconds += 4e-11 * small**2 * large * (1 + self.halves * 0.5)
        some = min(n, _RDM_SAMPLES)
        seconds += self.splits * (1 + self.halves / 4) * some**2 * (1.5e-7 + 4e-11 * n_units)
        return Cost(5e-3 + seconds, 2**26 + 16 * small**2 + 8 * min(n * n_units, LARGE))

    def left_out(self, quantity: str) -> str:
        """Return for which layers there is no measure of the head, or no stability of distances."""
        if quantity in [one.name for one in OF_HEAD]:
            return (
                "layers that are not the features of the head, and runs that do not hold its "
                "weight (record --weights)"
            )
        if quantity != RDM_STABILITY.name:
            return ""
        return f"layers of fewer than {FEWEST_UNITS} units" if self.splits else "splits is 0"

    def beside(self, layer: Slot, weights: Sequence[Slot]) -> tuple[Slot, ...]:
        """Return weight and bias of the head, of the features that it is given."""
        return head_slots(layer, weights)

    def estimate(
        self,
        prepared: ChosenSamples,
        activations: Array | tuple[Array, ...],
        rng: np.random.Generator,
    ) -> Mapping[str, Estimate]:
        """Return the measures of one cell; without labels the stability of distances alone.

        Raises
        ------
        EstimationError
            If there are fewer than 3 samples.
        """
        if prepared.n < FEWEST:
            raise EstimationError(f"expected at least {FEWEST} samples, got {prepared.n}")
        layer, *arrays = activations if isinstance(activations, tuple) else (activations,)
        values, head = rows_of(layer, prepared.rows), head_of(arrays) if arrays else None
        found = {} if prepared.labels is None else self._of_classes(values, prepared, head, rng)
        if self.splits and values.shape[1] >= FEWEST_UNITS:
            found[RDM_STABILITY.name] = self._stability(values, prepared, rng)
        return found

    def _of_classes(
        self, values: Array, samples: ChosenSamples, head: Head | None, rng: np.random.Generator
    ) -> dict[str, Estimate]:
        labels = samples.labels
        assert labels is not None
        names = [one.name for one in (*COLLAPSE, *(OF_HEAD if head else ()))]
        if reason := unfit_classes(labels):
            return dict.fromkeys(names, without_value(reason, samples, "small_n"))
        shuffled = [rng.permutation(labels) for _ in range(self.permutations)]
        halves = list(self._halves(labels, rng))
        left = [np.full(len(labels), -1) for _ in halves]
        for some, rows in zip(left, halves, strict=True):
            some[rows] = labels[rows]
        try:
            whole, *others = scatters(values, [labels, *shuffled, *left])
        except EstimationError as error:
            constant = ("constant",) if "varies" in str(error) else ()
            return dict.fromkeys(names, without_value(str(error), samples, *constant))
        norms = gram_norm(values, halves)
        own = _values(whole, norms[0])
        nulls = [_values(one, norms[0]) for one in others[: self.permutations]]
        parts = [
            _values(one, norm)
            for one, norm in zip(others[self.permutations :], norms[1:], strict=True)
        ]
        of_head = head_measures(values, samples, head, halves, shuffled) if head else {}
        return {
            name: self._estimate(
                name, own[name], [p[name] for p in parts], [p[name] for p in nulls], whole,
                values.shape[1], samples,
            )
            for name in own
        } | of_head  # fmt: skip

    def _halves(self, labels: IntArray, rng: np.random.Generator) -> Iterator[IntArray]:
        """Yield halves in which every class of several samples keeps its share."""
        counts = np.bincount(labels)
        if len(labels) >= FEWEST_TO_HALVE and counts.min() >= 2:
            symbols = row_symbols(labels[:, None])
            for _ in range(self.halves):
                yield stratified(symbols, len(labels), len(labels) // 2, rng)

    def _estimate(
        self,
        name: str,
        value: float,
        halves: list[float],
        nulls: list[float],
        whole: ClassScatter,
        n_units: int,
        samples: ChosenSamples,
    ) -> Estimate:
        k = len(whole.counts)
        diagnostics = {"classes": k, "smallest_class": int(whole.counts.min())}
        if not math.isfinite(value):
            undefined = UNDEFINED.get(name)
            told = undefined.reason if undefined else f"expected a finite number, got {value}"
            return without_value(told, samples)
        flags = list(collapse_flags(whole, n_units))
        if not name.startswith("nc2"):
            flags = [flag for flag in flags if flag != "no_simplex"]
        if whole.n < _FEW_OF_A_CLASS * k:
            flags.append("small_n")
        noise = dict(zip(_SIMPLEX, whole.simplex_noise(), strict=True)).get(name, 0.0)
        rate = 0.5 if name.startswith("nc2") else 1.0  # of lengths and angles, of squares
        exact = whole.exact and name.startswith(("nc", "cdnv"))  # halves of rounding are no bias
        flags += ["biased"] * (noise > _NOISY * value and not exact)
        high = {"label_alignment": 1.0, "class_separation": 1.0}.get(name)
        if name == "centroid_nuclear_norm":
            high = float(k) if k <= n_units else math.sqrt(k * n_units)
        return beside_null(
            value,
            halves,
            Null.of(nulls, quotient=name in ("nc1", "nc1_quotient", "cdnv")),
            samples,
            bounds=(0.0, high),
            flags=flags,
            diagnostics=diagnostics,
            rate=None if exact else rate,
        )

    def _stability(
        self, values: Array, samples: ChosenSamples, rng: np.random.Generator
    ) -> Estimate:
        rows = np.sort(rng.permutation(samples.n)[:_RDM_SAMPLES])
        some = rows_of(values, rows)
        value, null, spread = split_half_stability(some, self.splits, rng)
        if math.isnan(value):
            told = "expected samples at distances that vary, got equal directions"
            varies = bool(np.ptp(some, axis=0).any())
            return without_value(told, samples, *(() if varies else ("constant",)))
        flags = ["subsampled"] * (len(rows) < samples.n)
        halves = []
        for _ in range(self.halves if len(rows) >= FEWEST_TO_HALVE else 0):
            part = np.sort(rng.permutation(len(rows))[: len(rows) // 2])
            halves.append(split_half_stability(some[part], self.splits, rng)[0])
        used = samples if len(rows) == samples.n else ChosenSamples(len(rows), rows, None)
        return beside_null(
            value, halves, Null(null, spread), used, bounds=(-1.0, 1.0), flags=flags,
            diagnostics={"splits": self.splits},
        )  # fmt: skip


def _values(scatter: ClassScatter, norm: float) -> dict[str, float]:
    """Return the measures by the names of their quantities."""
    if not np.trace(scatter.means) > 0:
        return {quantity.name: math.nan for quantity in COLLAPSE}
    equinorm, equiangle, etf = scatter.simplex_deviation()
    return {
        "nc1": scatter.nc1(),
        "nc1_quotient": scatter.nc1_quotient(),
        "cdnv": scatter.cdnv(),
        "nc2_equinorm": equinorm,
        "nc2_equiangle": equiangle,
        "nc2_etf": etf,
        "label_alignment": scatter.alignment(norm),
        "class_separation": scatter.separation(),
        "centroid_nuclear_norm": scatter.nuclear_norm(),
    }
