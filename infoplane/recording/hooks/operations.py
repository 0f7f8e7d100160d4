"""Capture what functions return that a model calls outside of modules: ``relu(x)``, ``x + y``.

No module hook sees them. A function mode of torch sees every call; the module that is running gives
it a name: ``op:relu`` is the function ``relu`` called by the model itself, ``op:layer1.0.add`` an
addition in its module ``layer1.0``. In-place functions have the names of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import nn
from torch.overrides import TorchFunctionMode

from infoplane.errors import DataError, NotFoundError
from infoplane.patterns import matches, split_address, written
from infoplane.recording.hooks.capture import Receive
from infoplane.recording.hooks.outputs import tensor_at
from infoplane.recording.hooks.reductions import Reduction
from infoplane.recording.hooks.running import running_modules

MARK = "op:"
"""Begins the names of operations, and the patterns that choose them."""

_MOST_LISTED = 24
_Value = TypeVar("_Value")


def is_operation(pattern: str) -> bool:
    """Tell whether a pattern, or the exclusion of one, is about operations."""
    return pattern.removeprefix("!").startswith(MARK)


@dataclass
class Operations:
    """The operations that patterns choose.

    Parameters
    ----------
    patterns : sequence of str
        ``op:GLOB`` and ``!op:GLOB``, as for layers.
    batch_dims : mapping of str to int
        Axis of the samples by glob, where it is not the first.
    reductions : mapping of str to Reduction
        How large outputs are made small, by glob; the last that matches holds.
    noise : mapping of str to float
        Standard deviation of their noise, by glob.
    """

    patterns: Sequence[str] = ()
    batch_dims: Mapping[str, int] = field(default_factory=dict)
    reductions: Mapping[str, Reduction] = field(default_factory=dict)
    noise: Mapping[str, float] = field(default_factory=dict)
    seen: dict[str, None] = field(default_factory=dict)  # names of all that returned a tensor

    def chosen(self, name: str) -> list[str]:
        """Return the names, with an address each, under which an operation is recorded."""
        include = [pattern for pattern in self.patterns if not pattern.startswith("!")]
        exclude = [pattern[1:] for pattern in self.patterns if pattern.startswith("!")]
        addresses = [split_address(p)[1] for p in include if matches(name, split_address(p)[0])]
        names = dict.fromkeys(name + written(address) for address in addresses)
        return [
            full
            for full in names
            if not any(matches(one, pattern) for pattern in exclude for one in (name, full))
        ]

    def axis(self, name: str) -> int:
        """Return the axis of the samples of an operation."""
        return last_match(self.batch_dims, name) or 0

    def reduction(self, name: str) -> Reduction | None:
        """Return the reduction of an operation."""
        return last_match(self.reductions, name)

    def check(self) -> None:
        """Refuse a glob that no operation of the pass matches.

        Raises
        ------
        NotFoundError
            The hint lists the operations.
        """
        globs = {**self.batch_dims, **self.reductions, **self.noise}
        given = [*self.patterns, *filter(is_operation, globs)]
        for pattern in given if self.patterns else ():
            base = split_address(pattern.removeprefix("!"))[0]
            if not any(matches(name, base) for name in self.seen):
                names = list(self.seen)
                more = f", and {len(names) - _MOST_LISTED} more" if names[_MOST_LISTED:] else ""
                raise NotFoundError(
                    f"no operation matches {pattern!r}",
                    hint=f"the model calls {', '.join(names[:_MOST_LISTED])}{more}",
                )


def last_match(values: Mapping[str, _Value], name: str) -> _Value | None:
    """Return the last value whose glob means a layer or operation."""
    names = name, split_address(name)[0]
    found = [value for glob, value in values.items() if any(matches(one, glob) for one in names)]
    return found[-1] if found else None


@contextmanager
def captured_operations(
    model: nn.Module, operations: Operations, receive: Receive
) -> Iterator[tuple[Receive, Callable[[], None]]]:
    """Hand what the operations return to ``receive`` while the block runs.

    As ``captured`` for modules. Yields ``receive`` as it is to be called by others, so that what it
    does is not taken for an operation of the model, and a function to be called before each pass.
    """
    with running_modules(model) as running, _Watch(operations, receive, running) as mode:
        yield mode.handed_on, mode.calls.clear


class _Watch(TorchFunctionMode):
    def __init__(self, operations: Operations, receive: Receive, running: list[str]) -> None:
        super().__init__()
        self.operations, self.receive = operations, receive
        self.calls: dict[str, int] = {}
        self._chosen: dict[str, list[str]] = {}
        self._stack = running
        self._paused = False

    def handed_on(self, *arguments: Any) -> None:
        """Call ``receive``, whose own operations are none of the model's."""
        self._paused = True
        try:
            self.receive(*arguments)
        finally:
            self._paused = False

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "").strip("_")
        if self._stack and not self._paused and name != "get":  # the value of an attribute
            self._take(MARK + ".".join(filter(None, (self._stack[-1], name))), result)
        return result

    def _take(self, name: str, result: Any) -> None:
        try:
            tensor_at(result)
        except LookupError:
            return  # a shape, a number
        self.operations.seen[name] = None
        if name not in self._chosen:
            self._chosen[name] = self.operations.chosen(name)
        call = self.calls.get(name, 0)
        self.calls[name] = call + 1
        for full in self._chosen[name]:
            try:
                address, tensor = tensor_at(result, split_address(full)[1] or None)
            except LookupError as error:
                raise DataError(f"operation {full!r}: expected a tensor there; {error}") from error
            self.handed_on(full, call, address, tensor)
