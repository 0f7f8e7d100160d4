"""Import and call what a user names; whatever that code raises is told in one line."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from infoplane.errors import InfoplaneError, InputError
from infoplane.system import split_reference
from infoplane.text import one_line


def called(reference: str, argument: str) -> Any:
    """Resolve a reference and call it, unless it names an object that is no callable."""
    module_name, attribute = split_reference(reference)
    if not attribute:
        raise InputError(
            f"{argument}: expected MODULE:CALLABLE or path/to/file.py:callable, got {reference!r}",
            argument=argument,
        )
    with user_code(f"{argument} {reference}", argument):
        found: Any = _module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
        is_model = isinstance(found, nn.Module)
        return found() if callable(found) and not is_model else found


@contextmanager
def user_code(what: str, argument: str | None = None) -> Iterator[None]:
    """Turn whatever the user's code raises, sys.exit included, into one line."""
    try:
        yield
    except InfoplaneError:
        raise
    except (Exception, SystemExit) as error:
        ours = ("<", str(Path(__file__).parent), str(Path(importlib.__file__).parent))
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if not frame.filename.startswith(ours)
        ]
        where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}: " if frames else ""
        text = f"{type(error).__name__}: {one_line(error)}"
        raise InputError(f"{what}: {where}{text}", argument=argument) from error


def _module(name: str) -> Any:
    if not name.endswith(".py"):
        if (here := str(Path.cwd())) not in sys.path:
            sys.path.insert(0, here)
        return importlib.import_module(name)
    path = Path(name)
    if not path.is_file():
        raise InputError(f"{name}: no such file")
    if (folder := str(path.resolve().parent)) not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module
