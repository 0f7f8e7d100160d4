"""Compressed estimator: project a layer, add or use its noise, measure by neighbour distances."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from infoplane.arrays import rows_of
from infoplane.data import Array, IntArray, LayerInfo, RunData
from infoplane.errors import InputError
from infoplane.estimators.base import Cost, Estimator
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.layers.compressed.estimates import CellOptions
from infoplane.estimators.layers.compressed.information import (
    RELATIVE_NOISE,
    basis_hash,
    check_options,
)
from infoplane.estimators.layers.compressed.noise_estimates import noise_estimates
from infoplane.estimators.layers.compressed.two_views import view_estimates
from infoplane.estimators.quantities import ITY, IXT, IXT_GIVEN_Y, Quantity
from infoplane.estimators.trust import LARGE_LOSS
from infoplane.numerics.codes import (
    KEPT_COMPONENTS,
    Code,
    choose_dim,
    holds_noise,
    root_mean_square,
    stability,
)
from infoplane.numerics.neighbors.noise_channel import SMALLEST_SAMPLE
from infoplane.numerics.networks.view_codes import InputCode, compressed_inputs, view_dim
from infoplane.numerics.projection import (
    PrincipalBasis,
    principal_basis,
    row_chunks,
    streaming_basis,
)
from infoplane.seeding import generator

_BASIS_SAMPLES = 20_000  # rows over all checkpoints that the basis of a layer is fitted on
_TRIAL_CHECKPOINTS = 4  # checkpoints at which a dimension is tried


@dataclass(frozen=True, eq=False)
class SharedByRun:
    """What all cells of a run share."""

    rows: IntArray | None  # samples that are used, if not all
    labels: IntArray | None  # of those samples
    noise: float  # standard deviation of the noise that is added where none is declared
    declared: tuple[str, ...]  # layers with noise of their own
    inputs: InputCode | None  # in the modes that compress the inputs


@dataclass(frozen=True, eq=False)
class SharedByLayer:
    """What all checkpoints of a layer share."""

    run: SharedByRun
    basis: PrincipalBasis
    dim: int
    noise: float
    noisy: bool | None
    upstream_noise: bool
    diagnostics: Mapping[str, Any]


@dataclass(frozen=True)
class Compressed(Estimator):
    """Information of wide layers with Gaussian noise, through a low-dimensional code.

    A layer of a deterministic network holds infinitely many bits of a continuous input. The
    estimate is I(X; T + noise): noise of one absolute size for all layers and checkpoints of a run
    is added to the recorded activations, never fed forward. Layers with declared noise use theirs.

    Parameters
    ----------
    mode : {"auto", "noise", "joint", "ksg"}
        How I(X;T) is estimated.
    noise : float, "relative" or None
        Standard deviation of the added noise. None: 0.1 times the median over layers of the root
        mean square of the activations at the last checkpoint. ``relative``: 0.1 times that of each
        cell; changes of scale are then invisible.
    dim : int or "auto"
        Dimension of the code.
    k : int or None
        Neighbours; None for 20, or 40 from 8 dimensions on.
    folds : int
        Disjoint folds of the interval.
    draws : int
        Draws of added noise to average over; a cell takes that many times as long.
    noise_scale : tuple of float
        Factors on the noise; with several, each is reported on its own.
    basis : {"pooled", "checkpoint"}
        Whether a layer has one basis for all checkpoints or each its own.
    max_samples : int
        Samples used at most; above, a random subset.
    population : {"sampled", "recorded"}
        Whether the recorded inputs are a sample, or all there are. A sample lets I(X;T) exceed
        log2(n_samples), which is flagged; with all inputs recorded it cannot.
    cross_check : bool
        Whether to give second values: I(X;T) by neighbour counts from at most 1000 samples, and
        I(X;T|Y) class by class.

    Raises
    ------
    InputError
        If a parameter is out of range.

    Warnings
    --------
    What the projection leaves out is lost: the value is a lower bound where the bound on the loss
    is large (``large_compression_loss``). Above log2 N a density is extrapolated
    (``finite_population``). The noise is that of the analysis, not of the network.

    References
    ----------
    Butakov et al., "Information bottleneck analysis of deep neural networks via lossy
    compression", ICLR 2024; Goldfeld et al., "Estimating information flow in deep neural
    networks", ICML 2019; Ross, PLoS ONE 9 (2014).
    """

    mode: str = "auto"
    noise: float | str | None = None
    dim: int | str = "auto"
    k: int | None = None
    folds: int = 10
    draws: int = 1
    noise_scale: tuple[float, ...] = (1.0,)
    basis: str = "pooled"
    max_samples: int = 20_000
    population: str = "sampled"
    cross_check: bool = False

    name: ClassVar[str] = "compressed"
    title: ClassVar[str] = "lossy compression"
    version: ClassVar[str] = "9"
    quantities: ClassVar[tuple[Quantity, ...]] = (IXT, ITY, IXT_GIVEN_Y)
    accelerated: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_options(self.mode, self.noise, self.dim, self.k, self.folds, self.draws)
        for scale in self.noise_scale or (0.0,):
            if not (math.isfinite(scale) and scale > 0.0):
                raise InputError(f"expected noise_scale above 0, got {scale:g}")
        if self.basis not in ("pooled", "checkpoint"):
            raise InputError(f"expected basis 'pooled' or 'checkpoint', got {self.basis!r}")
        if self.population not in ("sampled", "recorded"):
            raise InputError(
                f"expected population 'sampled' or 'recorded', got {self.population!r}"
            )
        if self.max_samples < SMALLEST_SAMPLE:
            raise InputError(
                f"expected max_samples of at least {SMALLEST_SAMPLE}, got {self.max_samples}"
            )

    @property
    def pools(self) -> Literal["layer", "run"]:
        """All checkpoints of a layer for its basis; of the run for a noise that is not given."""
        return "layer" if isinstance(self.noise, int | float) else "run"

    @property
    def reads_inputs(self) -> bool:
        """Whether I(X;T) is measured between inputs and activations."""
        return self.mode in ("joint", "ksg")

    def cost(self, n_samples: int, n_units: int) -> Cost:
        """Return what a cell costs; a projection and neighbours of the code."""
        m = min(n_samples, self.max_samples)
        seconds = 8e-3 + 1.1e-5 * m + 1.2e-8 * m**2 + 5e-9 * m * n_units
        memory = 2**25 + 4000 * m + 2000 * n_units
        return Cost(seconds, memory + 2**26 * (m >= 1000), torch=m >= 1000)

    def prepare_run(self, run: RunData, rng: np.random.Generator) -> SharedByRun:
        """Return labels and the one size of noise of the run."""
        if isinstance(self.noise, int | float):
            noise = float(self.noise)
        else:
            sizes = [root_mean_square(run.activations(run.steps[-1], x.name)) for x in run.layers]
            noise = RELATIVE_NOISE * float(np.median(sizes)) or 1.0
        declared = tuple(layer.name for layer in run.layers if layer.noise is not None)
        n, labels, rows = run.probe.n_samples, run.probe.labels, None
        if n > self.max_samples:
            rows = np.sort(rng.permutation(n)[: self.max_samples])
            labels = None if labels is None else labels[rows]
        code = None
        if self.reads_inputs:
            code = compressed_inputs(run.probe.inputs, int(rng.integers(2**31)), run.device)
            if rows is not None:
                code = replace(code, values=code.values[rows])
        return SharedByRun(rows, labels, noise, declared, code)

    def prepare_layer(
        self, shared: SharedByRun, run: RunData, layer: LayerInfo, rng: np.random.Generator
    ) -> SharedByLayer:
        """Return the basis fitted on all checkpoints of a layer, and the dimension of its code."""
        rows = np.arange(run.probe.n_samples) if shared.rows is None else shared.rows
        each = max(2, _BASIS_SAMPLES // len(run.steps))
        fitted = rows if len(rows) <= each else rows[:: -(-len(rows) // each)]

        def chunks() -> Iterator[Array]:
            for step in run.steps:
                yield from row_chunks(rows_of(run.activations(step, layer.name), fitted))

        kept = min(KEPT_COMPONENTS, layer.n_units, len(fitted) * len(run.steps))
        basis = streaming_basis(chunks, layer.n_units, kept, rng)
        noise = shared.noise if layer.noise is None else layer.noise
        count = min(_TRIAL_CHECKPOINTS, len(run.steps))
        chosen = np.unique(np.linspace(0, len(run.steps) - 1, count).round().astype(int))
        trials = []
        for index in chosen:
            activations = rows_of(run.activations(run.steps[int(index)], layer.name), fitted)
            trials.append(self._code(basis, activations, 1))
        contained = layer.noise is not None and holds_noise(trials, noise)
        if self.dim != "auto":
            dim = int(self.dim)
        elif shared.inputs is not None:
            dim = max(view_dim(trial.scores) for trial in trials)
        else:
            dim = choose_dim(trials, noise, len(rows), contained, share=LARGE_LOSS)
        dim = min(dim, basis.n_components)
        before = {other.name for other in run.layers if other.index < layer.index}
        return SharedByLayer(
            run=shared,
            basis=basis,
            dim=dim,
            noise=noise,
            noisy=None if layer.noise is not None else False,
            upstream_noise=bool(before & set(shared.declared)),
            diagnostics={
                "basis": basis_hash(basis),
                "basis_steps": len(run.steps),
                "reduction": layer.reduction,
                "stability": stability([trials[-1]], dim, noise, contained),
            },
        )

    def estimate(
        self, prepared: SharedByLayer, activations: Array, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        """Return I(X;T), I(T;Y) and I(X;T|Y) of one cell in bits, without labels I(X;T) alone."""
        run, basis, noise = prepared.run, prepared.basis, prepared.noise
        activations = rows_of(activations, run.rows)
        if self.basis == "checkpoint":
            basis = principal_basis(activations, basis.n_components, rng)
        if self.noise == "relative" and prepared.noisy is False:
            noise = RELATIVE_NOISE * root_mean_square(activations) or noise
        code = self._code(basis, activations, prepared.dim)
        options = CellOptions(
            self.k,
            self.folds,
            self.draws,
            self.cross_check,
            prepared.upstream_noise,
            self.population,
            device=None if isinstance(activations, np.ndarray) else str(activations.device),
        )
        found: dict[str, Estimate] = {}
        if run.inputs is not None:
            pair = view_estimates(code, run.inputs, self.mode, run.labels, options, rng)
            found = _with_diagnostics(pair, {**prepared.diagnostics, "encoder": run.inputs.encoder})
            return _subsampled(found, run.rows)
        seed = int(rng.integers(2**62))
        # Noise that is in the recording has one size only.
        for scale in self.noise_scale if prepared.noisy is False else (1.0,):
            # The same draws at every scale, so that a sweep compares like with like.
            draws = generator(seed, "noise and folds")
            cell = noise_estimates(
                code, scale * noise, run.labels, options, draws, noisy=prepared.noisy
            )
            cell = _with_diagnostics(cell, prepared.diagnostics)
            suffix = f"@noise_scale={scale:g}" if len(self.noise_scale) > 1 else ""
            found.update({name + suffix: value for name, value in cell.items()})
        return _subsampled(found, run.rows)

    def _code(self, basis: PrincipalBasis, activations: Array, dim: int) -> Code:
        scores, residual = basis.project(activations)
        return Code(scores, dim, basis.n_units, residual)


def _with_diagnostics(
    found: Mapping[str, Estimate], more: Mapping[str, Any]
) -> dict[str, Estimate]:
    ixt = found["ixt"]
    return {**found, "ixt": replace(ixt, diagnostics={**ixt.diagnostics, **more})}


def _subsampled(found: dict[str, Estimate], rows: IntArray | None) -> dict[str, Estimate]:
    if rows is None:
        return found
    return {
        name: replace(value, n=len(rows), flags=(*value.flags, "subsampled"))
        for name, value in found.items()
    }
