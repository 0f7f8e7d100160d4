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
        return torch.promote_types(value.dtype, found.dtype) != value.dtype
    counts = value.ndim == 0 or not value.is_floating_point()
    return not (counts and torch.equal(found.to(value.dtype).to(found.dtype), found))
