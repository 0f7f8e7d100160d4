"""The information bottleneck curve of a known joint distribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infoplane.arrays import sortable
from infoplane.data import Array, FloatArray
from infoplane.errors import InputError
from infoplane.numerics.discrete.symbols import row_symbols

EQUAL = 12  # decimals to which two conditional distributions must agree to be one
IMPOSSIBLE = -1e6  # log of a probability of 0; finite, so that 0 times it is 0
BETAS = np.geomspace(1000.0, 0.1, 100)


@dataclass(frozen=True, eq=False)
class BottleneckCurve:
    """The most I(T;Y) that any T can have at a given I(X;T), in bits.

    Parameters
    ----------
    betas : float array (n_betas,)
        Trade-off of each point, descending.
    ixt, ity : float array (n_betas,)
        Points of the curve.
    mutual_information, h_y : float
        I(X;Y) and H(Y).
    h_sufficient : float
        Entropy of the minimal sufficient statistic: where the curve reaches I(X;Y).
    deterministic : bool
        Whether Y is a function of X. Then ``ity = min(ixt, h_y)``, and ``betas`` hold only the
        corners.
    converged : bool array (n_betas,)
        Whether the iteration met its tolerance.
    """

    betas: FloatArray
    ixt: FloatArray
    ity: FloatArray
    mutual_information: float
    h_y: float
    h_sufficient: float
    deterministic: bool
    converged: Array


def information_bottleneck_curve(
    p_xy: Array,
    *,
    betas: Sequence[float] | None = None,
    tolerance: float = 1e-10,
    max_iterations: int = 20_000,
) -> BottleneckCurve:
    """Return the information bottleneck curve of a joint distribution, in bits.

    Inputs of equal p(y|x) are merged, which loses nothing. Then the self-consistent equations
    p(t|x) = p(t) exp(-beta KL[p(y|x) | p(y|t)]) / Z(x) are iterated, from large beta with T = X to
    small beta, each point starting from the one before. Where Y is a function of X the iteration
    collapses to one point for every beta > 1; the curve is then known, min(I(X;T), H(Y)).

    Parameters
    ----------
    p_xy : array (n_x, n_y)
        Joint distribution, sum 1.
    betas : sequence of float, optional
        Trade-offs; by default 100 from 1000 to 0.1. They are taken in descending order.
    tolerance : float, default 1e-10
        Largest change of a p(t|x) at which the iteration stops.
    max_iterations : int, default 20000
        Steps per beta; points that need more are marked in ``converged``.

    Raises
    ------
    InputError
        If ``p_xy`` is no joint distribution, or a beta is not positive.

    References
    ----------
    Tishby, Pereira, Bialek: "The information bottleneck method", 1999, equation 28.

    Examples
    --------
    >>> curve = information_bottleneck_curve([[0.5, 0.0], [0.0, 0.5]])
    >>> curve.deterministic, curve.ixt.tolist(), curve.ity.tolist()
    (True, [1.0, 0.0], [1.0, 0.0])
    """
    joint = np.asarray(p_xy, dtype=np.float64)
    if joint.ndim != 2 or not (joint >= 0).all() or abs(joint.sum() - 1) > 1e-9:
        raise InputError(
            "expected a joint distribution of shape (n_x, n_y), nowhere negative, with sum 1, "
            f"got shape {joint.shape}, least {joint.min(initial=0):.6g}, sum {joint.sum():.6g}"
        )
    order = np.sort(np.asarray(BETAS if betas is None else betas, dtype=np.float64))[::-1]
    if order.size == 0 or not (order > 0).all():
        raise InputError("expected at least one beta, all above 0")
    p_x, p_y_x = _merged(joint)
    p_y = p_x @ p_y_x
    h_y, h_sufficient = _entropy(p_y), _entropy(p_x)
    total = h_y - float(p_x @ np.array([_entropy(row) for row in p_y_x]))
    if (p_y_x.max(axis=1) == 1).all():
        corners = np.array([h_y, 0.0])
        ends = np.array([np.inf, 1.0])
        done = np.ones(2, dtype=bool)
        return BottleneckCurve(ends, corners, corners, total, h_y, h_sufficient, True, done)
    p_t_x = np.eye(len(p_x))
    points, converged = np.zeros((len(order), 2)), np.zeros(len(order), dtype=bool)
    for i, beta in enumerate(order):
        p_t_x, converged[i] = _self_consistent(
            p_t_x, p_x, p_y_x, float(beta), tolerance, max_iterations
        )
        p_t = p_x @ p_t_x
        p_y_t = _decoder(p_t_x, p_t, p_x, p_y_x)
        points[i, 0] = (p_x[:, None] * _terms(p_t_x, p_t)).sum()
        points[i, 1] = (p_t[:, None] * _terms(p_y_t, p_y)).sum()
    return BottleneckCurve(
        order, points[:, 0], points[:, 1], total, h_y, h_sufficient, False, converged
    )


def recorded_distribution(inputs: Array, labels: Array) -> FloatArray | None:
    """Return p(x, y) where recorded samples are a whole discrete X, None where they are not.

    Samples say what p(y|x) is only if X is discrete and they hold all of it. That is taken as
    given where the inputs are every combination of the values of their components, each equally
    often (all 4096 patterns of 12 bits), and two components at least vary. p(y|x) is then the share
    of each label among the samples of x.

    Parameters
    ----------
    inputs : array (n_samples, ...)
        Inputs of the network.
    labels : int array (n_samples,)
        Class ids.

    Returns
    -------
    float array (n_x, n_y) or None
        Joint distribution.
    """
    rows = np.asarray(inputs).reshape(len(inputs), -1)
    combinations, varying = 1, 0
    for column in rows.T:
        if (column == column[0]).all():
            continue
        combinations *= len(np.unique(sortable(column)))
        varying += 1
        if combinations > len(rows):
            return None
    if varying < 2:
        return None
    states = row_symbols(rows)
    if states.n_states != combinations or (states.counts != states.counts[0]).any():
        return None
    y = np.unique(labels, return_inverse=True)[1].reshape(-1)
    joint = np.zeros((states.n_states, int(y.max()) + 1))
    np.add.at(joint, (states.ids, y), 1.0)
    return joint / len(rows)


def _merged(joint: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return p(x) and p(y|x) with inputs of equal p(y|x) merged, and those of p(x) = 0 left out."""
    p_x = joint.sum(axis=1)
    joint, p_x = joint[p_x > 0], p_x[p_x > 0]
    groups = row_symbols(np.round(joint / p_x[:, None], EQUAL))
    merged = np.zeros((groups.n_states, joint.shape[1]))
    np.add.at(merged, groups.ids, joint)
    total = merged.sum(axis=1)
    return total, merged / total[:, None]


def _self_consistent(
    p_t_x: FloatArray,
    p_x: FloatArray,
    p_y_x: FloatArray,
    beta: float,
    tolerance: float,
    max_iterations: int,
) -> tuple[FloatArray, bool]:
    """Return p(t|x) (n_x, n_t) that solves the equations at ``beta``, and whether it converged."""
    for _ in range(max_iterations):
        p_t = p_x @ p_t_x
        p_t_x = p_t_x[:, p_t > 1e-300]
        p_t = p_t[p_t > 1e-300]
        p_y_t = _decoder(p_t_x, p_t, p_x, p_y_x)
        logs = np.full_like(p_y_t, IMPOSSIBLE)
        np.log(p_y_t, out=logs, where=p_y_t > 0)
        score = np.log(p_t) + beta * (p_y_x @ logs.T)  # the entropy of p(y|x) is that of all t
        score -= score.max(axis=1, keepdims=True)
        updated = np.exp(score)
        updated /= updated.sum(axis=1, keepdims=True)
        change = np.abs(updated - p_t_x).max()
        p_t_x = updated
        if change < tolerance:
            return p_t_x, True
    return p_t_x, False


def _decoder(p_t_x: FloatArray, p_t: FloatArray, p_x: FloatArray, p_y_x: FloatArray) -> FloatArray:
    """Return p(y|t) (n_t, n_y)."""
    decoder: FloatArray = (p_t_x * p_x[:, None]).T @ p_y_x / p_t[:, None]
    return decoder


def _terms(conditional: FloatArray, marginal: FloatArray) -> FloatArray:
    """Return p log2 p / q of each element, 0 where p is 0."""
    ratio = np.where(conditional > 0, conditional / marginal, 1.0)
    return np.asarray(conditional * np.log2(ratio))


def _entropy(p: FloatArray) -> float:
    positive = p[p > 0]
    return float(-(positive * np.log2(positive)).sum())
