"""The arguments of a model that say which of its tokens are real, and how they say it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from infoplane.data import Array, IntArray
from infoplane.errors import DataError, InputError

_MEANING = ("attention", "attn", "key", "padding", "pad", "mask", "")
"""Parts of the name of a mask that do not say of what it is."""


@dataclass(frozen=True)
class TokenMask:
    """An argument that says which tokens are real.

    ``padding`` if it says which are not, ``additive`` if it holds 0 for tokens and very low numbers
    for padding.
    """

    name: str
    padding: bool = False
    additive: bool = False

    def real(self, values: torch.Tensor) -> torch.Tensor:
        """Return (n_samples, length), True where a sample has a token.

        Of masks with an axis of queries, a token is what any query may see.

        Raises
        ------
        DataError
            If it is no such mask.
        """
        if self.additive and not bool(((values == 0) | (values < -1e3)).all()):
            raise DataError(f"mask {self.name!r}: expected 0 and very low numbers, or 0 and 1")
        if values.ndim < 2:
            raise DataError(
                f"mask {self.name!r}: expected shape (n_samples, length), got {tuple(values.shape)}"
            )
        real = (values == 0) if self.padding or self.additive else (values != 0)
        return real.flatten(1, -2).any(1) if real.ndim > 2 else real

    def without(self, values: torch.Tensor, places: Iterable[int]) -> torch.Tensor:
        """Return a mask that leaves out these places, and no others if it has two axes."""
        low = torch.finfo(values.dtype).min / 2 if self.additive else float(self.padding)
        high = 0.0 if self.additive else float(not self.padding)
        made = torch.full_like(values, high) if values.ndim == 2 else values.clone()
        made[..., list(places)] = low
        return made


@dataclass(frozen=True)
class Tokens:
    """Which tokens of a layer count: those of a mask, and the positions of ``tokens:K``."""

    mask: TokenMask | None = None
    positions: IntArray | None = None


def known_masks(arguments: Mapping[str, Array], model: nn.Module) -> dict[str, TokenMask | None]:
    """Return the arguments that are masks of tokens; None where nothing says what they mark.

    ``attention_mask`` marks tokens, as in Hugging Face models, ``key_padding_mask`` padding, as in
    torch. Arguments that are given by position have the names of the model's parameters.
    """
    found: dict[str, TokenMask | None] = {}
    for argument, array in arguments.items():
        name = called(argument, model)
        word = not {"mask", "masks"}.isdisjoint(name.split("_"))
        part = "mask" in name and bool(np.all((array == 0) | (array == 1)))
        if not (word or part) or array.ndim < 2 or "global" in name or "head" in name:
            continue
        known = name.endswith(("attention_mask", "key_padding_mask"))
        padding = name.endswith("key_padding_mask")
        found[argument] = _token_mask(argument, array, padding) if known else None
    return found


def chosen_mask(text: str, arguments: Mapping[str, Array]) -> TokenMask | None:
    """Return the mask that ``NAME``, ``!NAME`` (marks padding) or ``none`` means.

    Raises
    ------
    InputError
        If the probe set has no such argument.
    """
    if text == "none":
        return None
    name = text.removeprefix("!")
    if name not in arguments:
        has = ", ".join(arguments) or "one input without a name"
        raise InputError(f"mask {text!r}: no such argument of the model; the probe set has {has}")
    return _token_mask(name, arguments[name], padding=text.startswith("!"))


def untold(
    name: str,
    length: int,
    arguments: Mapping[str, Array],
    masks: Iterable[str],
    likely: str | None = None,
) -> DataError:
    """Return the error of a layer whose mask cannot be told; ``likely`` may be the right one."""
    listed = ", ".join(f"{mask!r} ({arguments[mask].shape[-1]} places)" for mask in masks)
    named, gap = "", f", or '{name}=gap' for the mean over its last axis"
    if likely is not None:
        named = f"'{name}={likely}', or '{name}=!{likely}' if it marks padding, or "
        gap = ""
    return DataError(
        f"layer {name!r}: it has {length} tokens, and which of them are padding cannot be told "
        f"from the mask {listed}",
        hint=f"say so: --mask {named}'{name}=none' if all its tokens count; or choose another "
        f"reduction: --reduce '{name}=sketch:1024'{gap}",
    )


def called(argument: str, model: nn.Module) -> str:
    """Return the name of an argument, or of the parameter that it is by position: ``attn_mask``."""
    name = argument
    if argument.isdecimal():
        parameters = list(inspect.signature(model.forward).parameters.values())[int(argument) :]
        if parameters and parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL:
            name = parameters[0].name
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def masked_part(name: str) -> str:
    """Return what a mask is of: ``decoder`` of ``decoder_attention_mask``."""
    words = re.sub("masks?", "_mask_", name).split("_")
    return "_".join(word for word in words if word not in _MEANING)


def _token_mask(name: str, array: Array, padding: bool) -> TokenMask:
    return TokenMask(name, padding, array.dtype.kind == "f" and bool((array < 0).any()))
