"""Entropy of attention: over how many keys each head spreads its weights."""

from __future__ import annotations

import numpy as np

from infoplane.data import Array, FloatArray
from infoplane.errors import InputError
from infoplane.numerics.tensors import fetched, is_tensor

_OFF = 1e-2  # by which the weights of a query may miss 1: half precision rounds


def attention_entropy(weights: Array) -> FloatArray:
    """Return the entropy of attention weights in bits, by head.

    That of each query is -sum_j a_j log2 a_j, where 0 log 0 = 0. It is averaged over queries and
    all axes before the heads. With causal masks a query sees at most as many keys as stand before
    it, so the mean is below log2 of the length even where all of them get equal weights.

    Parameters
    ----------
    weights : array (..., n_heads, n_queries, n_keys)
        Weights; those of each query sum to 1.

    Returns
    -------
    array (n_heads,)

    Raises
    ------
    InputError
        If there are fewer than 3 axes, NaN or negative weights, or queries whose weights do not sum
        to 1, as those of a query that sees no key.

    References
    ----------
    Zhai et al.: "Stabilizing Transformer training by preventing attention entropy collapse", ICML
    2023. Jha, Reagen: "Entropy-guided attention for private LLMs", 2025.

    Examples
    --------
    >>> attention_entropy(np.full((1, 1, 4, 4), 0.25)).tolist()
    [2.0]
    """
    values = fetched(weights) if is_tensor(weights) else np.asarray(weights)
    if values.ndim < 3 or 0 in values.shape or values.dtype.kind not in "fiub":
        raise InputError(
            "expected attention weights of shape (..., n_heads, n_queries, n_keys), got "
            f"{values.shape} of {values.dtype}"
        )
    values = values.astype(np.float64)
    with np.errstate(invalid="ignore"):
        off = ~(np.abs(values.sum(axis=-1) - 1.0) <= _OFF)
    below = (values < 0).any(axis=-1)
    if off.any() or below.any():
        raise InputError(
            "expected weights from 0 that sum to 1 for each query, got others in "
            f"{int((off | below).sum())} of {off.size} queries",
            hint="weights are what comes out of the soft-max, not the scores that go in"
            if below.any()
            else "leave out queries that see no key: their weights are NaN or 0",
        )
    heads = np.moveaxis(_entropies(values), -2, 0)
    return np.asarray(heads.reshape(len(heads), -1).mean(axis=1))


def _entropies(weights: FloatArray) -> FloatArray:
    """Return the entropy of each row in bits."""
    logs = np.log2(weights, out=np.zeros_like(weights), where=weights > 0)
    return np.asarray(-(weights * logs).sum(axis=-1)) + 0.0
