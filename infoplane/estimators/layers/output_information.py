"""Information of predicted distributions, of arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infoplane.data import Array, FloatArray, IntArray, class_ids, whole_number
from infoplane.errors import InputError
from infoplane.estimators.layers.output_values import IGNORED, unfit_labels
from infoplane.numerics.outputs import Predictions, calibration, label_bound, logs_of

_OFF = 1e-3
"""How far from 1 the probabilities of a sample may sum: single precision, of many outputs."""


@dataclass(frozen=True)
class OutputInformation:
    """What predicted distributions say, in bits; without labels what needs them is None.

    Attributes
    ----------
    entropy_given_x : float
        H(Y^|X): the mean entropy of a prediction.
    ixy : float
        I(X;Y^) of a prediction Y^ that is drawn: H(mean p) - mean H(p), less its bias.
    ixy_given_y : float or None
        I(X;Y^|Y): the same within each class, on average over samples.
    bound_ity : float or None
        H(Y) less the cross-entropy: a lower bound of I(T;Y) of every layer T. Never clipped.
    ece : float or None
        Expected calibration error, a share.
    ece_debiased : float or None
        Less what chance adds to it; it may be below 0.
    ixy_bias, ixy_given_y_bias : float
        The bias that was taken off; ``ixy + ixy_bias`` is the plain sum over the samples.
    n_samples, n_labelled : int
        Samples, and those of them with a label that counts.
    """

    entropy_given_x: float
    ixy: float
    ixy_given_y: float | None
    bound_ity: float | None
    ece: float | None
    ece_debiased: float | None
    ixy_bias: float
    ixy_given_y_bias: float
    n_samples: int
    n_labelled: int


def output_information(
    probabilities: Array, labels: Array | None = None, *, bins: int = 15
) -> OutputInformation:
    """Return the information and the calibration of predicted distributions, in bits.

    Parameters
    ----------
    probabilities : array (n_samples, n_outputs)
        Of each sample: not negative, with the sum 1.
    labels : array (n_samples,), optional
        The output that is right, from 0; -100 passes a sample over.
    bins : int, default 15
        Bins of the confidence behind the calibration error.

    Raises
    ------
    InputError
        If probabilities are none, labels are not of the outputs, or there are fewer than 2 samples.

    Notes
    -----
    The entropy of the mean of n predictions is low, to leading order by sum_k Var(p_k) / (2 n ln 2
    mean p_k). I(X;Y^) has this added.

    References
    ----------
    Ye et al., ICLR 2024 (I(X;Y^|Y)). Guo et al., ICML 2017 (ECE). Kumar, Liang, Ma, NeurIPS 2019
    (its bias).

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.arange(1000) % 4
    >>> sure = output_information(np.eye(4)[labels], labels)
    >>> round(sure.ixy, 2), sure.ixy_given_y, sure.bound_ity, sure.ece
    (2.0, 0.0, 2.0, 0.0)
    >>> output_information(np.full((1000, 4), 0.25), labels).entropy_given_x
    2.0
    """
    p = _probabilities(probabilities)
    n, outputs = p.shape
    logs = logs_of(p)[:, None]
    predicted = Predictions(lambda rows: logs[rows], logs.shape)
    information = predicted.information()
    given = bound = calibrated = None
    known = np.zeros(n, dtype=bool)
    if labels is not None:
        ids = _labels(labels, n, outputs)
        known = ids != IGNORED
        some, ids = logs[known], ids[known]
        labelled = Predictions(lambda rows: some[rows], some.shape)
        given = labelled.information_given(np.unique(ids, return_inverse=True)[1].reshape(-1))
        bound = label_bound(labelled.of_labels(ids), ids)
        best, confidence = labelled.top()
        calibrated = calibration(confidence, best == ids, whole_number(bins, "bins", 1))
    return OutputInformation(
        entropy_given_x=predicted.entropy().value,
        ixy=information.value,
        ixy_given_y=None if given is None else given.value,
        bound_ity=None if bound is None else bound.value,
        ece=None if calibrated is None else calibrated.ece,
        ece_debiased=None if calibrated is None else calibrated.debiased,
        ixy_bias=information.bias,
        ixy_given_y_bias=0.0 if given is None else given.bias,
        n_samples=n,
        n_labelled=int(known.sum()),
    )


def _probabilities(given: Array) -> FloatArray:
    """Return probabilities (n_samples, n_outputs), or refuse what is none."""
    p = np.asarray(given)
    if p.dtype.kind not in "fiub" or p.ndim != 2:
        raise InputError(
            f"expected probabilities of shape (n_samples, n_outputs), got {p.shape} of {p.dtype}"
        )
    if len(p) < 2 or p.shape[1] < 2:
        raise InputError(f"expected at least 2 samples and 2 outputs, got shape {p.shape}")
    p = p.astype(np.float64)
    if bad := int((~np.isfinite(p)).any(axis=1).sum()):
        raise InputError(f"expected finite probabilities, got NaN or inf in {bad} of {len(p)} rows")
    sums = p.sum(axis=1)
    low, far = float(p.min()), sums[np.abs(sums - 1.0).argmax()]
    if low < 0.0 or abs(far - 1.0) > _OFF:
        raise InputError(
            "expected probabilities that are not negative and sum to 1, got values down to "
            f"{low:.3g} and a sum of {far:.4g}",
            hint="give the soft-max of logits, or exp of log-probabilities",
        )
    return p


def _labels(given: Array, n: int, outputs: int) -> IntArray:
    """Return labels, or refuse them."""
    if np.asarray(given).dtype.kind in "US":
        raise InputError(
            "expected labels that are numbers of outputs, from 0, got names",
            hint="number them in the order of the outputs",
        )
    ids = class_ids(given)
    if len(ids) != n:
        raise InputError(f"expected {n} labels, one per sample, got {len(ids)}")
    if reason := unfit_labels(ids[ids != IGNORED], outputs):
        raise InputError(reason)
    return ids
