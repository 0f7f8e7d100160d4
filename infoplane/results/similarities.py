"""What the similarities of a document say: matrices, curves, ceilings, when a layer settles.

The *ceiling* is what the same layer reads in runs with other seeds: two layers of one network, or
two checkpoints, can hardly be more alike than that and still differ in what they do.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from infoplane.data import FloatArray
from infoplane.errors import NotFoundError
from infoplane.numerics.quantiles import student_quantile
from infoplane.results.curves import group_of
from infoplane.results.layer_names import LayerNames

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Band:
    """The values of several pairs: their mean and range."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Band | None:
        """Return the band of some values, None of none."""
        if not values:
            return None
        return cls(float(np.mean(values)), min(values), max(values))


class Similarities:
    """The similarities of a results document, by what is asked of them.

    Raises
    ------
    NotFoundError
        If the document holds none.
    """

    def __init__(self, results: Mapping[str, Any]) -> None:
        member = results.get("similarities")
        if not member or not member["rows"]:
            raise NotFoundError(
                "the results hold no similarities",
                hint="infoplane similarity RUN... -o results.json makes some",
                code="IP404",
            )
        self.measures: dict[str, Mapping[str, Any]] = {m["id"]: m for m in member["measures"]}
        self.rows: list[Row] = member["rows"]
        self.settling: list[Mapping[str, Any]] = member.get("settling", [])
        self.recordings: dict[str, Mapping[str, Any]] = {
            recording["run"]: recording for recording in results["recordings"]
        }
        self.groups: dict[str, list[str]] = defaultdict(list)
        for name, recording in self.recordings.items():
            self.groups[group_of(recording)].append(name)
        self.layer_names = LayerNames(
            (group_of(recording), recording) for recording in self.recordings.values()
        )

    def measure(self, wanted: str | None) -> Mapping[str, Any]:
        """Return a measure by its id or its name; the first unless named.

        Raises
        ------
        NotFoundError
            If the document holds no values of it.
        """
        if wanted is None:
            return next(iter(self.measures.values()))
        alike = [m for i, m in self.measures.items() if wanted in (i, i.partition(":")[0])]
        if not alike:
            raise NotFoundError(
                f"the results hold no similarities by {wanted!r}",
                hint=f"they have {' '.join(self.measures)}; infoplane similarity -m {wanted}",
                code="IP404",
            )
        return alike[0]

    def of(self, measure: str, axis: str, runs: Iterable[str] | None = None) -> list[Row]:
        """Return the rows of a measure along an axis, with a number, of these runs alone."""
        chosen = None if runs is None else set(runs)
        return [
            row
            for row in self.rows
            if row["measure"] == measure
            and row["axis"] == axis
            and row["value"] is not None
            and (chosen is None or {row["run_a"], row["run_b"]} <= chosen)
        ]

    def layers(self, runs: Sequence[str]) -> list[str]:
        """Return the names of the layers of the first of some runs, in order."""
        return [layer["name"] for layer in self.recordings[runs[0]]["layers"]]

    def ceilings(self, measure: str, group: str) -> dict[tuple[str, int], list[float]]:
        """Return the values of equal layers of other seeds, by layer and step."""
        return ceilings(self.of(measure, "seeds", self.groups[group]))


def ceilings(rows: Iterable[Row]) -> dict[tuple[str, int], list[float]]:
    """Return the values of rows between seeds, by layer and step."""
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    for row in rows:
        if row["axis"] == "seeds" and row["value"] is not None:
            found[row["layer_a"], row["step_a"]].append(row["value"])
    return found


def add_ceilings(member: dict[str, Any], recordings: Sequence[Mapping[str, Any]]) -> None:
    """Write beside each row what equal layers of other seeds read, at the later of its steps.

    Of two layers both count: the band holds the values of either.
    """
    group = {recording["run"]: group_of(recording) for recording in recordings}
    known: dict[tuple[str, str, str, int], list[float]] = defaultdict(list)
    for row in member["rows"]:
        if row["axis"] == "seeds" and row["value"] is not None:
            key = row["measure"], group[row["run_a"]], row["layer_a"], row["step_a"]
            known[key].append(row["value"])
    for row in member["rows"]:
        if row["axis"] == "seeds":
            continue
        last = max(row["step_a"], row["step_b"]) if row["axis"] == "steps" else None
        keys = {
            (row["measure"], group[row[f"run_{side}"]], row[f"layer_{side}"],
             row[f"step_{side}"] if last is None else last)
            for side in "ab"
        }  # fmt: skip
        bands = [known[key] for key in sorted(keys) if key in known]
        enough = len(bands) == len(keys) or (row["axis"] == "drift" and bands)
        if enough and (band := Band.of([v for values in bands for v in values])):
            row.update(ceiling=band.mean, ceiling_low=band.low, ceiling_high=band.high)


def settling(
    member: Mapping[str, Any], recordings: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return when each layer settles, and how far it has moved from its first state.

    A layer has settled at the first step from which on its similarity to its last state stays as
    high as that of equal layers of other seeds (the lowest of them) at the last step. The last one
    is alike to itself in any case: where no step before it is, there is none, and ``withheld`` says
    so. Over runs it is the median; its interval is the range over runs, and over the ends of the
    intervals of their values, ``step_high`` being null where one of these is never settled. The
    ``lazy`` index is the similarity of the last to the first state: near 1, training has hardly
    moved the layer.
    """
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for recording in recordings:
        groups[group_of(recording)].append(recording)
    by_layer: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in member["rows"]:
        if row["axis"] == "steps" and row["value"] is not None:
            by_layer[row["measure"], row["run_a"], row["layer_a"]].append(row)
    found = []
    for measure in member["measures"]:
        sign = 1.0 if measure["identical"] > 0 else -1.0
        for group, of_group in groups.items():
            for layer in of_group[0]["layers"]:
                runs = {
                    recording["run"]: by_layer[measure["id"], recording["run"], layer["name"]]
                    for recording in of_group
                }
                if all(runs.values()) and runs:
                    settled = _settled(list(runs.values()), sign)
                    start = {"group": group, "layer": layer["name"], "measure": measure["id"]}
                    found.append(start | settled)
    return found


def _settled(runs: Sequence[Sequence[Row]], sign: float) -> dict[str, Any]:
    """Return what is written of one layer, given the rows of its steps in each run."""
    last = max(row["step_b"] for row in runs[0])
    first = min(row["step_a"] for row in runs[0])
    ends = [row for rows in runs for row in rows if (row["step_a"], row["step_b"]) == (first, last)]
    lazy = _mean(ends)
    told: dict[str, Any] = {
        "n_runs": len(runs),
        "first_step": first, "last_step": last,
        "lazy": lazy[0], "lazy_low": lazy[1], "lazy_high": lazy[2],
        "step": None, "step_low": None, "step_high": None,
        "ceiling": None, "withheld": None,
    }  # fmt: skip
    to_last = [sorted(_to(rows, last), key=lambda row: row["step_a"]) for rows in runs]
    bands = [row for rows in to_last for row in rows if row["ceiling_low"] is not None]
    if not bands:
        return told | {"withheld": "no ceiling: it needs a run with another seed"}
    bar = bands[0]["ceiling_low"] if sign > 0 else bands[0]["ceiling_high"]
    told["ceiling"] = bar
    onsets = [
        _from(rows, key, bar, sign) for rows in to_last for key in ("value", "ci_low", "ci_high")
    ]
    values = onsets[::3]
    if math.isinf(step := float(np.median(values))):
        never = sum(map(math.isinf, values))
        of = "" if never == len(values) else f" in {never} of {len(values)} runs"
        return told | {"withheld": f"not before the last step{of}"}
    high = max(onsets)
    return told | {
        "step": int(step),
        "step_low": int(min(onsets)),
        "step_high": None if math.isinf(high) else int(high),
    }


def _to(rows: Iterable[Row], last: int) -> list[Row]:
    return [row for row in rows if row["step_b"] == last]


def _from(rows: Sequence[Row], key: str, bar: float, sign: float) -> float:
    """Return the first step from which on a number stays on the good side of a bar, or inf."""
    reached = math.inf
    for row in reversed(rows):
        value = row["value"] if row[key] is None else row[key]
        if sign * (value - bar) < 0:
            break
        reached = row["step_a"]
    return reached


def _mean(rows: Sequence[Row]) -> tuple[float, float | None, float | None]:
    """Return the mean of rows with its interval: over runs if there are three, else of samples."""
    values = np.array([row["value"] for row in rows], dtype=float)
    mean, n = float(values.mean()), len(values)
    if n >= 3:
        half = student_quantile(n - 1, 0.975) * float(values.std(ddof=1)) / math.sqrt(n)
        return mean, mean - half, mean + half
    if any(row["ci_low"] is None for row in rows):
        return mean, None, None
    # The samples are the same in all runs: their errors do not average out.
    low = float(np.mean([row["ci_low"] for row in rows]))
    return mean, low, float(np.mean([row["ci_high"] for row in rows]))


def mean_and_interval(rows: Sequence[Row]) -> tuple[float, float | None, float | None]:
    """Return the mean of rows of several runs with its interval."""
    return _mean(rows)


def matrix(rows: Iterable[Row], places: Sequence[Any], of: str, identical: float) -> FloatArray:
    """Return values as a symmetric matrix over places, the mean where there are several.

    Parameters
    ----------
    rows : sequence of row
        Of one axis and measure.
    places : sequence
        Layers or steps, what ``of`` names: ``layer`` or ``step``.
    identical : float
        On the diagonal.
    """
    at = {place: index for index, place in enumerate(places)}
    total = np.zeros((len(at), len(at)))
    count = np.zeros_like(total)
    for row in rows:
        if row[f"{of}_a"] in at and row[f"{of}_b"] in at:
            i, j = at[row[f"{of}_a"]], at[row[f"{of}_b"]]
            for a, b in ((i, j), (j, i)):
                total[a, b] += row["value"]
                count[a, b] += 1
    found = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    np.fill_diagonal(found, identical)
    return found


def joined(
    documents: Sequence[Mapping[str, Any]], recordings: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Return the similarities of several documents as one member; None if none holds any.

    A pair that two documents hold counts once.
    """
    members = [d["similarities"] for d in documents if d.get("similarities")]
    if not members:
        return None
    measures = {one["id"]: one for member in members for one in member["measures"]}
    rows = {_pair(row): dict(row) for member in members for row in member["rows"]}
    found: dict[str, Any] = {"measures": [*measures.values()], "rows": [*rows.values()]}
    add_ceilings(found, recordings)
    return found | {"settling": settling(found, recordings)}


def _pair(row: Row) -> tuple[Any, ...]:
    sides = [tuple(row[f"{key}_{side}"] for key in ("run", "step", "layer")) for side in "ab"]
    return row["axis"], row["measure"], *sorted(sides)
