"""Compare results with a baseline: the last value of every layer and quantity, like with like.

Two numbers are *different* if they are further apart than the tolerance and the interval of their
difference leaves out 0. Numbers made under different settings (samples, labels, estimator, steps,
noise) are not compared at all. Where only a view beside the others differs, as I(X;T) at the noise
that the runs of each document fixed, it is left out by name. So is H(T) where it is the same number
as I(X;T), which would count it twice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from infoplane.calls import document_of, one_of, unfit
from infoplane.errors import DataError, NotFoundError
from infoplane.gate.alike import beside, mismatches, same_estimators, told, unlike
from infoplane.gate.difference import LEVEL, ONE_SIDED, Difference, Side, Test, difference
from infoplane.gate.evidence import Evidence
from infoplane.gate.pairing import Named, Pair, groups_apart, paired, suggestion
from infoplane.numerics.holm import holm
from infoplane.results.settings import Key
from infoplane.results.vocabulary import contradictory
from infoplane.text import counted, printable


@dataclass(frozen=True)
class Comparison:
    """All differences of two documents, their settings that differ, and what was left out."""

    differences: tuple[Difference, ...]
    mismatches: tuple[str, ...]
    left_out: tuple[str, ...] = ()  # quantities that were not compared, and why
    notes: tuple[str, ...] = ()  # what a reader must know beside
    pairs: tuple[Pair, ...] = ()
    suggestion: str = ""  # a pair by hand of groups that have no partner
    test: Test = "ci"

    def of(self, *results: str) -> list[Difference]:
        """Return the differences with one of these results."""
        return [d for d in self.differences if d.result in results]

    @property
    def one_sided(self) -> dict[str, tuple[str, int]]:
        """Groups that one document alone has: which one, and how many values it has of them."""
        groups: dict[str, list[Difference]] = defaultdict(list)
        for d in self.differences:
            groups[d.group].append(d)
        return {
            group: (found[0].reason, len(found))
            for group, found in groups.items()
            if found[0].reason in ONE_SIDED and len({d.reason for d in found}) == 1
        }

    @property
    def places(self) -> tuple[str, list[str]]:
        """What sets the groups of the differences apart, and its name for each of them.

        That is the split where the groups have one name; no name at all where there is one group.
        """
        groups = {(d.group, d.split) for d in self.differences}
        if len(groups) < 2:
            return "", [""] * len(self.differences)
        bare = {group.removesuffix(f"[{split}]") if split else group for group, split in groups}
        if len(bare) == 1 and all(split for _, split in groups):
            return "split", [d.split for d in self.differences]
        return "group", [d.group for d in self.differences]

    @property
    def renamed(self) -> str:
        """Groups that were compared in spite of their names, in words; "" if there are none."""
        return ", ".join(
            printable(f"{pair.baseline} with {pair.candidate}")
            for pair in self.pairs
            if pair.renamed
        )

    @property
    def agrees(self) -> bool:
        """Whether nothing differs and nothing is unknown."""
        return not self.of("different", "unknown")

    @property
    def verdict(self) -> str:
        """One line: how many values differ."""
        counts = Counter(d.result for d in self.differences)
        head = f"{counts['different']} of {len(self.differences)} differ"
        others = [f"{counts[r]} {r}" for r in ("unknown", "saturated", "same") if counts[r]]
        return ", ".join([head, *others])

    @property
    def n_tests(self) -> int:
        """Values whose difference has an interval: each is a test at 5 %."""
        return sum(d.p is not None for d in self.differences)

    @property
    def tests(self) -> str:
        """One line: how many tests were made, and what Holm's correction leaves; "" of none."""
        n = self.n_tests
        if not n or self.test == "tolerance":
            return ""
        if self.test == "holm":
            return f"{counted(n, 'test')}, 5 % for all of them together (Holm)"
        found = [d for d in self.of("different") if d.p is not None]
        kept = sum(d.p_holm is not None and d.p_holm <= LEVEL for d in found)
        head = f"{counted(n, 'test')} at 5 % each, at most about {LEVEL * n:.2g} false by chance"
        if not found or n == 1:
            return head
        return f"{head}; corrected for their number (Holm), {kept} of {len(found)} still differ"


def compare(
    baseline: Mapping[str, Any],
    candidate: Mapping[str, Any],
    *,
    tolerance: float | None = None,
    test: Test = "ci",
    allow_mismatch: bool = False,
    pairs: Sequence[Named] = (),
) -> Comparison:
    """Compare two results documents.

    Parameters
    ----------
    baseline, candidate : mapping
        Results documents. Groups of runs are paired by name. Where each document has one name of
        groups they are paired whatever it is, ``main[train]`` with ``pr[train]``.
    tolerance : float, optional
        Differences up to this, in the unit of each quantity, are none. Default: the smallest
        change of the quantity (0.25 bits), or 5 % of its bound where that is less.
    test : {"ci", "holm", "tolerance"}
        Whether the interval of the difference must leave out 0 as well: each at 5 %, or all of
        them together by Holm's correction. Where there is no interval the tolerance decides.
    allow_mismatch : bool
        Compare in spite of different settings; they are listed in the result.
    pairs : sequence of (str, str)
        Groups of other names to compare, of the baseline and of the candidate: ``("main", "pr")``
        stands for every split that both have, ``("main[test]", "pr[test]")`` for one.

    Raises
    ------
    InputError
        If an argument is of the wrong type, or a group of the candidate is in two pairs.
    DataError
        IP318, if the settings differ; the message names the first difference. Where only the
        noise differs that the runs fixed (``ixt_fixed``), that is left out and named.
    NotFoundError
        If one of them holds similarities and no estimates, or there is no group of a pair.

    Examples
    --------
    >>> results = infoplane.load("results.json")
    >>> comparison = infoplane.compare(results, results)
    >>> comparison.of("different")
    []
    """
    for argument, given in (("baseline", baseline), ("candidate", candidate)):
        document_of(given, argument)
    if tolerance is not None and not (isinstance(tolerance, (int, float)) and tolerance >= 0):
        raise unfit("tolerance", "a number of at least 0, or None", tolerance)
    one_of(test, "test", "ci", "holm", "tolerance")
    by_hand = _pairs_by_hand(pairs)
    if contradiction := contradictory({"baseline": baseline, "candidate": candidate}):
        raise DataError(f"not comparable: {contradiction}", code="IP318")
    for argument, document in (("baseline", baseline), ("candidate", candidate)):
        if not document["rows"] and document.get("similarities"):
            raise NotFoundError(
                f"{argument}: it holds similarities alone, and no estimates to compare",
                hint="infoplane compare BASELINE_RUN CANDIDATE_RUN --similarity compares layers",
                code="IP404",
            )
    groups = paired(baseline, candidate, by_hand)
    old, new = Evidence(baseline), Evidence(candidate)
    called = same_estimators(baseline, candidate)
    sides = {pair: (Side(old, pair.baseline, called), Side(new, pair.candidate))
             for pair in groups}  # fmt: skip
    refused, left = unlike(sides)
    differ = (*mismatches(baseline, candidate, groups), *told(refused))
    if differ and not allow_mismatch:
        more = f" (and {len(differ) - 1} more)" if differ[1:] else ""
        raise DataError(
            f"not comparable: {differ[0]}{more}",
            hint="analyze both with the same settings (analyze --settings-from BASELINE), or "
            "compare anyway with --allow-mismatch",
            code="IP318",
        )
    splits = {name: of.split for one in (baseline, candidate) for name, of in
              groups_apart(one).items()}  # fmt: skip
    found: list[Difference] = []
    repeated: dict[str, int] = Counter()
    for pair, (first, second) in sides.items():
        for key in dict.fromkeys([*second.keys, *first.keys]):
            if _repeats(key, first, second):
                repeated[key[1]] += 1
            elif allow_mismatch or key not in left[pair]:
                split = splits[pair.group]
                found.append(difference(pair, split, key, first, second, tolerance, test))
    left_out = [f"H(T) of {printable(by)}, {counted(n, 'value')}: the same number as I(X;T)"
                for by, n in repeated.items()]  # fmt: skip
    return Comparison(
        differences=tuple(_corrected(found, test)),
        mismatches=(*differ, *(told(left) if allow_mismatch else ())),
        left_out=(*(() if allow_mismatch else told(left)), *left_out),
        notes=tuple(beside(baseline, candidate, groups)),
        pairs=tuple(groups),
        suggestion=suggestion(groups, baseline, candidate),
        test=test,
    )


def _pairs_by_hand(pairs: object) -> list[Named]:
    expected = "a list of pairs of names, as [('main', 'pr')]"
    if not isinstance(pairs, Sequence) or isinstance(pairs, str):
        raise unfit("pairs", expected, pairs)
    found: list[Named] = []
    for pair in pairs:
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
            raise unfit("pairs", expected, pair)
        if not all(isinstance(name, str) for name in pair):
            raise unfit("pairs", expected, pair)
        found.append((pair[0], pair[1]))
    return found


def _repeats(key: Key, first: Side, second: Side) -> bool:
    """Return whether a curve has the numbers of another one, on every side that it is on."""
    there = [side for side in (first, second) if side.curve(key) is not None]
    return all(side.repeats(key) for side in there)


def _corrected(found: Sequence[Difference], test: Test) -> list[Difference]:
    """Return the differences with p-values corrected for the number of tests, decided by them."""
    corrected = iter(holm([d.p for d in found if d.p is not None]))
    all_of = [d if d.p is None else replace(d, p_holm=next(corrected)) for d in found]
    if test != "holm":
        return all_of
    n = sum(d.p is not None for d in found)
    reason = f"within chance of {counted(n, 'test')} (Holm)"
    return [
        replace(d, result="same", reason=reason)
        if d.result == "different" and d.p_holm is not None and d.p_holm > LEVEL
        else d
        for d in all_of
    ]
