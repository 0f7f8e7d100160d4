"""Information of a layer by critics, with a verdict that says whether to trust it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from infoplane.arrays import rows_of
from infoplane.data import Array, FloatArray, IntArray, RunData, Slot
from infoplane.errors import EstimationError
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.neural_cells import (
    SEEDS,
    Clock,
    LayerNoise,
    NeuralOptions,
    Side,
    columns_of,
    holds_noise,
    side_of,
    told_estimate,
)
from infoplane.estimators.quantities import ITY, IXT, Quantity
from infoplane.numerics.neighbors.label_information import label_entropy
from infoplane.numerics.tensors import Tensor
from infoplane.seeding import generator

_VIEWS = ("auto", "layer", "inputs")


@dataclass(frozen=True, eq=False)
class SharedByRun:
    """What all cells of a run share."""

    rows: IntArray | None  # samples that are used, None for all
    labels: IntArray | None  # of these
    targets: FloatArray | None  # (n, n_targets), where there are no labels
    inputs: Side | None  # where a layer is read beside them
    n: int  # samples that are used
    draws: int  # seed of noise, splits and weights: the same for every cell

    @property
    def used(self) -> int | None:
        """The samples that are used, None if these are all."""
        return None if self.rows is None else self.n


@dataclass(frozen=True, eq=False)
class SharedByLayer:
    """How a layer is measured."""

    run: SharedByRun
    noise: LayerNoise
    beside_inputs: bool  # not beside its own values without noise
    deterministic: bool  # a function of the input, without any noise


@dataclass(frozen=True)
class Neural(NeuralOptions):
    """I(X;T) and I(T;Y) by critics: networks that tell pairs of samples from shuffled pairs.

    A critic is fitted to four fifths of the samples and read on the rest: what it reads there
    bounds the information from below, what it reads where it was fitted lies above that, and the
    truth mostly between both. Parts of the sample of several sizes tell whether more samples would
    read more. The verdict on each value is in its flags and in `diag.verdict`: `reliable`, `lower
    bound only` or `not converged`.

    A layer of a deterministic network holds infinitely many bits of a continuous input. I(X;T) is
    that of the layer with noise, as of `compressed`: c median distances of the layer, unless
    it has noise of its own. I(T;Y) is that of the layer as it is, with class labels or real
    targets.

    Parameters
    ----------
    critic : {"infonce", "gauss", "smile", "mine"}
        ``infonce``: a separable network in the bound InfoNCE. ``gauss``: the density of a normal
        distribution in the same bound, without any training. ``smile`` and ``mine`` are no bounds:
        diagnostics, for comparison with what was published.
    noise : float or None
        Standard deviation of the noise that is added for I(X;T). None: ``c`` median distances of
        the cell. 0: none, the layer as it was recorded. A layer that holds noise of its own gets no
        other.
    c : float or None
        Noise in median distances; None as of `compressed`: 0.25 from 2000 samples on, 0.3 from
        1000, 0.35 from 250, 0.4 below.
    protocol : bool
        Whether parts of the sample are fitted as well. Without them a cell takes half the time,
        and there is less to tell whether it can be trusted.
    seconds : float or None
        CPU time of a cell. What does not fit into it is left out, and flagged ``timeout``.
    max_samples : int, default 5000
        More samples are subsampled, once for the whole run, classes keeping their shares.
    view : {"auto", "layer", "inputs"}
        What stands for the input. ``layer``: the layer without the noise, which is all that the
        noisy one can tell of the input, if the layer is a function of it. ``inputs``: the recorded
        inputs, of more than 128 numbers 64 principal components. ``auto`` is ``inputs`` where the
        layer is random or holds noise, and with ``noise=0``.

    Raises
    ------
    InputError
        If a parameter is unfit.

    Warnings
    --------
    A bound of n samples read shows log2 n bits at most; near that it is flagged ``saturated``. A
    critic that misses a fine structure is not always told from one that found all there is.

    References
    ----------
    The bound: van den Oord et al., "Representation learning with contrastive predictive coding",
    2018; Poole et al., "On variational bounds of mutual information", ICML 2019. The protocol:
    Abdelaleem, Martini, Nemenman, arXiv 2506.00330. ``mine``: Belghazi et al., ICML 2018.
    ``smile``: Song, Ermon, ICLR 2020.
    """

    view: str = "auto"

    name: ClassVar[str] = "neural"
    title: ClassVar[str] = "neural critic"
    quantities: ClassVar[tuple[Quantity, ...]] = (IXT, ITY)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._expect(self.view in _VIEWS, f"a view of {', '.join(_VIEWS)}", repr(self.view))

    @property
    def reads_inputs(self) -> bool:
        """Whether I(X;T) is measured between inputs and activations, whatever the layer."""
        return self.view == "inputs"

    def prepare_run(self, run: RunData, rng: np.random.Generator) -> SharedByRun:
        """Choose the samples; make columns of the inputs, where a layer is read beside them."""
        probe = run.probe
        rows, draws = self.chosen_rows(probe, rng), int(rng.integers(SEEDS))
        n = probe.n_samples if rows is None else len(rows)
        inputs, labels, targets = None, probe.labels, None
        known = probe.known_inputs
        if known is not None and any(self._beside_inputs(layer) for layer in run.layers):
            flat = rows_of(known.reshape(probe.n_samples, -1), rows)
            inputs = columns_of(flat, rng)
        if labels is not None:
            labels = rows_of(labels, rows)
        elif probe.targets is not None:
            targets = np.asarray(rows_of(probe.targets, rows), dtype=np.float64).reshape(n, -1)
        return SharedByRun(rows, labels, targets, inputs, n, draws)

    def _beside_inputs(self, layer: Slot) -> bool:
        if self.view != "auto":
            return self.view == "inputs"
        return self.noise == 0.0 or layer.random or holds_noise(layer)

    def prepare_layer(
        self, shared: SharedByRun, run: RunData, layer: Slot, rng: np.random.Generator
    ) -> SharedByLayer:
        """Return how a layer is measured: with which noise, beside what."""
        noise = self.noise_of(layer, shared.n)
        sure = layer.random or self.view == "inputs" or noise.source != "none"
        return SharedByLayer(shared, noise, self._beside_inputs(layer), not sure)

    def estimate(
        self, prepared: SharedByLayer, activations: Array, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        """Return I(X;T) and, with labels or targets, I(T;Y) of one cell."""
        run = prepared.run
        known = run.labels if run.labels is not None else run.targets
        clock = Clock(self.seconds, 1 if known is None else 2)
        values = rows_of(activations, run.rows)
        told = {} if known is None else {ITY.name: self._of_labels(prepared, values, known, clock)}
        if prepared.beside_inputs and run.inputs is None:  # the run does not hold them
            return told
        return {IXT.name: self._of_inputs(prepared, values, clock), **told}

    def _of_labels(
        self, prepared: SharedByLayer, values: Tensor, known: Array, clock: Clock
    ) -> Estimate:
        """Return I(T;Y) of the layer as the network has it, without noise of the analysis."""
        run, rng = prepared.run, generator(prepared.run.draws, "labels")
        layer = columns_of(values, rng, told={"noise": 0.0})
        columns, told = layer.clean, dict(layer.told)
        if prepared.noise.source == "network":
            told["noise"] = prepared.noise.size
            columns = columns + prepared.noise.size * rng.standard_normal(columns.shape)
        found = self.measured(columns, known, int(rng.integers(SEEDS)), clock, values)
        entropy = None if run.labels is None else label_entropy(run.labels)
        return told_estimate(found, told, layer.flags, used=run.used, bound=(entropy, "h_y"))

    def _of_inputs(self, prepared: SharedByLayer, values: Tensor, clock: Clock) -> Estimate:
        """Return I(X;T) of the layer with its noise."""
        run, rng = prepared.run, generator(prepared.run.draws, "inputs")
        try:
            layer = side_of(values, prepared.noise, rng)
        except EstimationError as error:
            return Estimate(None, flags=("below_resolution",), diagnostics={"reason": str(error)})
        view, told = layer.clean, {**layer.told, "view": "layer"}
        flags = layer.flags + ("deterministic",) * prepared.deterministic
        if prepared.beside_inputs:
            assert run.inputs is not None
            view, flags = run.inputs.clean, flags + run.inputs.flags
            told |= {"view": "inputs", "inputs": run.inputs.told}
        found = self.measured(view, layer.noisy, int(rng.integers(SEEDS)), clock, values)
        return told_estimate(
            found,
            told,
            flags,
            used=run.used,
            lost=layer.lost,
            bound=(found.ceiling, "log2_n"),
            setting=prepared.noise.setting,
        )
