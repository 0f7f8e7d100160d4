"""Which group of runs of one document is compared with which of another.

A group of a run with splits is called ``main[train]``: the name of the group, and the split. Groups
of one name are a pair. Where each document has groups of one name only, whatever it is, they are a
pair too, and by split if there are several. All others are paired by hand.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from infoplane.errors import InputError, NotFoundError
from infoplane.results.curves import group_of
from infoplane.text import printable, some_of


class Group(NamedTuple):
    """The name of a group of runs, taken apart."""

    name: str  # without the split
    split: str  # "" where all rows of the runs are seen

    def __str__(self) -> str:
        return f"{self.name}[{self.split}]" if self.split else self.name


class Pair(NamedTuple):
    """Groups to compare; None where a document has none."""

    baseline: str | None
    candidate: str | None

    @property
    def group(self) -> str:
        """What the pair is called: as the candidate, which is what is looked at."""
        return self.candidate if self.candidate is not None else self.baseline or ""

    @property
    def renamed(self) -> bool:
        """Whether the two are there, by different names."""
        return None not in self and self.baseline != self.candidate


Named: TypeAlias = tuple[str, str]
"""A pair by hand: groups of the baseline and the candidate, with a split or for all splits."""


def groups_apart(results: Mapping[str, Any]) -> dict[str, Group]:
    """Return the groups of a document, their names taken apart."""
    found = {}
    for recording in results["recordings"]:
        whole, split = group_of(recording), str(recording.get("split") or "")
        name = whole.removesuffix(f"[{split}]")
        found[whole] = Group(name, split if name != whole else "") if name else Group(whole, "")
    return found


def paired(
    baseline: Mapping[str, Any], candidate: Mapping[str, Any], by_hand: Sequence[Named] = ()
) -> list[Pair]:
    """Return the groups to compare, those of the candidate first.

    Raises
    ------
    NotFoundError
        If a group that is named is not there, or the two that are named have no split in common.
    InputError
        If a group of the candidate is named in two pairs.
    """
    old, new = groups_apart(baseline), groups_apart(candidate)
    pairs = [pair for named in by_hand for pair in _by_hand(named, old, new)]
    twice = [g for g, n in Counter(pair.candidate for pair in pairs).items() if n > 1]
    if twice:
        raise InputError(f"pair: {printable(str(twice[0]))!r} of the candidate is in two pairs")
    used = {pair.baseline for pair in pairs}, {pair.candidate for pair in pairs}
    left = [g for g in old if g not in used[0]], [g for g in new if g not in used[1]]
    partner = {g: g for g in left[1] if g in left[0]}
    if not partner and not by_hand:
        partner = _of_one_name(old, new)
    pairs += [Pair(partner.get(g), g) for g in left[1]]
    alone = [g for g in left[0] if g not in partner.values()]
    return [*pairs, *(Pair(g, None) for g in alone)]


def _of_one_name(old: Mapping[str, Group], new: Mapping[str, Group]) -> dict[str, str]:
    """Return the partners of the groups of a candidate where both documents have one name."""
    if len(old) == len(new) == 1:
        return dict(zip(new, old, strict=True))
    if any(len({group.name for group in side.values()}) > 1 for side in (old, new)):
        return {}
    by_split = {group.split: whole for whole, group in old.items()}
    return {whole: by_split[g.split] for whole, g in new.items() if g.split in by_split}


def _by_hand(named: Named, old: Mapping[str, Group], new: Mapping[str, Group]) -> list[Pair]:
    """Return the pairs that two names stand for: one, or one of each split."""
    for name, groups, side in zip(named, (old, new), ("baseline", "candidate"), strict=True):
        if not _called(name, groups):
            raise NotFoundError(
                f"pair {printable('='.join(named))!r}: the {side} has no group "
                f"{printable(name)!r}; it has {printable(some_of(_names(groups)))}"
            )
    if named[0] in old and named[1] in new:
        return [Pair(*named)]
    first, second = (_called(n, side) for n, side in zip(named, (old, new), strict=True))
    found = [Pair(first[split], second[split]) for split in second if split in first]
    if not found:
        raise NotFoundError(
            f"pair {printable('='.join(named))!r}: no split in common; the baseline has "
            f"{some_of(list(first))}, the candidate {some_of(list(second))}"
        )
    return found


def _called(name: str, groups: Mapping[str, Group]) -> dict[str, str]:
    """Return groups by split: the one of this name, or all of this name before the split."""
    if name in groups:
        return {groups[name].split: name}
    return {group.split: whole for whole, group in groups.items() if group.name == name}


def _names(groups: Mapping[str, Group]) -> list[str]:
    return list(dict.fromkeys(group.name for group in groups.values()))


def read_pairs(
    texts: Sequence[str], baseline: Mapping[str, Any], candidates: Sequence[Mapping[str, Any]]
) -> list[list[Named]]:
    """Return the pairs that ``BASELINE=CANDIDATE`` name, for each candidate.

    A name may hold ``=``: what counts is that there are such groups.

    Raises
    ------
    InputError
        If a text has no ``=``, or there are two ways to read it.
    NotFoundError
        If the baseline, or every candidate, has no such group.
    """
    old = groups_apart(baseline)
    found: list[list[Named]] = [[] for _ in candidates]
    for text in texts:
        ways = list(_ways(text))
        if not ways:
            raise InputError(
                f"--pair: expected BASELINE=CANDIDATE, as main=pr, got {printable(text)!r}"
            )
        fits = [
            (at, way)
            for at, candidate in enumerate(candidates)
            for way in ways
            if _called(way[0], old) and _called(way[1], groups_apart(candidate))
        ]
        if not fits:
            new = [n for one in candidates for n in _names(groups_apart(one))]
            raise NotFoundError(
                f"--pair {printable(text)!r}: expected a group of the baseline "
                f"({printable(some_of(_names(old)))}) and one of the candidate "
                f"({printable(some_of(list(dict.fromkeys(new))))})"
            )
        for at, way in fits:
            found[at].append(way)
        if len({way for _, way in fits}) > 1:
            raise InputError(f"--pair {printable(text)!r}: there are two ways to read it")
    return found


def _ways(text: str) -> Iterator[Named]:
    """Yield the texts before and after each ``=``."""
    for at, letter in enumerate(text):
        if letter == "=" and text[:at] and text[at + 1 :]:
            yield text[:at], text[at + 1 :]


def suggestion(
    pairs: Sequence[Pair], baseline: Mapping[str, Any], candidate: Mapping[str, Any]
) -> str:
    """Return ``main=pr``, a pair by hand of groups that have no partner; "" if there is none."""
    old, new = groups_apart(baseline), groups_apart(candidate)
    alone = [pair.baseline for pair in pairs if pair.baseline is not None and None in pair]
    for pair in pairs:
        if pair.candidate is None or pair.baseline is not None or not alone:
            continue
        group = new[pair.candidate]
        alike = [g for g in alone if old[g].split == group.split and old[g].name != group.name]
        [near] = difflib.get_close_matches(pair.candidate, alike or alone, n=1, cutoff=0.0)
        names = (old[near].name, group.name) if alike else (near, pair.candidate)
        return "=".join(names)
    return ""
