"""Information of layers of a network that is noisy itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from infoplane.data import Array, IntArray, RunData, Slot
from infoplane.errors import EstimationError, NotFoundError
from infoplane.estimators.base import Cost, Estimator, Reads
from infoplane.estimators.estimate import BoundName, Estimate
from infoplane.estimators.quantities import ITY, IXT, Quantity
from infoplane.estimators.trust import (
    NORMAL_QUANTILE,
    WIDE_BRACKET,
    WIDEST_BRACKET,
    is_negative,
    is_saturated,
    noticeable,
    null_dominates,
)
from infoplane.numerics.discrete.symbols import row_symbols
from infoplane.numerics.kernels.mixtures import stratified
from infoplane.numerics.kernels.noisy_passes import (
    BetweenBounds,
    PassesInformation,
    passes_information,
)

_NO_NOISE = "no layer declares noise that its recorded values are without"
_HINT = "record infoplane.nn.GaussianNoise, or give noise to add in the analysis: noisy:std=0.1"


@dataclass(frozen=True)
class Prepared:
    """What the cells of a run, and in ``std`` those of a layer, share."""

    labels: IntArray | None
    rows: IntArray | None  # of the samples that are used; None: all
    std: float = 0.0
    added: bool = False  # in the analysis, the network has no such noise there
    one_of_many: bool = False  # a random layer, of which there is one pass
    off: tuple[str, ...] = ()  # layers before it whose noise was off when they were recorded


@dataclass(frozen=True)
class NoisyNetwork(Estimator):
    """Mutual information of a network with noise of its own: h(T) - h(T|X), a mixture of Gaussians.

    Of a layer that adds Gaussian noise (`infoplane.nn.GaussianNoise`), and of which the values
    before that noise are recorded, I(X;T) is a property of the network. Where earlier layers are
    random too, each input has several passes (``record --passes K``), and the estimate lies between
    two bounds that hold on average over passes: with each pass in the density of its input, and
    without. The inputs are those that are recorded.

    Parameters
    ----------
    std : float, optional
        Standard deviation of noise that the analysis adds to layers which declare none, or whose
        own noise is in all that is recorded. Without it these layers are left out.
    draws : int, default 10
        Draws of the noise for each sample, over all its passes.
    max_samples : int, default 2000
        More samples are subsampled, classes keeping their shares.

    Raises
    ------
    InputError
        If a parameter is unfit.

    Warnings
    --------
    With few passes of a layer that is very random the bounds part: above 0.5 bits the value is
    flagged ``wide_bracket``, above one bit the bounds stand alone. I(X;T) of n inputs is at most
    log2 n.

    References
    ----------
    Goldfeld et al.: "Estimating information flow in deep neural networks", ICML 2019.
    """

    std: float | None = None
    draws: int = 10
    max_samples: int = 2000

    name: ClassVar[str] = "noisy"
    title: ClassVar[str] = "noisy network"
    quantities: ClassVar[tuple[Quantity, ...]] = (IXT, ITY)
    reads: ClassVar[Reads] = "passes"

    def __post_init__(self) -> None:
        fits = self.std is None or 0 < self.std < math.inf
        self._expect(fits, "std > 0, and finite", self.std)
        self._expect(self.draws >= 1, "draws of at least 1", self.draws)
        self._expect(self.max_samples >= 2, "max_samples of at least 2", self.max_samples)

    def layers_of(self, run: RunData, layers: Sequence[Slot]) -> Sequence[Slot]:
        """Return the layers that have noise around recorded values, or are given some.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        if found := [one for one in layers if self.std is not None or _noise_around(one)]:
            return found
        raise NotFoundError(f"{self.name}: {_NO_NOISE}", hint=_HINT)

    def prepare_run(self, run: RunData, rng: np.random.Generator) -> Prepared:
        """Return the labels and the samples that are used."""
        n, labels = run.probe.n_samples, run.probe.labels
        if n <= self.max_samples:
            return Prepared(labels, None)
        classes = None if labels is None else row_symbols(labels[:, None])
        rows = np.sort(stratified(classes, n, self.max_samples, rng))
        return Prepared(None if labels is None else labels[rows], rows)

    def prepare_layer(
        self, shared: Prepared, run: RunData, layer: Slot, rng: np.random.Generator
    ) -> Prepared:
        """Return ``shared`` with the noise of a layer."""
        before = run.layers[: layer.index]
        shared = replace(shared, off=tuple(x.name for x in before if x.noise_in == "none"))
        if _noise_around(layer):
            assert layer.noise is not None
            return replace(shared, std=layer.noise, one_of_many=layer.random)
        if self.std is None:
            return shared
        random = layer.random or layer.noise_in == "all"
        return replace(shared, std=self.std, added=True, one_of_many=random)

    def cost(self, n_samples: int, n_units: int) -> Cost:
        """Return what a cell costs: all pairs of passes; ``n_units`` are those of all passes."""
        m = min(n_samples, self.max_samples)
        seconds = self.draws * m**2 * (2e-8 + 2e-10 * n_units)
        return Cost(1e-3 + seconds, 2**26 + 48 * m * n_units)

    def estimate(
        self, prepared: Prepared, activations: Array, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        """Return I(X;T) and I(T;Y) of one cell; activations are (n_samples, n_passes, n_units).

        Activations (n_samples, n_units) are those of one pass.

        Raises
        ------
        EstimationError
            If there is one sample.
        """
        if not prepared.std:
            missing = self.failed(f"{_NO_NOISE}; {_HINT}")
            return missing if prepared.labels is not None else {"ixt": missing["ixt"]}
        if activations.ndim == 2:
            activations = activations[:, None]
        if prepared.rows is not None:
            activations = activations[prepared.rows]
        centres = np.asarray(activations, dtype=np.float64)
        n, k, _ = centres.shape
        if n < 2:
            raise EstimationError(f"expected at least 2 samples, got {n}")
        labels = prepared.labels
        symbols = None if labels is None else row_symbols(labels[:, None])
        classes = None if symbols is None else np.asarray(symbols.ids)
        draws = -(-self.draws // k)
        found = passes_information(centres, classes, prepared.std, draws, rng)
        told = {
            "noise": prepared.std,
            "noise_source": "added" if prepared.added else "network",
            "passes": k,
            "draws": draws,
        }
        flags = ["subsampled"] if prepared.rows is not None else []
        flags += ["constant"] if not np.ptp(centres, axis=0).any() else []
        flags += ["upper_bound"] if k == 1 and prepared.one_of_many else []
        flags += ["noise_off"] if prepared.off else []
        told |= {"noise_off": list(prepared.off)} if prepared.off else {}
        used = n if prepared.rows is not None else None
        more = {"others": _finite(found.others)}
        ixt = _estimate(found.ixt, math.log2(n), "log2_n", used, told | more)
        estimates = {"ixt": _flagged(ixt, [*flags, *_of_inputs(found, math.log2(n))])}
        if found.ity is not None and symbols is not None:
            ity = _estimate(found.ity, symbols.entropy, "h_y", used, {"null": found.null_ity})
            null = ["null_dominates"] * null_dominates(found.ity.bits, found.null_ity or 0.0)
            flags = [flag for flag in flags if flag != "upper_bound"]
            estimates["ity"] = _flagged(ity, [*flags, *null])
        return estimates


def _noise_around(layer: Slot) -> bool:
    """Tell whether a layer declares noise, and values without it are recorded."""
    return layer.noise is not None and layer.noise_in in ("values", "none")


def _of_inputs(found: PassesInformation, ceiling: float) -> list[str]:
    """Return what to know of I(X;T) of the inputs that are there."""
    raised = {"saturated": is_saturated(found.ixt.bits, ceiling)}
    drift = (found.others - found.ixt.high) / 2  # of both, which hold each pass in its density
    limit = max(NORMAL_QUANTILE * found.ixt.error, noticeable(found.ixt.bits, found.ixt.error))
    raised["biased"] = not raised["saturated"] and drift > limit
    return [flag for flag, is_raised in raised.items() if is_raised]


def _estimate(
    found: BetweenBounds,
    ceiling: float,
    bound_name: BoundName,
    n: int | None,
    diagnostics: dict[str, Any],
) -> Estimate:
    """Return an estimate whose interval holds the bounds and the chance of the inputs."""
    wide = not found.high - found.low <= WIDE_BRACKET
    alone = not found.high - found.low <= WIDEST_BRACKET
    reach = NORMAL_QUANTILE * found.error if math.isfinite(found.error) else 0.0
    low, high = found.low - reach, found.high + reach
    flags = ["wide_bracket"] * wide + ["negative"] * (not alone and is_negative(found.bits))
    diagnostics = diagnostics | {
        "low": _finite(found.low),
        "high": _finite(found.high),
        "se": _finite(found.error),
    }
    if alone:
        diagnostics["reason"] = "too few passes: the bounds are more than a bit apart"
    return Estimate(
        None if alone else found.bits,
        low=_finite(low),
        high=_finite(high),
        method="bracket",
        bound_low=0.0,
        bound_high=ceiling,
        bound_name="bracket" if alone else bound_name,
        n=n,
        flags=tuple(flags),
        diagnostics=diagnostics,
    )


def _flagged(found: Estimate, flags: list[str]) -> Estimate:
    return replace(found, flags=(*found.flags, *flags))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
