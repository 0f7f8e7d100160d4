"""Warnings as sentences, ranked: what cannot be used, why, and what to do in this run.

``warnings`` of a results document count flags. Here they are told by estimator and by consequence:
first values that are missing, then what casts doubt on what is shown, then estimators that say
nothing, and the rest.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infoplane.estimators.flags import Flag
from infoplane.estimators.measure_id import MeasureId
from infoplane.results.choice import SIZES, Choice, best_estimator
from infoplane.results.curves import CurveKey, Curves, groups_of
from infoplane.results.names import names_of_estimators
from infoplane.results.vocabulary import Vocabulary
from infoplane.text import counted, joined_words, printable

MOST = 3
"""Lines of warnings that are shown unless all are asked for."""

_IN_SHORT = {
    "sparse": ("most samples have a state of their own", "take more samples or fewer bins"),
    "null_dominates": (
        "shuffled labels give more than half of it",
        "compare it with its null in diag",
    ),
    "order": ("a deeper layer above an earlier one", "do not read it as a gain"),
    "below_probe": ("a probe reads more of the label", "take the probe's lower bound"),
    "two_scales": ("distances of two sizes, the noise follows one", "read I(X;T) fixed σ"),
    "undersampled": ("more samples would read more", "record more samples"),
    "biased": ("values that still move with N", "record more samples"),
    "out_of_range": ("activations or values out of bounds", "see diag of each row"),
    "large_compression_loss": ("compression may have lost much", "read it as a lower bound"),
    "finite_population": ("more bits than N samples can hold", "raise the noise"),
    "degenerate": ("the noise drowns the layer", "add less noise"),
    "upper_bound": ("counts noise of the layer", "read it as an upper bound, or use compressed"),
    "failed": ("no number", "see diag of each row"),
}
"""Meaning and remedy where the register takes more words than a line has room for."""

_MISSING = ("failed", "nonfinite")
_OF_THE_SAMPLE = ("saturated", "sparse", "null_dominates", "order")
"""What goes with a ceiling: that the estimates follow the samples is said once."""


@dataclass(eq=False)
class _Raised:
    """The rows of an estimator that have a flag."""

    count: int = 0
    layers: dict[str, None] = field(default_factory=dict)
    quantities: dict[str, None] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, row: Mapping[str, Any]) -> None:
        self.count += 1
        self.layers[row["layer"]] = None
        self.quantities[row["quantity"]] = None
        if reason := (row.get("diag") or {}).get("reason"):
            self.reasons[str(reason)] += 1


def cautions(results: Mapping[str, Any], curves: Mapping[CurveKey, Curves]) -> list[str]:
    """Return one sentence per estimator and thing that is wrong, the worst first.

    Each begins with the codes of its flags. Flags without a code are no warnings.

    Parameters
    ----------
    results : mapping
        A results document.
    curves : mapping
        Its curves.
    """
    vocabulary = Vocabulary.of(results)
    raised: dict[str, dict[str, _Raised]] = defaultdict(lambda: defaultdict(_Raised))
    layers: dict[str, dict[str, None]] = defaultdict(dict)
    measured: dict[str, set[str]] = defaultdict(set)
    for row in results["rows"]:
        layers[row["estimator"]][row["layer"]] = None
        measured[row["quantity"]].add(row["estimator"])
        for name in row["flags"]:
            flag = vocabulary.flags.get(name)
            if flag is not None and flag.code is not None:
                raised[row["estimator"]][name].add(row)
    choices = _choices(results, curves)
    shown = {choice.estimator for choice in choices}
    silent = {estimator for choice in choices for estimator in choice.folded}
    silent |= {c.estimator for c in choices if c.says_nothing}
    names = {e: printable(n) for e, n in names_of_estimators(results, layers).items()}
    order = list(vocabulary.flags)
    ranked: list[tuple[tuple[int, ...], str]] = []
    for estimator, found in raised.items():
        name, n_layers = names[estimator], len(layers[estimator])
        told = list(found)
        if "saturated" in found:
            full, everywhere = found["saturated"], estimator in silent
            own = {
                flag: found[flag]
                for flag in order
                if flag in found and flag in _OF_THE_SAMPLE
                if everywhere or found[flag].layers.keys() <= full.layers.keys()
            }
            told = [flag for flag in told if flag not in own]
            alike = set().union(*(measured[q] for q in own["saturated"].quantities)) - {estimator}
            others = {e for e in (shown - silent) & alike if _is_clear(raised.get(e), full.layers)}
            text = _at_ceiling(own, vocabulary, name, n_layers, everywhere=everywhere)
            text += f"; {_instead(others, full, measured['ixt'], vocabulary)}"
            ranked.append(((2 if estimator not in shown or everywhere else 1, 0), text))
        for each in told:
            rank = 0 if each in _MISSING else 1 if estimator in shown else 3
            text = _generic(vocabulary.flags[each], found[each], vocabulary, name, n_layers)
            ranked.append(((rank, order.index(each), -found[each].count), text))
    return [text for _, text in sorted(ranked, key=lambda entry: entry[0])]


def _is_clear(found: Mapping[str, _Raised] | None, layers: Iterable[str]) -> bool:
    """Return whether an estimator is at its ceiling in none of these layers."""
    full = (found or {}).get("saturated")
    return full is None or full.layers.keys().isdisjoint(layers)


def shortest(found: Sequence[str], how: str) -> list[str]:
    """Return at most three of the sentences; or two, how many more there are, and where.

    Parameters
    ----------
    found : sequence of str
        What `cautions` found.
    how : str
        How to see the others, e.g. ``--wide shows them``.
    """
    if len(found) <= MOST:
        return list(found)
    more = len(found) - (MOST - 1)
    return [*found[: MOST - 1], f"and {counted(more, 'other warning')}: {how}"]


def _choices(results: Mapping[str, Any], curves: Mapping[CurveKey, Curves]) -> list[Choice]:
    found = [
        best_estimator(results, curves, group, quantity)
        for group in groups_of(results)
        for quantity in (*SIZES, "ity")
    ]
    return [choice for choice in found if choice is not None]


def _at_ceiling(
    own: Mapping[str, _Raised], vocabulary: Vocabulary, name: str, n_layers: int, *,
    everywhere: bool,
) -> str:  # fmt: skip
    """Say what an estimator cannot tell of the layers that are at a ceiling, and why."""
    codes = ", ".join(dict.fromkeys(str(vocabulary.flags[flag].code) for flag in own))
    symbols = _symbols((q for one in own.values() for q in one.quantities), vocabulary)
    where = f"{len(own['saturated'].layers)} of {counted(n_layers, 'layer')}"
    if not everywhere:
        return f"{codes} {symbols} by {name}: at the ceiling in {where}"
    why = "every sample has a state of its own" if "sparse" in own else "they are at the ceiling"
    verb = "are" if " and " in symbols else "is"
    return f"{codes} {symbols} by {name} {verb} unusable in {where}: {why}"


def _instead(
    shown: set[str], full: _Raised, sizes: Iterable[str], vocabulary: Vocabulary
) -> str:  # fmt: skip
    """Say what to use in this run in place of an estimator that is at its ceiling."""
    if shown:
        return f"use {joined_words([printable(other) for other in sorted(shown)])} (above)"
    if "ixt" in full.quantities and "compressed" not in {MeasureId.read(e).name for e in sizes}:
        return "analyze with -e compressed"
    return vocabulary.flags["saturated"].remedy.replace("`", "")


def _generic(flag: Flag, one: _Raised, vocabulary: Vocabulary, name: str, n_layers: int) -> str:
    """Say what a flag says of an estimator, where, and what to do."""
    symbols = _symbols(one.quantities, vocabulary)
    of_layers = f" (in {len(one.layers)} of {counted(n_layers, 'layer')})"
    where = "" if one.layers.keys() == {"run"} else of_layers  # a run has none
    meaning, remedy = _IN_SHORT.get(flag.name, (flag.meaning, flag.remedy.replace("`", "")))
    if flag.name in _MISSING and one.reasons:
        (remedy, _), *others = one.reasons.most_common()
        remedy = printable(remedy) + ("; others in diag of each row" if others else "")
    return f"{flag.code} {symbols} by {name}: {meaning}{where}; {remedy}"


def _symbols(quantities: Iterable[str], vocabulary: Vocabulary) -> str:
    """Return the symbols of quantities; of the parts that others are made of, nothing."""
    names = sorted(dict.fromkeys(quantities), key=vocabulary.order)
    leading = [n for n in names if vocabulary.quantity(n).verdict] or names
    return joined_words([printable(vocabulary.symbol(n)) for n in leading])
