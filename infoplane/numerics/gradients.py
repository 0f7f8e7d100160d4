"""Gradient phases: mean and spread of the gradient over the mini-batches of an epoch.

The weights must be the same for all batches. Taken while the optimiser moves them, the spread
measures the movement as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from infoplane.data import Array, FloatArray
from infoplane.errors import InputError


@dataclass(frozen=True)
class GradientStatistics:
    """Mean and spread of one layer's gradient at fixed weights.

    Parameters
    ----------
    mean_norm : float
        Euclidean norm of the mean gradient over the batches.
    spread : float
        Root of the variance over the batches, summed over the parameters.
    weight_norm : float
        Euclidean norm of the weights.
    n_batches : int
        Number of batches.
    """

    mean_norm: float
    spread: float
    weight_norm: float
    n_batches: int

    @property
    def snr(self) -> float:
        """Signal-to-noise ratio ``mean_norm / spread``; infinite without spread, NaN for 0 / 0."""
        if self.spread > 0:
            return self.mean_norm / self.spread
        return float("inf") if self.mean_norm > 0 else float("nan")

    @property
    def relative_mean(self) -> float:
        """Mean norm over the norm of the weights; NaN if these are 0."""
        return self.mean_norm / self.weight_norm if self.weight_norm > 0 else float("nan")

    @property
    def relative_spread(self) -> float:
        """Spread over the norm of the weights; NaN if these are 0."""
        return self.spread / self.weight_norm if self.weight_norm > 0 else float("nan")


class GradientAccumulator:
    """Mean and variance of the gradients of one parameter array, batch after batch.

    Welford's recurrence in float64: two arrays of the parameter's size, whatever the number of
    batches.

    Examples
    --------
    >>> import numpy as np
    >>> accumulator = GradientAccumulator()
    >>> for gradient in ([3.0, 1.0], [3.0, -1.0]):
    ...     accumulator.add(np.array(gradient))
    >>> statistics = accumulator.statistics(np.array([1.0, 0.0]))
    >>> statistics.mean_norm, statistics.spread, statistics.snr
    (3.0, 1.0, 3.0)
    """

    def __init__(self) -> None:
        self.n_batches = 0
        self._mean: FloatArray = np.zeros(0)
        self._squares: FloatArray = np.zeros(0)

    def add(self, gradient: Array) -> None:
        """Take in the gradient of one batch, of any shape.

        Raises
        ------
        InputError
            If its size differs from the ones before.
        """
        values = np.asarray(gradient, dtype=np.float64).reshape(-1)
        if self.n_batches == 0:
            self._mean, self._squares = np.zeros(values.size), np.zeros(values.size)
        elif values.size != self._mean.size:
            raise InputError(f"expected a gradient of {self._mean.size} values, got {values.size}")
        self.n_batches += 1
        off = values - self._mean
        self._mean += off / self.n_batches
        self._squares += off * (values - self._mean)

    def statistics(self, weights: Array, *, partition: bool = True) -> GradientStatistics:
        """Return mean and spread over the batches so far.

        Parameters
        ----------
        weights : array
            The weights, for their norm.
        partition : bool, default True
            Whether the batches make up the data, each sample once: then the mean is the gradient of
            the whole data. For batches drawn at random their noise, spread^2 / n_batches, is
            subtracted from the squared norm of the mean; where nothing is left the norm is 0.

        Raises
        ------
        InputError
            If there are fewer than 2 batches.
        """
        if self.n_batches < 2:
            raise InputError(f"expected gradients of at least 2 batches, got {self.n_batches}")
        variance = float(self._squares.sum()) / (self.n_batches - (0 if partition else 1))
        square = float(self._mean @ self._mean)
        if not partition:
            square = max(0.0, square - variance / self.n_batches)
        norm = float(np.linalg.norm(np.asarray(weights, dtype=np.float64)))
        return GradientStatistics(
            float(np.sqrt(square)), float(np.sqrt(variance)), norm, self.n_batches
        )


@dataclass(frozen=True)
class GradientTransition:
    """Where the signal-to-noise ratio of the gradient drops.

    Parameters
    ----------
    epoch : float
        First epoch of the second level.
    before, after : float
        Geometric means of the ratio at the two levels.
    first_below_one : float or None
        First epoch whose ratio is below 1.
    """

    epoch: float
    before: float
    after: float
    first_below_one: float | None


def gradient_transition(epochs: Array, snr: Array) -> GradientTransition:
    """Return the change point of the signal-to-noise ratio over training.

    The least-squares fit of two levels to log10 snr over log10(epoch + 1); each epoch counts as
    much as the stretch of the axis it stands for. A change point is found in any curve, and in
    networks that do not compress as well: report it beside the information plane, not as a cause.

    Parameters
    ----------
    epochs : array (n_epochs,)
        Ascending, from 0.
    snr : array (n_epochs,)
        Signal-to-noise ratios; those that are not finite and positive are left out.

    Raises
    ------
    InputError
        If the shapes differ, epochs do not ascend, or fewer than 4 ratios are left.

    References
    ----------
    Shwartz-Ziv, Tishby: "Opening the black box of deep neural networks via information", 2017
    (drift and diffusion phase).

    Examples
    --------
    A ratio that falls from 10 to 0.1 after epoch 20:

    >>> import numpy as np
    >>> epochs = np.arange(100)
    >>> found = gradient_transition(epochs, np.where(epochs < 20, 10.0, 0.1))
    >>> int(found.epoch)
    20
    """
    epochs, snr = np.asarray(epochs, dtype=np.float64), np.asarray(snr, dtype=np.float64)
    if epochs.ndim != 1 or epochs.shape != snr.shape:
        raise InputError(f"expected one ratio per epoch, got shapes {epochs.shape}, {snr.shape}")
    if (np.diff(epochs) <= 0).any() or (epochs < 0).any():
        raise InputError("expected ascending epochs from 0")
    used = np.isfinite(snr) & (snr > 0)
    epochs, snr = epochs[used], snr[used]
    if len(epochs) < 4:
        raise InputError(f"expected at least 4 finite ratios above 0, got {len(epochs)}")
    x, y = np.log10(epochs + 1), np.log10(snr)
    weight = np.gradient(x)
    mass, sums = np.cumsum(weight), np.cumsum(weight * y)
    split = np.arange(1, len(x) - 2)  # last epoch of the first level; two epochs at least in each
    first = sums[split] / mass[split]
    second = (sums[-1] - sums[split]) / (mass[-1] - mass[split])
    explained = first**2 * mass[split] + second**2 * (mass[-1] - mass[split])
    best = int(np.argmax(explained))
    below = np.flatnonzero(snr < 1)
    return GradientTransition(
        float(epochs[split[best] + 1]),
        float(10 ** first[best]),
        float(10 ** second[best]),
        float(epochs[below[0]]) if len(below) else None,
    )


def transition_if_any(steps: Sequence[int], snr: ArrayLike) -> dict[str, float | None] | None:
    """Return `gradient_transition` as a mapping; None where there are too few ratios."""
    try:
        return asdict(gradient_transition(np.array(steps), np.asarray(snr, dtype=np.float64)))
    except InputError:
        return None
