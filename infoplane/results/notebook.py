"""Results in a notebook: a document that prints as a table, draws its figures and exports rows."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infoplane.calls import path_of
from infoplane.errors import InputError
from infoplane.results.curves import group_of_runs, groups_of
from infoplane.results.file import read_results, write_results
from infoplane.results.merging import merged
from infoplane.results.vocabulary import Vocabulary
from infoplane.text import decimal

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
    >>> results = infoplane.load("results.json")
    >>> results.draw("plane", facet="layer").savefig("plane.png")
    >>> len(results.to_pandas().query("quantity == 'ixt'"))
    4
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
        return groups_of(self)

    def to_rows(self) -> list[dict[str, Any]]:
        """Return the estimates, long and tidy: one per run, step, layer, estimator and quantity.

        ``value`` is in the ``unit`` of its row, None where there is no number; ``group`` is added
        to what the document holds of a row, and ``flags`` is a tuple.
        """
        groups = group_of_runs(self)
        return [
            {"group": groups[row["run"]], **row, "flags": tuple(row["flags"])}
            for row in self["rows"]
        ]

    def to_pandas(self) -> Any:
        """Return `to_rows` as a pandas data frame; missing values are NaN.

        ``null``, of information on labels, is what shuffled labels give, where an estimator says so
        in its diagnostics; ``diag`` holds all of these, a mapping a row.

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
                hint="python3 -m pip install pandas, or use to_rows()",
            ) from error
        frame = pandas.DataFrame(
            [
                {**row, "null": _null(row.get("diag") or {}), "diag": row.pop("diag", None)}
                for row in self.to_rows()
            ]
        )
        numbers = (
            "value", "ci_low", "ci_high", "ci_level", "bound_low", "bound_high", "epoch", "null",
        )  # fmt: skip
        for name in [name for name in numbers if name in frame]:
            frame[name] = frame[name].astype(float)
        return frame

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the document, as ``infoplane analyze -o``; a name in ``.json.gz`` compresses it.

        The file appears only when it is complete, and replaces an earlier one.

        Raises
        ------
        InputError
            If ``path`` is none.
        RunFileError
            If it cannot be written.
        """
        write_results(path_of(path, "path"), self)

    def draw(self, name: str, **options: Any) -> Figure:
        """Draw a figure by name, see `infoplane.plots.draw`; a notebook shows what is returned."""
        from infoplane.plots.figures import draw

        return draw(self.view(), name, **options)

    def view(self) -> View:
        """Return what figures read of the document; worth keeping when many are drawn."""
        from infoplane.plots.view import View

        return View.of(self)

    def report(self, path: str | Path) -> None:
        """Write the HTML report, see `infoplane.plots.report.page.write_report`."""
        from infoplane.plots.report.page import write_report

        write_report(self, path_of(path, "path"))

    def _repr_html_(self) -> str:
        from html import escape

        runs, rows = len(self["recordings"]), len(self["rows"])
        head = ("group", "layer", "estimator", "quantity", "unit", "first", "peak", "last",
                "change", "95 % interval", "verdict", "what happened")  # fmt: skip
        vocabulary = Vocabulary.of(self)
        body = []
        for p in self["phases"]:
            numbers = [decimal(p.get(key)) for key in ("first", "peak", "last", "change")]
            low, high = p.get("change_low"), p.get("change_high")
            interval = "" if low is None else f"{decimal(low)} … {decimal(high)}"
            about = vocabulary.quantity(p["quantity"])
            texts = [p["group"], p["layer"], p["estimator"], about.symbol, about.unit, *numbers,
                     interval, about.word(p["verdict"]), p.get("sentence", "")]  # fmt: skip
            body.append("".join(f"<td>{escape(str(text))}</td>" for text in texts))
        return (
            f"<p><b>infoplane results</b>: {runs:,} runs, {rows:,} rows</p>"
            "<table><thead><tr>" + "".join(f"<th>{escape(name)}</th>" for name in head)
            + "</tr></thead><tbody>" + "".join(f"<tr>{row}</tr>" for row in body)
            + "</tbody></table>"
        )  # fmt: skip

    def __repr__(self) -> str:
        runs, rows = len(self["recordings"]), len(self["rows"])
        return f"<Results: {runs:,} runs of {', '.join(self.groups[:6])}; {rows:,} rows>"


def load(path: str | Path, *more: str | Path) -> Results:
    """Read one or several results files; several become one document.

    Runs of one group are averaged, whatever file they come from, and the verdicts are found anew.
    A file that is named twice counts once.

    Raises
    ------
    RunFileError
        If a file cannot be read, is not complete JSON, or is of another format version.
    DataError
        If a part that every document has is missing or of the wrong kind, or the files contradict
        one another, see `infoplane.results.merging.merged`.

    Examples
    --------
    >>> results = infoplane.load("results.json")
    >>> results["status"]
    'complete'
    >>> results.phases[0]["layer"]
    '1'
    """
    paths = list(dict.fromkeys(path_of(one, "path") for one in (path, *more)))
    documents = [read_results(one) for one in paths]
    if len(documents) == 1:
        return Results(documents[0])
    return Results(merged(documents, names=[str(one) for one in paths]))


def _null(diag: Mapping[str, Any]) -> float | None:
    """Return what shuffled labels give, by the diagnostics of a row."""
    found = diag.get("null", diag.get("null_mean"))
    return float(found) if isinstance(found, (int, float)) else None
