"""Choose layers of a model by name."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.modules.activation as activations
from torch import nn

from infoplane.errors import NotFoundError
from infoplane.patterns import matches

_ACTIVATIONS = tuple(
    cls
    for cls in vars(activations).values()
    if isinstance(cls, type) and issubclass(cls, nn.Module) and cls is not nn.Module
)


def select_layers(model: nn.Module, patterns: Sequence[str] = ()) -> dict[str, nn.Module]:
    """Return the chosen modules by name, in the order of the model.

    Parameters
    ----------
    model : torch.nn.Module
        The model; wrapper prefixes such as ``module.`` are not part of the names.
    patterns : sequence of str
        Globs over dotted names: ``*`` stays within one component, ``**`` crosses dots, ``!GLOB``
        excludes. Without patterns (or with exclusions alone) every leaf module that has parameters
        or is an activation function.

    Raises
    ------
    NotFoundError
        If a pattern or the whole choice matches nothing; the hint lists what exists.
    """
    named = {name: module for name, module in model.named_modules() if name}
    include = [pattern for pattern in patterns if not pattern.startswith("!")]
    exclude = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    for pattern in [*include, *exclude]:
        if not any(matches(name, pattern) for name in named):
            raise NotFoundError(f"no layer matches {pattern!r}", hint=_what_exists(named))
    chosen = {
        name: module
        for name, module in named.items()
        if (any(matches(name, pattern) for pattern in include) if include else _is_default(module))
        and not any(matches(name, pattern) for pattern in exclude)
    }
    if not chosen:
        raise NotFoundError(
            "no layer is left to record: expected leaf modules with parameters or an activation"
            if not patterns
            else f"no layer is left to record after {' '.join(patterns)}",
            hint=_what_exists(named),
        )
    return chosen


def _is_default(module: nn.Module) -> bool:
    leaf = next(module.children(), None) is None
    has_parameters = next(module.parameters(recurse=False), None) is not None
    return leaf and (has_parameters or isinstance(module, _ACTIVATIONS))


def _what_exists(named: dict[str, nn.Module], most: int = 24) -> str:
    if not named:
        return "the model has no sub-modules; give its layers names"
    names = [f"{name} ({type(module).__name__})" for name, module in named.items()]
    text = ", ".join(names[:most])
    more = f", and {len(names) - most} more" if len(names) > most else ""
    nested = "; '**' matches across dots" if any("." in name for name in named) else ""
    return f"the model has {text}{more}{nested}"
