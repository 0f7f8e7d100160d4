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
    rounded: tuple[tuple[str, str], ...] = ()  # loaded in a coarser dtype: names, both dtypes

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


def coarser(expected: Mapping[str, Any], state: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the tensors that the model keeps in a coarser dtype: name, and both dtypes."""
    return tuple(
        (key, f"{found.dtype} -> {value.dtype}".replace("torch.", ""))
        for key, value in expected.items()
        if isinstance(value, torch.Tensor)
        and isinstance(found := state.get(key), torch.Tensor)
        and found.dtype is not value.dtype
        and not (is_lazy(value) or found.is_quantized)
        and torch.promote_types(value.dtype, found.dtype) != value.dtype
    )
