"""The area under a loss curve: what a training spends beyond its final loss, in bits.

Coding the data of a single pass with the model as it is before each update takes the sum of the
losses; the part above the final loss is what the model itself takes (prequential coding).
"""

from __future__ import annotations

import math

import numpy as np

from infoplane.data import Array, FloatArray
from infoplane.errors import InputError
from infoplane.numerics.tensors import fetched, is_tensor
from infoplane.text import shortened


def prequential_excess_bits(losses: Array, tokens: Array, *, final: float | None = None) -> float:
    """Return the area between a loss curve and its final loss, in bits.

    The integral of L(t) - L_final over the training tokens t, by trapezoids. It measures the model
    only where every sample was seen once: then each loss is of data that is new to it.

    Parameters
    ----------
    losses : array (n,)
        Training losses before each update, in nats per token; of at least two steps.
    tokens : array (n,)
        Tokens that were trained on so far, ascending.
    final : float, optional
        L_final in nats; the last loss by default. An error of it counts for every token.

    Raises
    ------
    InputError
        If the lengths differ, there are fewer than two points, a number is not finite, or tokens do
        not ascend.

    Notes
    -----
    Losses per sample over samples, or per step over steps, give the same in their own count.

    References
    ----------
    Dawid: "Present position and potential developments: some personal views. Statistical theory:
    the prequential approach", Journal of the Royal Statistical Society A 147, 1984.

    Examples
    --------
    A loss that falls evenly from 2 bits to 1 bit over 100 tokens:

    >>> import numpy as np
    >>> tokens = np.arange(101)
    >>> round(prequential_excess_bits(np.log(2) * (2 - tokens / 100), tokens), 6)
    50.0
    """
    losses, tokens = curve(losses, tokens)
    end = float(losses[-1]) if final is None else _finite(final)
    return float(widths(tokens) @ (losses - end)) / math.log(2)


def _finite(final: object) -> float:
    try:
        end = float(final)  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, ValueError, OverflowError, RuntimeError):
        end = math.nan
    if not math.isfinite(end):
        raise InputError(f"final: expected a finite loss, got {shortened(repr(final), 60)}")
    return end


def widths(tokens: FloatArray) -> FloatArray:
    """Return what each point of a curve counts in its integral by trapezoids."""
    half: FloatArray = np.diff(tokens, prepend=tokens[0], append=tokens[-1])
    return 0.5 * (half[:-1] + half[1:])


def curve(losses: Array, tokens: Array) -> tuple[FloatArray, FloatArray]:
    """Return a loss curve as float64.

    Raises
    ------
    InputError
        As `prequential_excess_bits`.
    """
    columns = {"losses": _reals(losses, "losses"), "tokens": _reals(tokens, "tokens")}
    if len({len(column) for column in columns.values()}) > 1:
        raise InputError(
            f"expected as many losses as tokens, got {len(columns['losses'])} and "
            f"{len(columns['tokens'])}"
        )
    if len(columns["losses"]) < 2:
        raise InputError(f"expected losses of at least 2 steps, got {len(columns['losses'])}")
    for name, column in columns.items():
        if len(bad := np.flatnonzero(~np.isfinite(column))):
            raise InputError(
                f"expected finite {name}, got {column[bad[0]]} at index {bad[0]} and {len(bad)} "
                "such values in all"
            )
    falls = np.flatnonzero(np.diff(columns["tokens"]) <= 0)
    if len(falls):
        at = int(falls[0])
        raise InputError(
            f"expected ascending tokens, got {columns['tokens'][at + 1]:.15g} after "
            f"{columns['tokens'][at]:.15g} at index {at + 1}",
            hint="tokens are all that were trained on so far, not those of one batch",
        )
    return columns["losses"], columns["tokens"]


def _reals(values: Array, name: str) -> FloatArray:
    array = fetched(values) if is_tensor(values) else np.asarray(values)
    if array.dtype.kind not in "fiu" or array.ndim != 1:
        raise InputError(
            f"expected {name} of shape (n,), of real numbers, got {array.dtype} {array.shape}"
        )
    return array.astype(np.float64)
