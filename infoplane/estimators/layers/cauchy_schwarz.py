"""Cauchy-Schwarz information of a layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from infoplane.data import Array, IntArray, RunData
from infoplane.estimators.base import Cost, Estimator
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.layers.cauchy_schwarz_information import (
    CauchySchwarzInformation,
    information_of,
)
from infoplane.estimators.layers.kernel_samples import (
    FEWEST_PERMUTATIONS,
    chosen_samples,
    excess_estimate,
    layer_flags,
    outcome,
)
from infoplane.estimators.quantities import CSX, CSY, Quantity
from infoplane.numerics.kernels.cauchy_schwarz import MOST_SAMPLES, Side


@dataclass(frozen=True)
class Prepared:
    """Samples that are used, inputs and labels, or real targets, as Gram matrices, and shuffles."""

    chosen: IntArray  # (n_used,)
    inputs: Side | None
    outcome: Side | None
    orders: tuple[IntArray, ...]


@dataclass(frozen=True)
class CauchySchwarz(Estimator):
    """Cauchy-Schwarz information of a layer with inputs and labels, or targets, over its null.

    The logarithm of how far the mean of products of two kernels is from what means of each give. It
    is no Shannon information. Samples that share nothing have some as well, which moves with the
    layer. The value is what is there beyond the mean of shuffled pairs; both are in the diagnostics
    as ``raw`` and ``null``, with ``normalised``, the raw value over that of each side with itself.

    Parameters
    ----------
    width : float or str, default "median"
        Kernel width of the layer: a number, or ``median``, the median distance of two samples.
        Inputs and real targets always have that; labels are equal or not.
    max_samples : int, default 1000
        Larger probe sets are subsampled, classes keeping their shares; at most 10,000, as time and
        memory grow with the square.
    permutations : int, default 5
        Shuffles of the pairs behind the null, at least 2.

    Raises
    ------
    InputError
        If a parameter is unfit.

    Warnings
    --------
    Values are small (hundredths of a bit) and depend on the kernel width: compare them with one
    another, never with those of another estimator.

    References
    ----------
    Principe: "Information theoretic learning", 2010. Yu et al.: "Cauchy-Schwarz divergence
    information bottleneck for regression", ICLR 2024.
    """

    width: float | str = "median"
    max_samples: int = 1000
    permutations: int = 5

    name: ClassVar[str] = "cauchy_schwarz"
    title: ClassVar[str] = "Cauchy-Schwarz over null"
    quantities: ClassVar[tuple[Quantity, ...]] = (CSX, CSY)
    shannon: ClassVar[bool] = False

    def __post_init__(self) -> None:
        fits = not isinstance(self.width, str) and 0 < self.width < np.inf
        self._expect(self.width == "median" or fits, "width above 0 or median", repr(self.width))
        size = f"max_samples from 2 to {MOST_SAMPLES}"
        self._expect(2 <= self.max_samples <= MOST_SAMPLES, size, self.max_samples)
        least = f"permutations of at least {FEWEST_PERMUTATIONS}"
        self._expect(self.permutations >= FEWEST_PERMUTATIONS, least, self.permutations)

    @property
    def reads_inputs(self) -> bool:
        """Inputs are one of the sides."""
        return True

    @property
    def pools(self) -> Literal["nothing"]:
        """Nothing but the probe set."""
        return "nothing"

    def cost(self, n_samples: int, n_units: int) -> Cost:
        """Return what a cell costs; products of a few kernels."""
        m = min(n_samples, self.max_samples)
        return Cost(1e-2 + m**2 * (1e-8 * self.permutations + 1e-10 * n_units + 1e-7), 64 * m**2)

    def prepare_run(self, run: RunData, rng: np.random.Generator) -> Prepared:
        """Return the subsample, and inputs and labels or targets as Gram matrices."""
        probe = run.probe
        chosen = chosen_samples(probe, self.max_samples, rng)
        inputs, y = probe.known_inputs, outcome(probe, chosen)
        if inputs is not None:
            inputs = inputs.reshape(len(inputs), -1)[chosen]
        return Prepared(
            chosen,
            None if inputs is None else Side.of(inputs, "median", "inputs"),
            None if y is None else Side.of(y, "median", "labels or targets"),
            tuple(rng.permutation(len(chosen)) for _ in range(self.permutations)),
        )

    def estimate(
        self, prepared: Prepared, activations: Array, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        """Return the excess over the null of shuffled pairs, for inputs and labels or targets."""
        values, width = activations[prepared.chosen], self.width
        layer = Side.of(values, "median" if isinstance(width, str) else width, "the layer")
        flags = layer_flags(values, len(activations))
        sides = {"csx": prepared.inputs, "csy": prepared.outcome}
        return {
            name: _estimate(information_of(layer, other, prepared.orders), flags)
            for name, other in sides.items()
            if other is not None
        }


def _estimate(info: CauchySchwarzInformation, flags: tuple[str, ...]) -> Estimate:
    told = {
        "normalised": info.normalised,
        "width": info.width_x,
        "reference_width": info.width_y,
    }
    return excess_estimate(info.bits, info.null, (*flags, *info.flags), info.n_samples, told)
