"""Results in a notebook: a document that prints as a table, draws its figures and exports rows."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infoplane.errors import DataError, InputError
from infoplane.phases import find_phases
from infoplane.records import QUANTITIES
from infoplane.store.results import read_results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from infoplane.plots.view import View


@dataclass(frozen=True, eq=False)
class Results(Mapping[str, Any]):
    """A results document; every figure function takes it as it takes the document itself.

    Parameters
    ----------
    document : mapping
        What ``infoplane analyze`` wrote, see ``docs/results-format.md``.

    Examples
    --------
    >>> results = infoplane.load("results.json")            # doctest: +SKIP
    >>> results.draw("plane", facet="layer")                # doctest: +SKIP
    >>> results.to_pandas().query("quantity == 'ixt'")      # doctest: +SKIP
    """

    document: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.document[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.document)

    def __len__(self) -> int:
        return len(self.document)

    @property
    def phases(self) -> list[dict[str, Any]]:
        """One verdict per group, layer, estimator and quantity."""
        return [dict(phase) for phase in self.document["phases"]]

    @property
    def groups(self) -> list[str]:
        """Groups of runs, in the order of the document."""
        return list(dict.fromkeys(r.get("group") or r["run"] for r in self["recordings"]))

    def to_rows(self) -> list[dict[str, Any]]:
        """Return the estimates, long and tidy: one per run, step, layer, estimator and quantity.

        ``value`` is in bits, None where there is no number; ``group`` is added to what the document
        holds of a row, and ``flags`` is a tuple.
        """
        groups = {r["run"]: r.get("group") or r["run"] for r in self["recordings"]}
        return [
            {"group": groups[row["run"]], **row, "flags": tuple(row["flags"])}
            for row in self["rows"]
        ]

    def to_pandas(self) -> Any:
        """Return `to_rows` as a pandas data frame, without ``diag``; missing values are NaN.

        Raises
        ------
        InputError
            If pandas is not installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError as error:
            raise InputError(
                "to_pandas() needs pandas, which is not installed",
                hint="python -m pip install 'infoplane[pandas]', or use to_rows()",
            ) from error
        rows = [{k: v for k, v in row.items() if k != "diag"} for row in self.to_rows()]
        frame = pandas.DataFrame(rows)
        numbers = ("value", "ci_low", "ci_high", "ci_level", "bound_low", "bound_high", "epoch")
        for name in [name for name in numbers if name in frame]:
            frame[name] = frame[name].astype(float)
        return frame

    def draw(self, name: str, **options: Any) -> Figure:
        """Draw a figure by name, see `infoplane.plots.draw`; a notebook shows what is returned."""
        from infoplane.plots import draw

        return draw(self.view(), name, **options)

    def view(self) -> View:
        """Return what figures read of the document; worth keeping when many are drawn."""
        from infoplane.plots.view import View

        return View.of(self)

    def report(self, path: str | Path) -> None:
        """Write the HTML report, see `infoplane.plots.report.write_report`."""
        from infoplane.plots.report import write_report

        write_report(self, path)

    def _repr_html_(self) -> str:
        runs, rows = len(self["recordings"]), len(self["rows"])
        head = ("group", "layer", "estimator", "quantity", "first", "peak", "last", "change",
                "95 % interval", "verdict")  # fmt: skip
        body = []
        for p in self["phases"]:
            numbers = [_bits(p.get(key)) for key in ("first", "peak", "last", "change")]
            low, high = p.get("change_low"), p.get("change_high")
            interval = "" if low is None else f"{_bits(low)} … {_bits(high)}"
            quantity = QUANTITIES.get(p["quantity"], p["quantity"])
            texts = [p["group"], p["layer"], p["estimator"], quantity, *numbers, interval,
                     p["verdict"].replace("_", " ")]  # fmt: skip
            body.append("".join(f"<td>{escape(str(text))}</td>" for text in texts))
        return (
            f"<p><b>infoplane results</b>: {runs:,} runs, {rows:,} rows, bits</p>"
            "<table><thead><tr>" + "".join(f"<th>{escape(name)}</th>" for name in head)
            + "</tr></thead><tbody>" + "".join(f"<tr>{row}</tr>" for row in body)
            + "</tbody></table>"
        )  # fmt: skip

    def __repr__(self) -> str:
        runs, rows = len(self["recordings"]), len(self["rows"])
        return f"<Results: {runs:,} runs of {', '.join(self.groups[:6])}; {rows:,} rows>"


def load(path: str | Path, *more: str | Path) -> Results:
    """Read one or several results files; several become one document, see `merged`.

    Raises
    ------
    RunFileError
        If a file cannot be read, is not complete JSON, or is of another format version.
    DataError
        If a part that every document has is missing or of the wrong kind, or the files contradict
        one another.
    """
    paths = [Path(path), *map(Path, more)]
    documents = [read_results(one) for one in paths]
    if len(documents) == 1:
        return Results(documents[0])
    return Results(merged(documents, names=[str(one) for one in paths]))


def merged(documents: Sequence[Mapping[str, Any]], *, names: Sequence[str]) -> dict[str, Any]:
    """Return one document of several: their runs and rows together, the verdicts found anew.

    A run may be in several documents if it is the same recording and no estimate occurs twice.

    Parameters
    ----------
    documents : sequence of mapping
        Results documents, at least one; settings and environment are taken of the first.
    names : sequence of str
        How errors call them.

    Raises
    ------
    DataError
        If a run, an estimator or a cell differs between documents, or a cell is there twice.
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
                    f"run {recording['run']!r} of {where} is another recording than that of {name}",
                    hint="record with --name to tell them apart, or draw one against the other: "
                    "plot --baseline",
                )
        for entry in document["estimators"]:
            known, where = estimators.setdefault(entry["id"], (entry, name))
            if (known["params"], known.get("version")) != (entry["params"], entry.get("version")):
                raise DataError(
                    f"estimator {entry['id']!r} of {where} has other parameters than that of {name}"
                )
        for row in document["rows"]:
            cell = tuple(row[k] for k in ("run", "step", "layer", "estimator", "quantity"))
            if cell in cells:
                raise DataError(
                    f"{name}: {' '.join(map(str, cell))} is in {cells[cell]} as well",
                    hint="give each results file once",
                )
            cells[cell] = name
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
    whole["phases"] = find_phases(whole)
    return whole


def _warnings(documents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add up the warnings of one code."""
    found: dict[str, dict[str, Any]] = {}
    for warning in (warning for document in documents for warning in document["warnings"]):
        known = found.setdefault(warning["code"], {**warning, "count": 0, "layers": []})
        known["count"] += warning["count"]
        known["layers"] = list(dict.fromkeys([*known["layers"], *warning.get("layers", [])]))
    return list(found.values())


def _bits(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
