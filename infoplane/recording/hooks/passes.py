"""Send a probe set through a model and write what the chosen layers compute."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

from infoplane.data import Array, ProbeSet, Slot
from infoplane.errors import DataError, InfoplaneError
from infoplane.layer_patterns import BLOCK
from infoplane.patterns import split_address, written
from infoplane.recording.hooks.attention import Attention
from infoplane.recording.hooks.calls import call_names
from infoplane.recording.hooks.capture import At, Receive, captured, raised
from infoplane.recording.hooks.further_passes import FurtherPasses, before_noise
from infoplane.recording.hooks.hints import of_failure, of_transform, transform_of
from infoplane.recording.hooks.layers import Layer
from infoplane.recording.hooks.masks import TokenMask, Tokens, known_masks, untold
from infoplane.recording.hooks.noise import Noise, NoiseOf
from infoplane.recording.hooks.operations import (
    MARK,
    Operations,
    captured_operations,
    is_operation,
    last_match,
)
from infoplane.recording.hooks.outputs import Address, Key, UnfitLayerError, not_storable, to_stored
from infoplane.recording.hooks.reductions import Reduction, check_units
from infoplane.recording.hooks.roles import Roles
from infoplane.recording.hooks.silent import silent_reasons
from infoplane.recording.hooks.state import State, raising_hook
from infoplane.recording.hooks.variants import module_name
from infoplane.recording.hooks.wrappers import named_layers
from infoplane.recording.probes.batches import Batch, batch_of
from infoplane.runs.step_writer import StepWriter
from infoplane.text import one_line

log = logging.getLogger("infoplane")

Found: TypeAlias = tuple[str, tuple[int, ...], str, "str | None"]
"""Class of a layer, shape of a sample, dtype and encoding as stored."""

SampleKind: TypeAlias = tuple[tuple[int, ...], str]
"""Shape of a sample of a layer, and its dtype."""


@dataclass
class ProbePasses:
    """Passes of one probe set through one model, the chosen layers hooked for their duration.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode when ``record`` is called.
    probe : ProbeSet
        The samples.
    layers : dict of str to Layer
        What to record, by name; the survey takes out what nobody named and cannot be recorded.
    at : {"output", "input"}
        What layers return, or what they are given.
    batch_size : int
        Samples per forward pass.
    batch_dims : mapping of str to int
        Axis of the samples by layer name, where it is not the first.
    reductions : mapping of str to Reduction
        How large layers are made small, by name.
    rows : slice, optional
        The rows of the probe set that are sent; all by default.
    operations : Operations, optional
        What to record of what the model computes outside of modules.
    masks : mapping of str to str
        Which mask belongs to the tokens of layers, by glob, where it was said.
    logits, head : str, optional
        Layer of the logits, and module of the head, where they were said; see ``RoleFinder``.
    noise : Noise, optional
        What is random in the passes, and how many there are.
    attention : Attention, optional
        Whose entropy is kept.
    """

    model: nn.Module
    probe: ProbeSet
    layers: dict[str, Layer]
    at: At
    batch_size: int
    batch_dims: Mapping[str, int]
    reductions: Mapping[str, Reduction] = field(default_factory=dict)
    rows: slice | None = None
    operations: Operations = field(default_factory=Operations)
    by_default: bool = False  # nobody named the layers
    found_axes: Mapping[str, int] = field(default_factory=dict)  # of samples, by the survey
    survey: tuple[Slot, ...] | None = None  # what it found, once it is made
    masks: Mapping[str, str] = field(default_factory=dict)  # chosen, by glob
    logits: str | None = None
    head: str | None = None
    roles: Roles = field(default_factory=Roles)  # that the survey found
    of_logits: Tokens | None = None  # which count, of logits that are recorded whole
    whole: set[Key] = field(default_factory=set)  # without axes that a glob's reduction needs
    tokens: dict[Key, Tokens] = field(default_factory=dict)  # of layers of which tokens are kept
    noise: Noise = field(default_factory=Noise)
    noise_of: dict[Key, NoiseOf] = field(default_factory=dict)  # of random layers, by the survey
    attention: Attention = field(default_factory=Attention)
    attention_slots: tuple[Slot, ...] = ()  # by the survey
    _reported: set[str] = field(default_factory=set)  # silent layers that were named

    def record(self, writer: StepWriter, state: State) -> None:
        """Send the probe set through the model, writing layers from inside their hooks.

        Every batch begins with the state, so that no sample is told of those before it.
        """
        first, draws = self._sent.start, self.noise.draws
        row, rows = first, 0
        kinds: dict[Key, SampleKind] = {}  # of the first batch
        heard: set[Key] = set()  # in the batch that is sent
        batch: Batch

        def receive(name: str, call: int, address: Address, tensor: torch.Tensor) -> None:
            key = name, call
            tensor = self.by_sample(name, tensor, rows)
            found = tuple(tensor.shape[1:]), str(tensor.dtype).removeprefix("torch.")
            if row == first and not draws.number:
                kinds[key] = found
            elif kinds.get(key) != found:
                raise self._unlike(key, row, found, kinds.get(key))
            heard.add(key)
            kind = self._kind(name)
            stored = self.reduced(key, tensor, batch)
            if not draws.number:
                array, encoding = to_stored(stored, name)
                writer.write(key, name, kind, row - first, array, found[1], encoding)
            if name in further.before:
                stored = self.by_sample(name, further.before[name], rows)
                stored = self.reduced(key, stored, batch)
            further.take(key, kind, row - first, stored)
            if row == first and not draws.number:
                self._note(writer, key, {"at": self.at, "address": written(address)})

        self.attention.begin_step()
        with self._before_noise() as before, self.captured(receive) as next_pass:
            further = FurtherPasses(writer, self.noise, before)
            for batch_rows, draws.number in self._all_passes():
                row, batch = batch_rows.start, self.batch(batch_rows)
                rows = len(batch)
                heard.clear()
                next_pass()
                if row != first or draws.number:
                    state.put_back()
                self.attention.active = not draws.number
                self.forward(batch)
                further.end_pass()
                if absent := [key for key in kinds if key not in heard]:
                    raise self._unlike(absent[0], row, None, kinds[absent[0]])
                if not kinds:
                    break  # nothing fires, so nothing will
            draws.number, self.attention.active = 0, False
        fired = {name for name, _ in kinds}
        self.operations.check()
        self._report_silent([name for name in self.layers if name not in fired])
        _name_calls(writer)
        further.name()
        self.attention.write(writer)

    def _all_passes(self) -> Iterator[tuple[slice, int]]:
        """Yield the rows of each batch with the number of each of its passes."""
        return ((rows, number) for rows in self.batches() for number in range(self.noise.passes))

    @contextmanager
    def _before_noise(self) -> Iterator[Mapping[str, torch.Tensor]]:
        """Yield what takes the values of layers before their noise, where that is told apart."""
        own = {name for (name, _), one in self.noise_of.items() if one.inside == "values"}
        chosen = {name: layer for name, layer in self.layers.items() if name in own}
        with before_noise(chosen) as before:
            yield before

    def declared_noise(self, name: str) -> float | None:
        """Return the noise that was declared of a layer."""
        return last_match(self.noise.sizes, name)

    def of(self, model: nn.Module) -> ProbePasses:
        """Return the same passes of another model with layers of the same names.

        Raises
        ------
        DataError
            If it lacks one.
        """
        if model is self.model:
            return self
        named = named_layers(model)
        if missing := [name for name in self.layers if module_name(name) not in named]:
            raise DataError(f"the model has no layer {missing[0]!r}, which another checkpoint has")
        layers = {
            name: replace(layer, module=named[module_name(name)])
            for name, layer in self.layers.items()
        }
        return replace(self, model=model, layers=layers)

    def found_layers(self, rows: slice) -> tuple[Slot, ...]:
        """Return what a pass records, from these rows.

        Raises
        ------
        DataError
            As ``record``.
        """
        batch = self.batch(rows)
        found: dict[Key, Found] = {}

        def receive(name: str, call: int, address: Address, tensor: torch.Tensor) -> None:
            tensor = self.by_sample(name, tensor, len(batch))
            found[name, call] = self.found((name, call), tensor, batch)

        with self.captured(receive):
            self.forward(batch)
        self.operations.check()
        return self.slots(found)

    def found(self, key: Key, tensor: torch.Tensor, batch: Batch) -> Found:
        """Return how an output (n_samples, ...) is stored."""
        array, encoding = to_stored(self.reduced(key, tensor, batch), key[0])
        return self._kind(key[0]), array.shape[1:], str(array.dtype), encoding

    def slots(self, found: Mapping[Key, Found]) -> tuple[Slot, ...]:
        """Return what is recorded of layers, by their final names."""
        names = call_names(found)
        return tuple(
            Slot(
                name=names[key],
                index=index,
                type=kind,
                shape=shape,
                dtype=dtype,
                reduction=str(self.reduction(key) or "none"),
                noise=noise.size,
                encoding=encoding,
                roles=self._roles(key),
                head=self.roles.head_of(key),
                noise_in=noise.inside,
                random=noise.random,
            )
            for index, (key, (kind, shape, dtype, encoding)) in enumerate(found.items())
            for noise in (self.noise_of.get(key, NoiseOf()),)
        )

    @contextmanager
    def captured(
        self, receive: Receive, unfit: Callable[[UnfitLayerError], None] = raised
    ) -> Iterator[Callable[[], None]]:
        """Hand what is chosen to ``receive``; yield what is to be called before each pass."""
        with ExitStack() as stack:
            starts = []
            stack.enter_context(self.noise.seeded(self.model))  # around what watches functions
            starts.append(stack.enter_context(self.attention.watched(self.model)))
            if self.operations.patterns:
                watching = captured_operations(self.model, self.operations, receive)
                receive, begin = stack.enter_context(watching)
                starts.append(begin)
            starts.append(stack.enter_context(captured(self.layers, receive, self.at, unfit)))

            def start_all() -> None:
                for start in starts:
                    start()

            yield start_all

    def _kind(self, name: str) -> str:
        """Return the class of a module, or the name of a function."""
        if is_operation(name):
            return split_address(name)[0].rpartition(".")[2].removeprefix(MARK)
        return type(self.layers[name].module).__name__

    def reduction(self, key: Key) -> Reduction | None:
        """Return how a layer is made small."""
        name = key[0]
        values = self.operations.reduction if is_operation(name) else self.reductions.get
        return None if key in self.whole else values(name)

    def mask(self, name: str) -> str | None:
        """Return the mask that was chosen for a layer."""
        return last_match(self.masks, name)

    def reduced(self, key: Key, tensor: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return an output as it is stored."""
        name = key[0]
        reduction = self.reduction(key)
        if reduction is not None and not reduction.named and not reduction.fits(tensor):
            self.whole.add(key)
            reduction = None
        if reduction is None:
            check_units(name, tuple(tensor.shape[1:]))
            return tensor
        if not reduction.of_tokens:
            return reduction.applied(tensor, name, None, None)
        tokens = self.tokens.get(key)
        if tokens is None:  # not before the survey has found out, whose shapes are the same
            if self.survey is not None and (masks := known_masks(self.arguments, self.model)):
                raise untold(name, tensor.shape[1], self.arguments, masks)
            tokens = Tokens(None, reduction.positions(name, tensor.shape[1], None))
        mask = tokens.mask
        real = None if mask is None else mask.real(batch.argument(mask.name))
        return reduction.applied(tensor, name, real, tokens.positions)

    @property
    def arguments(self) -> Mapping[str, Array]:
        """What the model is given, by name or place; empty if it is one input."""
        return self.probe.arguments

    def choose_tokens(self, key: Key, length: int, mask: TokenMask | None) -> None:
        """Let the tokens of a mask count in a layer.

        Raises
        ------
        DataError
            If they are not as many, or a sample has none.
        """
        reduction = self.reduction(key)
        assert reduction is not None
        real: Array | None = None
        if mask is not None:
            real = mask.real(torch.from_numpy(np.array(self.arguments[mask.name]))).numpy()
            if real.shape[1] != length:
                raise untold(key[0], length, self.arguments, [mask.name])
            if not real.any(axis=1).all():
                row = int(np.flatnonzero(~real.any(axis=1))[0])
                raise DataError(f"mask {mask.name!r}: sample {row} has no token")
        self.tokens[key] = Tokens(mask, reduction.positions(key[0], length, real))

    def _roles(self, key: Key) -> tuple[str, ...]:
        """Return the roles of a layer."""
        layer = self.layers.get(key[0])
        return (*self.roles.of(key), *([BLOCK] if layer is not None and layer.is_block else []))

    def _note(self, writer: StepWriter, key: Key, about: Mapping[str, Any]) -> None:
        """Say in the metadata of a layer where it was, how it was reduced, and of its noise."""
        reduction, layer = self.reduction(key), writer.layers[key]
        noise = self.noise_of.get(key, NoiseOf())
        layer.details = {**about, **noise.noted()}
        if roles := self._roles(key):
            layer.details["roles"] = list(roles)
        if head := self.roles.head_of(key):
            layer.details["head"] = head
        layer.noise = noise.size
        if reduction is None or reduction.kind == "flatten":
            if key == self.roles.logits and self.of_logits and (mask := self.of_logits.mask):
                layer.details["mask"] = f"{'!' * mask.padding}{mask.name}"
            return
        layer.reduction = str(reduction)
        tokens = self.tokens.get(key, Tokens())
        if tokens.positions is not None:
            layer.details["positions"] = tokens.positions.tolist()
        if tokens.mask is not None:
            layer.details["mask"] = tokens.mask.name

    def axis(self, name: str) -> int:
        """Return the axis of the samples."""
        if is_operation(name):
            return self.operations.axis(name)
        return self.batch_dims.get(name, self.found_axes.get(name, 0))

    def by_sample(self, name: str, tensor: torch.Tensor, rows: int) -> torch.Tensor:
        """Return an output with its samples on the first axis."""
        if tensor.is_nested:
            raise not_storable(tensor, name)
        axis, shape = self.axis(name), tuple(tensor.shape)
        if (transform := transform_of(tensor)) is not None:
            message = (
                f"layer {name!r}: expected values of all samples, got those within {transform}"
            )
            why = f"within {transform}"
            raise UnfitLayerError(name, why, message, of_transform(name, transform))
        if axis >= len(shape) or shape[axis] != rows:
            why, hint = f"no axis of the samples: {shape} for {rows}", None
            if rows in shape[1:]:
                other = f"--batch-dim '{name}={shape.index(rows, 1)}'"
                why += f", unless {other}"
                hint = f"name the axis: {other}; or leave the layer out: --layers '!{name}'"
            expected = "one row per sample of the batch" if not axis else f"samples on axis {axis}"
            message = (
                f"layer {name!r}: expected an {self.at} of shape ({rows}, n_units), {expected}"
            )
            raise UnfitLayerError(name, why, f"{message}, got {shape}", hint)
        if 0 in shape:
            message = f"layer {name!r}: expected an {self.at} with units, got {shape}"
            raise UnfitLayerError(name, f"no units: {shape}", message)
        tensor = tensor.movedim(axis, 0) if axis else tensor
        return tensor if len(shape) > 1 else tensor[:, None]  # one unit

    def _unlike(
        self, key: Key, row: int, now: SampleKind | None, before: SampleKind | None
    ) -> DataError:
        """Return the error of a layer that is not alike in all batches."""
        name, call = key
        which = f", call {call + 1}" if call else ""
        return DataError(
            f"layer {name!r}{which}: {described(now)} in the batch from row {row}, "
            f"{described(before)} in the first",
            hint="it depends on the batch: record all samples in one with "
            f"--batch-size {self.probe.n_samples}, or leave it out: --layers '!{name}'",
        )

    def batches(self) -> Iterator[slice]:
        """Yield the rows of each batch; none has samples of two splits."""
        for part in self.probe.parts:
            stop = min(part.stop, self._sent.stop)
            for row in range(max(part.start, self._sent.start), stop, self.batch_size):
                yield slice(row, min(row + self.batch_size, stop))

    @property
    def n_samples(self) -> int:
        """Number of samples that are sent."""
        return len(range(self._sent.start, self._sent.stop))

    @property
    def _sent(self) -> slice:
        return self.rows or slice(0, self.probe.n_samples)

    def batch(self, rows: slice) -> Batch:
        """Return rows of the probe set as the model takes them."""
        return batch_of(self.probe, rows, self.model)

    def forward(self, batch: Batch) -> Any:
        """Send a batch through the model, and return what it returns.

        Raises
        ------
        DataError
            If the model fails.
        """
        if self.attention.active:
            known = known_masks(self.arguments, self.model).values()
            self.attention.sends(batch, [mask for mask in known if mask is not None])
        try:
            with self.noise.one_pass(self.model, batch.rows):
                return batch.through(self.model)
        except InfoplaneError:
            raise
        except (Exception, SystemExit) as error:  # user code may raise anything
            if (hook := raising_hook(self.model, error)) is not None:
                raise DataError(
                    f"a hook of the model ({hook}) failed in the pass of the probe set: "
                    f"{type(error).__name__}: {one_line(error)}",
                    hint="hooks fire in the pass as in training, but without gradients and on "
                    "other samples; let it return where not module.training",
                ) from error
            raise DataError(
                f"the model failed on probe inputs of {batch}: {type(error).__name__}: "
                f"{one_line(error)}",
                hint=of_failure(error, batch),
            ) from error

    def _report_silent(self, silent: Sequence[str]) -> None:
        """Say which chosen layers took no part in the forward pass, and why."""
        everything = len(silent) == len(self.layers)
        new = [name for name in silent if everything or name not in self._reported]
        self._reported.update(new)
        if not new:
            return
        modules = {name: layer.module for name, layer in self.layers.items()}
        batch = self.batch(slice(self.batch_size))
        reasons = silent_reasons(self.model, modules, silent, new, lambda: self.forward(batch))
        if everything:
            raise DataError(f"none of the chosen layers is called by the model: {reasons}")
        log.warning("not called by the model, so not recorded: %s", reasons)


def described(kind: SampleKind | None) -> str:
    """Say of what kind the samples of a layer are; None stands for a layer that is not there."""
    return "absent" if kind is None else f"shape {kind[0]} and dtype {kind[1]}"


def _name_calls(writer: StepWriter) -> None:
    """Give what a layer returns in several calls different names."""
    names = call_names(writer.layers)
    for key, layer in writer.layers.items():
        layer.name = names[key]
