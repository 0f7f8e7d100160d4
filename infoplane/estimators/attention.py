"""Entropy of attention: over how many keys the heads of a module spread their weights."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from infoplane.data import Array, FloatArray, RunData, SubjectKind
from infoplane.errors import EstimationError
from infoplane.estimators.base import Cost, Estimator
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.quantities import ATTENTION_ENTROPY, ATTENTION_SHARE, Quantity
from infoplane.estimators.trust import LEVEL, NORMAL_QUANTILE

OVERLOADED, COLLAPSED = 0.95, 0.05
"""Shares of the most that there could be, above and below which a head is flagged."""


@dataclass(frozen=True)
class AttentionEntropy(Estimator):
    """Entropy of the attention weights of a module, in bits, and as a share of the most.

    The mean over samples and heads of what was recorded: of each sample and head the mean over its
    queries, padding left out. The share is that of log2 of the keys that a query sees under its
    mask; queries that see one key have none. `heads` of the diagnostics has each head. One is
    overloaded if it spreads its weights almost evenly (share above 0.95), and collapsed if it
    looks at one key almost alone (below 0.05).

    Warnings
    --------
    In bits, modules of different lengths do not compare, and causal ones stay below log2 of the
    length even where they are uniform.

    References
    ----------
    Zhai et al.: "Stabilizing Transformer training by preventing attention entropy collapse", ICML
    2023.
    """

    name: ClassVar[str] = "attention"
    title: ClassVar[str] = "attention entropy"
    quantities: ClassVar[tuple[Quantity, ...]] = (ATTENTION_ENTROPY, ATTENTION_SHARE)
    subject: ClassVar[SubjectKind] = "attention"

    @property
    def pools(self) -> Literal["nothing"]:
        """Nothing: nothing is prepared."""
        return "nothing"

    def prepare_run(self, run: RunData, rng: np.random.Generator) -> None:
        """Return nothing."""
        return

    def cost(self, n_samples: int, n_units: int) -> Cost:
        """Return what a cell costs: a few means."""
        return Cost(1e-3 + 1e-8 * n_samples * n_units, 32 * n_samples * n_units)

    def estimate(
        self, prepared: Any, activations: Array, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        """Return the means of one cell; ``activations`` are (n_samples, n_heads, 2).

        Raises
        ------
        EstimationError
            If they are of another shape, or no sample has a query that counts.
        """
        values = np.asarray(activations, dtype=np.float64)
        if values.ndim != 3 or values.shape[2] != 2:
            raise EstimationError(f"expected (n_samples, n_heads, 2), got {values.shape}")
        entropy, share = values[..., 0], values[..., 1]
        n_out = int(np.isnan(entropy).any(axis=1).sum())
        if n_out == len(values):
            raise EstimationError("no query of any sample sees a key: all are masked")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a head without any value
            heads = np.nanmean(values, axis=0)
        overloaded = np.flatnonzero(heads[:, 1] > OVERLOADED).tolist()
        collapsed = np.flatnonzero(heads[:, 1] < COLLAPSED).tolist()
        told = {
            "heads": _numbers(heads[:, 0]),
            "shares": _numbers(heads[:, 1]),
            "overloaded": overloaded,
            "collapsed": collapsed,
            "left_out": n_out,
        }
        flags = ["overloaded_heads"] * bool(overloaded) + ["collapsed_heads"] * bool(collapsed)
        return {
            "attention_entropy": _mean(entropy, None, flags, told),
            "attention_share": _mean(share, 1.0, flags, told),
        }


def _mean(
    values: FloatArray, most: float | None, flags: list[str], told: Mapping[str, Any]
) -> Estimate:
    """Return the mean over heads and over the samples that have one, with its interval."""
    by_sample = values.mean(axis=1)
    there = by_sample[np.isfinite(by_sample)]
    if not len(there):
        reason = "each query sees one key alone"
        return Estimate(None, flags=("failed",), diagnostics={**told, "reason": reason})
    bits = float(there.mean())
    error = float(there.std(ddof=1) / math.sqrt(len(there))) if len(there) > 1 else 0.0
    return Estimate(
        bits,
        low=bits - NORMAL_QUANTILE * error,
        high=bits + NORMAL_QUANTILE * error,
        method="analytic",
        level=LEVEL,
        bound_low=0.0,
        bound_high=most,
        n=len(there) if len(there) < len(values) else None,
        flags=tuple(flags),
        diagnostics=told,
    )


def _numbers(values: FloatArray) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]
