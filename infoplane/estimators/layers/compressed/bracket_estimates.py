"""The estimates of one cell by the two-sided bracket: values, bounds, flags and diagnostics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from infoplane.data import FloatArray, IntArray
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.layers.compressed.estimates import constant, refused
from infoplane.estimators.trust import (
    LEVEL,
    NORMAL_QUANTILE,
    SMALLEST_BITS,
    WIDE_BRACKET,
    WIDEST_BRACKET,
    is_negative,
)
from infoplane.numerics.compression import Layer, Points
from infoplane.numerics.intervals import ROUNDING
from infoplane.numerics.kernels.bracket import Bounds, Bracket, Support, brackets, support
from infoplane.numerics.neighbors.noise_channel import SMALLEST_SAMPLE
from infoplane.numerics.tensors import Tensor, fetched

SWEEP = (0.8, 1.0, 1.4)
"""Sizes of noise beside each other: 0.2, 0.25 and 0.35 median distances, by default."""

_RESOLUTIONS = ((2000, 0.25), (1000, 0.3), (250, 0.35))
_COARSEST = 0.4
_RESOLVED = 4.0  # rounding steps that a layer must vary by
_JUMP = 2.0  # growth of distances within 5 % of them that no layer of one scale shows
_SMALL_CLASS = 10  # samples in each class, on average, that are too few for any noise
_DOMINANT = 0.9  # share of the variance in one unit
_SEVERAL = 5  # units from which that is worth a word


def resolution(n: int) -> float:
    """Return the noise, in median distances, at which ``n`` samples give a narrow bracket.

    0.25 from 2000 samples on, 0.3 from 1000, 0.35 from 250, and 0.4 below.
    """
    return next((c for least, c in _RESOLUTIONS if n >= least), _COARSEST)


@dataclass(frozen=True)
class Noise:
    """One size of noise that a cell is measured at.

    Parameters
    ----------
    size : float
        Standard deviation for each unit, or, if relative, in median distances of the cell.
    relative : bool
        Whether it is relative.
    """

    size: float
    relative: bool

    def sigma(self, median: float) -> float:
        """Return the standard deviation for each unit, for a median distance."""
        return self.size * median if self.relative else self.size

    @property
    def setting(self) -> str:
        """What must be equal for values to be compared."""
        return f"{'c' if self.relative else 'σ'}={self.size:.6g}"


@dataclass(frozen=True)
class BracketOptions:
    """What the brackets of a cell depend on besides the data.

    Parameters
    ----------
    whole : bool, default False
        Whether the samples are all inputs there are. The lower bound is then I(X;T) itself, and
        the upper one I(T;Y).
    draws : int, default 1
        Draws of noise a sample.
    upstream_noise : bool, default False
        Whether earlier layers are noisy; the estimate of I(X;T) is then an upper bound.
    """

    whole: bool = False
    draws: int = 1
    upstream_noise: bool = False


@dataclass(frozen=True, eq=False)
class Cell:
    """The brackets of a cell at several sizes of noise, with what is known of the layer."""

    layer: Layer
    found: Support
    points: Points
    by_noise: dict[Noise, Bracket]
    labelled: bool
    alone: bool  # every sample in its class
    options: BracketOptions

    def estimates(self, noise: Noise) -> dict[str, Estimate]:
        """Return I(X;T), I(T;Y) and I(X;T|Y) at a size of noise; without labels I(X;T) alone."""
        bracket = self.by_noise[noise]
        bounds = {"ixt": bracket.ixt}
        if self.labelled and not self.alone:
            bounds |= {"ity": bracket.ity, "ixt_given_y": bracket.ixt_given_y}
        told = {name: self._estimate(name, noise, found) for name, found in bounds.items()}
        if self.alone:
            reason = {"reason": "every class has one sample only"}
            missing = Estimate(None, flags=("small_n",), diagnostics=reason)
            told |= {"ity": missing, "ixt_given_y": missing}
        return told

    def swept(self, name: str, noises: Sequence[Noise]) -> dict[str, list[float | None]]:
        """Return value and bounds of a quantity at several relative sizes, by size."""
        return {
            f"{noise.size:.4g}": [told.bits, told.bound_low, told.bound_high]
            for noise in noises
            for told in [self.estimates(noise)[name]]
        }

    @property
    def size(self) -> Estimate:
        """log2 of the median distance, in octaves, with an interval from halves of the pairs."""
        return Estimate(
            math.log2(self.layer.median), diagnostics={"median_distance": self.layer.median}
        )

    def _estimate(self, name: str, noise: Noise, bounds: Bounds) -> Estimate:
        whole, n = self.options.whole, self.found.n_samples
        sigma = noise.sigma(self.layer.median)
        loss = self.points.loss(sigma / self.layer.median)
        # Of a difference either part may have lost: its midpoint stays that of theirs.
        below = loss if name == "ixt_given_y" else 0.0
        low, high = sorted((bounds.lower - below, bounds.upper + loss))
        bits, error = 0.5 * (low + high), bounds.error
        if whole:
            bits, error = (
                (bounds.upper, bounds.upper_error)
                if name == "ity"
                else (bounds.lower, bounds.lower_error)
            )
        gap = loss if whole else high - low
        diagnostics: dict[str, Any] = {
            "mode": "bracket",
            "noise": sigma,
            "c": sigma / self.layer.median,
            "se": error,
            "gap": gap,
            "loss_bound_t": loss,
            "median_distance": self.layer.median,
            "dim": int(self.points.scores.shape[1]),
            "n": n,
            "distinct": len(np.unique(self.found.states)),
            "n_units": self.layer.n_units,
            "noise_source": "added",
        }
        raised = {
            "wide_bracket": gap > WIDE_BRACKET,
            "degenerate": name == "ixt" and not noise.relative and high < SMALLEST_BITS,
            "upper_bound": name != "ity" and self.options.upstream_noise,
            "below_resolution": sigma < self.layer.spacing,
            "two_scales": noise.relative and self.layer.jump > _JUMP,
            "dominant_unit": self.layer.n_units >= _SEVERAL and self.layer.dominance > _DOMINANT,
            "small_n": n < 200 or (name != "ixt" and self._few_of_a_class),
            "negative": is_negative(bits) and gap <= WIDEST_BRACKET,
        }
        reach = max(NORMAL_QUANTILE * error, ROUNDING)
        estimate = Estimate(
            bits,
            low=bits - reach,
            high=bits + reach,
            method="analytic",
            level=LEVEL,
            bound_low=low,
            bound_high=high,
            bound_name="bracket",
            flags=tuple(flag for flag, is_raised in raised.items() if is_raised),
            diagnostics=diagnostics,
            setting=noise.setting,
        )
        if whole:
            limit = math.log2(n) if name != "ity" else self.label_entropy
            return replace(
                estimate, bound_low=0.0, bound_high=limit,
                bound_name="log2_n" if name != "ity" else "h_y",
            )  # fmt: skip
        if gap > WIDEST_BRACKET:
            few = self._too_few(name, noise)
            reason = f"the bounds are {gap:.1f} bits apart: too few samples {few}"
            return replace(
                estimate, bits=None, low=None, high=None, method="none", level=None,
                diagnostics={**diagnostics, "reason": reason},
            )  # fmt: skip
        return estimate

    def _too_few(self, name: str, noise: Noise) -> str:
        """Say what there are too few samples for where two bounds are far apart."""
        n, classes = self.found.n_samples, len(self.found.class_weights)
        narrow = self.by_noise[noise].ixt.gap <= WIDEST_BRACKET
        if name != "ixt" and (narrow or n < _SMALL_CLASS * classes):
            return f"in each class: {classes} classes, {n} samples"
        return "for this noise"

    @property
    def _few_of_a_class(self) -> bool:
        """Whether samples alone in their class, which tell nothing, are more than 1 in 20."""
        sizes = np.bincount(self.found.classes, weights=self.found.counts)
        return float(sizes[sizes == 1].sum()) > 0.05 * self.found.n_samples

    @property
    def label_entropy(self) -> float:
        """H(Y) in bits."""
        shares = self.found.class_weights
        return float(-(shares * np.log2(shares)).sum())


def seen(activations: Tensor, labels: IntArray | None) -> tuple[Layer | None, Support]:
    """Return a layer with its distinct rows; None in place of a constant one."""
    found = support(fetched(activations), labels)
    constant_layer = int(found.states.max()) == 0
    return (None if constant_layer else Layer(activations, found)), found


def bracket_cell(
    activations: Tensor,
    labels: IntArray | None,
    noises: Sequence[Noise],
    options: BracketOptions,
    rng: np.random.Generator,
) -> Cell | dict[str, Estimate]:
    """Measure a layer at several sizes of noise; where there is nothing to measure, say so.

    Parameters
    ----------
    activations : array or tensor (n_samples, n_units)
        The layer as recorded.
    labels : array (n_samples,), optional
        Class ids.
    noises : sequence of Noise
        The first one is that which compression is made for.
    options : BracketOptions
        What the estimates depend on besides.
    rng : numpy.random.Generator
        Draws noise and directions.

    Returns
    -------
    Cell or dict
        The brackets; or estimates without a value, or of value 0, with the reason.
    """
    n = len(activations)
    if n < SMALLEST_SAMPLE:
        return refused(labels, f"expected at least {SMALLEST_SAMPLE} samples, got {n}", "small_n")
    alone = labels is not None and len(np.unique(labels)) == n
    layer, found = seen(activations, None if alone else labels)
    if layer is None:
        return constant(labels)
    if layer.median <= _RESOLVED * layer.spacing:
        return refused(
            labels,
            f"the layer varies by {layer.median:.2g}, next to the spacing {layer.spacing:.2g} of "
            "its numbers: it is rounding error",
            "below_resolution",
        )
    sigmas = [noise.sigma(layer.median) / layer.median for noise in noises]
    points = layer.points(sigmas[0], rng, finest=min(sigmas))
    measured = brackets(
        points.scores, found, sigmas, rng, draws=options.draws, directions=points.directions
    )
    by_noise = dict(zip(noises, measured, strict=True))
    return Cell(layer, found, points, by_noise, labels is not None, alone, options)


def fixed_noise(medians: Sequence[float], c: float) -> float:
    """Return the noise of a layer for all runs and steps, from median distances at the last step.

    It is c times their geometric mean.
    """
    logs: FloatArray = np.log(np.asarray(medians))
    return c * float(np.exp(logs.mean()))
