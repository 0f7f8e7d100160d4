"""Read what ``torch.save`` wrote: tensors and plain values, never code.

A pickle may ask for any class or function by name. ``torch.load(weights_only=True)`` refuses names
that it does not know; here each of them is given an empty stand-in class instead, so that a
checkpoint with an ``argparse.Namespace`` or a configuration object beside its weights loads, and
nothing of it runs. Names that no checkpoint needs, such as ``os.system``, are refused.
"""

from __future__ import annotations

import json
import pickle
import re
import shlex
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infoplane.errors import DataError, InfoplaneError, RunFileError
from infoplane.recording.checkpoints.archives import (
    Earlier,
    archive_members,
    check_sums,
    unreadable,
)
from infoplane.recording.checkpoints.foreign import SUM, as_tensors, tensors_of_others

_HOSTILE = re.compile(
    r"(?:os|posix|nt|sys|subprocess|commands|shutil|socket|pty|importlib|runpy|ctypes|pickle"
    r"|_pickle|marshal|code|codeop|webbrowser|multiprocessing|torch\.hub"
    r"|torch\.utils\.cpp_extension)(?:\..+)?"
    r"|_?io\.(?:open|open_code|FileIO)"
    r"|(?:builtins\.|__builtin__\.|^)(?:eval|exec|compile|open|__import__|getattr|setattr|delattr"
    r"|globals|locals|vars|input|breakpoint|exit|quit)"
)
_UNKNOWN = re.compile(r"Unsupported global: GLOBAL (\S+) was not")
_BLOCKED = re.compile(r"GLOBAL (\S+) whose module \S+ is blocked")
_CONTAINER = re.compile(r"Can only (SETITEMS?|append|extend) [^<]*<class '\S*Inert_([0-9]+)'>")


class Inert:
    """Stands for a Python object of a checkpoint; takes whatever it is given and keeps nothing."""

    def __new__(cls, *_: Any, **__: Any) -> Inert:
        """Return an empty object."""
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        """Drop the pickled state."""


class _InertDict:
    """Stands for a class that extends ``dict``: its items are read into a plain one."""

    def __new__(cls, *_: Any, **__: Any) -> dict[Any, Any]:  # type: ignore[misc]  # as wanted
        return {}


class _InertList:
    """Stands for a class that extends ``list``: its items are read into a plain one."""

    def __new__(cls, *_: Any, **__: Any) -> list[Any]:  # type: ignore[misc]  # as wanted
        return []


def read_pickle(
    path: Path, members: Sequence[zipfile.ZipInfo] | None = None, earlier: Earlier | None = None
) -> Any:
    """Return the content of a file of ``torch.save``; unknown objects become ``Inert``.

    Parameters
    ----------
    members : sequence of ZipInfo, optional
        Those of the archive, where they are known.
    earlier : Earlier, optional
        What was read before: files like it are read faster.

    Raises
    ------
    DataError
        If it needs objects that stand-ins cannot replace, or names functions that run code.
    RunFileError
        If it is no such file, or damaged.
    """
    members = archive_members(path) if members is None else members
    _check_members(path, members)
    check_sums(path, members)
    if earlier is not None and (content := earlier.read_alike(path, members)) is not None:
        return _bared(content)
    try:
        content = as_tensors(_bared(_loaded(path)), path)
    except InfoplaneError:
        raise
    except Exception as error:  # damage surfaces in many ways
        raise unreadable(path, error) from error
    if earlier is not None:
        earlier.accept(path, members)
    return content


def _bared(content: Any) -> Any:
    """Return the content without attributes that stand before methods, such as ``items``.

    A pickle may give any attribute to an ``OrderedDict`` or a tensor. Only the versions of modules
    are needed, ``_metadata`` of a state dict.
    """
    seen: set[int] = set()
    left = [content]
    while left:
        value = left.pop()
        if type(value) in (torch.Tensor, torch.nn.Parameter):  # others stand for something else
            vars(value).clear()
        elif isinstance(value, (dict, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            left += dict.values(value) if isinstance(value, dict) else value
            if attributes := getattr(value, "__dict__", None):
                versions = attributes.get("_metadata")
                attributes.clear()
                if isinstance(versions, dict):
                    attributes["_metadata"] = versions
                    left.append(versions)
    return content


def _check_members(path: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse archives that are programs, and members that would grow when read."""
    names = {member.filename.rpartition("/")[2] for member in members}
    if any("/code/" in f"/{member.filename}" for member in members) and "constants.pkl" in names:
        raise DataError(
            f"{path}: refused: it is a TorchScript program, in which no layer can be hooked",
            hint="save model.state_dict() of the eager model and name what builds it with --model",
            code="IP311",
        )
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise RunFileError(
            f"{path}: expected an archive of torch.save, whose members are not compressed"
        )


def _loaded(path: Path) -> Any:
    """Load with a stand-in for every unknown name; which names there are can take several tries."""
    stand_ins: dict[str, type] = {}
    names: list[str] = []  # most files need none
    while True:
        for name in names:
            if _HOSTILE.fullmatch(name):
                raise _hostile(path, name)
            stand_ins[name] = type(f"Inert_{len(stand_ins)}", (Inert,), {})
        allowed = [(kind, name) for name, kind in stand_ins.items()]
        try:
            with (
                warnings.catch_warnings(),
                _allowed([*_known(), *allowed]),
            ):
                warnings.simplefilter("ignore")  # torch warns of pickles that it then refuses
                return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            text = str(error)
            if SUM in text:
                raise _refused(path, [SUM], text) from error
            if blocked := _BLOCKED.search(text):
                raise _hostile(path, blocked[1]) from error
            names = [
                name if "." in name else f"builtins.{name}"
                for name in _UNKNOWN.findall(text)
                if len(stand_ins) < 256
            ]
            if not stand_ins:
                names = list(dict.fromkeys([*names, *_unknown_names(path)]))
            container = _CONTAINER.search(text)
            if container:
                name = list(stand_ins)[int(container[2])]
                stand_ins[name] = _InertDict if container[1].startswith("SET") else _InertList
            elif not names or names[0] in stand_ins:
                raise _refused(path, sorted({*stand_ins, *names}), text) from error
        except TypeError as error:
            if not stand_ins:
                raise  # else one of them stands for a class of tensors, which no stand-in can be
            raise _refused(path, sorted(stand_ins), str(error)) from error


@contextmanager
def _allowed(known: Sequence[Any]) -> Iterator[None]:
    """Let ``torch.load`` know these names, and none that other code of this process registered."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(list(known))
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def _unknown_names(path: Path) -> list[str]:
    """Return the objects that an archive asks for; the older format tells them on the way."""
    try:
        with _allowed(_known()):
            return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(str(path)))
    except (RuntimeError, ValueError, OSError, EOFError, KeyError, pickle.UnpicklingError):
        return []


def _known() -> list[Any]:
    return [*_numpy_numbers(), *tensors_of_others()]


@cache
def _numpy_numbers() -> list[Any]:
    """Return what unpickling NumPy scalars needs; none of it runs code of the file.

    Left out are the dtypes of objects and records, whose pickled state is trusted by NumPy.
    """
    codes = np.typecodes["AllInteger"] + np.typecodes["AllFloat"] + "?US"
    dtypes = {type(np.dtype(code)) for code in codes}
    scalar = np.float64(0).__reduce__()[0]
    # NumPy 1 and 2 write the same function under different names.
    names = [f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")]
    return [*((scalar, name) for name in names), np.dtype, *dtypes]


def _hostile(path: Path, name: str) -> DataError:
    return DataError(
        f"{path}: refused: it is a pickle that names {name}, which could run code; no checkpoint "
        "needs that",
        hint="do not load this file; get the weights as .safetensors, or as model.state_dict()",
        code="IP311",
    )


def _refused(path: Path, names: list[str], reason: str) -> DataError:
    other = path.with_suffix(".weights")
    code = (
        f"import torch; c = torch.load({json.dumps(str(path))}, weights_only=False); "
        'w = next((c[k] for k in ("state_dict", "model_state_dict", "model") if k in c), c); '
        f"torch.save(w, {json.dumps(str(other))})"
    )
    reason = " ".join(reason.partition("WeightsUnpickler error: ")[2].split())
    needed = ", ".join(names[:4]) or f"more than tensors ({reason.split('. ')[0]})"
    return DataError(
        f"{path}: refused: it is a pickle that needs {needed}; loading it could run code",
        hint="save model.state_dict() instead, which holds tensors alone; or, if you trust the "
        f"file, take the weights out of it: python -c {shlex.quote(code)}",
        code="IP311",
    )
