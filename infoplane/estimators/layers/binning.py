"""Binned information: fixed, adaptive and exact partitions of a layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from infoplane.arrays import LARGE
from infoplane.data import Array, LayerInfo, RunData
from infoplane.errors import InputError
from infoplane.estimators.base import Cost, Estimator
from infoplane.estimators.estimate import BoundName, Estimate
from infoplane.estimators.layers.binned_information import binned_flags
from infoplane.estimators.quantities import HT, ITY, IXT, Quantity
from infoplane.estimators.trust import LEVEL, NORMAL_QUANTILE, noticeable
from infoplane.numerics.discrete.binned import (
    PartitionInformation,
    ProbeSymbols,
    partition_information,
    probe_symbols,
)
from infoplane.numerics.discrete.partitions import partitioned
from infoplane.numerics.discrete.symbols import (
    Symbols,
    is_whole_population,
    jackknife,
    working_precision,
)

RANGES = {
    "Hardsigmoid": (0.0, 1.0),
    "Hardtanh": (-1.0, 1.0),
    "ReLU6": (0.0, 6.0),
    "Sigmoid": (0.0, 1.0),
    "Softmax": (0.0, 1.0),
    "Softsign": (-1.0, 1.0),
    "Tanh": (-1.0, 1.0),
}
"""The values an activation can take, by class name of the module."""


@dataclass(frozen=True)
class Prepared:
    """What the cells of a run, and in ``low`` and ``high`` those of a layer, share."""

    probe: ProbeSymbols
    whole: bool  # the probe set is the whole population of inputs
    low: float | None
    high: float | None
    noisy: bool = False  # the layer declares noise, and no input occurs twice to tell how much


@dataclass(frozen=True)
class Binning(Estimator):
    """Mutual information of a layer whose units are binned.

    Binned activations of a network are a function of its input, so I(X;T) = H(T), and
    I(T;Y) = H(T) + H(Y) - H(T,Y). Where an input occurs with different activations, I(X;T) =
    H(T) + H(X) - H(X,T). What is measured is the network together with the bins.

    Parameters
    ----------
    mode : str, default "ebab"
        Where the edges are. ``ebab`` (or ``adaptive``): equal numbers of distinct values, per layer
        and checkpoint; ``ebab-neuron``: the same per unit; ``quantile``: equal numbers of values;
        ``fixed``: equally spaced over the range of the activation function, or ``low`` to ``high``;
        ``global``: over the range of all layers and checkpoints; ``layer``, ``neuron``: minimum to
        maximum at each checkpoint; ``width``: bins of ``width`` without end.
    bins : tuple of int, default (30,)
        Numbers of bins. Several share one sort and are reported side by side: a claim about
        compression should hold for all of them.
    low, high : float, optional
        Range of ``fixed``; ``low`` of ``ebab`` is the value that has a symbol of its own, by
        default 0 where it is the minimum.
    width : float, default 0.07
        Width of the bins of ``width``.
    permutations : int, default 5
        Permutations of the labels behind the null of I(T;Y).

    Raises
    ------
    InputError
        If a parameter is unfit, or ``fixed`` meets a layer of unknown range without low and high.

    Warnings
    --------
    Wide layers sit at log2 N for every kind of bins: each sample has a state of its own, and the
    value follows the sample (``saturated``, ``sparse``); I(T;Y) is then H(Y) for shuffled labels
    too (``null_dominates``). Narrow layers may sit at the ceiling of the bins, log2 of their number
    for each unit: one unit in adaptive bins does, whatever the layer does. The value depends on the
    bins: adaptive and fixed ones can disagree about compression.

    Notes
    -----
    The interval is that of the delete-one jackknife: sampling error, not bias. It is 0 wide where
    all inputs that exist were recorded, since then there is no sampling. There is none where more
    than half of the samples are alone in their state, since then bias outweighs it. A bias that the
    jackknife finds noticeable is flagged ``biased``. Sampling with
    replacement is not used: copies of a sample look like a state seen twice.

    References
    ----------
    Shwartz-Ziv, Tishby: "Opening the black box of deep neural networks via information", 2017.
    Chelombiev, Houghton, O'Donnell: "Adaptive estimators show information compression in deep
    neural networks", ICLR 2019.
    """

    mode: Literal[
        "ebab",
        "adaptive",
        "ebab-neuron",
        "quantile",
        "fixed",
        "global",
        "layer",
        "neuron",
        "width",
    ] = "ebab"
    bins: tuple[int, ...] = (30,)
    low: float | None = None
    high: float | None = None
    width: float = 0.07
    permutations: int = 5

    name: ClassVar[str] = "binning"
    title: ClassVar[str] = "binning"
    version: ClassVar[str] = "4"
    quantities: ClassVar[tuple[Quantity, ...]] = (IXT, ITY, HT)

    def __post_init__(self) -> None:
        self._expect(min(self.bins, default=0) >= 2, "bins of at least 2", self.bins)
        self._expect(len(set(self.bins)) == len(self.bins), "different bins", self.bins)
        self._expect(0 < self.width < np.inf, "width > 0, and finite", self.width)
        given = [edge for edge in (self.low, self.high) if edge is not None]
        ordered = bool(np.isfinite(given).all() and (np.diff(given) > 0).all())
        found = f"low={self.low}, high={self.high}"
        self._expect(ordered, "low < high, both finite", found)
        self._expect(self.permutations >= 0, "permutations of at least 0", self.permutations)
        if self.mode == "global" and (self.low is not None or self.high is not None):
            raise InputError(
                "binning: mode=global takes its range from the run, got low or high",
                hint="use mode=fixed with low and high",
                code="IP104",
            )

    @property
    def pools(self) -> Literal["nothing", "run"]:
        """The whole run for bins common to it, else nothing."""
        return "run" if self.mode == "global" else "nothing"

    def cost(self, n_samples: int, n_units: int) -> Cost:
        """Return what a cell costs; a sort of the values, then one pass per number of bins."""
        size = n_samples * n_units
        each = 2e-7 * n_samples + 8e-9 * size
        return Cost(3e-4 + len(self.bins) * each, 9 * min(size, LARGE))

    def prepare_run(self, run: RunData, rng: np.random.Generator) -> Prepared:
        """Return labels and inputs as partitions, and for ``global`` the range of the run."""
        low, high = self.low, self.high
        if self.mode == "global":
            low, high = _range_of_run(run)
        return _prepared(run, self.permutations, rng, low, high)

    def prepare_layer(
        self, shared: Prepared, run: RunData, layer: LayerInfo, rng: np.random.Generator
    ) -> Prepared:
        """Return ``shared`` with the range of the layer's activation function for ``fixed``.

        Raises
        ------
        InputError
            If the range of a layer is unknown, and low and high are not given.
        """
        shared = _of_layer(shared, layer)
        if self.mode != "fixed" or (self.low is not None and self.high is not None):
            return shared
        if layer.type not in RANGES:
            raise InputError(
                f"expected low and high for mode=fixed: layer {layer.name!r} of type "
                f"{layer.type!r} has no natural range",
                hint="use mode=global, mode=ebab, or binning:mode=fixed,low=-1,high=1",
                code="IP104",
            )
        low, high = RANGES[layer.type]
        return replace(
            shared,
            low=low if self.low is None else self.low,
            high=high if self.high is None else self.high,
        )

    def estimate(
        self, prepared: Prepared, activations: Array, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        """Return I(X;T), I(T;Y) and H(T) of one cell; ``@bins=`` is added if there are several."""
        partitions = partitioned(
            working_precision(activations),
            "ebab" if self.mode == "adaptive" else self.mode,
            self.bins,
            low=prepared.low,
            high=prepared.high,
            width=self.width,
        )
        found: dict[str, Estimate] = {}
        for partition in partitions:
            info = partition_information(partition, prepared.probe)
            suffix = f"@bins={partition.bins}" if len(self.bins) > 1 and partition.bins else ""
            found |= {
                quantity + suffix: estimate
                for quantity, estimate in _estimates(info, prepared).items()
            }
        return found


@dataclass(frozen=True)
class Exact(Estimator):
    """Mutual information of a layer as it is, without bins.

    For a quantised network this is the information itself. For a network of floating-point numbers
    every input has an activation of its own, and the estimate is log2 of the number of inputs: then
    it only says where the ceiling of the other estimators is.

    Parameters
    ----------
    permutations : int, default 5
        Permutations of the labels behind the null of I(T;Y).

    Warnings
    --------
    Networks of floating-point numbers sit at log2 N; only quantised layers, or layers of few
    distinct values, can be measured.

    References
    ----------
    Lorenzen, Igel, Nielsen: "Information bottleneck: exact analysis of (quantized) neural
    networks", ICLR 2022.
    """

    permutations: int = 5

    name: ClassVar[str] = "exact"
    title: ClassVar[str] = "exact states"
    version: ClassVar[str] = "3"
    quantities: ClassVar[tuple[Quantity, ...]] = (IXT, ITY, HT)

    def __post_init__(self) -> None:
        self._expect(self.permutations >= 0, "permutations of at least 0", self.permutations)

    @property
    def pools(self) -> Literal["nothing"]:
        """Nothing but the probe set."""
        return "nothing"

    def cost(self, n_samples: int, n_units: int) -> Cost:
        """Return what a cell costs; one pass over the rows."""
        return Cost(3e-4 + 2e-7 * n_samples + 1e-10 * n_samples * n_units, 2**22 + 100 * n_samples)

    def prepare_run(self, run: RunData, rng: np.random.Generator) -> Prepared:
        """Return labels and inputs as partitions."""
        return _prepared(run, self.permutations, rng, None, None)

    def prepare_layer(
        self, shared: Prepared, run: RunData, layer: LayerInfo, rng: np.random.Generator
    ) -> Prepared:
        """Return ``shared`` with whether the layer declares noise."""
        return _of_layer(shared, layer)

    def estimate(
        self, prepared: Prepared, activations: Array, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        """Return I(X;T), I(T;Y) and H(T) of one cell."""
        (partition,) = partitioned(working_precision(activations), "exact", (1,))
        return _estimates(partition_information(partition, prepared.probe), prepared)


def _range_of_run(run: RunData) -> tuple[float, float]:
    """Return the least and greatest value of all layers and checkpoints."""
    low, high = np.inf, -np.inf
    for step in run.steps:
        for layer in run.layers:
            values = run.activations(step, layer.name)
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    return (low, high) if low < high else (low, low + 1.0)


def _prepared(
    run: RunData,
    permutations: int,
    rng: np.random.Generator,
    low: float | None,
    high: float | None,
) -> Prepared:
    data = run.probe
    probe = probe_symbols(
        data.n_samples, data.labels, data.known_inputs, permutations=permutations, rng=rng
    )
    return Prepared(probe, is_whole_population(data.known_inputs), low, high)


def _of_layer(shared: Prepared, layer: LayerInfo) -> Prepared:
    declared = layer.noise is not None and layer.noise_in != "none"
    return replace(shared, noisy=declared and shared.probe.inputs is None)


def _estimates(info: PartitionInformation, prepared: Prepared) -> dict[str, Estimate]:
    probe = prepared.probe
    diagnostics: dict[str, Any] = {
        "states": info.n_states,
        "singleton_fraction": info.singleton_fraction,
        "out_of_range": info.out_of_range,
        "edges": _edge_summary(info.edges),
        "whole_population": prepared.whole,
    }
    flags = binned_flags(info)
    x_flags = tuple(flag for flag in flags if flag != "null_dominates")

    def errors(other: Symbols | None, bits: float) -> tuple[float | None, float | None]:
        if prepared.whole:
            return 0.0, 0.0
        if "sparse" in flags or probe.n_samples < 3:
            return None, None
        return jackknife(info.symbols, other, bits)

    def bound(bits: float) -> tuple[float, BoundName]:
        return (info.capacity, "log2_bins") if info.capacity < bits else (bits, "log2_n")

    noisy = ("upper_bound",) if prepared.noisy else ()
    found = {
        "ixt": _estimate(
            info.ixt,
            errors(probe.inputs, info.ixt),
            *bound(probe.ceiling),
            (*x_flags, *noisy),
            diagnostics,
        ),
        "ht": _estimate(
            info.ht,
            errors(None, info.ht),
            *bound(float(np.log2(probe.n_samples))),
            x_flags,
            diagnostics,
        ),
    }
    if info.ity is not None and info.h_y is not None:
        shared = (flag for flag in flags if flag not in ("saturated", "null_dominates"))
        y_flags = ("null_dominates",) if "null_dominates" in flags else ()
        found["ity"] = _estimate(
            info.ity,
            errors(probe.labels, info.ity),
            info.h_y,
            "h_y",
            (*y_flags, *shared),
            diagnostics | {"null": info.null_ity},
        )
    return found


def _estimate(
    bits: float,
    errors: tuple[float | None, float | None],
    bound: float,
    bound_name: BoundName,
    flags: tuple[str, ...],
    diagnostics: dict[str, Any],
) -> Estimate:
    error, bias = errors
    if error is not None and bias is not None and abs(bias) > noticeable(bits, error):
        flags = (*flags, "biased")
    return Estimate(
        bits,
        low=None if error is None else bits - NORMAL_QUANTILE * error,
        high=None if error is None else bits + NORMAL_QUANTILE * error,
        method="none" if error is None else "jackknife" if error else "analytic",
        level=None if error is None else LEVEL,
        bound_low=0.0,
        bound_high=bound,
        bound_name=bound_name,
        flags=flags,
        diagnostics=diagnostics | {"bias": bias},
    )


def _edge_summary(edges: Array | None) -> dict[str, Any] | None:
    """Return number and range of the edges; those of single units are pooled."""
    if edges is None or edges.size == 0:
        return None
    return {"n": len(edges), "low": float(edges.min()), "high": float(edges.max())}
