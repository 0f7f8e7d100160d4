"""Results of several files as one document: the seeds of a network, analyzed apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from infoplane.errors import DataError, NotFoundError
from infoplane.store.results import read_results
from infoplane.text import printable


def read_together(paths: Sequence[Path]) -> dict[str, Any]:
    """Read results documents as one; the runs of one group are averaged, whatever their file.

    ``config`` and ``tool`` are those of the first, warnings are added up, and the status is the
    worst. Phases must be found anew.

    Raises
    ------
    RunFileError, DataError
        If a file cannot be read; if two files hold one run, or settings of one estimator differ.
    NotFoundError
        If no file holds a row.
    """
    documents = {path: read_results(path) for path in paths}
    first = next(iter(documents.values()))
    together: dict[str, Any] = {**first, "estimators": []}
    together |= {part: [] for part in ("recordings", "rows", "sampling", "checks")}
    home: dict[str, Path] = {}
    settings: dict[str, tuple[Path, dict[str, Any]]] = {}
    for path, document in documents.items():
        for recording in document["recordings"]:
            run = recording["run"]
            if run in home:
                raise DataError(
                    f"{path}: run {printable(run)!r} is also in {home[run]}",
                    hint="give each run once",
                    code="IP317",
                )
            home[run] = path
        for entry in document["estimators"]:
            other, known = settings.setdefault(entry["id"], (path, entry))
            for key in ("version", "params"):
                if entry[key] != known[key]:
                    raise DataError(
                        f"{path}: {key} of estimator {printable(entry['id'])!r} differs from that "
                        f"in {other}: {printable(str(entry[key]))}, {printable(str(known[key]))}",
                        hint="analyze all runs with the same settings",
                        code="IP317",
                    )
        for part in ("recordings", "rows", "sampling", "checks"):
            together[part] += document.get(part, [])
    together["estimators"] = [entry for _, entry in settings.values()]
    if not together["rows"]:
        names = ", ".join(map(str, documents))
        raise NotFoundError(f"{names}: the results hold no rows", code="IP404")
    together["warnings"] = _warnings(documents.values())
    status = {document.get("status", "complete") for document in documents.values()}
    together["status"] = next((s for s in ("interrupted", "partial") if s in status), "complete")
    return together


def _warnings(documents: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add up the warnings of one code."""
    found: dict[str, dict[str, Any]] = {}
    for warning in (warning for document in documents for warning in document["warnings"]):
        known = found.setdefault(warning["code"], {**warning, "count": 0, "layers": []})
        known["count"] += warning["count"]
        known["layers"] = list(dict.fromkeys([*known["layers"], *warning.get("layers", [])]))
    return list(found.values())
