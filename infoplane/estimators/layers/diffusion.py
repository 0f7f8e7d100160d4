"""Diffusion spectral entropy of a layer, and its information on labels and inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import numpy as np
import scipy

from infoplane.arrays import LARGE, rows_of
from infoplane.data import Array, IntArray, RunData
from infoplane.errors import InputError
from infoplane.estimators.base import Cost, Estimator
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.layers.diffusion_entropy import set_diagnostics, set_flags
from infoplane.estimators.layers.diffusion_information import DiffusionInformation, at_each_time
from infoplane.estimators.quantities import DSE, DSMI_X, DSMI_Y, Quantity
from infoplane.estimators.trust import LEVEL
from infoplane.numerics.diffusion.bandwidth import Sigma, check_sigma
from infoplane.numerics.diffusion.clusters import Clusters, Kind, cluster_reference
from infoplane.numerics.diffusion.information import Subsets
from infoplane.numerics.diffusion.kernel import Normalization
from infoplane.numerics.diffusion.points import checked_points
from infoplane.numerics.diffusion.space import (
    DiffusionOptions,
    DiffusionSpace,
    Method,
    diffusion_spaces,
    subset,
)
from infoplane.tokens import reads_token_ids

_PAPER = {
    "sigma": 10.0,
    "min_class_size": 1,
    "method": "exact",
    "max_samples": 10_000,
    "subsets": "official",
    "repetitions": 5,
}
_SHARED_KERNEL_ROWS = 2000  # up to here "auto" is exact in float64 for the set and every subset
_SHARED_SINGLE_ROWS = 4000  # 64 MB in float32
_LARGEST_GRAPH = 2e12  # multiplications of the neighbour search in the inputs
_PROJECTED = 1024
_OF_IDS = (
    "the inputs are ids of tokens, whose distances mean nothing: they have no clusters; record the "
    "embeddings as X, or read I(X;T) of compressed"
)


@dataclass(frozen=True, eq=False)
class InputClusters:
    """Clusters of the inputs of a run."""

    n_clusters: int
    clusters: Clusters | None  # None if there are not more samples than clusters
    id: str  # of the cluster labels, sha256


@dataclass(frozen=True, eq=False)
class DiffusionSamples:
    """What all cells of a run share."""

    n_given: int
    rows: IntArray | None  # samples that are used, None for all
    labels: Clusters | None
    inputs: tuple[InputClusters, ...]
    projected_from: int | None  # features of the inputs, if they were projected first
    no_inputs: str | None = None  # why inputs that are known have no clusters


@dataclass(frozen=True)
class DiffusionSpectral(Estimator):
    """Entropy of the diffusion spectrum of a layer, DSMI(T;Y) and DSMI(T;X).

    Parameters
    ----------
    sigma : float, str or tuple of these, default "median"
        Bandwidth, or one of the rules median, rms, sqrtd, l2; several give one estimate each.
        Fixed numbers, such as the 10 of the paper, mostly follow the growth of activations during
        training.
    t : tuple of float, default (1,)
        Diffusion times; several give one estimate each.
    normalization, alpha
        As in :func:`infoplane.diffusion_spectral_entropy`.
    method : {"quick", "auto", "exact", "slq"}
        As there; ``quick``, the default, takes all eigenvalues up to 1000 points (error below 1e-4
        bit), and quadrature above, with an error of a few thousandths of a bit that the interval of
        the entropy states. ``auto`` takes three times as long for the last digits.
    preset : {"none", "paper"}
        ``paper`` sets what is left at its default to sigma=10, t=1, no minimum class size, all
        eigenvalues in float64, five official subsets per size and at most 10 000 samples.
    max_samples : int, default 2000
        More samples are subsampled, once for the whole run, and flagged.
    repetitions : int, default 2
        Random subsets of the size of each class.
    subsets : {"disjoint", "official"}
        ``disjoint`` shares all samples out among subsets of the sizes of the classes, with a
        fraction of the spread of those that the reference implementation draws, ``official``.
    n_clusters : int or tuple of int, default (10,)
        Clusters of the inputs, made once per run; several give one DSMI(T;X) each.
    min_class_size : int, default 10
        Smaller classes are left out.
    permutations : int, default 0
        Permutations of the labels for the null distribution of DSMI.
    seed : int, optional
        Draws samples, subsets and permutations: the same for every cell, so that differences
        between checkpoints are not those of the draws. That of the analysis unless given.

    Raises
    ------
    InputError
        If a parameter is unfit.

    Warnings
    --------
    Inputs that are ids of tokens are not clustered: their DSMI(T;X) has no value.

    DSE and DSMI are no Shannon information: no data processing inequality, no H(Y) as ceiling to
    rely on. They depend on bandwidth and number of samples; at a fixed bandwidth DSE mostly
    follows the growth of the activations.

    References
    ----------
    Liao et al.: "Assessing neural network representations during training using noise-resilient
    diffusion spectral entropy", arXiv 2312.04823, 2023.
    """

    sigma: float | str | tuple[float | str, ...] = "median"
    t: tuple[float, ...] = (1.0,)
    normalization: Normalization = "official"
    alpha: float = 0.5
    method: Method = "quick"
    preset: Literal["none", "paper"] = "none"
    max_samples: int = 2000
    repetitions: int = 2
    subsets: Subsets = "disjoint"
    n_clusters: int | tuple[int, ...] = (10,)
    min_class_size: int = 10
    permutations: int = 0
    seed: int | None = None

    name: ClassVar[str] = "dse"
    title: ClassVar[str] = "diffusion spectral entropy"
    version: ClassVar[str] = "4"
    quantities: ClassVar[tuple[Quantity, ...]] = (DSE, DSMI_Y, DSMI_X)
    accelerated: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.preset not in ("none", "paper"):
            raise InputError(f"expected preset none or paper, got {self.preset!r}")
        if self.preset == "paper":
            for field in fields(self):
                if field.name in _PAPER and getattr(self, field.name) == field.default:
                    object.__setattr__(self, field.name, _PAPER[field.name])
        for sigma in self.bandwidths:
            check_sigma(sigma)
        (first, *more) = self.bandwidths
        object.__setattr__(self, "sigma", self.bandwidths if more else first)
        _ = self.options
        for name in ("max_samples", "repetitions", "min_class_size"):
            if getattr(self, name) < 1:
                raise InputError(f"expected {name} of at least 1, got {getattr(self, name)}")
        if isinstance(self.n_clusters, int):
            object.__setattr__(self, "n_clusters", (self.n_clusters,))
        if min(self.numbers_of_clusters, default=0) < 1:
            raise InputError(f"expected n_clusters of at least 1, got {self.n_clusters}")
        if self.permutations < 0:
            raise InputError(f"expected permutations of at least 0, got {self.permutations}")

    @property
    def options(self) -> DiffusionOptions:
        """How spectra are computed."""
        times = tuple(float(t) for t in self.t)
        return DiffusionOptions(
            times, self.normalization, self.alpha, self.method, None, self._draws
        )

    @property
    def _draws(self) -> int:
        """The seed in force."""
        return 0 if self.seed is None else self.seed

    @property
    def pools(self) -> Literal["nothing"]:
        """Nothing but the probe set."""
        return "nothing"

    def cost(self, n_samples: int, n_units: int) -> Cost:
        """Return what a cell costs; eigenvalues, or quadrature for many samples."""
        m = min(n_samples, self.max_samples)
        distances = 6e-11 * m**2 * n_units
        solve, pair = 9e-11 * m**3, 10 if self.method == "auto" and m > 2000 else 26
        if self.method == "quick" and m <= _SHARED_SINGLE_ROWS:
            solve, pair, distances = 6e-8 * m**2, 26 if m <= 512 else 18, distances / 3
        elif self._by_quadrature(m):
            half = m // 2  # whose entropy is a diagnostic
            solve, pair = 5e-8 * m**2, 6
            solve += 5e-8 * half**2 if self._by_quadrature(half) else 9e-11 * half**3
        memory = pair * m**2 + 24 * min(m * n_units, LARGE // 8) + 2**27 * (m >= 1000)
        several = len(self.bandwidths)
        memory += 8 * m**2 * (several > 1)
        seconds = 2e-2 + several * solve + distances
        return Cost(seconds, memory, torch=True)

    def _by_quadrature(self, n: int) -> bool:
        exact = {"auto": 4000, "quick": 1000, "slq": 0}
        return n > exact.get(self.method, n)

    @property
    def bandwidths(self) -> tuple[Sigma, ...]:
        """Bandwidths and rules, without repeats."""
        return tuple(dict.fromkeys(self.sigma if isinstance(self.sigma, tuple) else (self.sigma,)))

    @property
    def numbers_of_clusters(self) -> tuple[int, ...]:
        """Numbers of clusters of the inputs, without repeats."""
        numbers = (self.n_clusters,) if isinstance(self.n_clusters, int) else self.n_clusters
        return tuple(dict.fromkeys(numbers))

    def prepare_run(self, run: RunData, rng: np.random.Generator) -> DiffusionSamples:
        """Choose the samples and cluster the inputs."""
        probe = run.probe
        n = probe.n_samples
        rows = None
        if n > self.max_samples:
            rows = np.sort(np.array(subset(n, self.max_samples, self._draws), dtype=np.int64))
        inputs = probe.inputs if rows is None else probe.inputs[rows]
        labels = None
        if probe.labels is not None:
            labels = cluster_reference(
                probe.labels if rows is None else probe.labels[rows], kind="labels"
            )
        if probe.known_inputs is None:
            return DiffusionSamples(n, rows, labels, (), None)
        if reads_token_ids(run):
            return DiffusionSamples(n, rows, labels, (), None, _OF_IDS)
        inputs = inputs.reshape(len(inputs), -1)
        projected_from = None
        if float(len(inputs)) ** 2 * inputs.shape[1] > _LARGEST_GRAPH:
            projected_from = int(inputs.shape[1])
            inputs = _projected(inputs, self._draws)
        clusters = tuple(_clustered(inputs, number) for number in self.numbers_of_clusters)
        return DiffusionSamples(n, rows, labels, clusters, projected_from)

    def artifacts(self, shared: DiffusionSamples) -> dict[str, dict[str, Any]]:
        """Return the clusters of the inputs, named as in the diagnostics of DSMI(T;X)."""
        rows = None if shared.rows is None else shared.rows.tolist()
        return {
            one.id: {
                "content": "input clusters",
                "rows": rows,
                "labels": one.clusters.labels.tolist(),
            }
            for one in shared.inputs
            if one.clusters is not None
        }

    def estimate(
        self, prepared: DiffusionSamples, activations: Array, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        """Return DSE, and DSMI(T;Y) and DSMI(T;X) where labels and inputs are known."""
        points = checked_points(rows_of(activations, prepared.rows))
        rows = {"slq": 0, "quick": _SHARED_SINGLE_ROWS}.get(self.method, _SHARED_KERNEL_ROWS)
        found: dict[str, Estimate] = {}
        for sigma, space in diffusion_spaces(
            points, self.bandwidths, self.options, kernel_rows=rows
        ):
            point = f"sigma={sigma}" if isinstance(sigma, str) else f"sigma={sigma:g}"
            for quantity, estimate in self._at_one_bandwidth(space, prepared).items():
                found[_at(quantity, point, swept=len(self.bandwidths) > 1)] = estimate
        return found

    def _at_one_bandwidth(
        self, space: DiffusionSpace, prepared: DiffusionSamples
    ) -> dict[str, Estimate]:
        common = () if prepared.rows is None else ("subsampled",)
        found = {"dse": self._entropy(space, common)}
        if prepared.labels is not None:
            found["dsmi_y"] = self._information(space, prepared.labels, common, {})
        if prepared.no_inputs is not None:
            reason = {"reason": prepared.no_inputs}
            missing = Estimate(None, n=space.n, flags=("failed", *common), diagnostics=reason)
            found["dsmi_x"] = [missing] * len(self.t)
        for one in prepared.inputs:
            origin = {
                "n_clusters": one.n_clusters,
                "clusters_sha256": one.id,
                "inputs_projected_from": prepared.projected_from,
            }
            point = f"n_clusters={one.n_clusters}"
            name = _at("dsmi_x", point, swept=len(prepared.inputs) > 1)
            found[name] = self._information(space, one.clusters, common, origin)
        return {
            _at(quantity, f"t={t:g}", swept=len(self.t) > 1): estimate
            for quantity, estimates in found.items()
            for t, estimate in zip(self.t, estimates, strict=True)
        }

    def _entropy(self, space: DiffusionSpace, flags: tuple[str, ...]) -> list[Estimate]:
        found = space.entropy()
        half, half_n = None, found.n // 2
        if half_n > 1:
            rows = np.sort(subset(found.n, half_n, self._draws))
            half = space.entropy(rows, rough=self.method == "quick" and found.method == "slq")
        estimates = []
        for which, t in enumerate(self.t):
            bits = float(found.bits[which])
            low = high = None
            if found.method == "slq":
                reach = 2.0 * float(found.spectral.errors[which])
                low, high = bits - reach, bits + reach
            estimates.append(
                Estimate(
                    bits,
                    low,
                    high,
                    method="none" if low is None else "analytic",
                    level=None if low is None else LEVEL,
                    bound_low=0.0,
                    bound_high=float(np.log2(found.n)),
                    bound_name="log2_n",
                    n=found.n,
                    flags=set_flags(space, found, which) + flags,
                    diagnostics={
                        **set_diagnostics(space, found, which),
                        "t": float(t),
                        "bits_of_half_the_samples": half and float(half.bits[which]),
                    },
                )
            )
        return estimates

    def _information(
        self,
        space: DiffusionSpace,
        clusters: Clusters | None,
        flags: tuple[str, ...],
        origin: dict[str, Any],
    ) -> list[Estimate]:
        n = space.n
        if clusters is None or max(clusters.sizes) < self.min_class_size:
            sizes = [] if clusters is None else list(clusters.sizes)
            missing = Estimate(
                None, n=n, flags=("small_n", *flags), diagnostics={"counts": sizes, **origin}
            )
            return [missing] * len(self.t)
        found = at_each_time(
            space,
            clusters,
            repetitions=self.repetitions,
            min_class_size=self.min_class_size,
            permutations=self.permutations,
            subsets=self.subsets,
        )
        return [_estimate_of(one, flags, origin) for one in found]


def _at(quantity: str, point: str, *, swept: bool) -> str:
    """Return the key of a quantity at one point of a sweep."""
    return f"{quantity}{',' if '@' in quantity else '@'}{point}" if swept else quantity


def _clustered(inputs: Array, n_clusters: int) -> InputClusters:
    """Return clusters of the inputs (n, n_features)."""
    clusters = None
    if len(inputs) > n_clusters:
        kind: Kind = "vector" if inputs.shape[1] > 1 else "scalar"
        clusters = cluster_reference(inputs, kind=kind, n_clusters=n_clusters)
    content = b"" if clusters is None else clusters.labels.tobytes()
    return InputClusters(n_clusters, clusters, hashlib.sha256(content).hexdigest())


def _estimate_of(
    found: DiffusionInformation, flags: tuple[str, ...], origin: dict[str, Any]
) -> Estimate:
    """Return the estimate of one record; its interval covers the subset draws alone."""
    bits, error = float(found.bits), found.standard_error
    low = high = None
    if error is not None:
        freedom = found.diagnostics["repetitions"] - 1
        if found.diagnostics["subsets"] == "disjoint":  # a spread of each class
            freedom *= found.diagnostics["n_classes_used"]
        reach = float(scipy.special.stdtrit(freedom, 0.5 + LEVEL / 2)) * float(error)
        low, high = bits - reach, bits + reach
    return Estimate(
        bits,
        low,
        high,
        method="none" if low is None else "subsample",
        level=None if low is None else LEVEL,
        bound_high=found.bound,
        bound_name="log2_n_c",
        n=found.diagnostics["n_used"],
        flags=found.flags + flags,
        diagnostics={
            **found.diagnostics,
            **origin,
            "null_mean": found.null_mean,
            "null_sd": found.null_sd,
            "per_class": [None if np.isnan(one) else float(one) for one in found.per_class],
            "counts": found.counts.tolist(),
        },
    )


def _projected(inputs: Array, seed: int) -> Array:
    """Return a random projection (n, 1024), which keeps distances within a few per cent."""
    draw = np.random.default_rng(seed)
    result = np.zeros((len(inputs), _PROJECTED), dtype=np.float32)
    for start in range(0, inputs.shape[1], _PROJECTED):
        block = inputs[:, start : start + _PROJECTED].astype(np.float32)
        directions = draw.standard_normal((block.shape[1], _PROJECTED), dtype=np.float32)
        result += block @ directions
    return result / np.float32(_PROJECTED**0.5)
