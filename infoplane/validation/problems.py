"""A recording in memory together with the information that it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from infoplane.data import Array, IntArray, ProbeSet, Slot
from infoplane.estimators.base import Estimator
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.measure_id import MeasureId

LAYER = "layer"


@dataclass(frozen=True)
class Resolution:
    """At what resolution an estimator looked at a layer, from what it says of its estimates.

    Parameters
    ----------
    parameters : mapping
        Parameters of the estimator.
    noise : float
        Standard deviation of the noise that it added to every unit; 0 if it added none.
    diagnostics : mapping
        Of the estimate in question.
    """

    parameters: Mapping[str, Any]
    noise: float
    diagnostics: Mapping[str, Any]

    @classmethod
    def of_cell(cls, estimator: Estimator, found: Mapping[str, Estimate], key: str) -> Resolution:
        """Return the resolution behind the estimate ``key`` of a cell.

        An estimator that adds noise says so in the diagnostics of one of its estimates: ``noise``
        is the standard deviation, or ``variance`` its square; ``noise_source`` is "recorded" if
        the noise was in the layer already.
        """
        noise = 0.0
        for estimate in (*found.values(), found[key]):
            said = estimate.diagnostics
            if said.get("noise_source") == "recorded":
                continue
            if said.get("noise") is not None:
                noise = float(said["noise"])
            elif said.get("variance") is not None:
                noise = float(said["variance"]) ** 0.5
        return cls(estimator.parameters(), noise, found[key].diagnostics)


Truth: TypeAlias = float | Callable[[Resolution], float | None]
"""Bits that the layer holds; a function where it depends on the resolution, None if unknown."""


def truth_key(estimator: Estimator, quantity: str) -> str:
    """Return under which name a problem keeps the truth about a quantity of an estimator."""
    plain = MeasureId.read(quantity).name
    if estimator.shannon or plain not in ("ixt", "ity"):
        return plain
    return f"{plain}[{estimator.name}]"


@dataclass(frozen=True, eq=False)
class Problem:
    """A layer at one checkpoint, and the truth about it.

    Parameters
    ----------
    inputs : array (n_samples, ...)
        The network's inputs.
    activations : array (n_samples, n_units)
        The layer.
    labels : array of int (n_samples,), optional
        Class ids.
    targets : array (n_samples,), optional
        Real targets.
    noise : float, optional
        Standard deviation of the Gaussian noise that the layer declares to contain.
    truths : mapping of str to Truth
        By quantity. Quantities that are no Shannon information have the measure in brackets:
        ``ixt[renyi]``.
    """

    inputs: Array
    activations: Array
    labels: IntArray | None = None
    noise: float | None = None
    truths: Mapping[str, Truth] = field(default_factory=dict)
    targets: Array | None = None


@dataclass(frozen=True, eq=False)
class ProblemRun:
    """A problem as a run that estimators read."""

    problem: Problem
    device: str | None = None

    @property
    def probe(self) -> ProbeSet:
        """The samples."""
        return ProbeSet(self.problem.inputs, self.problem.labels, self.problem.targets)

    @property
    def steps(self) -> tuple[int]:
        """One checkpoint."""
        return (0,)

    @property
    def layers(self) -> tuple[Slot]:
        """One layer."""
        values = self.problem.activations
        shape, dtype = values.shape[1:], str(values.dtype)
        return (Slot(LAYER, 0, "Identity", shape, dtype, noise=self.problem.noise),)

    def activations(self, step: int, layer: str) -> Array:
        """Return the activations (n_samples, n_units), read-only."""
        values = self.problem.activations.view()
        values.setflags(write=False)
        return values


@dataclass(frozen=True)
class Trial:
    """What estimators are put to; ``make`` draws it with ``n`` samples.

    Parameters
    ----------
    name : str
        How tables call it.
    make : callable
        From sample size and generator to what is measured.
    pairs : bool
        Whether it is about estimators that look at pairs of inputs and activations alone: the layer
        is no function of the input and declares no noise.
    shannon : bool
        Whether it is about Shannon information only.
    quick : bool
        Whether it belongs to the short list.
    """

    name: str
    make: Callable[[int, np.random.Generator], Any]
    pairs: bool = field(default=False, kw_only=True)
    shannon: bool = field(default=True, kw_only=True)
    quick: bool = field(default=True, kw_only=True)


@dataclass(frozen=True)
class Case(Trial):
    """A family of problems of one kind whose answer is known."""
