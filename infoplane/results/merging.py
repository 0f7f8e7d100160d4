"""Several results documents as one: the runs of a network, analyzed apart."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from infoplane.errors import DataError
from infoplane.numerics.gradients import transition_if_any
from infoplane.results.curves import CurveKey, Curves, curves, group_of, group_of_runs
from infoplane.results.phases import find_phases
from infoplane.results.settings import apart, difference, in_words, values_apart
from infoplane.results.similarities import joined
from infoplane.results.vocabulary import contradictory
from infoplane.text import counted, printable

log = logging.getLogger("infoplane")


def merged(documents: Sequence[Mapping[str, Any]], *, names: Sequence[str]) -> dict[str, Any]:
    """Return one document of several: their runs and rows together, the verdicts found anew.

    A run may be in several documents, of other layers, steps or estimators each, if it is the same
    recording, no estimate occurs twice and all parts of a curve have the same settings. Runs of one
    group whose settings differ are not averaged: each becomes a group, and a warning says why.

    Parameters
    ----------
    documents : sequence of mapping
        Results documents, at least one; settings and environment are taken of the first.
    names : sequence of str
        How errors call them.

    Raises
    ------
    DataError
        If a run, an estimator, a setting or a cell differs between documents, or a cell is there
        twice.
    """
    whole: dict[str, Any] = {**documents[0]}
    recordings: dict[str, tuple[Mapping[str, Any], str]] = {}
    estimators: dict[str, tuple[Mapping[str, Any], str]] = {}
    cells: dict[tuple[Any, ...], str] = {}
    for document, name in zip(documents, names, strict=True):
        for recording in document["recordings"]:
            known, where = recordings.setdefault(recording["run"], (recording, name))
            if known.get("content_hash") != recording.get("content_hash"):
                raise DataError(
                    f"{name}: run {printable(recording['run'])!r} is another recording than in "
                    f"{where}",
                    hint="record with --name to tell them apart, or compare one with the other",
                    code="IP317",
                )
            if recording is not known:
                recordings[recording["run"]] = _joined(known, recording), where
        for entry in document["estimators"]:
            known, where = estimators.setdefault(entry["id"], (entry, name))
            told = {
                "version": known["version"] != entry["version"]
                and f"{entry['version']} in {name}, {known['version']} in {where}",
                "params": difference({}, {name: entry["params"], where: known["params"]}),
            }
            for key, differ in told.items():
                if differ:
                    raise DataError(
                        f"{name}: {key} of estimator {printable(entry['id'])!r} differs from that "
                        f"in {where}: {printable(differ)}",
                        hint="analyze all runs with the same settings and release: --settings-from "
                        f"{where}",
                        code="IP317",
                    )
        for row in document["rows"]:
            cell = tuple(row[k] for k in ("run", "step", "layer", "estimator", "quantity"))
            if cell in cells:
                raise DataError(
                    f"{name}: {printable(' '.join(map(str, cell)))!r} is also in {cells[cell]}",
                    hint="give each results file once",
                    code="IP317",
                )
            cells[cell] = name
    if mistake := contradictory(dict(zip(names, documents, strict=True))):
        raise DataError(mistake, hint="rename it in one of the plug-ins", code="IP317")
    _refuse_mixtures(documents, names)
    status = [document.get("status", "complete") for document in documents]
    worst = next((s for s in ("interrupted", "partial") if s in status), "complete")
    whole |= {
        "status": worst,
        "recordings": [recording for recording, _ in recordings.values()],
        "estimators": [entry for entry, _ in estimators.values()],
        "rows": [row for document in documents for row in document["rows"]],
        "sampling": [e for document in documents for e in document.get("sampling") or ()],
        "checks": [check for document in documents for check in document["checks"]],
        "warnings": _warnings(documents),
    }
    whole["recordings"] = [{**recording} for recording in whole["recordings"]]
    separate_unlike(whole["recordings"])
    for member in ("quantities", "flags"):
        whole[member] = {k: v for d in documents for k, v in (d.get(member) or {}).items()}
    whole["artifacts"] = {k: v for d in documents for k, v in (d.get("artifacts") or {}).items()}
    whole["timing"] = _timing(documents)
    if (similar := joined(documents, whole["recordings"])) is not None:
        whole["similarities"] = similar
    if len(documents) > 1:
        whole["phases"] = find_phases(whole, drawn=_alike(whole))
    return whole


def _joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recording of which two documents have analyzed some layers and steps each."""
    parts = (other, one)
    layers = {layer["index"]: layer for part in parts for layer in part["layers"]}
    steps = sorted({*one["steps"], *other["steps"]})
    metrics = [part.get("metrics", {}) for part in parts]
    gradients = [part.get("gradients", {}) for part in parts]
    return {
        **one,
        "layers": [layers[index] for index in sorted(layers)],
        "steps": steps,
        "epochs": _along(steps, [(part["steps"], part.get("epochs", [])) for part in parts]),
        "metrics": {
            name: _along(
                steps,
                [(part["steps"], m.get(name, [])) for part, m in zip(parts, metrics, strict=True)],
            )
            for name in sorted({*metrics[0], *metrics[1]})
        },
        **_later(parts, "losses"),
        "gradients": {
            name: _joined_gradients([found[name] for found in gradients if name in found])
            for name in dict.fromkeys([*gradients[1], *gradients[0]])
        },
    }


def _later(parts: Sequence[Mapping[str, Any]], member: str) -> dict[str, Any]:
    """Return a member of the part that has it, of the one that saw later steps if both have."""
    found = [part for part in parts if part.get(member)]
    return {member: max(found, key=lambda part: max(part["steps"]))[member]} if found else {}


def _joined_gradients(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    steps = sorted({step for part in parts for step in part["steps"]})
    found: dict[str, Any] = {
        key: _along(steps, [(part["steps"], part[key]) for part in parts])
        for key in ("snr", "relative_mean", "relative_spread")
    }
    return {"steps": steps, **found, "transition": transition_if_any(steps, found["snr"])}


def _along(steps: Sequence[int], parts: Iterable[tuple[Sequence[int], Sequence[Any]]]) -> list[Any]:
    """Return the values at steps, out of parts that know some: their steps, and their values."""
    found = {step: value for at, values in parts for step, value in zip(at, values, strict=False)}
    return [found.get(step) for step in steps]


def separate_unlike(recordings: Sequence[dict[str, Any]]) -> None:
    """Give runs of one group a group of their own each, if their layers or samples differ.

    Such runs are no repetitions of one another; a warning says what differs.
    """
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for recording in recordings:
        groups[group_of(recording)].append(recording)
    for group, members in groups.items():
        if len({(r["n"], *_layers(r)) for r in members}) == 1:
            continue
        log.warning(
            "group %s: its runs are not averaged, each is a group of its own: %s",
            printable(group), _shapes_apart(members),
        )  # fmt: skip
        for recording in members:
            recording["group"] = recording["run"]


def _shapes_apart(members: Sequence[Mapping[str, Any]]) -> str:
    """Say what differs between the samples and the layers of runs."""
    samples = {r["run"]: [f"{r['n']:,}"] for r in members}
    shared = set.intersection(*(set(_layers(r)) for r in members))
    own = {r["run"]: [x for x in _layers(r) if x not in shared] or ["none"] for r in members}
    told = [values_apart(samples, "N = "), values_apart(own, "layers: ")]
    return "; ".join(filter(None, told)) or "the order of their layers"


def _layers(recording: Mapping[str, Any]) -> list[str]:
    """Return the layers of a run with their units."""
    return [f"{layer['name']} ({layer['units']})" for layer in recording["layers"]]


def _refuse_mixtures(documents: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    """Refuse parts of one curve of one run that were measured under different settings."""
    parts: dict[tuple[Any, ...], dict[str, list[Mapping[str, Any]]]] = defaultdict(dict)
    for document, name in zip(documents, names, strict=True):
        for row in document["rows"]:
            key = tuple(row[k] for k in ("run", "layer", "estimator", "quantity"))
            parts[key].setdefault(name, []).append(row)
    for (run, layer, estimator, quantity), by_name in parts.items():
        if len(by_name) > 1 and (differ := difference(by_name)):
            raise DataError(
                f"{printable(f'{quantity} of {layer} of {run} by {estimator}')}: {differ}",
                hint=f"analyze all parts of a run with --settings-from {names[0]}",
                code="IP317",
            )


def _alike(whole: Mapping[str, Any]) -> dict[CurveKey, Curves]:
    """Return the curves; runs of a group whose settings differ become groups of their own.

    A warning says so, and names what is not averaged, and the settings of groups that differ.
    """
    drawn = curves(whole)
    apart_now = False
    for group in dict.fromkeys(key[0] for key in drawn):
        of_group = {key[1:]: curve for key, curve in drawn.items() if key[0] == group}
        unlike = {key: c.settings_differ for key, c in of_group.items() if c.settings_differ}
        refused, beside = apart(unlike, {key: c.declared for key, c in of_group.items()})
        for sentence in in_words(refused or beside):
            log.warning("group %s: not averaged: %s; %s", printable(group), sentence, _REMEDY)
        for recording in whole["recordings"] if refused else ():
            if group_of(recording) == group:
                recording["group"] = recording["run"]
                apart_now = True
    if apart_now:
        drawn = curves(whole)
    _tell_of_groups(whole, drawn)
    return drawn


def _tell_of_groups(whole: Mapping[str, Any], drawn: Mapping[CurveKey, Curves]) -> None:
    """Warn of groups that were measured under different settings."""
    groups = group_of_runs(whole)
    families = {key[3] for key, curve in drawn.items() if curve.declared.family}
    by_estimator: dict[str, dict[str, list[Mapping[str, Any]]]] = defaultdict(dict)
    for row in whole["rows"]:
        if row["quantity"] in families:
            by_estimator[row["estimator"]].setdefault(groups[row["run"]], []).append(row)
    unlike = {
        ("", estimator, "values"): differ
        for estimator, by_group in by_estimator.items()
        if (differ := difference(by_group))
    }
    if unlike:
        first, *others = in_words(unlike)
        more = f" (and {counted(len(others), 'other estimator')})" if others else ""
        log.warning("groups of runs differ: %s%s", first, more)


_REMEDY = "analyze the runs together, or each with --settings-from the results of the first"


def _timing(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Add up what the documents took; costs are those of the first that has them."""
    found: dict[str, Any] = {}
    for timing in (document.get("timing") or {} for document in documents):
        for key, value in timing.items():
            if isinstance(value, (int, float)):
                found[key] = found.get(key, 0) + value
            else:
                found.setdefault(key, value)
    return found


def _warnings(documents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add up the warnings of one code."""
    found: dict[str, dict[str, Any]] = {}
    for warning in (warning for document in documents for warning in document["warnings"]):
        known = found.setdefault(warning["code"], {**warning, "count": 0, "layers": []})
        known["count"] += warning["count"]
        known["layers"] = list(dict.fromkeys([*known["layers"], *warning.get("layers", [])]))
    return list(found.values())
