"""Information-plane analysis of neural networks.

How much does each layer keep of the input, how much does it tell about the label, how do both move
during training, and can the number be trusted? All information is in bits.

Public names load on first use, so that importing the package stays quick. They and their modules
stand once, in ``__init__.pyi``, which type checkers read as well.
"""

import sys

_LAUNCH = "".join(sys.orig_argv)
_MODULE = sys.argv[:1] == ["-m"] and "minfoplane" in _LAUNCH
_RANK = "-mmpi4py.futures-minfoplane" in _LAUNCH
if (_MODULE or _RANK) and not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
    del sys.path[0]  # `python -m` looks in the working folder first: a file is no module of ours

import importlib  # noqa: E402
from pathlib import Path  # noqa: E402

__version__ = "0.1.0"


def _homes():
    """Return the module of every public name: a line of the stub has both, or one after another."""
    homes, module = {}, ""
    for line in Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8").splitlines():
        words = line.replace(",", "").split()
        if words[:1] == ["from"]:
            module = words[1]
        if words[-2:-1] == ["as"]:
            homes[words[-1]] = module
    return homes


_HOMES = _homes()

__all__ = ["__version__", *_HOMES]


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module 'infoplane' has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return found


def __dir__():
    return sorted(__all__)
