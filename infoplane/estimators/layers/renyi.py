"""Matrix-based Renyi information of a layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from infoplane.data import Array, IntArray, RunData
from infoplane.errors import InputError
from infoplane.estimators.base import Cost, Estimator
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.quantities import ITY, IXT, Quantity
from infoplane.estimators.trust import null_dominates
from infoplane.numerics.discrete.symbols import row_symbols
from infoplane.numerics.kernels.mixtures import stratified
from infoplane.numerics.kernels.renyi import (
    MOST_SAMPLES,
    Reference,
    RenyiInformation,
    aligned_width,
    gram_matrix,
    information_with,
    renyi_reference,
)


@dataclass(frozen=True)
class Prepared:
    """Samples that are used, and inputs and labels as Gram matrices."""

    chosen: IntArray  # (n_used,)
    inputs: Reference | None
    labels: Reference | None
    h_y: float


@dataclass(frozen=True)
class MatrixRenyi(Estimator):
    """Matrix-based Renyi information of a layer with inputs and labels.

    The entropies are those of the eigenvalues of normalised Gaussian Gram matrices. Shuffled pairs
    have information as well: look at the excess over the null, which is reported with it.

    Parameters
    ----------
    alpha : float, default 1.01
        Order of the entropy; 2 is much faster.
    width : float or str, default "silverman"
        Kernel width of the layer: a number, ``silverman`` (units scaled to standard deviation 1,
        sqrt(d) n^(-1/(4+d))) or ``alignment`` (closest to the kernel of the labels).
    max_samples : int, default 500
        Larger probe sets are subsampled, classes keeping their shares; at most 2000, as time grows
        with the cube.
    shuffles : int, default 5
        Shuffles of the pairs behind the null.

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
    width: float | str = "silverman"
    max_samples: int = 500
    shuffles: int = 5

    name: ClassVar[str] = "renyi"
    title: ClassVar[str] = "matrix-based Renyi"
    version: ClassVar[str] = "2"
    quantities: ClassVar[tuple[Quantity, ...]] = (IXT, ITY)
    shannon: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self._expect(0 < self.alpha < np.inf, "alpha > 0, and finite", self.alpha)
        named = self.width in ("silverman", "alignment")
        fits = named or (not isinstance(self.width, str) and 0 < self.width < np.inf)
        self._expect(fits, "width above 0, silverman or alignment", repr(self.width))
        size = f"max_samples from 2 to {MOST_SAMPLES}"
        self._expect(2 <= self.max_samples <= MOST_SAMPLES, size, self.max_samples)
        self._expect(self.shuffles >= 0, "shuffles of at least 0", self.shuffles)

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
        labels = probe.labels
        if self.width == "alignment" and labels is None:
            raise InputError("renyi: width=alignment needs labels, and the run has none")
        classes = None if labels is None else row_symbols(labels[:, None])
        chosen = np.arange(probe.n_samples)
        if probe.n_samples > self.max_samples:
            chosen = stratified(classes, probe.n_samples, self.max_samples, rng)
        inputs = probe.known_inputs
        return Prepared(
            chosen,
            None
            if inputs is None
            else renyi_reference(
                inputs.reshape(probe.n_samples, -1)[chosen],
                self.alpha,
                shuffles=self.shuffles,
                rng=rng,
            ),
            None
            if labels is None
            else renyi_reference(labels[chosen], self.alpha, shuffles=self.shuffles, rng=rng),
            0.0 if labels is None else row_symbols(labels[chosen, None]).entropy,
        )

    def estimate(
        self, prepared: Prepared, activations: Array, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        """Return I(X;T) and I(T;Y) of one cell, with the null of shuffled pairs."""
        values = activations[prepared.chosen]
        flags = ("subsampled",) if len(values) < len(activations) else ()
        if (values == values[0]).all():
            flags = (*flags, "constant")
        width: Any = self.width
        if width == "alignment":
            if "constant" in flags or prepared.labels is None:
                width = "silverman"  # every width fits equal rows
            else:
                width = aligned_width(values, prepared.labels.gram)
        gram, used = gram_matrix(values, width)
        n = len(values) if len(values) < len(activations) else None
        bound = float(np.log2(len(values)))
        found = {}
        if prepared.inputs is not None:
            x = information_with(gram, used, prepared.inputs, self.alpha)
            found["ixt"] = _estimate(x, bound, n, flags, of_labels=False)
        if prepared.labels is not None:
            y = information_with(gram, used, prepared.labels, self.alpha)
            found["ity"] = _estimate(y, prepared.h_y, n, flags, of_labels=True)
        return found


def _estimate(
    info: RenyiInformation, bound: float, n: int | None, flags: tuple[str, ...], *, of_labels: bool
) -> Estimate:
    if "constant" not in flags and null_dominates(info.information, info.null):
        flags = ("null_dominates", *flags)
    return Estimate(
        info.information,
        bound_low=0.0,
        bound_high=bound,
        bound_name="h_y" if of_labels else "log2_n",
        n=n,
        flags=flags,
        diagnostics={
            "null": info.null,
            "entropy": info.entropy_a,
            "width": info.width_a,
            "reference_width": info.width_b,
        },
    )
