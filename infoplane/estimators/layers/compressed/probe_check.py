"""Whether a held-out probe reads more of the labels from a layer than an estimate says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from infoplane.data import Array, IntArray
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.layers.probe_information import read_labels
from infoplane.estimators.trust import SMALLEST_BITS
from infoplane.numerics.discrete.symbols import row_symbols
from infoplane.numerics.kernels.mixtures import stratified

_FOLDS = 5
_SAMPLES = 2000  # that the probe looks at


def with_probe(ity: Estimate, layer: Array, labels: IntArray, rng: np.random.Generator) -> Estimate:
    """Return I(T;Y), flagged ``below_probe`` if it ends below what a probe reads at least.

    It is as in results of runs with the estimator ``probe``. A probe of at most 2000 samples is
    asked, and only where it could say so.

    Parameters
    ----------
    ity : Estimate
        I(T;Y) of the layer at any noise.
    layer : array (n_samples, n_units)
        Without noise.
    labels : array (n_samples,)
        Class ids.
    rng : numpy.random.Generator
        Draws samples and folds.
    """
    if ity.bits is None:
        return ity
    highest = ity.bits if ity.high is None else ity.high
    symbols = row_symbols(labels[:, None])
    if symbols.entropy < highest + SMALLEST_BITS:
        return ity
    if len(layer) > _SAMPLES:
        some = stratified(symbols, len(layer), _SAMPLES, rng)
        layer, symbols = layer[some], row_symbols(labels[some][:, None])
    found = read_labels(layer, symbols, None, _FOLDS, 0, rng)
    if found.low is None:
        return ity
    flags = (*ity.flags, "below_probe") if highest < found.low else ity.flags
    told = {"bits": found.bits, "low": found.low, "flags": found.flags}
    return replace(ity, flags=flags, diagnostics={**ity.diagnostics, "probe": told})
