"""Data types that all parts share: probe set, slot, subject, run; and checks of arrays."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from infoplane.arrays import converted, count_nonfinite_rows
from infoplane.errors import InputError
from infoplane.weights import Summary

Array: TypeAlias = NDArray[Any]
FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]


NO_LABEL = -100
"""The label of a token that has none, as torch's ``ignore_index``."""


@dataclass(frozen=True, eq=False)
class ProbeSet:
    """The fixed samples that are recorded at every checkpoint.

    Arrays hold finite floats of at most 64 bits, integers or booleans, one row per sample, and are
    kept in the byte order of the machine.

    Parameters
    ----------
    inputs : array (n_samples, ...)
        The inputs X of the network, as the estimators see them; of shape (n_samples, 0) where
        nobody knows them.
    labels : array of int64 (n_samples,) or None
        Class ids Y.
    targets : array (n_samples,) or (n_samples, n_targets), optional
        Real targets, of a network that predicts no classes.
    arguments : mapping of str to array (n_samples, ...), optional
        What the model is called with, where that is not ``inputs`` alone: by name, or by position
        if the names are numbers.
    ids : array of int64 (n_samples,), optional
        Rows of the samples in the data that they were taken from.
    splits : mapping of str to int, optional
        Names and lengths of the parts that the rows consist of, in their order: training samples,
        then test samples. They are recorded together and analyzed apart.
    token_labels : array of int64 (n_samples, length), optional
        Class ids of tokens; `NO_LABEL`, -100, of a token without one.
    token_mask : array of bool (n_samples, length), optional
        True where a sample has a token, false where it is padded.
    sequences : array of int64 (n_samples,), optional
        Of which sequence each row is, where rows are tokens.

    Raises
    ------
    InputError
        If there are fewer than 2 samples, arrays of other lengths, or values that are not finite
        or no numbers; or if splits have fewer than 2 samples or other lengths than the whole.

    Examples
    --------
    >>> probe = ProbeSet(np.zeros((4, 2)), labels=np.array([0, 1, 0, 1]))
    >>> probe.n_samples
    4
    """

    inputs: Array  # (n_samples, ...)
    labels: IntArray | None = None  # (n_samples,)
    targets: Array | None = None  # (n_samples,) or (n_samples, n_targets)
    arguments: Mapping[str, Array] = field(default_factory=dict)
    ids: IntArray | None = None  # (n_samples,)
    splits: Mapping[str, int] = field(default_factory=dict)
    token_labels: IntArray | None = None  # (n_samples, length)
    token_mask: Array | None = None  # (n_samples, length)
    sequences: IntArray | None = None  # (n_samples,), of rows that are tokens

    def __post_init__(self) -> None:
        n = len(self.inputs) if self.inputs.ndim else 0
        if n < 2:
            raise InputError(f"expected at least 2 probe samples, got {n}")
        object.__setattr__(self, "inputs", _numbers(self.inputs, n, "probe inputs"))
        arguments = {
            name: _numbers(array, n, f"probe input {name!r}")
            for name, array in self.arguments.items()
        }
        object.__setattr__(self, "arguments", arguments)
        if self.labels is not None:
            if self.labels.shape != (n,):
                raise InputError(
                    f"expected one label per probe sample, shape ({n},), got {self.labels.shape}"
                )
            object.__setattr__(self, "labels", class_ids(self.labels))
        if self.targets is not None:
            object.__setattr__(self, "targets", _numbers(self.targets, n, "targets"))
        if self.known_inputs is None and self.ids is None:  # nothing else says how many there are
            object.__setattr__(self, "ids", np.arange(n))
        if self.ids is not None:
            object.__setattr__(self, "ids", class_ids(_numbers(self.ids, n, "sample ids")))
        self._check_tokens(n)
        lengths = self.splits.values()
        if lengths and (min(lengths) < 2 or sum(lengths) != n):
            told = ", ".join(f"{name} {length}" for name, length in self.splits.items())
            raise InputError(f"expected splits of at least 2 samples, {n} in all, got {told}")

    def _check_tokens(self, n: int) -> None:
        """Check what is known of tokens: labels and mask, both (n_samples, length)."""
        labels, mask = self.token_labels, self.token_mask
        for what, array in (("labels of tokens", labels), ("mask of tokens", mask)):
            if array is not None and (array.ndim != 2 or len(array) != n or not array.size):
                raise InputError(f"expected {what} of shape ({n}, length), got {array.shape}")
        if labels is not None:
            object.__setattr__(
                self, "token_labels", class_ids(labels.ravel()).reshape(labels.shape)
            )
        if mask is not None:
            if not ((mask == 0) | (mask == 1)).all():
                raise InputError("expected a mask of tokens of 1, a token, and 0, padding")
            object.__setattr__(self, "token_mask", mask.astype(bool))
            if labels is not None and labels.shape != mask.shape:
                raise InputError(
                    f"expected a mask of tokens of the shape of their labels, {labels.shape}, got "
                    f"{mask.shape}"
                )

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.inputs)

    @property
    def numbers(self) -> Array | None:
        """Real targets, or else the labels as numbers."""
        if self.targets is None:
            return self.labels
        return self.targets.reshape(-1) if self.targets[0].size == 1 else self.targets

    @property
    def known_inputs(self) -> Array | None:
        """The inputs; None if only activations are known.

        I(X;T) of a layer that is a function of its input is then still what the layer holds, H(T).
        What compares inputs with one another is not known.
        """
        return self.inputs if self.inputs.size else None

    @property
    def parts(self) -> tuple[slice, ...]:
        """Rows of each split; all rows if there are none."""
        return tuple(split_rows(self.splits).values()) or (slice(0, self.n_samples),)

    def take(self, rows: IntArray | slice) -> ProbeSet:
        """Return the probe set of these rows, in their order, without splits."""

        def taken(array: Array | None) -> Array | None:
            return None if array is None else array[rows]

        return ProbeSet(
            self.inputs[rows],
            taken(self.labels),
            taken(self.targets),
            {name: array[rows] for name, array in self.arguments.items()},
            taken(self.ids),
            token_labels=taken(self.token_labels),
            token_mask=taken(self.token_mask),
            sequences=taken(self.sequences),
        )


class NoProbe(ProbeSet):
    """The probe set of a run that holds no activations: it has no samples."""

    @classmethod
    def made(cls) -> NoProbe:
        """Return it."""
        return cls(np.zeros((0, 1)))

    def __post_init__(self) -> None:
        """Check nothing: there is nothing."""


def split_rows(splits: Mapping[str, int]) -> dict[str, slice]:
    """Return the rows of each split, of splits that lie one behind the other."""
    ends = itertools.accumulate(splits.values())
    return {
        name: slice(end - length, end)
        for (name, length), end in zip(splits.items(), ends, strict=True)
    }


def _numbers(array: Array, n: int, what: str) -> Array:
    """Return an array of ``n`` rows of finite numbers, in native byte order."""
    dtype = array.dtype
    if dtype.kind not in "fiub" or dtype.itemsize > 8:
        raise InputError(f"expected {what} of real numbers, got dtype {dtype}")
    if not array.ndim or len(array) != n:
        raise InputError(f"expected {what} of {n} samples, got shape {array.shape}")
    if dtype.kind == "f":
        bad = n - int(np.isfinite(array.reshape(n, -1)).all(axis=1).sum())
        if bad:
            raise InputError(f"expected finite {what}, got NaN or inf in {bad} of {n} rows")
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


def class_ids(labels: Array) -> IntArray:
    """Return labels as int64 class ids (n_samples,).

    Integers and booleans are taken as they are, floats if all are whole numbers, strings are
    numbered in sorted order.

    Raises
    ------
    InputError
        If the labels are not one-dimensional, floats that are not whole numbers, do not fit 64
        bits, or some are masked.
    """
    refuse_mask(labels, "labels")
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise InputError(f"expected labels of shape (n_samples,), got {labels.shape}")
    if labels.dtype.kind in "uf" and _beyond_int64(labels):
        raise InputError("expected class ids as labels, got values that do not fit 64 bits")
    if labels.dtype.kind in "iub":
        return labels.astype(np.int64)
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all() or (labels != np.floor(labels)).any():
            raise InputError("expected class ids as labels, got floats that are not whole numbers")
        return labels.astype(np.int64)
    if labels.dtype.kind in "US":
        return np.unique(labels, return_inverse=True)[1].astype(np.int64).reshape(-1)
    raise InputError(f"expected integer class ids as labels, got dtype {labels.dtype}")


def _beyond_int64(labels: Array) -> bool:
    """Tell whether some of unsigned integers or floats are no int64."""
    if labels.dtype.kind == "u":
        return bool((labels.astype(np.int64) < 0).any())
    limit = np.float64(2.0**63)  # a Python float would overflow in float16
    return bool(((labels >= limit) | (labels < -limit)).any())


SlotKind: TypeAlias = Literal["layer", "pass", "attention", "weight"]
"""A layer, a further pass of one, the attention of a module, or a weight of the model."""

NoiseIn: TypeAlias = Literal["all", "values", "none"]
"""What of a layer holds the noise that it declares: all that is recorded; its values, but not its
passes, which are those before the noise; or nothing, as where it was off."""

_AXES = {
    1: ("unit",),
    2: ("position", "unit"),
    3: ("channel", "height", "width"),
    4: ("channel", "depth", "height", "width"),
}
"""What the axes of one sample are taken for, where nobody has named them."""


@dataclass(frozen=True)
class Slot:
    """One recorded array: the activations of a layer, or a weight of the model.

    ``checksum`` and ``nonfinite`` are known of the array at one step, and None where all steps are
    meant. They and the names of the axes do not count when slots are compared.

    Raises
    ------
    InputError
        If there are not as many names of axes as axes.

    Examples
    --------
    >>> slot = Slot("conv1", index=0, type="Conv2d", shape=(8, 6, 6), dtype="float32")
    >>> slot.axes, slot.n_units
    (('channel', 'height', 'width'), 288)
    """

    name: str
    index: int  # among those of its kind, from 0; of layers, the order of the forward pass
    type: str  # class name of the module, e.g. "ReLU"
    shape: tuple[int, ...]  # of one sample; of a weight, all of it
    dtype: str  # as stored
    reduction: str = "none"  # how a large output was reduced when it was recorded
    noise: float | None = None  # standard deviation of declared additive Gaussian noise
    encoding: str | None = None  # what stored integers stand for, e.g. the bits of "bfloat16"
    kind: SlotKind = "layer"
    noise_in: NoiseIn | None = field(default=None, compare=False)  # None: not said
    random: bool = field(default=False, compare=False)  # beyond that noise, from pass to pass
    of_layer: str | None = field(default=None, compare=False)  # of a further pass
    axes: tuple[str, ...] = field(default=(), compare=False)  # of ``shape``; from it unless given
    roles: tuple[str, ...] = field(default=(), compare=False)  # "logits", "features"
    head: str | None = field(default=None, compare=False)  # module that is given the features
    mask: str | None = field(default=None, compare=False)  # of its tokens; !NAME marks padding
    checksum: int | None = field(default=None, compare=False)  # crc32 of the bytes
    nonfinite: int | None = field(default=None, compare=False)  # number of NaN and inf
    summary: Summary | None = None  # of which weight it is only what sums it up
    tied: tuple[str, ...] = field(default=(), compare=False)  # other names of the same weight

    def __post_init__(self) -> None:
        n_axes = len(self.shape)
        if not self.axes:
            known = _AXES if self.kind in ("layer", "pass") else {}
            named = known.get(n_axes) or tuple(f"axis{i}" for i in range(n_axes))
            object.__setattr__(self, "axes", named)
        if len(self.axes) != n_axes:
            raise InputError(
                f"{self.kind} {self.name!r}: expected {n_axes} names of axes for shape "
                f"{self.shape}, got {self.axes}"
            )

    @property
    def n_units(self) -> int:
        """Units of a sample, all axes taken together; of a weight, its numbers."""
        return int(np.prod(self.shape, dtype=np.int64))


LayerInfo = Slot
"""The name of `Slot` in release 0.1."""


SubjectKind: TypeAlias = Literal["layer", "weights", "attention", "pair", "run"]

SUBJECTS = {"layer": 1, "weights": 1, "attention": 1, "pair": 2, "run": 0}
"""Kinds of subjects, with their number of names."""

_BARE = r'[^\s"~]+'
_NAME = rf'{_BARE}|"(?:[^"\\]|\\.)*"'


@dataclass(frozen=True)
class Subject:
    """What a number is about: a layer, a weight, attention, a pair of layers, or a whole run.

    Its text is ``layer fc1``, ``weights fc1.weight``, ``attention h.0.attn``,
    ``pair fc1 ~ fc2`` or ``run``. A name with blanks, quotes or ``~`` in it is written as a string
    of JSON.

    Raises
    ------
    InputError
        If there is no such kind, or it has another number of names.

    Examples
    --------
    >>> str(Subject("pair", ("fc1", "my layer")))
    'pair fc1 ~ "my layer"'
    >>> Subject.parse("weights fc1.weight")
    Subject(kind='weights', names=('fc1.weight',))
    """

    kind: SubjectKind
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in SUBJECTS:
            kinds = ", ".join(SUBJECTS)
            raise InputError(f"expected a subject of {kinds}, got {self.kind!r}")
        if len(self.names) != SUBJECTS[self.kind]:
            raise InputError(
                f"expected {SUBJECTS[self.kind]} names for {self.kind!r}, got {self.names}"
            )

    def __str__(self) -> str:
        bare = (re.fullmatch(_BARE, name) for name in self.names)
        names = [n if b else json.dumps(n) for n, b in zip(self.names, bare, strict=True)]
        return f"{self.kind} {' ~ '.join(names)}".strip()

    @classmethod
    def parse(cls, text: str) -> Subject:
        """Return the subject of a text, as ``str`` writes it.

        Raises
        ------
        InputError
            If the text is none of a subject.
        """
        found = re.fullmatch(rf"(\w+)(?: ({_NAME}))?(?: ~ ({_NAME}))?", text)
        try:
            kind, *names = [part for part in found.groups() if part] if found else [text]
            return cls(
                cast("SubjectKind", kind),
                tuple(json.loads(name) if name[0] == '"' else name for name in names),
            )
        except ValueError as error:
            raise InputError(
                f"expected a subject such as 'pair fc1 ~ fc2', got {text!r:.80}"
            ) from error


class RunData(Protocol):
    """What an estimator may read of a run (``infoplane.runs.run.Run`` is one)."""

    @property
    def probe(self) -> ProbeSet:
        """The samples."""

    @property
    def steps(self) -> Sequence[int]:
        """Recorded training steps, ascending."""

    @property
    def layers(self) -> Sequence[Slot]:
        """Recorded layers in the order of the forward pass."""

    @property
    def device(self) -> str | None:
        """Torch device on which activations are and numbers are to be computed; None: NumPy."""

    def activations(self, step: int, layer: str) -> Array:
        """Return activations (n_samples, n_units) in the dtype they were stored in; read-only."""


def checked_activations(activations: Array, *, name: str = "activations") -> Array:
    """Return activations as a finite array (n_samples, n_units), its dtype kept if floating.

    Further axes are flattened, integers and booleans become float64.

    Raises
    ------
    InputError
        If there are fewer than 2 axes, no samples or units, complex or object values, NaN or inf,
        or values are masked.
    """
    refuse_mask(activations, name)
    array = np.asarray(activations)
    if array.dtype.kind not in "fiub":
        raise InputError(f"expected {name} of real numbers, got dtype {array.dtype}")
    if array.ndim < 2:
        raise InputError(f"expected {name} of shape (n_samples, n_units), got {array.shape}")
    if 0 in array.shape:
        raise InputError(f"expected {name} with samples and units, got shape {array.shape}")
    array = array.reshape(len(array), -1)
    if array.dtype.kind != "f":
        array = converted(array, np.float64)
    if bad := count_nonfinite_rows(array):
        raise InputError(f"expected finite {name}, got NaN or inf in {bad} of {len(array)} rows")
    return array


def refuse_mask(array: Array, name: str) -> None:
    """Refuse an array some of whose values are masked: their mask would be ignored."""
    if np.ma.is_masked(array):
        masked = int(np.ma.getmaskarray(array).sum())
        raise InputError(
            f"expected {name} without masked values, got {masked} of them",
            hint="fill them, or leave these samples out",
        )


def whole_number(value: object, name: str, least: int) -> int:
    """Return a parameter as an int; NumPy's whole numbers are some too, truth values are none.

    Raises
    ------
    InputError
        If it is no whole number, or below ``least``.
    """
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        if value >= least:
            return int(value)
        raise InputError(f"expected {name} of at least {least}, got {value}")
    raise InputError(f"expected {name} as a whole number, got {value!r:.80}")


def plain(value: Any) -> Any:
    """Return a value made of what JSON has; tuples and arrays become lists, NaN and inf None."""
    if type(value) in (str, int, bool):  # most values, and the checks below are slow
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value if value is None else str(value)
