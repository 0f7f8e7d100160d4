"""What must be alike in two documents for their values to be compared, and what is told beside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from infoplane.estimators.measure_id import MeasureId
from infoplane.estimators.quantities import Quantity
from infoplane.gate.difference import Side
from infoplane.gate.pairing import Pair
from infoplane.results.curves import group_of
from infoplane.results.settings import Key, Unlike, apart, difference, in_words, values_apart
from infoplane.text import counted, printable, shortened

_SETTINGS = {
    "n": "samples",
    "split": "split",
    "n_classes": "classes",
    "h_y": "H(Y)",
    "last step": "last step",
}

_DRAWN = 0.05
"""Bits: the most that H(Y) of samples drawn class by class may be apart."""

_SIDES = ("the baseline", "the candidate")


def mismatches(
    baseline: Mapping[str, Any], candidate: Mapping[str, Any], pairs: Sequence[Pair]
) -> Iterator[str]:
    """Yield every setting that differs: of the samples, the training, a layer, an estimator."""
    for pair in pairs:
        if pair.baseline is None or pair.candidate is None:
            continue
        old, new = _settings(baseline, pair.baseline), _settings(candidate, pair.candidate)
        for key, name in _SETTINGS.items():
            if old[key] != new[key] and (key != "h_y" or not _drawn_alike(old, new)):
                yield (
                    f"{name} of {printable(pair.group)} {_listed(old[key])} in the baseline, "
                    f"{_listed(new[key])} in the candidate"
                )
        yield from _layers_apart(baseline, candidate, pair, "reduction")
    yield from _estimators_apart(baseline, candidate)


def _estimators_apart(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> Iterator[str]:
    """Yield what differs of the estimators that both have, by id or by name."""
    known = {entry["id"]: entry for entry in baseline["estimators"]}
    renamed = same_estimators(baseline, candidate)
    for entry in candidate["estimators"]:
        other = known.get(renamed.get(entry["id"], entry["id"]))
        if other is None:
            continue
        about = printable(entry["id"])
        if other["version"] != entry["version"]:
            versions = f"{other['version']} in the baseline, {entry['version']} in the candidate"
            yield f"version of estimator {about}: {printable(shortened(versions, 120))}"
        params = dict(zip(_SIDES, (other["params"], entry["params"]), strict=True))
        if differ := difference({}, params) or _ids_apart(other, entry):
            yield f"params of estimator {about}: {differ}"
    yield from _other_settings(baseline, candidate)
    both = [e for e in candidate["estimators"] if renamed.get(e["id"], e["id"]) in known]
    if not both and candidate["estimators"] and known:
        yield (
            f"estimators {_listed(known)} in the baseline, "
            f"{_listed(e['id'] for e in candidate['estimators'])} in the candidate"
        )


def _ids_apart(other: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """Return ids that name settings of which the parameters, which are alike, say nothing."""
    named = {key for one in (other, entry) for key, _ in MeasureId.read(one["id"]).settings}
    if other["id"] == entry["id"] or named <= {*other["params"], *entry["params"]}:
        return ""
    ids = (printable(shortened(one["id"], 60)) for one in (other, entry))
    return ", ".join(f"{text} in {side}" for text, side in zip(ids, _SIDES, strict=True))


def same_estimators(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> dict[str, str]:
    """Return the ids in the baseline of estimators that the candidate has with other settings.

    Those are the estimators of which each document has one; of several it is not clear which is
    which.
    """
    old, new = _by_name(baseline), _by_name(candidate)
    return {
        ids[0]: old[name][0]
        for name, ids in new.items()
        if len(ids) == len(old.get(name, ())) == 1 and ids != old[name]
    }


def _other_settings(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> Iterator[str]:
    """Yield the estimators that both documents have under several settings, none of them alike."""
    old, new = _by_name(baseline), _by_name(candidate)
    for name, ids in new.items():
        others = old.get(name, [])
        if others and len(ids) + len(others) > 2 and not set(ids) & set(others):
            yield (
                f"settings of estimator {printable(name)}: {_listed(others)} in the baseline, "
                f"{_listed(ids)} in the candidate"
            )


def _by_name(results: Mapping[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for entry in results["estimators"]:
        found[MeasureId.read(entry["id"]).name].append(entry["id"])
    return found


def unlike(
    sides: Mapping[Pair, tuple[Side, Side]],
) -> tuple[dict[Pair, Unlike], dict[Pair, Unlike]]:
    """Return what differs in the rows by pair, and layer, estimator and quantity.

    First of estimators that cannot be compared for it, then of quantities that can be left out.
    """
    refused, beside = {}, {}
    for pair, (first, second) in sides.items():
        found: dict[Key, str] = {}
        measured: dict[Key, Quantity] = {}
        for key in first.keys:
            curves = first.curve(key), second.curve(key)
            if curves[0] is None or curves[1] is None:
                continue
            measured[key] = curves[1].declared
            both = dict(zip(_SIDES, (first.rows(key), second.rows(key)), strict=True))
            own = curves[0].settings_differ or curves[1].settings_differ
            ends = [int(curve.steps[-1]) for curve in curves if curve is not None]
            late = {side: [f"{end:,}"] for side, end in zip(_SIDES, ends, strict=True)}
            if differ := difference(both) or own or values_apart(late, "last step "):
                found[key] = differ
        refused[pair], beside[pair] = apart(found, measured)
    return refused, beside


def told(unlike: Mapping[Pair, Unlike]) -> tuple[str, ...]:
    """Return what differs in words; the group is named where there are several."""
    several = len(unlike) > 1
    return tuple(
        f"{printable(pair.group)}: {sentence}" if several else sentence
        for pair, found in unlike.items()
        for sentence in in_words(found)
    )


def beside(
    baseline: Mapping[str, Any], candidate: Mapping[str, Any], pairs: Sequence[Pair]
) -> Iterator[str]:
    """Yield what a reader must know and no comparison is refused for.

    Layers that were recorded in another size or type, sides that hold the same runs, and intervals
    that say nothing about other seeds.
    """
    both = [pair for pair in pairs if None not in pair]
    for pair in both:
        for key in ("units", "type", "dtype"):
            yield from _layers_apart(baseline, candidate, pair, key)
    runs = {
        pair.group: (_of(baseline, pair.baseline), _of(candidate, pair.candidate)) for pair in both
    }
    if same := [group for group, of in runs.items() if len(set(map(_hashes, of))) == 1]:
        yield f"{_listed(same)}: the same runs on both sides, byte for byte"
    if few := [group for group, of in runs.items() if min(map(len, of)) < 3]:
        yield (
            f"{_listed(few)}: fewer than three runs on a side: intervals are of the samples and "
            "say nothing about other seeds"
        )


def _hashes(recordings: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(r["content_hash"] for r in recordings)


def _layers_apart(
    baseline: Mapping[str, Any], candidate: Mapping[str, Any], pair: Pair, key: str
) -> Iterator[str]:
    """Yield in which layers of a pair a fact of the recording differs: the first, and how many."""
    old, new = (
        {
            layer["name"]: layer.get(key)
            for recording in _of(results, group)
            for layer in recording["layers"]
        }
        for results, group in ((baseline, pair.baseline), (candidate, pair.candidate))
    )
    differ = [
        layer for layer in new
        if None not in (old.get(layer), new[layer]) and old[layer] != new[layer]
    ]  # fmt: skip
    if differ:
        first = differ[0]
        more = f" (and {counted(len(differ) - 1, 'other')})" if differ[1:] else ""
        yield printable(
            f"{pair.group}: {key} of layer {first}{more}: {_listed([old[first]])} in the baseline, "
            f"{_listed([new[first]])} in the candidate"
        )


def _of(results: Mapping[str, Any], group: str | None) -> list[Mapping[str, Any]]:
    return [r for r in results["recordings"] if group_of(r) == group]


def _settings(results: Mapping[str, Any], group: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for key in (*_SETTINGS, "n_dropped"):
        values = [
            max(r["steps"], default=None) if key == "last step" else r.get(key)
            for r in _of(results, group)
        ]
        rounded = [round(v, 6) if isinstance(v, float) else v for v in values]
        found[key] = sorted(set(rounded), key=str)
    return found


def _drawn_alike(old: Mapping[str, Sequence[Any]], new: Mapping[str, Sequence[Any]]) -> bool:
    """Return whether H(Y) differs by no more than the rounding of counts of drawn classes.

    As many samples as a baseline has are drawn of each class its share: of ``k`` classes that
    moves H(Y) by up to ``k log2(k) / n`` bits. Where all samples were used it must be equal.
    """
    known = [x for side in (old, new) for key in ("h_y", "n_classes", "n") for x in side[key]]
    if None in known or not any([*old["n_dropped"], *new["n_dropped"]]):
        return False
    k, n = max(*old["n_classes"], *new["n_classes"]), min(*old["n"], *new["n"])
    most = min(k * np.log2(k) / n, _DRAWN)
    sides = ((old["h_y"], new["h_y"]), (new["h_y"], old["h_y"]))
    return all(min(abs(a - b) for b in others) <= most for own, others in sides for a in own)


def _listed(values: Any) -> str:
    return printable(shortened(", ".join(map(str, values)), 80)) or "none"
