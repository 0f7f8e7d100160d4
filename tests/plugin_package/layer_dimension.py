"""A plug-in as somebody else would write it: the spread ratio of a layer."""

from dataclasses import dataclass

import numpy as np

from infoplane import Estimate, Estimator, Flag, Quantity


@dataclass(frozen=True)
class LayerDimension(Estimator):
    """Participation ratio of the covariance of a layer: (sum s)^2 / sum s^2 of its eigenvalues s.

    Parameters
    ----------
    centred : bool, default True
        Whether the mean is taken off.
    """

    centred: bool = True

    name = "spread"
    title = "spread ratio"
    quantities = (Quantity(name="spread_ratio", symbol="SR", unit="dimensions"),)
    flags = (
        Flag("one_direction", "IP290", "the layer varies along one line", "look at its units"),
    )

    def estimate(self, prepared, activations, rng):
        x = np.asarray(activations, dtype=np.float64)
        if self.centred:
            x = x - x.mean(axis=0)
        s = np.linalg.svd(x, compute_uv=False) ** 2
        ratio = float(s.sum() ** 2 / (s**2).sum())
        flags = ("one_direction",) if ratio < 1.05 else ()
        return {"spread_ratio": Estimate(ratio, bound_high=float(len(s)), flags=flags)}
