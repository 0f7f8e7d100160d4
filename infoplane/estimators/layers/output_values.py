"""What the values of an output layer are: logits, or probabilities, told by the values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from infoplane.arrays import row_blocks
from infoplane.data import Array, FloatArray, IntArray, Slot
from infoplane.errors import EstimationError
from infoplane.numerics.outputs import Predictions, log_soft_max, logs_of

OutputKind: TypeAlias = Literal["logits", "probabilities", "log-probabilities"]

IGNORED = -100
"""The label that losses of torch pass over."""

_OFF = 1e-2
"""How far from 1 probabilities may sum, as half precision leaves them."""

_LINEAR = ("Linear", "Conv1D", "Bilinear")
"""Ends of the names of modules that make logits, whatever their values."""

_KEPT = ("none", "last", "tokens:")
"""Beginnings of reductions that leave the outputs of a position as they are."""


def is_linear_type(name: str) -> bool:
    """Tell whether a module of this class multiplies by a matrix."""
    return name.endswith(_LINEAR) or name.startswith(("Conv1d", "Conv2d", "Conv3d"))


@dataclass(frozen=True)
class OutputShape:
    """Where positions and outputs stand in a sample of a layer."""

    positions: int
    outputs: int
    channels_first: bool = False

    @classmethod
    def of(cls, layer: Slot) -> OutputShape:
        """Return the shape of a layer of logits.

        Raises
        ------
        EstimationError
            If it was reduced to other numbers than logits, or has axes without a meaning.
        """
        if not layer.reduction.startswith(_KEPT):
            raise EstimationError(
                f"expected the logits of layer {layer.name!r} as they are, got them reduced by "
                f"{layer.reduction}; record with --reduce '{layer.name}=last', tokens:K or flatten"
            )
        shape, first = layer.shape, layer.type.startswith(("Conv", "LazyConv"))
        first = first and layer.type != "Conv1D"  # that of GPT-2 is a linear layer
        if len(shape) == 1:
            return cls(1, shape[0])
        if len(shape) == 2 and not first:
            return cls(shape[0], shape[1])
        if first:
            return cls(int(np.prod(shape[1:])), shape[0], channels_first=True)
        raise EstimationError(
            f"expected logits of shape (n_outputs,) or (n_positions, n_outputs), got {shape}"
        )

    def placed(self, rows: Array) -> Array:
        """Return rows (n, n_units) as (n, n_positions, n_outputs)."""
        if self.channels_first:
            return rows.reshape(len(rows), self.outputs, self.positions).transpose(0, 2, 1)
        return rows.reshape(len(rows), self.positions, self.outputs)


def kind_of(values: Array, shape: OutputShape, type_: str) -> OutputKind:
    """Return what the values (n_samples, n_units) of a layer are.

    Rows that are not negative and sum to 1 are probabilities, those whose exponentials sum to 1
    their logarithms. All else are logits, unless they lie between 0 and 1 in a layer that is not
    linear: they may be several answers yes or no.

    Raises
    ------
    EstimationError
        If it cannot be told.
    """
    blocks = [_Looks.at(shape.placed(values[rows])) for rows in row_blocks(values)]
    low, high = min(one.low for one in blocks), max(one.high for one in blocks)
    least, most = min(one.least for one in blocks), max(one.most for one in blocks)
    if shape.outputs == 1:
        if type_ == "Sigmoid":
            return "probabilities"
        if low >= 0.0 and high <= 1.0 and not is_linear_type(type_):
            raise EstimationError(
                f"expected one logit, or a layer of class Sigmoid, got values of {low:.3g} to "
                f"{high:.3g} in a layer of class {type_}: probabilities or logits, which cannot be "
                "told; record the linear layer"
            )
        return "logits"
    if least >= 1.0 - _OFF and most <= 1.0 + _OFF:
        if low >= 0.0:
            return "probabilities"
        raise EstimationError(
            f"expected logits or probabilities, got rows that sum to 1 with values down to "
            f"{low:.3g}"
        )
    if low >= 0.0 and high <= 1.0 and not is_linear_type(type_):
        raise EstimationError(
            f"expected logits or probabilities, got values between 0 and 1 whose rows sum to "
            f"{least:.3g} to {most:.3g} in a layer of class {type_}: several answers yes or no are "
            "no distribution over classes; record the logits, or name their layer with layer=NAME"
        )
    logs = high <= 0.0 and all(one.logs for one in blocks)
    return "log-probabilities" if logs else "logits"


def predictions(
    values: Array, shape: OutputShape, kind: OutputKind, counts: FloatArray | None
) -> Predictions:
    """Return the distributions that the values (n_samples, n_units) of a layer stand for.

    One output is that of the second of two classes, or its logit.
    """

    def read(rows: slice) -> FloatArray:
        found = shape.placed(values[rows])
        if shape.outputs == 1:
            found = np.asarray(found, dtype=np.float64)
            first = 1.0 - found if kind == "probabilities" else np.zeros_like(found)
            found = np.concatenate([first, found], axis=-1)
        return logs_of(found) if kind == "probabilities" else log_soft_max(found)

    return Predictions(read, (len(values), shape.positions, max(shape.outputs, 2)), counts)


@dataclass(frozen=True)
class _Looks:
    """What a block of values looks like."""

    low: float
    high: float
    least: float  # sum of a row
    most: float
    logs: bool  # whether exponentials sum to 1

    @classmethod
    def at(cls, values: Array) -> _Looks:
        numbers = np.asarray(values, dtype=np.float64)
        low, high, sums = float(numbers.min()), float(numbers.max()), numbers.sum(axis=-1)
        logs = high <= 0.0 and bool((np.abs(np.exp(numbers).sum(axis=-1) - 1.0) <= _OFF).all())
        return cls(low, high, float(sums.min()), float(sums.max()), logs)


def wide_enough(layer: Slot, n_classes: int) -> bool:
    """Tell whether a layer has an output for each of so many classes, or is one logit of two."""
    outputs = layer.shape[-1] if layer.shape else 1
    return outputs >= n_classes or (outputs == 1 and n_classes <= 2)


def unfit_labels(labels: IntArray, outputs: int) -> str:
    """Return why labels are none of the outputs, "" if they are."""
    if not len(labels):
        return f"expected labels, got {IGNORED} alone, which is passed over"
    beyond = labels[(labels < 0) | (labels >= outputs)]
    if not len(beyond):
        return ""
    return (
        f"expected labels from 0 to {outputs - 1}, one for each output, got {int(beyond[0])} "
        f"({len(beyond):,} of {len(labels):,} labels are beyond)"
    )
