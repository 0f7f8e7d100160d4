"""Estimators in a Python file, ``path/to/file.py:Class``: naming one runs the file.

The file is read once, where it is named. Worker processes are sent its text, so an analysis uses
one text from its beginning to its end, also where somebody edits the file meanwhile. A module of
this text and this path is made once in a process; an edited file makes another one. It may import
what lies beside it, which is not sent.
"""

from __future__ import annotations

import copyreg
import hashlib
import re
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from infoplane.errors import InputError, RunFileError, is_of_system, unreadable
from infoplane.estimators.base import Estimator

_REFERENCE = re.compile(r"(?P<file>.+?\.py):(?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)(?P<rest>:.*)?")
_MODULES = "_infoplane_file_"
_MOST_BYTES = 16 << 20


class FileReference(NamedTuple):
    """A class in a file, and the settings that were written behind it."""

    path: str
    name: str
    settings: str  # ":parameter=value,...", or nothing

    def __str__(self) -> str:
        return f"{self.path}:{self.name}"


class _Source(NamedTuple):
    path: str
    text: bytes


def file_reference(spec: str) -> FileReference | None:
    """Return the parts of ``path/to/file.py:Class[:parameter=value,...]``; None of another text.

    Examples
    --------
    >>> file_reference("my/mean.py:Mean:power=2")
    FileReference(path='my/mean.py', name='Mean', settings=':power=2')
    >>> file_reference("binning:bins=30") is None
    True
    """
    found = _REFERENCE.fullmatch(spec)
    return None if found is None else FileReference(found[1], found[2], found[3] or "")


def found_in_file(reference: FileReference) -> Any:
    """Return what a file calls so; the file is run, in a module of its own.

    Raises
    ------
    RunFileError
        If there is no such file.
    InputError
        If it holds no such name.
    """
    path = Path(reference.path)
    if not path.is_file():
        raise RunFileError(f"{path}: no such file", code="IP303")
    try:
        text = path.read_bytes()
    except OSError as error:
        if is_of_system(error):
            raise unreadable(path, error) from error
        raise
    if len(text) > _MOST_BYTES:
        raise InputError(f"{path}: expected a Python file, found {len(text):,} bytes")
    return _named(_Source(str(path.resolve()), text), reference.name)


def sent_with_its_source(cls: type) -> None:
    """Let processes that do not know the file of a class make its instances anew."""
    copyreg.pickle(cls, _reduced)


def version_of(estimator: Estimator) -> str:
    """Return the version of an estimator; of one in a file, with a hash of the file.

    What the file imports from beside it counts too: any edit may change a number.
    """
    cls = type(estimator)
    source = _source_of(cls)
    if source is None:
        return cls.version
    digest = hashlib.sha256(source.text)
    for name, path in sorted(_beside(sys.modules[cls.__module__]).items()):
        digest.update(name.encode() + path.read_bytes())
    return f"{cls.version}+{digest.hexdigest()[:16]}"


def home_of(cls: type) -> str | None:
    """Return the module of a plug-in, or the name of the file; None of what infoplane brings."""
    source = _source_of(cls)
    if source is not None:
        return Path(source.path).name
    return None if cls.__module__.startswith("infoplane.") else cls.__module__


def _source_of(cls: type) -> _Source | None:
    if not cls.__module__.startswith(_MODULES):
        return None
    found: _Source = vars(sys.modules[cls.__module__])[_MODULES]
    return found


def _named(source: _Source, name: str) -> Any:
    found: Any = _module(source)
    for part in name.split("."):
        if not hasattr(found, part):
            classes = [key for key, one in vars(found).items() if _is_own(one, found)]
            raise InputError(
                f"{source.path}: defines no {name}",
                hint=f"it defines {', '.join(classes[:12])}" if classes else "see docs/plugins.md",
            )
        found = getattr(found, part)
    return found


def _is_own(value: object, module: object) -> bool:
    own = getattr(module, "__name__", "")
    return isinstance(value, type) and value.__module__ == own


def _module(source: _Source) -> ModuleType:
    """Return the module of a text; it is run the first time."""
    path = Path(source.path)
    digest = hashlib.sha256(source.path.encode() + b"\0" + source.text).hexdigest()[:24]
    name = f"{_MODULES}{re.sub(r'[^A-Za-z0-9]', '_', path.stem)}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = source.path
    vars(module)[_MODULES] = source
    if (folder := str(path.parent)) not in sys.path:
        sys.path.append(folder)  # what lies beside the file; nothing there hides a package
    sys.modules[name] = module  # dataclasses look for it
    try:
        exec(compile(source.text, source.path, "exec"), vars(module))  # noqa: S102  - as is said
    except BaseException:
        del sys.modules[name]
        raise
    _check_beside(module)
    return module


def _beside(module: ModuleType) -> dict[str, Path]:
    """Return the files beside that of a module whose names it imports, or these import, by name."""
    folder = Path(module.__file__ or "").parent
    found: dict[str, Path] = {}
    left = [module]
    while left:
        for value in list(vars(left.pop()).values()):
            of_module = isinstance(value, ModuleType)
            name = value.__name__ if of_module else getattr(value, "__module__", None)
            name = str(name).partition(".")[0]
            path = folder / f"{name}.py"
            if name not in found and name in sys.modules and path.is_file():
                found[name] = path
                left.append(sys.modules[name])
    return found


def _check_beside(module: ModuleType) -> None:
    """Refuse a file that imports a module of another folder, in place of one that lies beside it.

    Python imports a name once: of two folders with a ``helper.py``, all get the first one.
    """
    for name, path in _beside(module).items():
        used = getattr(sys.modules[name], "__file__", None)
        if used is None or Path(used).resolve() != path:
            del sys.modules[module.__name__]
            raise InputError(
                f"imports {name} from {used or 'Python itself'}, not from {path}",
                hint=f"call {path.name} otherwise: Python knows one module of a name",
            )


def _reduced(one: Any) -> tuple[Any, ...]:
    cls = type(one)
    given = {field.name: getattr(one, field.name) for field in fields(cls) if field.init}
    return _made, (*(_source_of(cls) or ()), cls.__qualname__, given)


def _made(path: str, text: bytes, name: str, given: dict[str, Any]) -> Any:
    """Return an instance as it was, in another process."""
    cls = _named(_Source(path, text), name)
    sent_with_its_source(cls)
    return cls(**given)
