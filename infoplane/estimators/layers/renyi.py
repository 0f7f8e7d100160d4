"""Matrix-based Renyi information of a layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from infoplane.data import Array, FloatArray, IntArray, RunData
from infoplane.errors import InputError
from infoplane.estimators.base import Cost, Estimator
from infoplane.estimators.estimate import BoundName, Estimate
from infoplane.estimators.layers.kernel_samples import (
    FEWEST_PERMUTATIONS,
    chosen_samples,
    excess_estimate,
    layer_flags,
    outcome,
)
from infoplane.estimators.layers.renyi_information import information_with
from infoplane.estimators.quantities import ITY, IXT, Quantity
from infoplane.numerics.discrete.symbols import row_symbols
from infoplane.numerics.kernels.renyi import (
    MOST_SAMPLES,
    Reference,
    aligned_width,
    gram_matrix,
    renyi_reference,
)


@dataclass(frozen=True)
class Prepared:
    """Samples that are used, and inputs and labels, or real targets, as Gram matrices."""

    chosen: IntArray  # (n_used,)
    inputs: Reference | None
    outcome: Reference | None
    h_y: float | None  # of labels


@dataclass(frozen=True)
class MatrixRenyi(Estimator):
    """Matrix-based Renyi information of a layer with inputs and labels, or targets, over its null.

    The entropies are those of the eigenvalues of normalised Gaussian Gram matrices. Shuffled pairs
    have information as well, which moves with the layer. The value is what is there beyond their
    mean; both are in the diagnostics as ``raw`` and ``null``.

    Parameters
    ----------
    alpha : float, default 1.01
        Order of the entropy; 2 is much faster.
    width : float or str, default "median"
        Kernel width of the layer: a number, ``median`` (the median distance of two samples),
        ``silverman`` (units scaled to standard deviation 1, sqrt(d) n^(-1/(4+d))) or ``alignment``
        (closest to the kernel of the labels). Inputs and real targets have the median as well, and
        with the last two ``silverman``.
    max_samples : int, default 500
        Larger probe sets are subsampled, classes keeping their shares; at most 2000, as time grows
        with the cube.
    shuffles : int, default 5
        Shuffles of the pairs behind the null, at least 2.

    Raises
    ------
    InputError
        If a parameter is unfit, or ``alignment`` meets a run without labels.

    Warnings
    --------
    Values depend on the kernel width and on the number of samples. In wide layers distances can
    become alike, and with them the entries of the kernel matrix, whatever the layer computes.

    References
    ----------
    Giraldo, Rao, Principe: "Measures of entropy from data using infinitely divisible kernels",
    IEEE Trans. Information Theory 61, 2015. Wickstrom et al.: "Information plane analysis of deep
    neural networks via matrix-based Renyi's entropy and tensor kernels", 2019.
    """

    alpha: float = 1.01
    width: float | str = "median"
    max_samples: int = 500
    shuffles: int = 5

    name: ClassVar[str] = "renyi"
    title: ClassVar[str] = "matrix-based Renyi over null"
    version: ClassVar[str] = "3"
    quantities: ClassVar[tuple[Quantity, ...]] = (IXT, ITY)
    shannon: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self._expect(0 < self.alpha < np.inf, "alpha > 0, and finite", self.alpha)
        named = self.width in ("median", "silverman", "alignment")
        fits = named or (not isinstance(self.width, str) and 0 < self.width < np.inf)
        self._expect(fits, "width above 0, median, silverman or alignment", repr(self.width))
        size = f"max_samples from 2 to {MOST_SAMPLES}"
        self._expect(2 <= self.max_samples <= MOST_SAMPLES, size, self.max_samples)
        least = f"shuffles of at least {FEWEST_PERMUTATIONS}"
        self._expect(self.shuffles >= FEWEST_PERMUTATIONS, least, self.shuffles)

    @property
    def pools(self) -> Literal["nothing"]:
        """Nothing but the probe set."""
        return "nothing"

    def cost(self, n_samples: int, n_units: int) -> Cost:
        """Return what a cell costs; eigenvalues of several kernels."""
        m = min(n_samples, self.max_samples)
        return Cost(1e-2 + 1.4e-9 * m**3, 64 * m**2)

    def prepare_run(self, run: RunData, rng: np.random.Generator) -> Prepared:
        """Return the subsample, and inputs and labels as Gram matrices."""
        probe = run.probe
        if self.width == "alignment" and probe.labels is None:
            raise InputError("renyi: width=alignment needs labels, and the run has none")
        chosen = chosen_samples(probe, self.max_samples, rng)
        y = outcome(probe, chosen)
        options: Any = {"width": self._of_others, "shuffles": self.shuffles, "rng": rng}
        inputs = probe.known_inputs
        return Prepared(
            chosen,
            None
            if inputs is None
            else renyi_reference(inputs.reshape(len(inputs), -1)[chosen], self.alpha, **options),
            None if y is None else renyi_reference(y, self.alpha, **options),
            row_symbols(y[:, None]).entropy if y is not None and y.ndim == 1 else None,
        )

    @property
    def _of_others(self) -> str:
        """Width of inputs and targets."""
        return "silverman" if self.width in ("silverman", "alignment") else "median"

    def estimate(
        self, prepared: Prepared, activations: Array, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        """Return the excess of I(X;T) and I(T;Y) of one cell over the null of shuffled pairs."""
        values = activations[prepared.chosen]
        flags = layer_flags(values, len(activations))
        width: Any = self.width
        if width == "alignment":
            assert prepared.outcome is not None  # prepare_run refuses other runs
            constant = bool((values == values[0]).all())  # every width fits equal rows
            width = "silverman" if constant else aligned_width(values, prepared.outcome.gram)
        gram, used = gram_matrix(values, width)
        log2_n = float(np.log2(len(values)))
        found = {}
        if prepared.inputs is not None:
            found["ixt"] = self._estimate(gram, used, prepared.inputs, flags, log2_n, "log2_n")
        if prepared.outcome is not None:
            h_y = prepared.h_y
            bound: tuple[float, BoundName] = (log2_n, "log2_n") if h_y is None else (h_y, "h_y")
            found["ity"] = self._estimate(gram, used, prepared.outcome, flags, *bound)
        return found

    def _estimate(
        self,
        gram: FloatArray,
        width: float,
        reference: Reference,
        flags: tuple[str, ...],
        bound: float,
        bound_name: BoundName,
    ) -> Estimate:
        info = information_with(gram, width, reference, self.alpha)
        return excess_estimate(
            info.information,
            info.permuted,
            (*flags, *info.flags),
            info.n_samples,
            {"entropy": info.entropy_a, "width": width, "reference_width": reference.width},
            bound_low=0.0,
            bound_high=bound,
            bound_name=bound_name,
        )
