"""Load weights into a model: find the names that fit, and account for every one that does not."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from infoplane.errors import DataError
from infoplane.recording.checkpoints.read import Weights
from infoplane.text import one_line

_WRAPPERS = re.compile(
    r"(?:^|(?<=\.))(?:module|_orig_mod|_forward_module|_fsdp_wrapped_module"
    r"|_checkpoint_wrapped_module)\."
)


@dataclass(frozen=True)
class Unmatched:
    """What was left out when weights were loaded."""

    missing: tuple[str, ...] = ()  # names of the model that the checkpoint lacks
    unexpected: tuple[str, ...] = ()  # names of the checkpoint that the model lacks
    reshaped: tuple[str, ...] = ()  # names whose shapes differ, with both shapes

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.reshaped)

    def listed(self, most: int = 3) -> str:
        """Return the names in words, the first ``most`` of each kind."""
        kinds = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "of another shape": self.reshaped,
        }
        return "; ".join(
            f"{word} {', '.join(names[:most])}"
            + (f" and {len(names) - most} more" if names[most:] else "")
            for word, names in kinds.items()
            if names
        )


def load_into(model: nn.Module, weights: Weights, path: Path, *, strict: bool = True) -> Unmatched:
    """Load weights into a model and return the names that were left out.

    Prefixes that wrappers or a surrounding module add to the names (``module.``, ``_orig_mod.``,
    the ``net.`` of a Lightning module) are taken off where the model fits better without; weights
    outside of such a prefix belong to other parts and are left out. Tied weights, of which
    ``.safetensors`` keeps one name, count as present.

    Parameters
    ----------
    strict : bool, default True
        Refuse weights of which any name or shape does not fit. Otherwise what fits is loaded.

    Raises
    ------
    DataError
        If a name or shape does not fit, or without ``strict`` none does; the first are named.
    """
    expected = model.state_dict()
    fitted, outside = _fitting(weights.state, expected, path)
    ignored = _ignored(model, fitted, fitted.keys() - expected.keys())
    present = _with_tied(fitted, expected)
    reshaped = [key for key in expected if key in present and _reshaped(expected, present, key)]
    left = Unmatched(
        tuple(key for key in expected if key not in present),
        tuple(key for key in fitted if key not in expected and key not in ignored),
        tuple(
            f"{key} {tuple(expected[key].shape)}, found {tuple(present[key].shape)}"
            for key in reshaped
        ),
    )
    if left and strict:
        detail = (
            f"{reshaped[0]}: expected shape {left.reshaped[0].removeprefix(reshaped[0] + ' ')}"
            if not left.missing and not left.unexpected
            else left.listed()
        )
        raise DataError(
            f"{path}: the weights do not fit the model: {detail}",
            hint="check that --model builds the model that was trained, or load what fits with "
            "--no-strict",
            code="IP312",
        )
    usable = {key: present[key] for key in expected if key in present and key not in reshaped}
    if expected and not usable:
        raise DataError(
            f"{path}: none of the weights fit the model: {left.listed()}",
            hint="check that --model builds the model that was trained",
            code="IP312",
        )
    for key, found in usable.items():
        _check_kind(key, expected[key], found, path)
    try:
        model.load_state_dict(usable, strict=False)
    except Exception as error:  # the model's own code takes part
        raise DataError(
            f"{path}: the weights do not fit the model: {one_line(error)}", code="IP312"
        ) from error
    return Unmatched(left.missing, left.unexpected + outside, left.reshaped)


def _fitting(
    state: Mapping[str, Any], expected: Mapping[str, Any], path: Path
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the state dict in the model's names, and the names outside of a prefix taken off."""
    if state.keys() == expected.keys():
        return dict(state), ()
    bare = {_WRAPPERS.sub("", key): value for key, value in state.items()}
    candidates = [dict(state)]
    if len(bare) == len(state) and bare.keys() != state.keys():
        bare.pop("n_averaged", None)
        candidates.append(bare)
    best = max(candidates, key=lambda found: len(expected.keys() & found.keys()))
    hits = len(expected.keys() & best.keys())
    outer = {prefix: _without(best, prefix) for prefix in _prefixes(best, expected)}
    full = {prefix: len(expected.keys() & inner.keys()) for prefix, inner in outer.items()}
    most = max(full.values(), default=0)
    if most <= hits:
        inner = _with_prefix(best, expected)
        return (inner, ()) if len(expected.keys() & inner.keys()) > hits else (best, ())
    chosen = [prefix for prefix, count in full.items() if count == most]
    if len(chosen) > 1:
        raise DataError(
            f"{path}: the model could be {' or '.join(p.rstrip('.') for p in chosen[:4])} in it",
            hint=f"name one, e.g. --weights {chosen[0].rstrip('.')}",
            code="IP312",
        )
    return outer[chosen[0]], tuple(key for key in best if not key.startswith(chosen[0]))


def _prefixes(state: Iterable[str], expected: Mapping[str, Any]) -> list[str]:
    """Return the prefixes under which the first name of the model stands in the state dict."""
    first = next(iter(expected), None)
    if first is None:
        return []
    return [key.removesuffix(first) for key in state if key.endswith(f".{first}")]


def _without(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }


def _with_prefix(state: Mapping[str, Any], expected: Iterable[str]) -> dict[str, Any]:
    """Return the weights of an inner module in the names of the model around it."""
    first = next(iter(state), None)
    ends = [key.removesuffix(first) for key in expected if first and key.endswith(f".{first}")]
    return {ends[0] + key: value for key, value in state.items()} if len(ends) == 1 else dict(state)


def _with_tied(state: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state dict completed by names that share their tensor with a name in it."""
    if expected.keys() <= state.keys():
        return {key: state[key] for key in expected}
    found = {_place(expected[key]): state[key] for key in expected if key in state}
    return {
        key: state[key] if key in state else found[_place(value)]
        for key, value in expected.items()
        if key in state or (_place(value) is not None and _place(value) in found)
    }


def _place(value: Any) -> object:
    """Return what tells two names of one tensor; None where nothing does."""
    if not isinstance(value, torch.Tensor) or is_lazy(value) or not value.numel():
        return None
    if value.layout is not torch.strided or value.device.type == "meta":
        return None
    return (value.data_ptr(), value.shape, value.stride(), value.dtype)


def _ignored(model: nn.Module, state: Mapping[str, Any], names: Collection[str]) -> set[str]:
    """Return names of buffers that the model makes itself, with the same values.

    Older releases of a library save what newer ones compute, such as ``position_ids``.
    """
    buffers = dict(model.named_buffers()) if names else {}
    return {name for name in names if name in buffers and _equal(buffers[name], state[name])}


def _equal(one: torch.Tensor, other: Any) -> bool:
    same = isinstance(other, torch.Tensor) and one.shape == other.shape
    return same and bool((one.cpu() == other).all())


def _reshaped(expected: Mapping[str, Any], state: Mapping[str, Any], key: str) -> bool:
    value, found = expected[key], state[key]
    if not isinstance(value, torch.Tensor) or is_lazy(value) or not isinstance(found, torch.Tensor):
        return False  # a lazy parameter takes the shape of what is loaded
    return not is_lazy(found) and value.shape != found.shape


def _class(tensor: torch.Tensor) -> str:
    """Return the kind of numbers; of another, a tensor would be loaded as other numbers."""
    if tensor.is_complex():
        return "complex"
    return "floating" if tensor.is_floating_point() else "whole"


def _check_kind(key: str, value: Any, found: Any, path: Path) -> None:
    """Refuse tensors that would load as something else, or unfold to more than the file holds."""
    if not isinstance(found, torch.Tensor) or not isinstance(value, torch.Tensor):
        return
    if is_lazy(found):
        raise DataError(f"{path}: {key} was saved before it was initialised", code="IP312")
    if found.layout is not torch.strided or found.is_quantized != value.is_quantized:
        kind = "quantised" if found.is_quantized else str(found.layout).removeprefix("torch.")
        raise DataError(f"{path}: {key}: expected a dense tensor, found {kind}", code="IP312")
    if found.device.type == "meta":
        raise DataError(f"{path}: {key} was saved without its values", code="IP312")
    if is_lazy(value):
        if found.numel() * found.itemsize > found.untyped_storage().nbytes():
            raise DataError(
                f"{path}: {key}: shape {tuple(found.shape)} repeats values that the file holds "
                "once; a parameter has values of its own",
                code="IP312",
            )
        return
    if _class(value) != _class(found):
        raise DataError(f"{path}: {key}: expected {value.dtype}, found {found.dtype}", code="IP312")
