"""What the neural estimators of layers and of pairs of layers share: parameters, limit, report."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from infoplane.data import Array, FloatArray, IntArray, ProbeSet, Slot
from infoplane.estimators.base import Cost, Estimator
from infoplane.estimators.estimate import BoundName, Estimate
from infoplane.estimators.layers.compressed.bracket_estimates import resolution
from infoplane.estimators.neural_information import (
    Critic,
    NeuralInformation,
    neural_information,
)
from infoplane.estimators.trust import LEVEL, is_negative
from infoplane.numerics.components import leading_columns
from infoplane.numerics.compression import MOST_LOSS
from infoplane.numerics.discrete.symbols import row_symbols
from infoplane.numerics.kernels.mixtures import stratified
from infoplane.numerics.noised import noisy_layer
from infoplane.numerics.tensors import Tensor, is_tensor

WIDE = 128
"""Columns from which on a side is made principal components before a critic is given it."""

COMPONENTS = 64
"""How many of a side without noise; more columns than that cost more than they hold."""

NOISY_COMPONENTS = 32
"""How many at most of a layer with noise, of which it is known what the others may hold."""

MOST_LOST = 0.1
"""Share of the variance, or of the value, that components may leave out without a flag."""

SEEDS = 2**31
"""Seeds that are drawn lie below."""

_CRITICS = ("infonce", "gauss", "smile", "mine")
_LOSS = ("large_compression_loss",)
_LESS = {"large_compression_loss", "deterministic"}  # what a critic cannot see is missing
_FEWEST = 200
_GRACE = 30.0  # seconds beyond the limit after which a cell is stopped from outside


@dataclass(frozen=True)
class NeuralOptions(Estimator):
    """Parameters of the neural estimators."""

    critic: str = "infonce"
    noise: float | None = None
    c: float | None = None
    protocol: bool = True
    seconds: float | None = None
    max_samples: int = 5000

    accelerated: ClassVar[bool] = True

    def __post_init__(self) -> None:
        known = ", ".join(_CRITICS)
        self._expect(self.critic in _CRITICS, f"a critic of {known}", repr(self.critic))
        fits = self.noise is None or 0.0 <= self.noise < np.inf
        self._expect(fits, "noise of at least 0", self.noise)
        self._expect(self.c is None or 0.0 < self.c < np.inf, "c above 0", self.c)
        self._expect(None in (self.noise, self.c), "noise or c", "both")
        fits = self.seconds is None or 0.0 < self.seconds < np.inf
        self._expect(fits, "seconds above 0", self.seconds)
        self._expect(
            self.max_samples >= _FEWEST, f"max_samples of at least {_FEWEST}", self.max_samples
        )

    @property
    def pools(self) -> Any:
        """Nothing: what is prepared is made of the probe set."""
        return "nothing"

    @property
    def counts_noise(self) -> bool:
        """A random layer is measured beside the inputs, its noise is none of what it says."""
        return False

    def cost(self, n_samples: int, n_units: int) -> Cost:
        """Return what a cell costs: two estimates, of the whole sample and of its parts."""
        m = min(n_samples, self.max_samples)
        columns = min(n_units, WIDE)
        seconds = 1.0 + 1e-8 * m**2 + 4e-9 * m * n_units
        if self.critic != "gauss":
            seconds += (2e-3 if self.protocol else 1e-3) * m * (1.0 + columns / 512)
        if self.seconds is not None:
            seconds = min(seconds, self.seconds)
        limit = None if self.seconds is None else 2.0 * self.seconds + _GRACE
        memory = 2**27 + 3 * m**2 + 48 * m * min(n_units, 1000)
        return Cost(seconds, memory, torch=True, limit=limit)

    def chosen_rows(self, probe: ProbeSet, rng: np.random.Generator) -> IntArray | None:
        """Return the samples that are used, classes keeping their shares; None for all."""
        n, labels = probe.n_samples, probe.labels
        if n <= self.max_samples:
            return None
        classes = None if labels is None else row_symbols(labels[:, None])
        return np.sort(stratified(classes, n, self.max_samples, rng))

    def noise_of(self, layer: Slot, n_samples: int) -> LayerNoise:
        """Return the noise with which a layer of so many samples is measured."""
        if holds_noise(layer):
            return LayerNoise(0.0, source="recorded")
        if layer.noise is not None:  # that was off
            return LayerNoise(layer.noise, source="network")
        if self.noise is None:
            return LayerNoise(resolution(n_samples) if self.c is None else self.c, relative=True)
        return LayerNoise(self.noise, source="added" if self.noise else "none")

    def measured(
        self, x: Array, y: Array, seed: int, clock: Clock, place: Tensor
    ) -> NeuralInformation:
        """Return what a critic finds, on the device of ``place`` and within the time left."""
        device = str(place.device) if is_tensor(place) else "cpu"
        critic: Critic = self.critic  # type: ignore[assignment]  # checked when it was made
        return neural_information(
            x, y, critic=critic, seed=seed, seconds=clock.left(), protocol=self.protocol,
            device=device,
        )  # fmt: skip


def holds_noise(layer: Slot) -> bool:
    """Tell whether a layer declares noise that is in its recorded values."""
    return layer.noise is not None and layer.noise_in != "none"


class Clock:
    """The CPU time that a cell may still take; its first estimates leave time for the others."""

    def __init__(self, seconds: float | None, estimates: int) -> None:
        self._end = None if seconds is None else time.thread_time() + seconds
        self._estimates = estimates

    def left(self) -> float | None:
        """Return the seconds of the next estimate: an even share of what is left."""
        if self._end is None:
            return None
        share = max(self._end - time.thread_time(), 0.01) / max(self._estimates, 1)
        self._estimates -= 1
        return share


class LayerNoise(NamedTuple):
    """The noise with which a layer is measured."""

    size: float  # standard deviation of what is added, 0 for nothing
    relative: bool = False  # it is counted in median distances
    source: str = "added"  # or "recorded", "network" if it was off, "none"

    @property
    def setting(self) -> str | None:
        """What must be equal for values to be compared."""
        if self.source != "added":
            return None
        return f"{'c' if self.relative else 'σ'}={self.size:.6g}"


@dataclass(frozen=True, eq=False)
class Side:
    """The columns of a layer for a critic, without and with its noise, and what is to be told."""

    clean: FloatArray
    noisy: FloatArray
    told: Mapping[str, Any]
    flags: tuple[str, ...] = ()
    lost: float = 0.0  # bits of its information that are not in the columns, at most


def side_of(values: Tensor, noise: LayerNoise, rng: np.random.Generator) -> Side:
    """Return the columns of a layer (n_samples, n_units) with its noise.

    Raises
    ------
    EstimationError
        If it varies by no more than the rounding of its numbers, next to which noise is nothing.
    """
    told: dict[str, Any] = {"noise": 0.0, "noise_source": noise.source}
    if not noise.size or not _varies(values):
        return columns_of(values, rng, told=told)
    found = noisy_layer(values, noise.size, NOISY_COMPONENTS, rng, relative=noise.relative)
    told |= {"noise": found.sigma, "c": found.c, "components": found.clean.shape[1]}
    return Side(found.clean, found.noisy, told | {"loss_bound_t": found.lost}, lost=found.lost)


def columns_of(
    array: Tensor, rng: np.random.Generator, told: Mapping[str, Any] | None = None
) -> Side:
    """Return an array as it is, or as components if it is wide, with what these leave out."""
    wide = array.shape[1] > WIDE
    found = leading_columns(array, COMPONENTS if wide else WIDE, rng)
    more: dict[str, Any] = dict(told or {})
    if (kept := found.values.shape[1]) < array.shape[1]:
        more |= {"components": kept, "lost_variance": found.lost}
    return Side(found.values, found.values, more, _LOSS * (found.lost > MOST_LOST))


def _varies(values: Tensor) -> bool:
    return bool((values != values[:1]).any())


def told_estimate(
    found: NeuralInformation,
    diagnostics: Mapping[str, Any],
    flags: tuple[str, ...] = (),
    *,
    used: int | None = None,
    lost: float = 0.0,
    bound: tuple[float | None, BoundName],
    setting: str | None = None,
) -> Estimate:
    """Return what a critic found as an estimate of a cell.

    Parameters
    ----------
    found : NeuralInformation
        Value, interval, verdict and flags.
    diagnostics : mapping
        What else is to be told.
    flags : tuple of str
        Further flags.
    used : int, optional
        Samples that were used, if not all.
    lost : float, default 0
        Bits that may be missing, by which the interval reaches higher.
    bound : pair of float or None and str
        What the quantity, or a critic, can be at most, and its name.
    setting : str, optional
        What the value depends on beyond the parameters.
    """
    high, name = bound
    raised = (
        *found.flags,
        *flags,
        *_LOSS * (found.bits is not None and lost > max(MOST_LOST * found.bits, MOST_LOSS)),
        *["negative"] * (found.bits is not None and is_negative(found.bits)),
        *["subsampled"] * (used is not None),
    )
    interval = found.bits is not None and found.low is not None
    less = found.verdict == "reliable" and _LESS.intersection(raised)
    return Estimate(
        found.bits,
        low=found.low if interval else None,
        high=found.high + lost if interval and found.high is not None else None,
        method="jackknife" if interval else "none",
        level=LEVEL if interval else None,
        bound_low=0.0,
        bound_high=high,
        bound_name=name if high is not None else "none",
        n=used,
        flags=tuple(dict.fromkeys(raised)),
        diagnostics={
            "verdict": "lower bound only" if less else found.verdict,
            "lower": found.lower,
            "critic": found.critic,
            **found.diagnostics,
            **diagnostics,
        },
        setting=setting,
    )
