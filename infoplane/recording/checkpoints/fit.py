"""What of a checkpoint's weights did not fit a model, and when that is too much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from infoplane.errors import DataError


@dataclass(frozen=True)
class Unmatched:
    """What was left out when weights were loaded; true if anything was."""

    missing: tuple[str, ...] = ()  # names of the model that the checkpoint lacks
    unexpected: tuple[str, ...] = ()  # names of the checkpoint that the model lacks
    reshaped: tuple[str, ...] = ()  # names whose shapes differ, with both shapes
    changed: tuple[tuple[str, str], ...] = ()  # not kept as they are: names, both dtypes

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


def check_fit(
    left: Unmatched, path: Path, n_expected: int, *, strict: bool, foreign: bool = False
) -> None:
    """Refuse weights of which too many do not fit a model of ``n_expected`` names.

    Parameters
    ----------
    strict : bool
        Whether that is any; otherwise it is all.
    foreign : bool, default False
        Whether names that the model does not have are left out in any case.

    Raises
    ------
    DataError
        If so; the first of each kind are named.
    """
    if strict and (left.missing or left.reshaped or (left.unexpected and not foreign)):
        name, _, shapes = left.reshaped[0].partition(" ") if left.reshaped else ("", "", "")
        only = not left.missing and not left.unexpected
        raise DataError(
            f"{path}: the weights do not fit the model: "
            + (f"{name}: expected shape {shapes}" if only else left.listed()),
            hint="check that --model builds the model that was trained, or load what fits with "
            "--no-strict",
            code="IP312",
        )
    if n_expected and len(left.missing) + len(left.reshaped) >= n_expected:
        raise DataError(
            f"{path}: none of the weights fit the model: {left.listed()}",
            hint="check that --model builds the model that was trained",
            code="IP312",
        )


def changed_kinds(
    expected: Mapping[str, Any], state: Mapping[str, Any]
) -> tuple[tuple[str, str], ...]:
    """Return the tensors that a model cannot keep as they are: name, and both dtypes.

    Numbers are rounded in a coarser dtype. Whole numbers as weights may be codes for others, and
    are told in any case, unless a buffer such as a counter keeps them exactly.
    """
    return tuple(
        (key, f"{found.dtype} -> {value.dtype}".replace("torch.", ""))
        for key, value in expected.items()
        if isinstance(value, torch.Tensor)
        and isinstance(found := state.get(key), torch.Tensor)
        and found.dtype is not value.dtype
        and not (is_lazy(value) or found.is_quantized)
        and _is_changed(value, found)
    )


def _is_changed(value: torch.Tensor, found: torch.Tensor) -> bool:
    if value.is_floating_point() == found.is_floating_point():
        return not _holds(value.dtype, found.dtype)
    counts = value.ndim == 0 or not value.is_floating_point()
    return not (counts and same_values(found.to(value.dtype).to(found.dtype), found))


def _holds(dtype: torch.dtype, other: torch.dtype) -> bool:
    """Tell whether a dtype, of floats or not as the other, has all numbers of it.

    ``torch.promote_types`` would tell, but refuses 8-bit floats and some unsigned integers.
    """
    if not (other.is_floating_point or other.is_complex):
        if dtype.is_complex:
            return True
        (least, most), (low, high) = _range(dtype), _range(other)
        return least <= low and high <= most
    if not dtype.is_floating_point and not (dtype.is_complex and other.is_complex):
        return False
    wide, narrow = torch.finfo(dtype), torch.finfo(other)
    finest = wide.tiny * wide.eps <= narrow.tiny * narrow.eps  # the smallest numbers above 0
    return finest and wide.eps <= narrow.eps and wide.max >= narrow.max


def _range(dtype: torch.dtype) -> tuple[int, int]:
    if dtype is torch.bool:
        return 0, 1
    return torch.iinfo(dtype).min, torch.iinfo(dtype).max


def same_values(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Tell whether two tensors of one dtype are equal; ``torch.equal`` lacks some dtypes."""
    if one.is_complex():
        one, other = one.to(torch.complex128), other.to(torch.complex128)
    elif one.is_floating_point() and one.dtype.itemsize == 1:
        one, other = one.float(), other.float()
    return torch.equal(one, other)
