"""Find the recorded layer that is the model's output, and the one that its head is given.

Names say nothing reliable of either, so tensors are compared, in the first pass of the survey: the
layer of the *logits* returns what the model returns, bit for bit, or that of which the model
returns a soft-max; the layer of the *features* returns what the head is given.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from infoplane.errors import DataError, InputError, NotFoundError
from infoplane.patterns import matches
from infoplane.recording.hooks.outputs import Key, tensors_in, to_array
from infoplane.recording.hooks.variants import module_name
from infoplane.recording.hooks.wrappers import named_layers
from infoplane.text import some_of

_LATEST = 4
"""Layers of each shape whose first rows are kept: one of the last is below a soft-max."""

_ROWS = 2
"""Rows that are kept."""

_MOST_VALUES = 1 << 22
"""Of a tensor that are compared bit for bit; of more, as many at even distances."""


class Content(NamedTuple):
    """What a tensor holds, whatever its shape."""

    dtype: torch.dtype
    size: int
    digest: bytes


@dataclass(frozen=True)
class Roles:
    """Which recorded layers have a role.

    Parameters
    ----------
    logits, features : (name, call), optional
        The layers; None where none is recorded.
    head : str, optional
        Name of the module that is given the features.
    """

    logits: Key | None = None
    features: Key | None = None
    head: str | None = None

    def of(self, key: Key) -> tuple[str, ...]:
        """Return the roles of a layer."""
        roles = {"logits": self.logits, "features": self.features}
        return tuple(role for role, one in roles.items() if one == key)

    def head_of(self, key: Key) -> str | None:
        """Return the head that is given a layer."""
        return self.head if key == self.features else None


@dataclass
class RoleFinder:
    """Watches one pass of a model.

    Parameters
    ----------
    model : torch.nn.Module
        The model.
    logits : str, optional
        The recorded layer that is said to hold the logits.
    head : str, optional
        The module that is said to be the head, as ``head_named`` returns it.
    """

    model: nn.Module
    logits: str | None = None
    head: str | None = None
    _modules: dict[str, nn.Module] = field(default_factory=dict)  # each once
    _contents: dict[Key, Content] = field(default_factory=dict)  # in the order of the pass
    _shown: dict[tuple[int, ...], deque[tuple[Key, torch.Tensor]]] = field(default_factory=dict)
    _given: dict[str, list[Content | None]] = field(default_factory=dict)  # to linear layers

    def __post_init__(self) -> None:
        first = {module: name for name, module in reversed(named_layers(self.model).items())}
        self._modules = {name: module for module, name in reversed(first.items())}
        self._shown = defaultdict(lambda: deque(maxlen=_LATEST))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note what linear layers, and the head, are given while the block runs."""

        def noting(name: str) -> Callable[[nn.Module, Any, Any], None]:
            def note(module: nn.Module, inputs: Any, named: Any) -> None:
                value = next((one for _, one in tensors_in([*inputs, *named.values()])), None)
                calls = self._given.pop(name, [])  # the last that is called stands at the end
                self._given[name] = [*calls, None if value is None else _content(value)]

            return note

        handles = [
            module.register_forward_pre_hook(noting(name), with_kwargs=True)
            for name, module in self._modules.items()
            if is_linear(module) or name == self.head
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def add(self, key: Key, tensor: torch.Tensor) -> None:
        """Take what a layer returns, as the model has it."""
        content = _content(tensor)
        if content is None:
            return
        self._contents[key] = content
        plain = tensor.is_floating_point() and tensor.layout is torch.strided and tensor.ndim > 0
        if plain and _ROWS * tensor[0].numel() <= _MOST_VALUES:
            self._shown[tuple(tensor.shape)].append((key, _first_rows(tensor)))

    def found(self, output: Any, names: Mapping[Key, str]) -> Roles:
        """Return the roles of the recorded layers.

        Parameters
        ----------
        output : object
            What the model returned in the pass.
        names : mapping of (name, call) to str
            The recorded layers, by their final names.

        Raises
        ------
        NotFoundError
            If the layer or the head that was named is not recorded, or not called.
        InputError
            If the name of the logits means several layers.
        """
        named = self.logits is not None
        logits = self._named(names) if named else self._of_output(returned(output), names)
        head = self._head(logits)
        return Roles(logits, self._features(head, logits, names), head)

    def _named(self, names: Mapping[Key, str]) -> Key:
        assert self.logits is not None
        found = [key for key, name in names.items() if name == self.logits] or [
            key
            for key, name in names.items()
            if matches(name, self.logits) or matches(key[0], self.logits)
        ]
        if len(found) == 1:
            return found[0]
        if not found:
            raise NotFoundError(
                f"no recorded layer matches {self.logits!r}, which is to hold the logits",
                hint=f"recorded: {some_of(list(names.values()))}",
            )
        raise InputError(
            f"expected one layer of logits, got {len(found)} that match {self.logits!r}",
            hint=f"name one of {some_of([names[key] for key in found])}",
        )

    def _of_output(self, output: torch.Tensor | None, names: Mapping[Key, str]) -> Key | None:
        """Return the layer that is the output, or better the one below its soft-max."""
        content = None if output is None else _content(output)
        if output is None or content is None:
            return None
        equal = [key for key in names if self._contents.get(key) == content]
        below = [
            key
            for shape, shown in self._shown.items()
            if output.ndim and math.prod(shape) == output.numel()
            for key, values in shown
            if key in names and key not in equal and _is_soft_max(_first_rows(output), values)
        ]
        return max(below or equal, key=self._last_layer, default=None)

    def _last_layer(self, key: Key) -> tuple[bool, bool, int]:
        """Rank layers of equal values: a linear one, one without sub-modules, the latest."""
        module = self._modules.get(module_name(key[0]))
        leaf = module is None or next(module.children(), None) is None
        return is_linear(module), leaf, list(self._contents).index(key)

    def _head(self, logits: Key | None) -> str | None:
        if self.head is not None:
            if self.head not in self._given:
                raise NotFoundError(
                    f"the head {self.head!r} is not called by the model",
                    hint=f"linear layers that are called: {some_of(list(self._given)) or 'none'}",
                )
            return self.head
        name = "" if logits is None else module_name(logits[0])
        if name in self._given:
            return name
        module = self._modules.get(name)
        if module is not None and next(module.parameters(recurse=False), None) is not None:
            return None  # such as a convolution: it is no head, and no linear layer before it is
        return next(reversed(self._given), None)

    def _features(
        self, head: str | None, logits: Key | None, names: Mapping[Key, str]
    ) -> Key | None:
        if head is None:
            return None
        calls = self._given[head]
        own = logits is not None and module_name(logits[0]) == head and logits[1] < len(calls)
        content = calls[logits[1] if own and logits is not None else -1]
        same = [key for key in names if content and self._contents.get(key) == content]
        return max(same, key=lambda key: list(self._contents).index(key), default=None)


def head_named(model: nn.Module, pattern: str) -> str:
    """Return the name of the module that a pattern says is the head.

    Raises
    ------
    NotFoundError
        If there is none.
    InputError
        If there are several, or it has no matrix.
    """
    named = named_layers(model)
    linear = some_of([name for name, module in named.items() if is_linear(module)]) or "none"
    found = [name for name in named if name == pattern] or [
        name for name in named if matches(name, pattern)
    ]
    if len(found) == 1:
        weight = getattr(named[found[0]], "weight", None)
        if not is_linear(named[found[0]]) and getattr(weight, "ndim", 0) != 2:
            raise InputError(
                f"expected a linear layer as head, got {found[0]!r}, a "
                f"{type(named[found[0]]).__name__}",
                hint=f"linear: {linear}",
            )
        return found[0]
    if not found:
        raise NotFoundError(
            f"no layer matches {pattern!r}, which is to be the head",
            hint=f"linear: {linear}",
        )
    raise InputError(
        f"expected one head, got {len(found)} layers that match {pattern!r}",
        hint=f"name one of {some_of(found)}",
    )


def is_linear(module: nn.Module | None) -> bool:
    """Tell whether a module multiplies by one matrix, quantised ones and those of GPT-2 too."""
    if module is None:
        return False
    kinds = {base.__name__ for base in type(module).__mro__}
    return not kinds.isdisjoint({"Linear", "Conv1D"}) and hasattr(module, "weight")


def returned(output: Any) -> torch.Tensor | None:
    """Return the tensor that a model predicts with: its ``logits``, or the only one of floats."""
    if isinstance(output, torch.Tensor):
        return output
    named = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if isinstance(named, torch.Tensor):
        return named
    floating = [one for _, one in tensors_in(output) if one.is_floating_point()]
    return floating[0] if len(floating) == 1 else None


def _content(tensor: torch.Tensor) -> Content | None:
    """Return what a tensor holds; None where NumPy has no form for it."""
    try:
        values = to_array(tensor, "")
    except DataError:
        return None
    step = (values.size // _MOST_VALUES) | 1  # odd, to meet all units
    some = values.ravel() if step == 1 else values.flat[::step]
    digest = blake2b(some.tobytes(), digest_size=16).digest()
    return Content(tensor.dtype, values.size, digest)


def _first_rows(tensor: torch.Tensor) -> torch.Tensor:
    """Return a copy of the first rows."""
    return tensor[:_ROWS].detach().clone()


def _is_soft_max(output: torch.Tensor, values: torch.Tensor) -> bool:
    """Tell whether one is the soft-max, or its logarithm, of the other; of one unit a sigmoid."""
    if not output.is_floating_point() or output.numel() != values.numel():
        return False
    tolerance = math.sqrt(torch.finfo(output.dtype).eps)
    out, logits = output.double(), values.double().reshape(output.shape)
    if out.numel() == len(out):
        return _close(out, torch.sigmoid(logits), tolerance)
    if not (out <= tolerance).all():  # no logarithms
        if not (out >= 0).all():
            return False
        out = out.log()
    seen = out > math.log(torch.finfo(output.dtype).tiny) / 2  # of smaller ones little is left
    for axis in {1, out.ndim - 1}:
        expected = functional.log_softmax(logits, axis)
        if _close(out[seen], expected[seen], tolerance):
            return bool(seen.any())
    return False


def _close(one: torch.Tensor, other: torch.Tensor, tolerance: float) -> bool:
    scale = max(1.0, float(other.abs().max())) if other.numel() else 1.0
    return torch.allclose(one, other, rtol=0.0, atol=tolerance * scale)
