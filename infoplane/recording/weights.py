"""Record weights with a step: all of them, or what sums them up."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from infoplane.calls import unfit
from infoplane.data import Array, Slot
from infoplane.errors import DataError, NotFoundError
from infoplane.numerics.weight_measures import LARGEST_SIDE, sides, singular_values
from infoplane.patterns import matches
from infoplane.recording.hooks.outputs import to_array, to_stored
from infoplane.recording.parameters import NamedWeight, weights_of
from infoplane.runs.step_writer import StepWriter
from infoplane.text import some_of
from infoplane.weights import Start, Summary, WeightForm, frobenius, resolution

log = logging.getLogger("infoplane")

SUMMARY = "summary"
"""The choice that keeps singular values and norms of all weights."""

LARGEST_HEAD = 1 << 24
"""Numbers of a head above which it is not stored for its own sake."""

_KEPT = 1 << 31  # bytes of the first weights that are kept in memory


@dataclass(frozen=True)
class ChosenWeight:
    """A weight, and what is stored of it."""

    weight: NamedWeight
    form: WeightForm
    role: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weight; a single number has one axis."""
        return tuple(self.weight.tensor.shape) or (1,)

    @property
    def turned(self) -> bool:
        """Whether the matrix is the other way round, as GPT-2 has it, and stored as it is."""
        return self.weight.module_type == "Conv1D" and len(self.shape) == 2 and self.form == "whole"

    @property
    def dtype(self) -> str:
        """Dtype of the weight as the model has it."""
        return str(self.weight.tensor.dtype).removeprefix("torch.")

    @property
    def summary(self) -> Summary | None:
        """Of what it is the summary, if it is one."""
        return None if self.form == "whole" else Summary(self.shape, self.dtype)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of what is stored."""
        if self.form == "whole":
            return self.shape
        return (min(sides(self.shape)) if self.form == "singular-values" else 1,)


class WeightRecorder:
    """Writes the weights that are chosen, the same ones at every step.

    Parameters
    ----------
    patterns : sequence of str
        ``summary``, globs over names of parameters whose numbers are kept, and ``!GLOB`` for those
        that are left out.

    Raises
    ------
    InputError
        If a pattern is no text, or excludes everything by itself.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = tuple(patterns)
        self._first: dict[str, tuple[tuple[int, ...], str]] = {}
        self._first_step: int | None = None
        self._start_step: int | None = None
        self._start_hash = ""
        self._start: dict[str, Array] = {}
        self._told: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def of_model(self, model: nn.Module, head: str | None) -> list[ChosenWeight]:
        """Return what is stored of which weight of a model, errors as of ``chosen``."""
        return self.chosen(*weights_of(model), head) if self else []

    def chosen(
        self, found: Sequence[NamedWeight], left: Mapping[str, str], head: str | None = None
    ) -> list[ChosenWeight]:
        """Return what is stored of which weight, in the order of the model.

        Raises
        ------
        NotFoundError
            If a pattern matches no weight, or nothing is left.
        """
        names = [name for one in found for name in one.names]
        for glob in (pattern.removeprefix("!") for pattern in self.patterns if pattern != SUMMARY):
            if not any(matches(name, glob) for name in names):
                raise self._unmatched(glob, names, left)
        chosen = []
        for one in found:
            if self._excluded(one):
                continue
            form = self._form(one)
            role = self._role(one, head)
            if role and form != "whole":
                if one.tensor.numel() <= LARGEST_HEAD:
                    form = "whole"
                else:
                    self._say(
                        f"{one.name}: the head has {one.tensor.numel():,} numbers, more than "
                        f"{LARGEST_HEAD:,}: it is not kept whole; --weights '{one.name}' keeps it"
                    )
            if form is not None:
                chosen.append(ChosenWeight(one, form, role))
        if not chosen:
            raise NotFoundError(
                f"no weight is left to record{self._left_text(left)}",
                hint=f"there is {some_of(names)}" if names else "the model has no weights",
            )
        if left:
            self._say(f"weights that are not recorded{self._left_text(left)}")
        return chosen

    def _excluded(self, one: NamedWeight) -> bool:
        globs = [pattern[1:] for pattern in self.patterns if pattern.startswith("!")]
        return any(matches(name, glob) for name in one.names for glob in globs)

    def _form(self, one: NamedWeight) -> WeightForm | None:
        whole = [one for one in self.patterns if one != SUMMARY and not one.startswith("!")]
        if any(matches(name, glob) for name in one.names for glob in whole):
            return "whole"
        if whole and SUMMARY not in self.patterns:
            return None
        shape = tuple(one.tensor.shape)
        if len(shape) < 2 or min(sides(shape)) > LARGEST_SIDE:
            if len(shape) >= 2:
                self._say(
                    f"{one.name}: no singular values of a weight of {sides(shape)[0]:,} x "
                    f"{sides(shape)[1]:,}, whose shorter side is above {LARGEST_SIDE:,}; its norm "
                    "is recorded"
                )
            return "norm"
        return "singular-values"

    @staticmethod
    def _role(one: NamedWeight, head: str | None) -> str:
        of_head = head is not None and {f"{head}.weight", f"{head}.bias"} & set(one.names)
        return "head" if of_head else ""

    @staticmethod
    def slots(chosen: Sequence[ChosenWeight]) -> tuple[Slot, ...]:
        """Return what the datasets of a step will be."""
        return tuple(
            Slot(
                one.weight.name, index, one.weight.module_type, one.stored_shape,
                _stored_dtype(one), "none" if one.form == "whole" else one.form,
                kind="weight", summary=one.summary,
            )
            for index, one in enumerate(chosen)
        )  # fmt: skip

    def begin(self, step: int, parameters_hash: str, chosen: Sequence[ChosenWeight]) -> None:
        """Keep the weights of a step as those from which distances are measured."""
        if self._start_step is None:
            self._start_step, self._start_hash = step, parameters_hash
            for one in chosen:
                if one.form != "whole":
                    self._start[one.weight.name] = np.array(_numbers(one))

    def write(self, writer: StepWriter, chosen: Sequence[ChosenWeight]) -> None:
        """Write the chosen weights to a step.

        Raises
        ------
        DataError
            If they are not those of the first step, or of other shapes or dtypes.
        """
        self._check(writer.step, chosen)
        for one in chosen:
            about: dict[str, Any] = {
                **({"tied": list(one.weight.tied)} if one.weight.tied else {}),
                **({"roles": [one.role]} if one.role else {}),
                **({"axes": ["in", "out"]} if one.turned else {}),
            }
            if one.form == "whole":
                values, encoding = to_stored(one.weight.tensor.detach(), one.weight.name)
                self._put(writer, one, np.atleast_1d(values), encoding, about)
                continue
            values = _numbers(one)
            summary = Summary(one.shape, one.dtype, self._start_of(one, values))
            about |= {
                "reduction": one.form,
                "summary": {
                    "shape": list(one.shape), "dtype": one.dtype, "start": summary.start.told(),
                },
            }  # fmt: skip
            self._put(writer, one, _summed_up(values, one), None, about)

    @staticmethod
    def _put(
        writer: StepWriter,
        one: ChosenWeight,
        values: Array,
        encoding: str | None,
        about: dict[str, Any],
    ) -> None:
        weight = one.weight
        writer.write_whole(
            "weight", weight.name, weight.module_type, values, one.dtype, encoding, **about
        )

    def _start_of(self, one: ChosenWeight, values: Array) -> Start:
        if self._start_step is None:
            return Start(reason="the first weights are not at hand: the recording was resumed")
        begun = self._start[one.weight.name]
        norm, distance = frobenius(begun), frobenius(values, begun)
        if not np.isfinite(norm):
            return Start(reason=f"NaN or inf at step {self._start_step}, where it began")
        known = distance if np.isfinite(distance) else None
        return Start(self._start_step, norm, known, self._start_hash)

    def _check(self, step: int, chosen: Sequence[ChosenWeight]) -> None:
        now = {one.weight.name: (one.shape, one.dtype) for one in chosen}
        if not self._first:
            self._first, self._first_step = now, step
        for name in {**self._first, **now}:
            if self._first.get(name) != now.get(name):
                told = [
                    "absent" if kind is None else f"shape {kind[0]} and dtype {kind[1]}"
                    for kind in (now.get(name), self._first.get(name))
                ]
                raise DataError(
                    f"weight {name!r}: {told[0]} at step {step}, {told[1]} at step "
                    f"{self._first_step}; a run has the same weights at every step",
                    hint=f"leave the weight out: --weights '!{name}'",
                )

    def _unmatched(self, glob: str, names: Sequence[str], left: Mapping[str, str]) -> NotFoundError:
        if why := next((why for name, why in left.items() if matches(name, glob)), ""):
            return NotFoundError(f"weights {glob!r}: what matches is not recorded: {why}")
        return NotFoundError(
            f"no weight of the model matches {glob!r}; it has {some_of(list(names)) or 'none'}",
            hint="* does not cross dots, ** does; --weights chooses weights to record, "
            "--weights-key says where they are in a checkpoint",
        )

    @staticmethod
    def _left_text(left: Mapping[str, str]) -> str:
        told = [f"{name} ({why})" for name, why in left.items()]
        return f": {some_of(told)}" if told else ""

    def _say(self, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            log.warning("%s", what)


def weight_patterns(given: object) -> tuple[str, ...]:
    """Return what was given as ``weights``, as patterns.

    Raises
    ------
    InputError
        If it is neither None, True, a text nor a sequence of texts.
    """
    if given is None or given is False:
        return ()
    if given is True:
        return (SUMMARY,)
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, (list, tuple)):
        raise unfit("weights", f"'{SUMMARY}', a glob, or a list of these", given)
    for one in given:
        if not isinstance(one, str) or not one.removeprefix("!"):
            raise unfit("weights", f"'{SUMMARY}', a glob, or a list of these", one)
    return tuple(dict.fromkeys(given))


def _numbers(one: ChosenWeight) -> Array:
    """Return the numbers of a weight, on the CPU; bfloat16 as float32."""
    return to_array(one.weight.tensor.detach(), one.weight.name).reshape(one.shape)


def _summed_up(values: Array, one: ChosenWeight) -> Array:
    if one.form == "norm":
        return np.array([frobenius(values)])
    if not np.isfinite(values).all():
        return np.full(one.stored_shape, np.nan)
    return singular_values(values, resolution(one.dtype))


def _stored_dtype(one: ChosenWeight) -> str:
    if one.form != "whole":
        return "float64"
    tensor = one.weight.tensor.detach()
    kind = torch.empty(1, dtype=torch.float32 if tensor.is_quantized else tensor.dtype)
    return str(to_stored(kind, one.weight.name)[0].dtype)


def summary_seconds(slot: Slot) -> float:
    """Return roughly how long the singular values of a weight take on one core."""
    if slot.summary is None or slot.reduction != "singular-values":
        return 0.0
    few, many = sorted(sides(slot.summary.shape))
    return 8e-11 * few**2 * many + 2e-10 * few**3
