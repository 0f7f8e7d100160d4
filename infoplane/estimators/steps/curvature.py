"""What was recorded of the curvature of the loss, as estimates with their errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from infoplane.data import Array, RunData, Slot
from infoplane.estimators.base import Cost, Estimator, Reads
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.quantities import CURVATURE, Quantity
from infoplane.estimators.trust import LEVEL, UPPER
from infoplane.step_record import StepRecord

TOP, TRACE, LIMIT, FISHER = (quantity.name for quantity in CURVATURE)


@dataclass(frozen=True)
class _OfCurvature(Estimator):
    """What the estimators of the recorded curvature share."""

    shannon: ClassVar[bool] = False
    reads: ClassVar[Reads] = "step"
    version: ClassVar[str] = "2"

    def cost(self, n_samples: int, n_units: int) -> Cost:
        """Return what reading it costs, whatever the samples are."""
        return Cost(1e-3, 2**20)

    def absent(self, record: StepRecord) -> str:
        """Return that no curvature was recorded, if so."""
        if not record.curvature:
            return "no curvature was recorded; Recorder(..., curvature=loss) keeps it"
        trained = record.curvature.get("n_parameters")
        return "" if trained else "no parameter is trained: all are frozen"


@dataclass(frozen=True)
class Curvature(_OfCurvature):
    """Largest eigenvalue and trace of the Hessian of the loss on the probe set.

    `hessian_top` is found by the Lanczos iteration: an eigenvalue lies within its interval, and it
    is no larger than the largest. `hessian_trace` is the mean over vectors of random signs, with
    its standard error. `stability_limit` is the eigenvalue above which gradient descent diverges on
    a quadratic: 2 / learning rate, with momentum and weight decay as its optimizer has them.

    Warnings
    --------
    All are of the samples that were used and of the loss in evaluation mode: the training loss with
    dropout and batch statistics has another curvature. The unit is loss by squared parameters,
    which another parametrisation of the same network changes.

    References
    ----------
    Cohen et al.: "Gradient descent on neural networks typically occurs at the edge of stability",
    ICLR 2021. Hutchinson, Communications in Statistics 19, 1990.
    """

    name: ClassVar[str] = "curvature"
    title: ClassVar[str] = "curvature"
    quantities: ClassVar[tuple[Quantity, ...]] = CURVATURE[:3]
    subject = "run"

    def estimate(
        self, prepared: None, activations: Array | StepRecord, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        """Return what was recorded at one step; nothing where nothing was."""
        assert isinstance(activations, StepRecord)
        told = activations.curvature
        if not told.get("n_parameters"):
            return {}
        about = {key: value for key, value in told.items() if key != "fisher"}
        n = told.get("n_samples")
        own = [*_of_batches(told), *(["own_derivative"] if told.get("own_derivatives") else [])]
        found = {
            TOP: _within(
                told.get("hessian_top"), told.get("hessian_top_error"), about, n, "bracket",
                *own, *([] if told.get("converged") else ["not_converged"]),
            ),
            TRACE: _within(
                told.get("hessian_trace"),
                _scaled(told.get("hessian_trace_error"), told.get("vectors")),
                about, n, "analytic", *own,
            ),
        }  # fmt: skip
        if told.get("stability_limit") is not None:
            found[LIMIT] = Estimate(told["stability_limit"], n=n, diagnostics=about)
        return found


@dataclass(frozen=True)
class Fisher(_OfCurvature):
    """Trace of the empirical Fisher information of the parameters of a layer.

    `fisher_trace` is the mean square of the gradient of the loss of single samples, with the labels
    as they are. A layer has that of its own parameters and of the modules in it.

    Warnings
    --------
    It is the trace of the Fisher information only where the loss is a log-likelihood and the labels
    are as likely as the model says. Late in training it falls with the gradients. A layer without
    parameters that are trained has no row.

    References
    ----------
    Kunstner, Hennig, Balles: "Limitations of the empirical Fisher approximation for natural
    gradient descent", NeurIPS 2019.
    """

    name: ClassVar[str] = "fisher"
    title: ClassVar[str] = "empirical Fisher"
    quantities: ClassVar[tuple[Quantity, ...]] = CURVATURE[3:]

    def prepare_layer(
        self, shared: None, run: RunData, layer: Slot, rng: np.random.Generator
    ) -> str:
        """Return the module that a layer is of."""
        return re.split(r"[#\[]", layer.name, maxsplit=1)[0]

    def left_out(self, quantity: str) -> str:
        """Return for which layers there is no row."""
        return "layers without parameters that are trained"

    def estimate(
        self, prepared: str, activations: Array | StepRecord, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        """Return the trace of the parameters of one layer and of what it is made of."""
        assert isinstance(activations, StepRecord)
        kept = activations.curvature.get("fisher") or {}
        parts = [
            one
            for name, one in kept.items()
            if name == prepared or not prepared or name.startswith(f"{prepared}.")
        ]
        if not parts:
            return {}
        values = [one["trace"] for one in parts]
        errors = [one["error"] for one in parts]  # of the same samples: they add at most
        value = None if None in values else sum(values)
        error = None if None in errors else sum(errors)
        about = {"kind": "empirical", "n_parameters": sum(one["n_parameters"] for one in parts)}
        n = activations.curvature.get("fisher_samples")
        return {
            FISHER: _within(
                value, _scaled(error, n), about, n, "analytic", *_of_batches(activations.curvature)
            )
        }


def _of_batches(told: Mapping[str, Any]) -> list[str]:
    """Return the flag of a loss whose value depends on the batches."""
    return ["batch_loss"] if told.get("batch_loss") else []


def _scaled(error: float | None, draws: int | None) -> float | None:
    """Return half of the interval of a mean of few draws: Student's quantile times its error."""
    from scipy.special import stdtrit

    if error is None or draws is None or draws < 2:
        return None
    return float(stdtrit(draws - 1, UPPER)) * error


def _within(
    value: float | None,
    half: float | None,
    about: Mapping[str, Any],
    n: int | None,
    method: Literal["bracket", "analytic"],
    *flags: str,
) -> Estimate:
    if value is None:
        reason = "the loss or its derivatives are NaN or inf"
        return Estimate(None, n=n, flags=("nonfinite", *flags), diagnostics={"reason": reason})
    if half is None:
        return Estimate(value, n=n, flags=flags, diagnostics=about)
    low, high = value - half, value + half
    if method == "bracket":
        return Estimate(
            value, bound_low=low, bound_high=high, bound_name="bracket", n=n, flags=flags,
            diagnostics=about,
        )  # fmt: skip
    return Estimate(
        value, low=low, high=high, method=method, level=LEVEL, n=n, flags=flags, diagnostics=about
    )
