"""Put back what forward passes change beside parameters: plain attributes, and what hooks keep.

Hidden states, queues, counters and caches are plain attributes, of a module or of its class, or
global variables that its ``forward`` uses, and a hook of the user's own may append to a list of the
script. All of it is followed from there: containers and plain objects by reference, tensors, arrays
and generators of random numbers by copies. Iterators and what is too large to copy are only
watched. Whatever is neither is left alone: files, locks, optimizers, data sets, and objects of
other packages.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import operator
import random
import sys
import types
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules import module as torch_module

from infoplane.runs.checksum import crc32

_MOST_BYTES = 2**26
"""Of tensors and arrays that are copied; a larger tensor that a pass changes is an error."""

_BLOCK = 2**20  # bytes of an array that are looked at together

_MOST_VALUES = 100_000
"""That are looked at; beyond it containers are still put back, but not what they hold."""

_PLAIN = frozenset(
    {
        *(type(None), bool, int, float, complex, str, bytes, type, range, slice),
        *(types.BuiltinFunctionType, types.ModuleType, types.GenericAlias, nn.Parameter),
        *(torch.dtype, torch.device, torch.Size, torch.memory_format, torch.layout),
    }
)
_OF_MODULES = frozenset(vars(nn.Module()))
"""Attributes of every module, which passes do not change or which are put back elsewhere."""

_OF_CLASSES = frozenset(
    {
        *(types.FunctionType, property, classmethod, staticmethod),
        *(types.GetSetDescriptorType, types.MemberDescriptorType),
    }
)
"""Members of classes that hold nothing of a pass."""

_FUNCTIONS = (functools.partial, types.MethodType, types.FunctionType)

_LEFT_ALONE = (torch.optim.Optimizer, torch.utils.data.Dataset, torch.utils.data.DataLoader)
_MISSING: Any = object()


class State:
    """What modules and their hooks hold besides parameters, as it is now.

    ``lost`` names the tensors, and ``left`` what else is not as before, after ``put_back`` and
    ``forget``.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.lost: list[str] = []
        self.left: list[str] = []
        self._dicts: list[dict[str, Any]] = []
        self._undo: list[Callable[[], object]] = []
        self._watched: list[tuple[str, Callable[[], object], object]] = []
        self._seen: dict[int, Any] = {}
        self._bytes, self._values = _MOST_BYTES, _MOST_VALUES
        self._next: deque[tuple[Any, str, str]] = deque()  # with the package and the name
        for module in modules:
            self._module(module)
        for kind in set(map(type, modules)):
            self._class(kind)
        for hooks in (torch_module._global_forward_hooks, torch_module._global_forward_pre_hooks):
            self._hooks(hooks.values())
        while self._next:
            self._follow(*self._next.popleft())
        self._before = _Entries(self._dicts)

    def put_back(self) -> None:
        """Undo what has changed since."""
        self._before.put_back()
        for undo in self._undo:
            undo()

    def forget(self) -> None:
        """Tell what is left changed, and let go of all of it."""
        self.lost = list(dict.fromkeys(self.lost))
        self.left = [what for what, look, before in self._watched if look() != before]
        self._dicts, self._undo, self._watched, self._seen = [], [], [], {}
        self._before = _Entries([])

    def _module(self, module: nn.Module) -> None:
        attributes = vars(module)
        package = ""
        self._dicts += attributes, module._parameters, module._buffers, module._modules
        for name in attributes.keys() - _OF_MODULES:
            if type(value := attributes[name]) not in _PLAIN:
                package = package or _package(type(module).__module__)
                self._next.append((value, package, name))
        if module._forward_hooks or module._forward_pre_hooks:
            self._hooks(module._forward_hooks.values())
            self._hooks(module._forward_pre_hooks.values())

    def _class(self, kind: type) -> None:
        """Follow the attributes of a class of the user's own."""
        for base in kind.__mro__:
            package = _package(base.__module__)
            if _is_library(package) or id(base) in self._seen:
                continue
            self._seen[id(base)] = base
            before = dict(vars(base))
            self._undo.append(functools.partial(_redefine, base, before))
            for name, value in before.items():
                if type(value) not in _OF_CLASSES:
                    self._each([value], package, name)
            for name in _called("forward", before):
                self._function(before[name])

    def _hooks(self, hooks: Iterable[Any]) -> None:
        for hook in hooks:
            self._function(hook)

    def _function(self, function: Any) -> None:
        """Follow what a function of the user's own can reach by name, or as its object."""
        if not isinstance(function, _FUNCTIONS):
            self._object(function)
            return
        if id(function) in self._seen:
            return
        self._seen[id(function)] = function
        if isinstance(function, functools.partial):
            self._function(function.func)
            self._each([*function.args, *function.keywords.values()], "", "")
        elif isinstance(function, types.MethodType):
            self._object(function.__self__)
            self._function(function.__func__)
        elif isinstance(function, types.FunctionType):
            if _is_library(_package(function.__module__ or "")):
                return
            for cell in function.__closure__ or ():
                self._undo.append(functools.partial(_refill, cell, _content(cell)))
                self._reach(_content(cell), function)
            space = function.__globals__
            for name in _names(function.__code__):
                value = space.get(name, _MISSING)
                self._undo.append(functools.partial(_rebind, space, name, value))
                self._reach(value, function)
            self._each(function.__defaults__ or (), "", "")

    def _object(self, value: Any) -> None:
        """Follow the object of a hook."""
        package = _package(type(value).__module__)
        if not _is_library(package):
            self._next.append((value, package, ""))

    def _reach(self, value: Any, function: types.FunctionType) -> None:
        if isinstance(value, types.FunctionType):
            if value.__globals__ is function.__globals__:
                self._function(value)
        elif type(value) not in _PLAIN:
            self._next.append((value, _package(function.__module__ or ""), ""))

    def _each(self, values: Iterable[Any], package: str, name: str) -> None:
        for value in values:
            self._values -= 1
            if self._values < 0:
                return
            if type(value) not in _PLAIN:
                self._next.append((value, package, name))

    def _follow(self, value: Any, package: str, name: str) -> None:
        if id(value) in self._seen:
            return
        self._seen[id(value)] = value
        if isinstance(value, torch.Tensor):
            self._tensor(value, name)
        elif isinstance(value, np.ndarray):
            self._array(value, name)
        elif isinstance(value, nn.Module):
            for module in value.modules():
                if id(module) not in self._seen or module is value:
                    self._seen[id(module)] = module
                    self._module(module)
                    self._class(type(module))
        elif isinstance(value, (dict, list, set, deque)):
            self._undo.append(functools.partial(_refilled, value, _copy(value)))
            self._each(list(value.values() if isinstance(value, dict) else value), package, name)
        elif isinstance(value, (bytearray, array)):
            self._undo.append(functools.partial(_rewrite, value, value[:]))
        elif isinstance(value, (tuple, frozenset)):
            self._each(value, package, name)
        elif (restore := _random_state(value)) is not None:
            self._undo.append(restore)
        elif (look := _position(value)) is not None:
            self._watch(name, type(value).__name__, look)
        elif self._is_plain_object(value, package):
            members = getattr(value, "__dict__", None)
            if isinstance(members, dict):
                self._dicts.append(members)
                self._each(list(members.values()), package, name)
            self._slots(value, package, name)

    def _slots(self, value: Any, package: str, name: str) -> None:
        for base in type(value).__mro__:
            slots = vars(base).get("__slots__", ())
            for slot in (slots,) if isinstance(slots, str) else slots:
                if hasattr(value, slot) and slot not in ("__dict__", "__weakref__"):
                    held = getattr(value, slot)
                    self._undo.append(functools.partial(object.__setattr__, value, slot, held))
                    self._each([held], package, name)

    @staticmethod
    def _is_plain_object(value: Any, package: str) -> bool:
        if isinstance(value, (*_LEFT_ALONE, type, types.FunctionType)):
            return False
        own = _package(type(value).__module__)
        kind = dataclasses.is_dataclass(value) or isinstance(value, types.SimpleNamespace)
        return own != "infoplane" and (own == package or kind or not _is_library(own))

    def _tensor(self, tensor: torch.Tensor, name: str) -> None:
        if isinstance(tensor, nn.Parameter) or tensor.is_inference() or tensor.is_meta:
            return
        self._bytes -= (size := tensor.numel() * tensor.element_size())
        copied = None
        if self._bytes >= 0 and tensor.layout is torch.strided:
            copied = tensor.detach().clone()
        else:
            self._bytes += size
            if tensor.device.type == "cpu" and tensor.layout is torch.strided:
                what = f"tensor of {size / 2**20:.0f} MiB"
                self._watch(name, what, functools.partial(_checksum_of_tensor, tensor))
        self._undo.append(functools.partial(self._restored, tensor, tensor._version, copied, name))

    def _restored(
        self, tensor: torch.Tensor, version: int, copied: torch.Tensor | None, name: str
    ) -> None:
        if copied is not None and copied.shape == tensor.shape:
            if tensor._version != version or not torch.equal(tensor, copied):  # .data has none
                tensor.data.copy_(copied)
        elif tensor._version != version:
            self.lost.append(name)

    def _array(self, values: np.ndarray[Any, Any], name: str) -> None:
        if values.dtype.hasobject or isinstance(values, np.memmap) or not values.flags.writeable:
            return
        if values.nbytes > self._bytes:
            what = f"array of {values.nbytes / 2**20:.0f} MiB"
            self._watch(name, what, functools.partial(_checksum, values))
            return
        self._bytes -= values.nbytes
        self._undo.append(functools.partial(np.copyto, values, values.copy()))

    def _watch(self, name: str, what: str, look: Callable[[], object]) -> None:
        self._watched.append((f"{name or 'what a hook keeps'} ({what})", look, look()))


class _Entries:
    """The entries of dictionaries, in one list: that nothing has changed shows at once."""

    def __init__(self, dicts: Sequence[dict[str, Any]]) -> None:
        self._dicts = dicts
        self._sizes, self._names, self._values = self._now()

    def put_back(self) -> None:
        """Give the dictionaries back the very same objects, in the same order."""
        sizes, names, values = self._now()
        if (
            sizes == self._sizes
            and names == self._names
            and all(map(operator.is_, values, self._values))
        ):
            return
        entries = zip(self._names, self._values, strict=True)
        for one, size in zip(self._dicts, self._sizes, strict=True):
            before = dict(itertools.islice(entries, size))
            if not _same(one, before):
                one.clear()
                one.update(before)

    def _now(self) -> tuple[list[int], list[str], list[Any]]:
        values = chain.from_iterable([one.values() for one in self._dicts])
        return [*map(len, self._dicts)], [*chain.from_iterable(self._dicts)], [*values]


def raising_hook(model: nn.Module, error: BaseException) -> str | None:
    """Return file, line and name of a hook of the user's own that raised, None if none did."""
    codes = {
        getattr(getattr(hook, "__func__", hook), "__code__", None)
        for module in model.modules()
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
        if not _is_library(_package(getattr(hook, "__module__", None) or ""))
    }
    frame = error.__traceback__
    while frame is not None:
        code = frame.tb_frame.f_code
        if code in codes:
            return f"{Path(code.co_filename).name}:{frame.tb_lineno}, {code.co_name}"
        frame = frame.tb_next
    return None


def _same(now: dict[str, Any], before: dict[str, Any]) -> bool:
    """Tell whether two dictionaries hold the very same objects, in the same order."""
    return (
        len(now) == len(before)
        and all(map(operator.is_, now.values(), before.values()))
        and all(map(operator.eq, now, before))
    )


def _copy(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else list(value)


def _refilled(value: Any, before: Any) -> None:
    """Give a container back what it held."""
    if isinstance(value, dict):
        if not _same(value, before):
            kind = OrderedDict if isinstance(value, OrderedDict) else dict
            kind.clear(value)
            for key, one in before.items():
                kind.__setitem__(value, key, one)
    elif len(value) != len(before) or any(a is not b for a, b in zip(value, before, strict=True)):
        if isinstance(value, list):
            list.__setitem__(value, slice(None), before)
        elif isinstance(value, set):
            set.clear(value)
            set.update(value, before)
        else:
            deque.clear(value)
            deque.extend(value, before)


def _rewrite(value: Any, before: Any) -> None:
    """Give an array of Python's own back what it held."""
    if value != before:
        value[:] = before


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty yet
        return _MISSING


def _refill(cell: types.CellType, value: Any) -> None:
    if value is not _MISSING and _content(cell) is not value:
        cell.cell_contents = value


def _rebind(space: dict[str, Any], name: str, value: Any) -> None:
    if value is _MISSING:
        space.pop(name, None)
    elif space.get(name, _MISSING) is not value:
        space[name] = value


@functools.lru_cache(maxsize=1024)
def _names(code: types.CodeType) -> Iterable[str]:
    """Return the global names that a function uses, those of functions inside it as well."""
    inner = (one for one in code.co_consts if isinstance(one, types.CodeType))
    return dict.fromkeys([*code.co_names, *(name for one in inner for name in _names(one))])


def _called(method: str, members: dict[str, Any]) -> Iterable[str]:
    """Return a method, if it is among the members of a class, and those that it names."""
    found: dict[str, None] = {}
    left = [method]
    while left:
        name = left.pop()
        if name not in found and isinstance(members.get(name), types.FunctionType):
            found[name] = None
            left += _names(members[name].__code__)
    return found


def _redefine(kind: type, before: dict[str, Any]) -> None:
    """Give a class back the attributes that it had."""
    now = vars(kind)
    if len(now) == len(before) and all(map(operator.is_, now.values(), before.values())):
        return
    for name in now.keys() - before.keys():
        type.__delattr__(kind, name)
    for name, value in before.items():
        if now.get(name, _MISSING) is not value:
            type.__setattr__(kind, name, value)


def _position(value: Any) -> Callable[[], object] | None:
    """Return what tells how far an iterator is; None if it is none, or nothing tells."""
    if isinstance(value, itertools.count):
        return functools.partial(repr, value)
    if type(value).__module__ in ("builtins", "itertools") and hasattr(value, "__length_hint__"):
        return functools.partial(operator.length_hint, value)
    return None


def _checksum(values: np.ndarray[Any, Any]) -> int:
    found, table = 0, np.atleast_1d(values)
    rows = max(_BLOCK * len(table) // max(table.nbytes, 1), 1)
    for row in range(0, len(table), rows):
        found = crc32(table[row : row + rows].tobytes(), found)
    return found


def _checksum_of_tensor(tensor: torch.Tensor) -> int:
    return _checksum(tensor.detach().contiguous().flatten().view(torch.uint8).numpy())


def _random_state(value: Any) -> Callable[[], object] | None:
    """Return what puts a generator of random numbers back; None if it is none."""
    if isinstance(value, np.random.Generator):
        bits = value.bit_generator
        return functools.partial(setattr, bits, "state", bits.state)
    if isinstance(value, np.random.RandomState):
        return functools.partial(value.set_state, value.get_state())
    if isinstance(value, torch.Generator):
        return functools.partial(value.set_state, value.get_state())
    if isinstance(value, random.Random):
        return functools.partial(value.setstate, value.getstate())
    return None


def _package(module: str) -> str:
    return module.partition(".")[0]


@functools.lru_cache(maxsize=256)
def _is_library(package: str) -> bool:
    """Tell whether a package is installed, or of Python itself: none of the user's own code."""
    if package in sys.stdlib_module_names and package != "__main__":
        return True
    file = getattr(sys.modules.get(package), "__file__", None) or ""
    return package == "infoplane" or "site-packages" in file or "dist-packages" in file
