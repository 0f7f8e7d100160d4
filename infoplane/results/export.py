"""Results for other tools: the long table as CSV or Parquet, the curves for TensorBoard.

Values are those of the document, in their units and in full precision; what has no number stays
without.
"""

from __future__ import annotations

import importlib
import io
import json
import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from infoplane.calls import PathLike, one_of, path_of, unfit
from infoplane.errors import DataError, InputError, RunFileError, unwritable
from infoplane.results.curves import group_of
from infoplane.results.notebook import Results
from infoplane.results.similarities import Similarities
from infoplane.runs.atomic import replace_file
from infoplane.system import file_name
from infoplane.text import as_csv

COLUMNS = {
    "group": "string",
    "run": "string",
    "step": "int64",
    "epoch": "float64",
    "layer": "string",
    "layer_index": "int64",
    "estimator": "string",
    "quantity": "string",
    "value": "float64",
    "ci_low": "float64",
    "ci_high": "float64",
    "ci_level": "float64",
    "ci_method": "string",
    "unit": "string",
    "n": "int64",
    "bound_low": "float64",
    "bound_high": "float64",
    "bound_name": "string",
    "flags": "flags",
    "seconds": "float64",
    "cached": "bool",
    "diag": "json",
}
"""Columns of the table and their kinds, in order; see ``docs/results-format.md``."""

PAIR_COLUMNS = {
    "axis": "string",
    "measure": "string",
    **{
        f"{name}_{side}": kind
        for side in "ab"
        for name, kind in {
            "group": "string", "run": "string", "step": "int64", "layer": "string",
            "index": "int64",
        }.items()
    },
    "value": "float64",
    "ci_low": "float64",
    "ci_high": "float64",
    "ci_level": "float64",
    "unit": "string",
    "null": "float64",
    "null_sd": "float64",
    "ceiling": "float64",
    "ceiling_low": "float64",
    "ceiling_high": "float64",
    "n": "int64",
    "flags": "flags",
    "seconds": "float64",
    "cached": "bool",
    "reason": "string",
}  # fmt: skip
"""Columns of the table of similarities, a row for each pair."""

TABLES = {"rows": COLUMNS, "similarities": PAIR_COLUMNS}
"""Tables by name, with their columns."""

EVENTS = "events.out.tfevents.0.infoplane"


def table_of(results: Results, wanted: str | None = None) -> str:
    """Return the table that is wanted; or the rows, if there are any, else the similarities.

    Raises
    ------
    NotFoundError
        If the similarities are wanted, and there are none.
    """
    if not isinstance(results, Results):
        raise unfit("results", "a Results, as infoplane.load returns it", results)
    if wanted is not None:
        one_of(wanted, "table", *TABLES)
    pairs = (results.get("similarities") or {}).get("rows")
    if wanted == "similarities" and not pairs:
        Similarities(results)  # raises
    return wanted or ("rows" if results["rows"] or not pairs else "similarities")


def csv_text(results: Results, *, formulas: bool = True, table: str | None = None) -> str:
    """Return a table as CSV; without a choice the rows, or the similarities if there are no rows.

    Numbers are written so that they read back the same; an empty field is a missing value, flags
    are joined by blanks, ``diag`` is JSON. Without ``formulas``, a text that a spreadsheet would
    take for a formula has an apostrophe before it.
    """
    table = table_of(results, table)
    return as_csv([tuple(TABLES[table]), *_csv_rows(results, formulas, table)])


def _csv_rows(results: Results, formulas: bool, table: str) -> Iterator[tuple[Any, ...]]:
    for row in _rows(results, table):
        row["flags"] = " ".join(row["flags"])
        row["cached"] = None if row["cached"] is None else str(row["cached"]).lower()
        yield tuple(value if formulas else _as_text(value) for value in row.values())


def _as_text(value: Any) -> Any:
    """Return a text so that no spreadsheet computes it; see owasp.org, "CSV Injection"."""
    begins = isinstance(value, str) and value.lstrip(" ").startswith(tuple("=+-@\t\r\n"))
    return f"'{value}" if begins else value


def write_csv(
    results: Results, path: PathLike, *, formulas: bool = True, table: str | None = None
) -> int:
    """Write a table as CSV, see `csv_text`; return how many rows there are.

    ``table`` is ``rows`` or ``similarities``; by default the first of them that holds some.

    Raises
    ------
    RunFileError
        If the file cannot be written.

    Examples
    --------
    >>> infoplane.write_csv(infoplane.load("results.json"), "results.csv")
    12
    """
    rows = csv_text(results, formulas=formulas, table=table)
    replace_file(path_of(path, "path"), rows.encode())
    return len(_table(results, table_of(results, table)))


def write_parquet(results: Results, path: PathLike, *, table: str | None = None) -> int:
    """Write a table as Parquet; return how many rows there are. ``table`` is that of `write_csv`.

    Columns have the same types in every file, also where all values are missing. ``flags`` is a
    list, ``diag`` JSON; the metadata names format, units and settings.

    Raises
    ------
    InputError
        IP110 if pyarrow is not installed.
    RunFileError
        If the file cannot be written.

    Examples
    --------
    >>> results = infoplane.load("results.json")
    >>> infoplane.write_parquet(results, Path("results.parquet"))  # doctest: +SKIP
    12
    """
    arrow = _needed("pyarrow", "parquet")
    parquet = _needed("pyarrow.parquet", "parquet")
    types = {
        "string": arrow.string(),
        "int64": arrow.int64(),
        "float64": arrow.float64(),
        "bool": arrow.bool_(),
        "flags": arrow.list_(arrow.string()),
        "json": arrow.string(),
    }
    table = table_of(results, table)
    rows = list(_rows(results, table))
    about = {
        "infoplane.schema": str(results["schema"]),
        "infoplane.config_hash": str(results["config_hash"]),
        "infoplane.unit": ", ".join(sorted({str(row["unit"]) for row in rows})),
    }
    columns = [(name, types[kind]) for name, kind in TABLES[table].items()]
    written = arrow.Table.from_pylist(rows, schema=arrow.schema(columns, metadata=about))
    buffer = io.BytesIO()
    parquet.write_table(written, buffer)
    replace_file(path_of(path, "path"), buffer.getvalue())
    return len(rows)


def write_tensorboard(results: Results, folder: PathLike, *, overwrite: bool = False) -> int:
    """Write every curve as scalars for TensorBoard; return how many points there are.

    Each run is a folder below ``folder``, each curve a tag ``quantity/layer/estimator``. Points are
    doubles, described by their unit; where there is no number there is no point.

    Raises
    ------
    InputError
        IP110 if tensorboard is not installed.
    DataError
        IP315 if a step does not fit in 64 bits, or the time of the document is none.
    RunFileError
        IP302 if the folder is not empty and ``overwrite`` is not given, IP305 if it cannot be
        written. Only files that an export has written are replaced.

    Examples
    --------
    >>> results = infoplane.load("results.json")
    >>> infoplane.write_tensorboard(results, Path("board"))  # doctest: +SKIP
    12
    """
    event_pb2 = _needed("tensorboard.compat.proto.event_pb2", "tensorboard")
    records = _needed("tensorboard.summary.writer.record_writer", "tensorboard")
    folder = path_of(folder, "folder")
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not overwrite):
        raise RunFileError(
            f"{folder}: expected a new or empty folder",
            hint="choose another name with -o, or replace an earlier export with --overwrite",
            code="IP302",
        )
    if table_of(results) == "similarities":
        raise InputError(
            "expected results with curves, got similarities alone: pairs are no curves",
            hint="export them as a table: --to csv, or --to parquet",
        )
    at = _time(results["created"])
    by_run: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in _rows(results, "rows"):
        if row["value"] is not None:
            by_run[row["run"]].append(row)
    try:
        before = set(folder.glob(f"*/{EVENTS}"))
        names: list[str] = []
        for run, rows in by_run.items():
            names.append(file_name(run, names))
            target = folder / names[-1]
            if target.is_symlink():
                raise RunFileError(f"{target}: expected a folder, found a link", code="IP305")
            events = io.BytesIO()
            writer = records.RecordWriter(events)
            start = event_pb2.Event(wall_time=at, file_version="brain.Event:2")
            writer.write(start.SerializeToString())
            for row in sorted(rows, key=lambda row: int(row["step"])):
                writer.write(_event(row, at).SerializeToString())
            replace_file(target / EVENTS, events.getvalue())
            before.discard(target / EVENTS)
        for old in before:
            old.unlink()
    except RunFileError:
        raise
    except OSError as error:
        raise unwritable(folder, error) from error
    return sum(map(len, by_run.values()))


def _time(created: str) -> float:
    try:
        return datetime.fromisoformat(created).timestamp()
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"created: expected a time such as 2026-11-21T20:47:03+00:00, found {created!r}",
            code="IP315",
        ) from error


def _event(row: dict[str, Any], at: float) -> Any:
    """Return a point; its ``simple_value`` would be rounded to 32 bits, a tensor is not."""
    event_pb2 = importlib.import_module("tensorboard.compat.proto.event_pb2")
    event = event_pb2.Event(wall_time=at, step=row["step"])
    value = event.summary.value.add(tag=f"{row['quantity']}/{row['layer']}/{row['estimator']}")
    value.metadata.plugin_data.plugin_name = "scalars"
    value.metadata.data_class = 1  # DATA_CLASS_SCALAR
    value.metadata.summary_description = str(row["unit"])
    value.tensor.dtype = 2  # DT_DOUBLE
    value.tensor.tensor_content = struct.pack("<d", row["value"])
    value.tensor.tensor_shape.SetInParent()
    return event


def _table(results: Results, table: str) -> Sequence[Mapping[str, Any]]:
    """Return the rows of a table; of pairs with the groups of their runs, and the unit."""
    if table == "rows":
        return results.to_rows()
    found = Similarities(results)
    group = {run: group_of(recording) for run, recording in found.recordings.items()}
    return [
        {**row, "group_a": group[row["run_a"]], "group_b": group[row["run_b"]],
         "unit": found.measures[row["measure"]]["unit"]}
        for row in found.rows
    ]  # fmt: skip


def _rows(results: Results, table: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table with all columns, in order; what a row does not have is None."""
    columns = TABLES[table]
    whole = [name for name, kind in columns.items() if kind == "int64"]
    for row in _table(results, table):
        for name in whole:
            if name in row and abs(row[name]) >= 2**63:
                raise DataError(f"{name} {row[name]}: does not fit in 64 bits", code="IP315")
        found = {name: row.get(name) for name in columns}
        found["flags"] = list(row["flags"])
        if "diag" in columns:
            found["diag"] = None if row.get("diag") is None else json.dumps(row["diag"])
        yield found


def _needed(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{extra}: needs {module.partition('.')[0]}, which is not installed",
            hint=f"python3 -m pip install {module.partition('.')[0]}, or the extra {extra!r}",
            code="IP110",
        ) from error
