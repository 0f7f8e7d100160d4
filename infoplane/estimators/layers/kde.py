"""Information of a layer under Gaussian noise, between pairwise-distance bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from infoplane.arrays import LARGE
from infoplane.data import Array, IntArray, LayerInfo, RunData
from infoplane.estimators.base import Cost, Estimator
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.layers.kde_information import kde_information
from infoplane.estimators.quantities import ITY, IXT, Quantity
from infoplane.estimators.trust import is_negative, noticeable, null_dominates
from infoplane.numerics.discrete.symbols import is_whole_population, row_symbols
from infoplane.numerics.kernels.mixtures import Bracket


@dataclass(frozen=True)
class Prepared:
    """What the cells of a run, and in ``noisy`` those of a layer, share."""

    labels: IntArray | None
    whole: bool  # the probe set is the whole population of inputs
    noisy: bool = False  # the layer declares noise, which is taken for signal


@dataclass(frozen=True)
class KernelDensity(Estimator):
    """Mutual information of a layer with Gaussian noise added in the analysis.

    The noise makes I(X;T) finite for a continuous layer: it says how many inputs can be told apart
    at that scale. Estimates come with bounds that hold for the recorded samples. Where half of the
    samples would give noticeably less or more, and they are not all inputs that there are, the
    estimate is flagged ``biased``.

    Parameters
    ----------
    noise : {"fixed", "akde-var", "akde-std"}, default "fixed"
        Variance of the noise per unit: ``variance``; ``variance`` times the largest activation of
        the layer at that checkpoint; or the square of ``std`` times it.
    variance : float, default 1e-3
        Variance, or share of the largest activation.
    std : float, default 0.05
        Standard deviation as a share of the largest activation, of ``akde-std``.
    precision : {"auto", "float32", "mixed", "float64"}, default "auto"
        Of distances and exponentials.
    max_samples : int, default 20000
        Above this a stratified subsample of half as many is used, and bounds I(X;T).

    Raises
    ------
    InputError
        If a parameter is unfit.

    Warnings
    --------
    In many dimensions the bounds part, and the estimate says no more than they do
    (``wide_bracket``). Values depend on the noise, which the network does not have; layers of
    different scale are comparable at ``fixed`` noise only as far as their scale is meant to count.

    References
    ----------
    Kolchinsky, Tracey: "Estimating mixture entropy with pairwise distances", Entropy 19, 2017.
    Saxe et al.: "On the information bottleneck theory of deep learning", ICLR 2018.
    """

    noise: Literal["fixed", "akde-var", "akde-std"] = "fixed"
    variance: float = 1e-3
    std: float = 0.05
    precision: Literal["auto", "float32", "mixed", "float64"] = "auto"
    max_samples: int = 20_000

    name: ClassVar[str] = "kde"
    title: ClassVar[str] = "kernel density"
    version: ClassVar[str] = "4"
    quantities: ClassVar[tuple[Quantity, ...]] = (IXT, ITY)
    accelerated: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._expect(0 < self.variance < np.inf, "variance > 0, and finite", self.variance)
        self._expect(0 < self.std < np.inf, "std > 0, and finite", self.std)
        self._expect(self.max_samples >= 2, "max_samples of at least 2", self.max_samples)

    @property
    def pools(self) -> Literal["nothing"]:
        """Nothing: what is prepared is made of the probe set."""
        return "nothing"

    def prepare_run(self, run: RunData, rng: np.random.Generator) -> Prepared:
        """Return the labels, and whether the inputs are all that there are."""
        return Prepared(run.probe.labels, is_whole_population(run.probe.known_inputs))

    def prepare_layer(
        self, shared: Prepared, run: RunData, layer: LayerInfo, rng: np.random.Generator
    ) -> Prepared:
        """Return ``shared`` with whether the layer declares noise."""
        return replace(shared, noisy=layer.noise is not None and layer.noise_in != "none")

    def cost(self, n_samples: int, n_units: int) -> Cost:
        """Return what a cell costs; all pairs of samples, by blocks."""
        m = min(n_samples, self.max_samples)
        size = m * n_units
        seconds = 1e-3 + m**2 * (4e-10 + 2.3e-11 * n_units) + 2e-8 * size
        return Cost(seconds, 2**23 + 24 * min(size, LARGE))

    def estimate(
        self, prepared: Prepared, activations: Array, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        """Return I(X;T) and I(T;Y) of one cell, between their bounds."""
        n = len(activations)
        info = kde_information(
            activations,
            prepared.labels,
            noise=self.noise,
            variance=self.variance,
            std=self.std,
            precision=self.precision,
            max_samples=self.max_samples // 2 if n > self.max_samples else None,
            rng=rng,
        )
        diagnostics = {
            "variance": info.variance,
            "precision": info.precision,
        }
        used = info.n_samples if info.n_samples < n else None
        flags = list(info.flags)
        if prepared.noisy:
            flags.append("upper_bound")
        if not prepared.whole and _to_come(info.ixt_drift) > noticeable(info.ixt.estimate):
            flags.append("biased")
        found = {
            "ixt": _estimate(
                info.ixt,
                float(np.log2(info.n_samples)),
                "log2_n",
                used,
                tuple(flags),
                diagnostics | {"drift": info.ixt_drift},
            )
        }
        if info.ity is not None and prepared.labels is not None and info.null_ity is not None:
            flags = [flag for flag in info.flags if flag != "saturated"]
            if null_dominates(info.ity.estimate, info.null_ity):
                flags.append("null_dominates")
            if not prepared.whole and -info.ity_drift > noticeable(info.ity.estimate):
                flags.append("biased")
            more = {
                "null": info.null_ity,
                "drift": info.ity_drift,
                "kl_difference": info.ity_kl,
                "bd_difference": info.ity_bd,
            }
            h_y = row_symbols(prepared.labels[:, None]).entropy
            found["ity"] = _estimate(info.ity, h_y, "h_y", used, tuple(flags), diagnostics | more)
        return found


def _to_come(drift: float) -> float:
    """Return what more samples would still add, of bits that were gained by the last doubling.

    A bias that halves with each doubling has as much to come; at the ceiling every doubling adds a
    bit, and there is no end.
    """
    return drift / (1.0 - drift) if drift < 1.0 else math.inf


def _estimate(
    bracket: Bracket,
    bound: float,
    bound_name: Literal["log2_n", "h_y"],
    n: int | None,
    flags: tuple[str, ...],
    diagnostics: dict[str, Any],
) -> Estimate:
    return Estimate(
        bracket.estimate,
        low=bracket.lower,
        high=bracket.upper,
        method="bracket",
        bound_low=0.0,
        bound_high=bound,
        bound_name=bound_name,
        n=n,
        flags=("negative", *flags) if is_negative(bracket.estimate) else flags,
        diagnostics=diagnostics,
    )
