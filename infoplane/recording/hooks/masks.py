"""Find the mask of the tokens that a layer holds, where a model has several, or none that fits.

The lengths of layers tell. If some inputs are cut short together with their mask, the layers whose
length changes hold the tokens of these inputs; if theirs changes as the mask's does, place by
place, the mask is theirs. Equal lengths alone say nothing: an encoder and a decoder may agree.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import nn

from infoplane.data import Array, IntArray
from infoplane.errors import DataError, InputError
from infoplane.recording.hooks.outputs import Key

Lengths: TypeAlias = dict[Key, int]
"""Number of tokens of layers."""

_MASK = re.compile(r"_?(attention|key_padding|padding|pad)?_?mask$")
_SIDES = ("decoder", "encoder", "tgt", "target", "src", "source", "memory")
"""Begin the names of inputs that belong together."""


@dataclass(frozen=True)
class TokenMask:
    """An argument that says which tokens are real; ``padding`` if it says which are not."""

    name: str
    padding: bool = False

    def real(self, values: torch.Tensor) -> torch.Tensor:
        """Return (n_samples, length), True where a sample has a token.

        Additive masks hold 0 for tokens and very low numbers for padding. Of masks with an axis of
        queries, a token is what any query may see.

        Raises
        ------
        DataError
            If it is no such mask.
        """
        if values.is_floating_point() and bool((values < 0).any()):
            if not bool(((values == 0) | (values < -1e3)).all()):
                raise DataError(f"mask {self.name!r}: expected 0 and very low numbers, or 0 and 1")
            real = values == 0
        else:
            real = (values == 0) if self.padding else (values != 0)
        if real.ndim < 2:
            raise DataError(
                f"mask {self.name!r}: expected shape (n_samples, length), got {tuple(values.shape)}"
            )
        return real.flatten(1, -2).any(1) if real.ndim > 2 else real


@dataclass(frozen=True)
class Tokens:
    """Which tokens of a layer count: those of a mask, and the positions of ``tokens:K``."""

    mask: TokenMask | None = None
    positions: IntArray | None = None


@dataclass
class _Group:
    """Inputs of one length that are cut together."""

    masks: list[str]
    length: int
    sets: list[list[str]]  # that may be what a model takes if cut
    found: list[Lengths] = field(default_factory=list)  # of the layers, if one of them is cut

    def follows(self, key: Key, length: int) -> bool:
        return any(cut.get(key, length) != length for cut in self.found)


def known_masks(arguments: Mapping[str, Array], model: nn.Module) -> dict[str, TokenMask | None]:
    """Return the arguments that are masks of tokens; None where nothing says what they mark.

    ``attention_mask`` marks tokens, as in Hugging Face models, ``key_padding_mask`` padding, as in
    torch. Arguments that are given by position have the names of the model's parameters.
    """
    found: dict[str, TokenMask | None] = {}
    for argument, array in arguments.items():
        name = _called(argument, model)
        if "mask" not in name.split("_") or array.ndim < 2 or "global" in name or "head" in name:
            continue
        if name.endswith("attention_mask"):
            found[argument] = TokenMask(argument)
        elif name.endswith("key_padding_mask"):
            found[argument] = TokenMask(argument, padding=True)
        else:
            found[argument] = None
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
    return TokenMask(name, padding=text.startswith("!"))


def assigned(
    lengths: Lengths,
    arguments: Mapping[str, Array],
    model: nn.Module,
    cut: Callable[[Mapping[str, int], int], Lengths | None],
) -> dict[Key, TokenMask | None]:
    """Return the mask of every layer; None where all its tokens count.

    Parameters
    ----------
    lengths : mapping of (name, call) to int
        Number of tokens of each layer.
    arguments : mapping of str to array (n_samples, ...)
        What the model is given.
    model : torch.nn.Module
        The model.
    cut : callable (lengths of arguments, new length) -> mapping or None
        Returns the lengths of layers if these arguments are cut, None if the model fails.

    Raises
    ------
    DataError
        If the mask of a layer cannot be told, or has other places than the layer.
    """
    masks = known_masks(arguments, model)
    if not masks or not lengths:
        return dict.fromkeys(lengths)
    groups = _groups(arguments, masks, model)
    for group in groups:  # which grow
        if group.length < 3:  # what is cut to one place may be broadcast
            continue
        taken: set[str] = set()
        for names in group.sets:
            if len(names) > len(group.masks) + 1 and group.found:
                break
            one = cut(dict.fromkeys(names, group.length), _shorter(group.length))
            if one is not None:
                group.found.append(one)
                taken.update(names)
        others = dict.fromkeys(name for names in group.sets for name in names)
        if taken:  # inputs that the mask is not of have none
            groups += [_Group([], group.length, [[n]]) for n in others if n not in {*taken, *masks}]
    return {key: _mask_of(key, length, groups, masks, arguments) for key, length in lengths.items()}


def _mask_of(
    key: Key,
    length: int,
    groups: Sequence[_Group],
    masks: Mapping[str, TokenMask | None],
    arguments: Mapping[str, Array],
) -> TokenMask | None:
    followed = [group for group in groups if group.follows(key, length)]
    tried = [group for group in groups if any(key in cut for cut in group.found)]
    left = [group for group in groups if group not in tried]
    if not followed and left and (len(left) == 1 or not any(group.masks for group in left)):
        followed = [left[0]]  # by elimination
    if len(followed) == 1 and len(followed[0].found) < 2:
        (group,) = followed
        if not group.masks:
            return None
        fits = group.length == length and all(
            cut[key] == _shorter(length) for cut in group.found if key in cut
        )
        if fits and len(group.masks) == 1 and (mask := masks[group.masks[0]]) is not None:
            return mask
    raise untold(key[0], length, arguments, [m for g in followed for m in g.masks] or list(masks))


def untold(
    name: str, length: int, arguments: Mapping[str, Array], masks: Iterable[str]
) -> DataError:
    """Return the error of a layer whose mask cannot be told."""
    masks = list(masks)
    places = {mask: arguments[mask].shape[-1] for mask in masks}
    listed = ", ".join(f"{mask!r} ({places[mask]} places)" for mask in masks)
    fit = next((mask for mask in masks if places[mask] == length), None)
    named = f"'{name}={fit}', or '{name}=!{fit}' if it marks padding, or " if fit else ""
    return DataError(
        f"layer {name!r}: it has {length} tokens, and which of them are padding cannot be told "
        f"from the mask {listed}",
        hint=f"say so: --mask {named}'{name}=none' if all its tokens count; or choose another "
        f"reduction: --reduce '{name}=sketch:1024'",
    )


def _shorter(length: int) -> int:
    return max(length // 2, 2)


def _groups(
    arguments: Mapping[str, Array], masks: Mapping[str, object], model: nn.Module
) -> list[_Group]:
    """Return the inputs that belong together: those of every mask, and every other alone."""
    called = {name: _called(name, model) for name in arguments}
    prefixes = {name: _prefix(called[name]) for name in masks}
    sides = sorted({*_SIDES, *filter(None, prefixes.values())}, key=len, reverse=True)
    side = {
        name: prefixes[name] if name in masks else _side(called[name], sides) for name in arguments
    }
    groups, lone, taken = [], [], set()
    for prefix, length in dict.fromkeys((prefixes[m], arguments[m].shape[-1]) for m in masks):
        mine = [m for m in masks if (prefixes[m], arguments[m].shape[-1]) == (prefix, length)]
        long = [n for n in arguments if n not in masks and length in arguments[n].shape[1:]]
        own = [name for name in long if side[name] == prefix] or ([] if prefix else long)
        if not own:
            lone += mine  # of no input, as that of an encoder's output
            continue
        taken.update(own)
        sets = [[*mine, name] for name in own] + ([[*mine, *own]] if own[1:] else [])
        groups.append(_Group(mine, length, sets))
    for group in groups:
        also = [mask for mask in lone if arguments[mask].shape[-1] == group.length]
        if also:
            group.sets.append([*group.sets[-1], *also])
    for name, array in arguments.items():
        if name not in masks and name not in taken and array.ndim > 1:
            groups.append(_Group([], array.shape[1], [[name]]))
    return groups


def _prefix(name: str) -> str:
    """Return what a mask is of: ``decoder`` of ``decoder_attention_mask``."""
    return _MASK.sub("", name)


def _side(name: str, sides: Iterable[str]) -> str:
    return next((side for side in sides if name == side or name.startswith(f"{side}_")), "")


def _called(argument: str, model: nn.Module) -> str:
    """Return the name of the parameter that an argument is given to by position."""
    if not argument.isdecimal():
        return argument
    parameters = list(inspect.signature(model.forward).parameters.values())
    place = int(argument)
    if place < len(parameters) and parameters[place].kind is not inspect.Parameter.VAR_POSITIONAL:
        return parameters[place].name
    return argument
