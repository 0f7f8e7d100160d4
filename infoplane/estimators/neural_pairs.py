"""Information that two layers share, by critics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from infoplane.arrays import rows_of
from infoplane.data import Array, IntArray, RunData, Slot
from infoplane.errors import EstimationError
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.neural_cells import (
    SEEDS,
    Clock,
    LayerNoise,
    NeuralOptions,
    side_of,
    told_estimate,
)
from infoplane.estimators.quantities import ITT, Quantity
from infoplane.seeding import generator


@dataclass(frozen=True, eq=False)
class PairedSamples:
    """What all cells of a run share; of a pair, with the noise of its layers."""

    rows: IntArray | None  # samples that are used, None for all
    n: int
    draws: int  # seed of noise, splits and weights: the same for every cell
    noises: tuple[LayerNoise, ...] = ()
    deterministic: bool = False  # the later layer is a function of what came before


@dataclass(frozen=True)
class NeuralPairs(NeuralOptions):
    """I(Tᵢ;Tⱼ) of every pair of the chosen layers, by critics as of `neural`.

    Both layers get noise of the same number of median distances, unless they have noise of their
    own: what two readers of this resolution would have in common. It is at most the I(X;T) of
    either of them at this noise.

    Parameters
    ----------
    critic : {"infonce", "gauss", "smile", "mine"}
        As of `neural`.
    noise : float or None
        Standard deviation of the noise that both layers get. None: ``c`` median distances of each.
        0: none, the layers as they were recorded. A layer that holds noise of its own gets no
        other.
    c : float or None
        Noise in median distances; None as of `neural`.
    protocol : bool
        Whether parts of the sample are fitted as well.
    seconds : float or None
        CPU time of a cell. What does not fit into it is left out, and flagged ``timeout``.
    max_samples : int, default 5000
        More samples are subsampled, once for the whole run, classes keeping their shares.

    Raises
    ------
    InputError
        If a parameter is unfit.

    Warnings
    --------
    k layers are k (k - 1) / 2 pairs: choose layers and steps. As of `neural`, values near log2 n
    are flagged ``saturated``.

    References
    ----------
    As of `neural`: van den Oord et al., 2018; Poole et al., ICML 2019; Abdelaleem, Martini,
    Nemenman, arXiv 2506.00330.
    """

    name: ClassVar[str] = "neural_pairs"
    title: ClassVar[str] = "neural critic of pairs"
    quantities: ClassVar[tuple[Quantity, ...]] = (ITT,)
    subject = "pair"

    def prepare_run(self, run: RunData, rng: np.random.Generator) -> PairedSamples:
        """Choose the samples."""
        rows, draws = self.chosen_rows(run.probe, rng), int(rng.integers(SEEDS))
        return PairedSamples(rows, run.probe.n_samples if rows is None else len(rows), draws)

    def prepare_pair(self, shared: PairedSamples, layers: tuple[Slot, ...]) -> PairedSamples:
        """Return the noise with which two layers are measured."""
        noises = tuple(self.noise_of(layer, shared.n) for layer in layers)
        return replace(shared, noises=noises, deterministic=noises[-1].source == "none")

    def estimate(
        self,
        prepared: PairedSamples,
        activations: tuple[Array, Array],  # type: ignore[override]  # of a pair
        rng: np.random.Generator,
    ) -> Mapping[str, Estimate]:
        """Return what two layers share."""
        rng, clock = generator(prepared.draws, "pairs"), Clock(self.seconds, 1)
        layers = [rows_of(one, prepared.rows) for one in activations]
        try:
            sides = [
                side_of(one, noise, rng) for one, noise in zip(layers, prepared.noises, strict=True)
            ]
        except EstimationError as error:
            reason = {"reason": str(error)}
            return {ITT.name: Estimate(None, flags=("below_resolution",), diagnostics=reason)}
        found = self.measured(
            sides[0].noisy, sides[1].noisy, int(rng.integers(SEEDS)), clock, layers[0]
        )
        estimate = told_estimate(
            found,
            {"first": sides[0].told, "second": sides[1].told},
            (*sides[0].flags, *sides[1].flags, *["deterministic"] * prepared.deterministic),
            used=None if prepared.rows is None else prepared.n,
            lost=sum(side.lost for side in sides),
            bound=(found.ceiling, "log2_n"),
            setting=next((s for one in prepared.noises if (s := one.setting)), None),
        )
        return {ITT.name: estimate}
