"""State dicts in the content of a checkpoint: where they are, and what is there instead."""

from __future__ import annotations

import shlex
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from infoplane.errors import DataError

_USUAL = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "module",
    "weights",
    "params",
    "ema",
)
"""Keys under which checkpoints hold the weights; an earlier one goes before a later one."""

_MOST_LISTED = 100  # entries of a list in which weights are looked for


class StateDict(OrderedDict[str, Any]):
    """Weights by name, as ``load_state_dict`` takes them.

    Most are tensors; modules may keep other values (``..._extra_state``, packed quantised weights).
    Beside them torch keeps the version of each module, in an attribute of this name: older versions
    are loaded in other ways.
    """

    _metadata: dict[str, Any]

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> StateDict:
        """Return a mapping, with the versions that it has, as a state dict."""
        state = cls(found)
        versions = getattr(found, "_metadata", None)
        if isinstance(versions, Mapping):
            state._metadata = {
                str(module): dict(about)
                for module, about in versions.items()
                if isinstance(about, Mapping)
            }
        return state

    def renamed(self, rename: Callable[[str], str | None]) -> StateDict:
        """Return it with other names; without what ``rename`` gives none.

        ``rename`` is also asked for the names of modules, with a dot at their end.
        """
        state = StateDict(
            (new, value) for name, value in self.items() if (new := rename(name)) is not None
        )
        if hasattr(self, "_metadata"):
            state._metadata = {
                new.removesuffix("."): about
                for module, about in self._metadata.items()
                if (new := rename(f"{module}." if module else "")) is not None
            }
        return state


def usual(content: Mapping[Any, Any]) -> tuple[str, StateDict] | None:
    """Return the state dict in a checkpoint, and its key: '' for the content itself."""
    candidates = [
        (key, found)
        for key, candidate in (("", content), *((key, content.get(key)) for key in _USUAL))
        if (found := tensors_in(candidate)) is not None
    ]
    # A model without parameters has an empty state dict.
    empty = ("", StateDict()) if candidates else None
    return next(((key, found) for key, found in candidates if found), empty)


def rivals(content: Mapping[Any, Any], taken: str) -> list[str]:
    """Return where else a checkpoint holds weights of the model whose weights are taken."""
    found = _places(content, 1)
    names = _inner_names(found.pop(taken, StateDict()))
    return [
        key for key, other in found.items() if 2 * len(names & _inner_names(other)) > len(names)
    ]


def chosen(content: Mapping[Any, Any], key: str, path: Path) -> StateDict:
    """Return the state dict under a dotted path; what is left of the path is a prefix of names.

    Raises
    ------
    DataError
        If there is none.
    """
    parts = key.split(".")
    found: Any = content
    while parts and isinstance(inner := _entry(found, parts[0]), (Mapping, list, tuple)):
        found = inner
        del parts[0]
    state = StateDict()
    if isinstance(found, Mapping):
        state = tensors_in(found) or (usual(found) or ("", state))[1]
    taken = without_prefix(state, ".".join(parts) + "." if parts else "")
    if not taken:
        heads = dict.fromkeys(str(name).partition(".")[0] for name in state or content)
        what = _what_instead(found) or f"there is {', '.join(list(heads)[:8])}"
        raise DataError(
            f"{path}: no weights under {key!r}; {what}", hint=_remedy(content), code="IP312"
        )
    return taken


def none_found(content: Mapping[Any, Any], path: Path) -> DataError:
    """Return the error of a checkpoint without a state dict under a usual key."""
    what = _what_instead(content) or f"found keys {', '.join(map(str, list(content)[:6]))}"
    return DataError(
        f"{path}: expected a state dict, alone or under one of {', '.join(_USUAL)}; {what}",
        hint=_remedy(content) or "save model.state_dict()",
        code="IP312",
    )


def tensors_in(candidate: Any) -> StateDict | None:
    """Return a mapping of names to tensors as a state dict; None for anything else."""
    if not isinstance(candidate, Mapping) or not all(isinstance(key, str) for key in candidate):
        return None
    weights = all(
        is_weight(value) or key.endswith("_extra_state") for key, value in candidate.items()
    )
    return StateDict.of(candidate) if weights else None


def is_weight(value: Any) -> bool:
    """Tell whether a value can be one of a module: quantised ones pack a pair, and keep a dtype."""
    if isinstance(value, (torch.Tensor, torch.dtype)):
        return True
    packed = isinstance(value, tuple) and isinstance(next(iter(value), None), torch.Tensor)
    return packed and all(part is None or is_weight(part) for part in value)


def without_prefix(state: StateDict, prefix: str) -> StateDict:
    """Return what stands under a prefix, in names without it."""
    return state.renamed(
        lambda name: name.removeprefix(prefix) if name.startswith(prefix) else None
    )


def _inner_names(state: StateDict) -> set[str]:
    return {name.removeprefix("module.") for name in state}


def _entry(found: Any, part: str) -> Any:
    if isinstance(found, Mapping):
        return found.get(part, found.get(int(part)) if part.isdecimal() else None)
    inside = isinstance(found, (list, tuple)) and part.isdecimal() and int(part) < len(found)
    return found[int(part)] if inside else None


def _places(content: Any, depth: int = 3) -> dict[str, StateDict]:
    """Return the state dicts inside a checkpoint by their dotted keys, the largest first."""
    seen: set[int] = set()  # a pickle may hold itself

    def search(found: Any, prefix: str, depth: int) -> Iterator[tuple[str, StateDict]]:
        if id(found) in seen or _is_optimizer(found):
            return
        seen.add(id(found))
        inner = found.items() if isinstance(found, Mapping) else enumerate(found[:_MOST_LISTED])
        for key, value in inner:
            if "." in str(key) or not isinstance(value, (Mapping, list, tuple)):
                continue
            if state := tensors_in(value):
                yield f"{prefix}{key}", state
            elif depth:
                yield from search(value, f"{prefix}{key}.", depth - 1)

    return dict(sorted(search(content, "", depth), key=lambda place: -len(place[1])))


def _is_optimizer(found: Any) -> bool:
    return isinstance(found, Mapping) and {"state", "param_groups"} <= found.keys()


def _nameless(content: Any, depth: int = 1) -> str | None:
    """Return the key of a list of weights without names, as torch_ema saves averages."""
    for key, value in content.items() if isinstance(content, Mapping) else ():
        if isinstance(value, (list, tuple)) and value:
            if all(isinstance(t, torch.Tensor) and t.is_floating_point() for t in value):
                return str(key)
        elif depth and (found := _nameless(value, depth - 1)) is not None:
            return f"{key}.{found}"
    return None


def _what_instead(found: Any) -> str:
    if _is_optimizer(found):
        return "found the state of an optimizer, without the weights of the model"
    if (key := _nameless(found)) is not None:
        return f"found weights without names, a list under {key}, as torch_ema saves averages"
    return ""


def _remedy(content: Any) -> str:
    if places := list(_places(content)):
        more = f"; also under {', '.join(places[1:4])}" if len(places) > 1 else ""
        return f"there are weights under {places[0]}: --weights-key {shlex.quote(places[0])}{more}"
    if _nameless(content) is not None:
        return (
            "write them into the model, ema.copy_to(model.parameters()), and save "
            "model.state_dict()"
        )
    return "save model.state_dict()"
