"""Tell which sequence of tokens a layer holds, and so which mask is of its tokens.

The rule: a layer has the mask of the one sequence whose tokens it holds, each at its own place.
It holds those of a sequence if its length changes with it, or if every place of the sequence moves
one of its own. What holds those of two sequences, of a mask that may be of another one, or in
another order, is refused. Equal lengths alone say nothing: an encoder and a decoder may agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from infoplane.data import Array
from infoplane.recording.hooks.masks import TokenMask, called, known_masks, masked_part, untold
from infoplane.recording.hooks.outputs import Key
from infoplane.recording.hooks.places import Lengths, Places, Tries

_SIDES = ("decoder", "encoder", "tgt", "target", "src", "source", "memory")
"""Begin the names of inputs that belong together."""


@dataclass(frozen=True)
class _Inputs:
    """Inputs of one length that may belong together, and the masks that may be theirs."""

    names: list[str]
    masks: list[str]
    length: int
    named: bool = True  # as their masks are


@dataclass(frozen=True)
class _Sequence:
    """Inputs that hold the same tokens, and what tries tell of the layers that hold them."""

    masks: list[str]
    sure: bool  # that the masks are of these inputs
    length: int
    cut: Lengths | None
    places: Places

    def holds(self, key: Key, length: int) -> bool:
        """Tell whether a layer holds its tokens."""
        followed = self.cut is not None and self.cut.get(key, length) != length
        return followed or key in self.places.single

    def in_order(self, key: Key, length: int) -> bool:
        """Tell whether a layer that holds its tokens has each at its own place."""
        return length == self.length and key in self.places.own | self.places.mixed

    def spares(self, key: Key) -> bool:
        """Tell whether its tokens leave a layer as it is."""
        return bool(self.places.moved) and key not in self.places.moved


def assigned(
    lengths: Lengths, arguments: Mapping[str, Array], model: nn.Module, tries: Tries
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
    tries : Tries
        Passes with other inputs.

    Raises
    ------
    DataError
        If the mask of a layer cannot be told, or has other places than the layer.
    """
    masks = known_masks(arguments, model)
    if not masks or not lengths:
        return dict.fromkeys(lengths)
    groups, lone = _inputs(arguments, list(masks), model)
    found = [one for group in groups for one in _sequences(group, lone, masks, tries)]
    return {key: _mask_of(key, n, found, masks, arguments) for key, n in lengths.items()}


def _mask_of(
    key: Key,
    length: int,
    sequences: Sequence[_Sequence],
    masks: Mapping[str, TokenMask | None],
    arguments: Mapping[str, Array],
) -> TokenMask | None:
    holders = [one for one in sequences if one.holds(key, length)]
    masked = [one for one in sequences if one.masks and one not in holders]
    in_order = bool(holders) and all(one.in_order(key, length) for one in holders)
    if not any(one.masks for one in holders) and (
        in_order or all(one.spares(key) or (holders and one.cut is not None) for one in masked)
    ):
        return None
    names = [mask for one in holders for mask in one.masks]
    likely = names[0] if in_order and names else None
    mask = masks[names[0]] if len(holders) == len(names) == 1 and in_order else None
    if mask is not None and holders[0].sure:
        return mask
    raise untold(key[0], length, arguments, names or list(masks), likely)


def _sequences(
    group: _Inputs, lone: Sequence[str], masks: Mapping[str, TokenMask | None], tries: Tries
) -> Iterator[_Sequence]:
    """Yield the sequences of inputs: those that can be cut alone with the masks, or all as one."""
    known = [mask for name in group.masks if (mask := masks[name]) is not None]

    def sequence(names: Sequence[str], cut: Lengths | None, sure: bool) -> _Sequence:
        places = tries.places(names, known, group.length, cut)
        return _Sequence(group.masks, sure, group.length, cut, places)

    cuts = {name: tries.cut([*group.masks, name], group.length) for name in group.names}
    alone = [name for name, cut in cuts.items() if cut is not None]
    if alone:
        for name in alone:
            yield sequence([name], cuts[name], len(alone) == 1)
        others = [name for name in group.names if name not in alone]
        if others and group.masks:
            yield from _sequences(_Inputs(others, [], group.length), (), masks, tries)
        return
    also = [name for name in lone if tries.batch.argument(name).shape[-1] == group.length]
    whole = [*group.masks, *group.names]
    cut = tries.cut(whole, group.length) if group.names[1:] else None
    if cut is None and also:
        cut = tries.cut([*whole, *also], group.length)
    sure = cut is not None or (group.named and not group.names[1:])
    yield sequence(group.names, cut, sure)


def _inputs(
    arguments: Mapping[str, Array], masks: Sequence[str], model: nn.Module
) -> tuple[list[_Inputs], list[str]]:
    """Return the inputs that belong together by their names, and the masks that are of none.

    A mask without an input of its name may be of those of its length that have none.
    """
    part = {name: masked_part(called(name, model)) for name in masks}
    sides = sorted({*_SIDES, *filter(None, part.values())}, key=len, reverse=True)
    inputs = [name for name, array in arguments.items() if name not in masks and array.ndim > 1]
    side = {name: _side(called(name, model), sides) for name in inputs}
    kinds: dict[tuple[str, int], list[str]] = {}
    for mask in masks:
        kinds.setdefault((part[mask], arguments[mask].shape[-1]), []).append(mask)

    def long(length: int) -> list[str]:
        return [name for name in inputs if length in arguments[name].shape[1:]]

    named = {kind: [name for name in long(kind[1]) if side[name] == kind[0]] for kind in kinds}
    taken = {name for names in named.values() for name in names}
    groups, lone = [], []
    for kind, mine in kinds.items():
        if names := named[kind] or [name for name in long(kind[1]) if name not in taken]:
            groups.append(_Inputs(names, mine, kind[1], bool(named[kind])))
        else:
            lone += mine
    taken.update(name for group in groups for name in group.names)
    rest: dict[tuple[str, int], list[str]] = {}
    for name in inputs:
        if name not in taken:
            rest.setdefault((side[name], arguments[name].shape[1]), []).append(name)
    return groups + [_Inputs(names, [], length) for (_, length), names in rest.items()], lone


def _side(name: str, sides: Sequence[str]) -> str:
    return next((side for side in sides if name == side or name.startswith(f"{side}_")), "")
