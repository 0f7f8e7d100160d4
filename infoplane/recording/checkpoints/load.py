"""Load weights into a model as torch does, and account for every name that does not fit.

Torch's own ``load_state_dict`` decides: hooks that rename, versions of modules and old forms of
parameters are its business. What is done here comes on top: wrappers' prefixes, tied weights of
which a file holds one, words for what was refused, and what torch passes over in silence.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from infoplane.errors import DataError
from infoplane.recording.checkpoints.fit import Unmatched, changed_kinds, check_fit, same_values
from infoplane.recording.checkpoints.pretrained import is_pretrained, load_by_library
from infoplane.recording.checkpoints.read import Weights
from infoplane.recording.checkpoints.states import StateDict, without_prefix
from infoplane.text import one_line

log = logging.getLogger("infoplane")

_WRAPPERS = re.compile(
    r"(?:^|(?<=\.))(?:module|_orig_mod|_forward_module|_fsdp_wrapped_module"
    r"|_checkpoint_wrapped_module)\."
)

_MOST_PARTS = 16  # modules in a file that are tried as the model, the largest first


def load_into(
    model: nn.Module,
    weights: Weights,
    path: Path,
    *,
    strict: bool = True,
    begin: Callable[[], object] = lambda: None,
) -> Unmatched:
    """Load weights into a model and return the names that were left out.

    What ``model.load_state_dict(state)`` accepts is loaded by it. Beyond that, prefixes that
    wrappers or a surrounding module add to the names (``module.``, ``_orig_mod.``, the ``net.`` of
    a Lightning module) are taken off where the model fits better without; weights outside of such a
    prefix belong to other parts and are left out. Tied weights, of which ``.safetensors`` keeps one
    name, count as present. For models of ``transformers`` the library has the last word.

    Parameters
    ----------
    strict : bool, default True
        Refuse weights of which any name or shape does not fit. Otherwise what fits is loaded.
    begin : callable, optional
        Is called before each try: puts back what hooks of an earlier one, or of an earlier
        checkpoint, have set.

    Raises
    ------
    DataError
        If a name or shape does not fit, or without ``strict`` none does; if tensors of the file
        differ that are one tensor in the model; if one would be loaded as something else. A model
        whose weights were refused may hold some of them.
    """
    try:
        return _load(model, weights, path, strict=strict, begin=begin)
    except DataError:
        if not is_pretrained(model):
            raise
        begin()
        left = load_by_library(model, weights, path)
        if left is None or left.missing or left.reshaped:
            raise
        return left


def _load(
    model: nn.Module, weights: Weights, path: Path, *, strict: bool, begin: Callable[[], object]
) -> Unmatched:
    """Load weights by their names; parameters and errors as of ``load_into``."""
    expected = model.state_dict()
    _check_kinds(expected, weights.state, path)
    for make in (lambda state: state, _inner) if strict else ():
        begin()
        if _accepted(model, state := make(weights.state)):
            _check_shared(model, state, path)
            return Unmatched(changed=changed_kinds(expected, state))
    fitted, outside = _fitting(weights.state, expected, path)
    _check_kinds(expected, fitted, path)
    ignored = _ignored(model, fitted, fitted.keys() - expected.keys())
    present = _with_tied(fitted, expected, leave=ignored)
    reshaped = [key for key in expected if key in present and _reshaped(expected, present, key)]
    usable = present.renamed(lambda key: None if key in reshaped else key)
    begin()
    try:
        missing, unexpected = _loaded(model, usable, path)
        left = Unmatched(
            tuple(key for key in missing if key not in reshaped),
            tuple(unexpected),
            tuple(
                f"{key} {tuple(expected[key].shape)}, found {tuple(present[key].shape)}"
                for key in reshaped
            ),
            changed_kinds(expected, fitted),
        )
        check_fit(left, path, len(expected), strict=strict)
    except DataError as error:
        if not is_pretrained(model) and (part := _part(model, weights.state)):
            error.hint = f"take the part of the file that fits the model: --weights-key {part}"
        raise
    _check_shared(model, usable, path)
    return replace(left, unexpected=left.unexpected + outside)


def _accepted(model: nn.Module, state: StateDict) -> bool:
    """Load a state dict as it is, and tell whether torch took all of it."""
    try:
        model.load_state_dict(state)
    except Exception as error:  # noqa: BLE001  - the model's own code takes part
        log.debug("not loaded as it is: %s", one_line(error))
        return False
    return True


def _loaded(model: nn.Module, state: StateDict, path: Path) -> tuple[list[str], list[str]]:
    """Load what fits; return the names that the state dict lacks, and that the model lacks."""
    try:
        found = model.load_state_dict(state, strict=False)
        return list(found.missing_keys), list(found.unexpected_keys)
    except Exception as error:  # the model's own code takes part
        expected = model.state_dict()
        left = Unmatched(
            tuple(key for key in expected if key not in state),
            tuple(key for key in state if key not in expected),
        )
        raise DataError(
            f"{path}: the weights do not fit the model: {left.listed() or one_line(error)}",
            hint="check that --model builds the model that was trained",
            code="IP312",
        ) from error


def _check_shared(model: nn.Module, state: StateDict, path: Path) -> None:
    """Refuse different tensors for what is one tensor in the model: the last would stay.

    Names whose memory overlaps are read back and compared with what was loaded.
    """
    now = model.state_dict()
    for one, other in _overlapping(now):
        if all(key not in state or _same(now[key], state[key]) for key in (one, other)):
            continue
        raise DataError(
            f"{path}: {one} and {other} are one tensor in the model, two different ones in the "
            "file",
            hint="let --model build the model without tied weights, as it was trained",
            code="IP312",
        )


def _overlapping(state: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return pairs of names whose tensors may share memory."""
    spans = []
    for key, value in state.items():
        if _in_memory(value) and not value.is_quantized:
            start, length = value.data_ptr(), value.nbytes
            if not value.is_contiguous():
                steps = zip(value.shape, value.stride(), strict=True)
                length = (sum((n - 1) * step for n, step in steps) + 1) * value.itemsize
            spans.append((value.get_device(), start, start + length, key))
    found: list[tuple[str, str]] = []
    furthest = (-2, 0, 0, "")  # the span so far that ends last
    for span in sorted(spans):
        if span[0] == furthest[0] and span[1] < furthest[2]:
            found.append((furthest[3], span[3]))
        if (span[0], span[2]) > (furthest[0], furthest[2]):
            furthest = span
    return found


def _same(value: torch.Tensor, found: Any) -> bool:
    """Tell whether a tensor holds what was loaded into it, in its own dtype."""
    if not isinstance(found, torch.Tensor) or found.shape != value.shape:
        return False
    given, nan = found.to(value), value.isnan()
    return same_values(given[~nan], value[~nan]) and bool(given[nan].isnan().all())


def _fitting(
    state: StateDict, expected: Mapping[str, Any], path: Path
) -> tuple[StateDict, tuple[str, ...]]:
    """Return the state dict in the model's names, and the names outside of a prefix taken off."""
    if state.keys() == expected.keys():
        return state, ()
    bare = state.renamed(lambda key: _WRAPPERS.sub("", key))
    candidates = [state]
    if len(bare) == len(state) and bare.keys() != state.keys():
        bare.pop("n_averaged", None)
        candidates.insert(0, bare)  # hooks of the model may know names that it does not have
    best = max(candidates, key=lambda found: len(expected.keys() & found.keys()))
    inner = _with_prefix(best, expected)
    hits = max(len(expected.keys() & found.keys()) for found in (best, inner))
    full = _prefixes(best, expected)
    most = max(full.values(), default=0)
    if most <= hits:
        return (best if len(expected.keys() & best.keys()) == hits else inner), ()
    chosen = [prefix for prefix, count in full.items() if count == most]
    if len(chosen) > 1:
        raise DataError(
            f"{path}: the model could be {' or '.join(p.rstrip('.') for p in chosen[:4])} in it",
            hint=f"name one, e.g. --weights-key {chosen[0].rstrip('.')}",
            code="IP312",
        )
    outside = tuple(key for key in best if not key.startswith(chosen[0]))
    return without_prefix(best, chosen[0]), outside


def _inner(state: StateDict) -> StateDict:
    """Return the weights of the one module that holds all of them, in its own names."""
    heads = {key.partition(".")[0] for key in state}
    return without_prefix(state, f"{heads.pop()}.") if len(heads) == 1 else state


def _prefixes(state: Iterable[str], expected: Mapping[str, Any]) -> Counter[str]:
    """Return the prefixes under which names of the model stand in the state dict, and how many."""
    return Counter(
        key[: dot.end()]
        for key in state
        for dot in re.finditer(r"\.", key)
        if key[dot.end() :] in expected
    )


def _part(model: nn.Module, state: StateDict) -> str | None:
    """Return the prefix, if any, under which a file holds what torch takes for the model."""
    prefixes = Counter(key[: dot.start()] for key in state for dot in re.finditer(r"\.", key))
    for prefix, _ in prefixes.most_common(_MOST_PARTS):
        if _accepted(model, without_prefix(state, f"{prefix}.")):
            return prefix
    return None


def _with_prefix(state: StateDict, expected: Iterable[str]) -> StateDict:
    """Return the weights of an inner module in the names of the model around it."""
    first = next(iter(state), None)
    ends = [key.removesuffix(first) for key in expected if first and key.endswith(f".{first}")]
    return state.renamed(lambda key: ends[0] + key) if len(ends) == 1 else state


def _with_tied(
    state: StateDict, expected: Mapping[str, Any], *, leave: Collection[str]
) -> StateDict:
    """Return the state dict completed by names that share their tensor with a name in it."""
    complete = state.renamed(lambda key: None if key in leave else key)
    found = {_place(expected[key]): state[key] for key in expected if key in state}
    for key, value in expected.items():
        if key not in state and (place := _place(value)) is not None and place in found:
            complete[key] = found[place]
    return complete


def _place(value: Any) -> object:
    """Return what tells two names of one tensor; None where nothing does."""
    if not _in_memory(value):
        return None
    return (value.data_ptr(), value.shape, value.stride(), value.dtype)


def _in_memory(value: Any) -> bool:
    """Tell whether something is a tensor of which each value has a place."""
    return (
        isinstance(value, torch.Tensor)
        and not is_lazy(value)
        and value.layout is torch.strided
        and not value.is_meta
        and value.numel() > 0
    )


def _ignored(model: nn.Module, state: Mapping[str, Any], names: Collection[str]) -> set[str]:
    """Return names of buffers that the model makes itself, with the same values.

    Older releases of a library save what newer ones compute, such as ``position_ids``.
    """
    buffers = dict(model.named_buffers()) if names else {}
    return {name for name in names if name in buffers and _same(buffers[name], state[name])}


def _reshaped(expected: Mapping[str, Any], state: Mapping[str, Any], key: str) -> bool:
    value, found = expected[key], state[key]
    if not isinstance(value, torch.Tensor) or is_lazy(value) or not isinstance(found, torch.Tensor):
        return False  # a lazy parameter takes the shape of what is loaded
    return not is_lazy(found) and value.shape != found.shape


def _check_kinds(expected: Mapping[str, Any], state: Mapping[str, Any], path: Path) -> None:
    """Refuse tensors that have no values, or unfold to more than the file holds."""
    for key, value in expected.items():
        found = state.get(key)
        if not isinstance(found, torch.Tensor) or not isinstance(value, torch.Tensor):
            continue
        if why := _unfit(value, found):
            raise DataError(f"{path}: {key}{why}", code="IP312")


def _unfit(value: torch.Tensor, found: torch.Tensor) -> str | None:
    """Say why a tensor of a file cannot be loaded into one of a model."""
    if is_lazy(found):
        return " was saved before it was initialised"
    if found.layout is not torch.strided or found.is_quantized != value.is_quantized:
        kind = "quantised" if found.is_quantized else str(found.layout).removeprefix("torch.")
        return f": expected a dense tensor, found {kind}"
    if found.is_meta:
        return " was saved without its values"
    if is_lazy(value) and found.numel() * found.itemsize > found.untyped_storage().nbytes():
        return (
            f": shape {tuple(found.shape)} repeats values that the file holds once; a parameter "
            "has values of its own"
        )
    return None
