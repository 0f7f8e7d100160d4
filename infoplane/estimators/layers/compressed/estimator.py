"""Compressed estimator: project a layer, add or use its noise, bracket what is left."""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from infoplane.arrays import rows_of
from infoplane.data import Array, IntArray, LayerInfo, RunData
from infoplane.errors import InputError
from infoplane.estimators.base import Cost, Estimator
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.layers.compressed.bracket_estimates import (
    SWEEP,
    BracketOptions,
    Noise,
    bracket_cell,
    fixed_noise,
    resolution,
    seen,
)
from infoplane.estimators.layers.compressed.estimates import CellOptions, refused
from infoplane.estimators.layers.compressed.information import (
    RELATIVE_NOISE,
    basis_hash,
    check_options,
    check_relative,
    mode_of,
    options_of_codes,
)
from infoplane.estimators.layers.compressed.noise_estimates import noise_estimates
from infoplane.estimators.layers.compressed.target_estimates import (
    classes_of_targets,
    of_targets,
)
from infoplane.estimators.layers.compressed.two_views import view_estimates
from infoplane.estimators.quantities import (
    ITY,
    IXT,
    IXT_FIXED,
    IXT_GIVEN_Y,
    IXT_SCALE,
    SIZE,
    Quantity,
)
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
_BRACKET_SAMPLES = 3_000
_MOST_SAMPLES = 20_000
_NO_FIXED_NOISE = (
    "no fixed noise is known of this layer: it does not vary at the last checkpoint, or the "
    "results whose settings are repeated do not have it"
)
_TRIAL_CHECKPOINTS = 4  # checkpoints at which a dimension is tried


@dataclass(frozen=True)
class SharedByGroup:
    """What all runs of a group share: what makes their numbers comparable."""

    c: tuple[float, ...]  # noise in median distances
    fixed: Mapping[str, float]  # standard deviation of the noise of each layer, for all its cells

    @property
    def kept(self) -> dict[str, Any]:
        """What the results keep of it."""
        return {"content": "noise of a group", "c": list(self.c), "sigma": dict(self.fixed)}

    @cached_property
    def id(self) -> str:
        """Hash of what is kept."""
        return hashlib.sha256(json.dumps(self.kept, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class SharedByRun:
    """What all cells of a run share."""

    group: SharedByGroup
    rows: IntArray | None  # samples that are used, if not all
    labels: IntArray | None  # of those samples
    of_targets: bool  # whether the labels are classes of real targets
    noise: float | None  # that is added in the mode neighbors where none is declared
    declared: tuple[str, ...]  # layers with noise of their own
    inputs: InputCode | None  # in the modes that compress the inputs


@dataclass(frozen=True)
class BracketOfLayer:
    """What all checkpoints of a layer share that is bracketed."""

    run: SharedByRun
    fixed: float | None  # standard deviation of its noise in all runs and steps of the group
    upstream_noise: bool


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
    """Information of a layer with Gaussian noise, between two bounds.

    A layer of a deterministic network holds infinitely many bits of a continuous input. What is
    estimated is I(X; T + noise): noise is added to the recorded activations, never fed forward. By
    default its standard deviation is c times the median distance between two samples of the layer
    at that checkpoint. Multiplying a layer by a number then changes nothing; its size is a quantity
    of its own, and ``ixt_fixed`` holds one noise for each layer over all runs and steps of a group.

    Parameters
    ----------
    mode : {"auto", "bracket", "neighbors", "joint", "ksg"}
        How I(X;T) is estimated: by two bounds from all distances (``bracket``); by distances to
        neighbours in a low-dimensional code; or from the codes of layer and inputs. ``auto`` is
        ``bracket``, but ``neighbors`` for layers with declared noise, and where an option of it
        is given: ``dim``, ``k``, ``basis`` or ``cross_check``. ``noise`` is an older name of
        ``neighbors``.
    noise : float, "relative", "fixed" or None
        Standard deviation of the added noise: c median distances of the cell (None, "relative"),
        c median distances of the layer at the last checkpoint, one for all runs of the group
        ("fixed"), or a number. In the mode ``neighbors`` None is 0.1 times the median over layers
        of the root mean square of the activations at the last checkpoint, and "relative" 0.1
        times that of each cell.
    c : tuple of float or None
        Noise in median distances; with several, each is reported on its own. None: by the samples,
        0.25 from 2000 on, 0.3 from 1000, 0.35 from 250, 0.4 below.
    dim : int or "auto"
        Dimension of the code, of the modes that have one.
    k : int or None
        Neighbours; None for 20, or 40 from 8 dimensions on.
    folds : int
        Disjoint folds of the interval, where it comes from folds.
    draws : int
        Draws of added noise to average over; a cell takes that many times as long.
    noise_scale : tuple of float
        Factors on the noise; with several, each is reported on its own.
    basis : {"pooled", "checkpoint"}
        Whether the code of a layer has one basis for all checkpoints or each its own.
    max_samples : int or None
        Samples used at most; above, a random subset. None: 3000 for brackets, 20,000 otherwise.
    population : {"sampled", "recorded"}
        Whether the recorded inputs are a sample, or all there are. With all of them the lower
        bound is I(X;T) itself, and no more than log2(n_samples). All are used then, up to 20,000
        or ``max_samples``; with more it is refused.
    cross_check : bool
        Whether to give second values in the mode ``neighbors``: I(X;T) by neighbour counts from
        at most 1000 samples, and I(X;T|Y) class by class.
    seed : int or None
        Seed of the subset of samples of a bracket, the same for all runs of one probe set. None is
        that of the analysis.

    Raises
    ------
    InputError
        If a parameter is out of range.

    Notes
    -----
    Of real targets ``ity`` is that of ten classes of them, fewer below 400 samples: a lower bound
    (``classes_of_targets``).

    Warnings
    --------
    The noise is that of the analysis, not of the network: c says how finely a layer is looked at.
    Bounds more than 0.5 bit apart are flagged (``wide_bracket``), above 1 bit there is no value.
    In the mode ``neighbors`` what the projection leaves out is lost (``large_compression_loss``),
    and above log2 N a density is extrapolated (``finite_population``).

    References
    ----------
    The idea of compression: Butakov et al., "Information bottleneck analysis of deep neural
    networks via lossy compression", ICLR 2024. Added noise: Goldfeld et al., "Estimating
    information flow in deep neural networks", ICML 2019. Both bounds: Poole et al., "On variational
    bounds of mutual information", ICML 2019, where the conditional is known: the lower one of a
    minibatch, and the upper one that leaves each sample out. Neighbours: Ross, PLoS ONE 9 (2014).
    """

    mode: str = "auto"
    noise: float | str | None = None
    dim: int | str = "auto"
    k: int | None = None
    folds: int = 10
    draws: int = 1
    noise_scale: tuple[float, ...] = (1.0,)
    basis: str = "pooled"
    max_samples: int | None = None
    population: str = "sampled"
    cross_check: bool = False
    c: tuple[float, ...] | None = None
    seed: int | None = None

    name: ClassVar[str] = "compressed"
    title: ClassVar[str] = "lossy compression"
    version: ClassVar[str] = "12"
    quantities: ClassVar[tuple[Quantity, ...]] = (
        IXT,
        ITY,
        IXT_GIVEN_Y,
        IXT_FIXED,
        IXT_SCALE,
        SIZE,
    )
    accelerated: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_options(self.mode, self.noise, self.dim, self.k, self.folds, self.draws)
        for name in ("noise_scale", "c"):
            given = getattr(self, name)
            for scale in (1.0,) if given is None else given or (0.0,):
                if not (math.isfinite(scale) and scale > 0.0):
                    raise InputError(f"expected {name} above 0, got {scale:g}")
        check_relative(self.c, self.noise, self._mode)
        if self.c is not None and len(self.c) > 1 and len(self.noise_scale) > 1:
            raise InputError("expected several values of c or of noise_scale, got both")
        if self.noise == "fixed" and self._mode != "bracket":
            raise InputError(f"expected mode=bracket with noise=fixed, got mode={self._mode}")
        if self.basis not in ("pooled", "checkpoint"):
            raise InputError(f"expected basis 'pooled' or 'checkpoint', got {self.basis!r}")
        if self.population not in ("sampled", "recorded"):
            raise InputError(
                f"expected population 'sampled' or 'recorded', got {self.population!r}"
            )
        if self.max_samples is not None and self.max_samples < SMALLEST_SAMPLE:
            raise InputError(
                f"expected max_samples of at least {SMALLEST_SAMPLE}, got {self.max_samples}"
            )

    @property
    def _mode(self) -> str:
        asked = options_of_codes(
            dim=self.dim, k=self.k, basis=self.basis, cross_check=self.cross_check
        )
        return mode_of(self.mode, asked)

    @property
    def _most_samples(self) -> int:
        if self.max_samples is not None:
            return self.max_samples
        sampled = self._mode == "bracket" and self.population == "sampled"
        return _BRACKET_SAMPLES if sampled else _MOST_SAMPLES

    @property
    def pools(self) -> Literal["nothing", "layer", "run", "group"]:
        """What the noise and the basis of a layer are made of."""
        if self._mode == "bracket":
            return "nothing" if isinstance(self.noise, int | float) else "group"
        return "layer" if isinstance(self.noise, int | float) else "run"

    @property
    def reads_inputs(self) -> bool:
        """Whether I(X;T) is measured between inputs and activations."""
        return self.mode in ("joint", "ksg")

    def samples_used(self, n_samples: int) -> int:
        """Return how many of the samples a cell uses.

        Raises
        ------
        InputError
            If all inputs there are were to be used, and are too many.
        """
        most = self._most_samples
        if self.population == "recorded" and n_samples > most:
            raise InputError(
                f"expected population=recorded with all {n_samples} samples, got at most {most}",
                hint=f"give max_samples={n_samples}, or population=sampled",
            )
        return min(n_samples, most)

    def cost(self, n_samples: int, n_units: int) -> Cost:
        """Return what a cell costs: all distances, or a projection and neighbours of the code."""
        m = min(n_samples, self._most_samples)
        if self._mode == "bracket":
            seconds = 0.02 + 1.6e-8 * m**2 * self.draws + 8e-8 * m * n_units
            return Cost(seconds, 2**26 + min(12 * m * n_units, 2**31) + 600 * m)
        seconds = 8e-3 + 1.1e-5 * m + 1.2e-8 * m**2 + 5e-9 * m * n_units
        memory = 2**25 + 4000 * m + 2000 * n_units
        return Cost(seconds, memory + 2**26 * (m >= 1000), torch=m >= 1000)

    def prepare_group(self, runs: Sequence[RunData], rng: np.random.Generator) -> SharedByGroup:
        """Return the one resolution of the group, and the fixed noise of each of its layers."""
        if self._mode != "bracket":
            return SharedByGroup((), {})
        fewest = min(self.samples_used(run.probe.n_samples) for run in runs)
        c = self.c or (resolution(fewest),)
        medians: dict[str, list[float]] = defaultdict(list)
        if not isinstance(self.noise, int | float):
            for run in runs:
                rows = self._rows(run.probe.n_samples)
                for layer in run.layers:
                    if found := _last_median(run, layer, rows):
                        medians[layer.name].append(found)
        return SharedByGroup(c, {name: fixed_noise(found, c[0]) for name, found in medians.items()})

    def artifacts(self, shared: SharedByRun) -> dict[str, dict[str, Any]]:
        """Return the noise that the runs of the group have in common."""
        group = shared.group
        return {group.id: group.kept} if self.pools == "group" and group.c else {}

    def restored(self, kept: Mapping[str, Any]) -> SharedByGroup:
        """Return the noise of a group, as it was kept.

        Raises
        ------
        InputError
            If it is not what is kept here.
        """
        c: Any = kept.get("c")
        sigma: Any = kept.get("sigma")
        try:
            return SharedByGroup(tuple(map(float, c)), {k: float(v) for k, v in sigma.items()})
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError("expected the noise of a group, with its c and sigma") from error

    def prepare_run(self, run: RunData, rng: np.random.Generator) -> SharedByRun:
        """Return what the cells of a run share that is a group of its own."""
        return self.prepare_member(None, run, rng)

    def prepare_member(
        self, shared: SharedByGroup | None, run: RunData, rng: np.random.Generator
    ) -> SharedByRun:
        """Return labels, rows and, for neighbours, the one size of noise of the run."""
        if shared is None:  # a group of its own
            shared = self.prepare_group([run], rng)
        declared = tuple(layer.name for layer in run.layers if layer.noise is not None)
        noise = None
        if isinstance(self.noise, int | float):
            noise = float(self.noise)
        elif self._mode != "bracket":
            sizes = [root_mean_square(run.activations(run.steps[-1], x.name)) for x in run.layers]
            noise = RELATIVE_NOISE * float(np.median(sizes)) or 1.0
        n, labels, targets, rows = run.probe.n_samples, run.probe.labels, run.probe.targets, None
        if self.samples_used(n) < n:
            rows = self._rows(n, rng if self._mode != "bracket" else None)
            labels = None if labels is None else labels[rows]
            targets = None if targets is None else targets[rows]
        if binned := labels is None and targets is not None:
            labels = classes_of_targets(targets)
        code = None
        if self.reads_inputs:
            if run.probe.known_inputs is None:
                raise InputError(
                    f"compressed: mode={self.mode} compares layers with the inputs, which the run "
                    "does not hold",
                    hint="leave the mode out: the layer alone tells what it keeps",
                )
            code = compressed_inputs(run.probe.inputs, int(rng.integers(2**31)), run.device)
            if rows is not None:
                code = replace(code, values=code.values[rows])
        return SharedByRun(shared, rows, labels, binned, noise, declared, code)

    def _rows(self, n: int, rng: np.random.Generator | None = None) -> IntArray:
        """Return the samples that are used, the same for all runs of one probe set without rng."""
        drawn = generator(self.seed or 0, "rows", n) if rng is None else rng
        return np.sort(drawn.permutation(n)[: self._most_samples])

    def prepare_layer(
        self, shared: SharedByRun, run: RunData, layer: LayerInfo, rng: np.random.Generator
    ) -> SharedByLayer | BracketOfLayer:
        """Return the noise of a layer; for neighbours the basis and the dimension of its code."""
        before = {other.name for other in run.layers[: layer.index] if other.noise_in != "none"}
        upstream = bool(before & set(shared.declared))
        if self._mode == "bracket" and layer.noise is None:
            return BracketOfLayer(shared, shared.group.fixed.get(layer.name), upstream)
        rows = np.arange(run.probe.n_samples) if shared.rows is None else shared.rows
        each = max(2, _BASIS_SAMPLES // len(run.steps))
        fitted = rows if len(rows) <= each else rows[:: -(-len(rows) // each)]

        def chunks() -> Iterator[Array]:
            for step in run.steps:
                yield from row_chunks(rows_of(run.activations(step, layer.name), fitted))

        kept = min(KEPT_COMPONENTS, layer.n_units, len(fitted) * len(run.steps))
        basis = streaming_basis(chunks, layer.n_units, kept, rng)
        noise = shared.noise if layer.noise is None else layer.noise
        assert noise is not None
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
        return SharedByLayer(
            run=shared,
            basis=basis,
            dim=dim,
            noise=noise,
            noisy=None if layer.noise is not None else False,
            upstream_noise=upstream,
            diagnostics={
                "basis": basis_hash(basis),
                "basis_steps": len(run.steps),
                "reduction": layer.reduction,
                "stability": stability([trials[-1]], dim, noise, contained),
            },
        )

    def estimate(
        self,
        prepared: SharedByLayer | BracketOfLayer,
        activations: Array,
        rng: np.random.Generator,
    ) -> Mapping[str, Estimate]:
        """Return I(X;T), I(T;Y) and I(X;T|Y) of one cell in bits, without labels I(X;T) alone.

        With relative noise also I(X;T) at fixed noise, what of it is scale, and the size.
        """
        if isinstance(prepared, BracketOfLayer):
            bracketed = self._bracketed(prepared, rows_of(activations, prepared.run.rows), rng)
            return _told(bracketed, prepared.run)
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
            return _told(found, run)
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
        return _told(found, run)

    def _bracketed(
        self, prepared: BracketOfLayer, activations: Array, rng: np.random.Generator
    ) -> dict[str, Estimate]:
        run = prepared.run
        sizes = run.group.c
        relative = not isinstance(self.noise, int | float)
        swept = len(sizes) > 1
        if self.noise == "fixed":
            if not prepared.fixed:
                return refused(run.labels, _NO_FIXED_NOISE, "constant")
            # One standard deviation for each c, all in proportion to the first.
            sizes = tuple(c / sizes[0] * prepared.fixed for c in sizes)
        elif run.noise is not None:
            sizes = (run.noise,)
        relative = relative and self.noise != "fixed"
        main = {
            _point("c", self.c or (), i)
            if swept
            else _point("noise_scale", self.noise_scale, j): Noise(size * scale, relative)
            for i, size in enumerate(sizes)
            for j, scale in enumerate(self.noise_scale)
        }
        near = (
            ()
            if len(main) > 1 or not relative
            else tuple(
                Noise(share * noise.size, True) for share in SWEEP for noise in main.values()
            )
        )
        first = next(iter(main.values()))
        fixed = Noise(prepared.fixed, False) if relative and prepared.fixed else None
        noises = dict.fromkeys([*main.values(), *near, *([fixed] if fixed else [])])
        options = BracketOptions(self.population == "recorded", self.draws, prepared.upstream_noise)
        cell = bracket_cell(activations, run.labels, list(noises), options, rng)
        if isinstance(cell, dict):
            return cell | ({"ixt_fixed": cell["ixt"]} if relative else {})
        found: dict[str, Estimate] = {}
        for point, noise in main.items():
            for name, told in cell.estimates(noise).items():
                by_c = {"by_c": cell.swept(name, near)} if near else {}
                diagnostics = {**told.diagnostics, **by_c}
                if name == "ixt" and self.pools == "group":
                    diagnostics["shared_sha256"] = run.group.id
                told = replace(told, diagnostics=diagnostics)
                found[name + point] = _at_fixed(told) if self.noise == "fixed" else told
        if relative:
            found["size"] = cell.size
        if fixed is not None and len(main) == 1:
            at_fixed = cell.estimates(fixed)["ixt"]
            found["ixt_fixed"] = _at_fixed(at_fixed)
            found["ixt_scale"] = _scale_part(cell.estimates(first)["ixt"], at_fixed)
        return found

    def _code(self, basis: PrincipalBasis, activations: Array, dim: int) -> Code:
        scores, residual = basis.project(activations)
        return Code(scores, dim, basis.n_units, residual)


def _point(name: str, values: tuple[float, ...], at: int) -> str:
    """Return what marks the point of a sweep, nothing where there is none."""
    return f"@{name}={values[at]:g}" if len(values) > 1 else ""


def _last_median(run: RunData, layer: LayerInfo, rows: IntArray) -> float | None:
    """Return the median distance of a layer at the last step, None if it does not vary."""
    if len(rows) < SMALLEST_SAMPLE:
        return None
    labels = None if run.probe.labels is None else run.probe.labels[rows]
    found, _ = seen(rows_of(run.activations(run.steps[-1], layer.name), rows), labels)
    return found.median if found is not None and found.median > found.spacing else None


def _at_fixed(told: Estimate) -> Estimate:
    """Return an estimate at fixed noise: that little of a small layer is left is what it shows."""
    return replace(told, flags=tuple(flag for flag in told.flags if flag != "degenerate"))


def _scale_part(shape: Estimate, fixed: Estimate) -> Estimate:
    """Return what the size of the layer adds to I(X;T) at fixed noise."""
    if shape.bits is None or fixed.bits is None:
        missing = shape if shape.bits is None else fixed
        reason = missing.diagnostics.get("reason", "one of both values is missing")
        return Estimate(
            None,
            flags=("wide_bracket",),
            diagnostics={"reason": reason},
            bound_name="bracket",
            setting=fixed.setting,
        )
    flags = tuple(flag for flag in fixed.flags if flag == "wide_bracket")
    return Estimate(fixed.bits - shape.bits, flags=flags, setting=fixed.setting)


def _with_diagnostics(
    found: Mapping[str, Estimate], more: Mapping[str, Any]
) -> dict[str, Estimate]:
    ixt = found["ixt"]
    return {**found, "ixt": replace(ixt, diagnostics={**ixt.diagnostics, **more})}


def _told(found: dict[str, Estimate], run: SharedByRun) -> dict[str, Estimate]:
    """Return estimates that say which samples and which labels they are of."""
    if run.of_targets and run.labels is not None:
        found = of_targets(found, len(np.unique(run.labels)))
    if run.rows is None:
        return found
    return {
        name: replace(value, n=len(run.rows), flags=(*value.flags, "subsampled"))
        for name, value in found.items()
    }
