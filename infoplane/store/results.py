"""The results document as a file: one JSON text, compressed if its name ends in ``.gz``."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from infoplane.errors import DataError, RunFileError

SCHEMA = "infoplane.results/1"

_PARTS = {
    "recordings": {"run", "n", "h_y", "log2_n", "steps", "layers"},
    "estimators": {"id", "name", "params", "quantities"},
    "phases": {"group", "layer", "estimator", "quantity", "verdict", "change"},
}
"""What the parts of a document must hold to be drawn."""


def write_results(path: Path, results: Mapping[str, Any]) -> None:
    """Write a results document; the file appears only when it is complete.

    Raises
    ------
    RunFileError
        If the file cannot be written.
    """
    text = json.dumps(results, allow_nan=False, separators=(",", ":"))
    data = (text.replace('{"run":', '\n{"run":') + "\n").encode()
    if path.suffix == ".gz":
        data = gzip.compress(data, mtime=0)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise RunFileError(
            f"{path}: cannot be written ({error.strerror or error})", code="IP305"
        ) from error


def check_writable(path: Path) -> None:
    """Make sure that a results document can be written, before the work begins.

    Raises
    ------
    RunFileError
        If the path is a folder, or its folder cannot be made or written to.
    """
    if path.is_dir():
        raise RunFileError(f"{path}: expected a file, found a folder", code="IP302")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise RunFileError(
            f"{path}: cannot be written ({error.strerror or error})", code="IP305"
        ) from error


def read_results(path: Path) -> dict[str, Any]:
    """Read a results document; unknown fields are ignored.

    Raises
    ------
    RunFileError
        If the file cannot be read, is not complete JSON, or is of another format version.
    DataError
        If a part that every document has is missing or of the wrong kind.
    """
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        document = json.loads(data)
    except FileNotFoundError as error:
        raise RunFileError(
            f"{path}: no such file",
            hint="expected the file that 'infoplane analyze -o' wrote",
            code="IP303",
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise RunFileError(f"{path}: cannot be read ({error})") from error
    except (ValueError, RecursionError) as error:
        raise RunFileError(
            f"{path}: not a complete JSON document ({error})",
            hint="expected the file that 'infoplane analyze -o' wrote",
        ) from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise RunFileError(
            f"{path}: expected a results document {SCHEMA!r}, found schema {schema!r}",
            hint="expected the file that 'infoplane analyze -o' wrote, by this release or earlier",
            code="IP304",
        )
    for key in ("recordings", "estimators", "rows", "phases", "checks", "warnings"):
        items = document.get(key)
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise DataError(f"{path}: expected a list of objects under {key!r}", code="IP315")
    needed = {"run", "step", "layer", "layer_index", "estimator", "quantity", "value", "flags"}
    for index, row in enumerate(document["rows"]):
        if missing := needed - row.keys():
            raise DataError(
                f"{path}: rows[{index}]: expected {sorted(missing)[0]!r}, found none", code="IP315"
            )
        for key in ("value", "ci_low", "ci_high", "bound_low", "bound_high", "step", "n"):
            if not isinstance(row.get(key), (int, float, type(None))):
                raise DataError(
                    f"{path}: rows[{index}].{key}: expected a number, found {row[key]!r}",
                    code="IP315",
                )
        if not isinstance(row["flags"], list):
            raise DataError(f"{path}: rows[{index}].flags: expected a list", code="IP315")
    for kind, wanted in _PARTS.items():
        for index, item in enumerate(document[kind]):
            if lacking := wanted - item.keys():
                raise DataError(
                    f"{path}: {kind}[{index}]: expected {sorted(lacking)[0]!r}, found none",
                    code="IP315",
                )
    known = {recording["run"] for recording in document["recordings"]}
    if unknown := {row["run"] for row in document["rows"]} - known:
        raise DataError(
            f"{path}: rows of a run that is not under 'recordings': {sorted(map(str, unknown))[0]}",
            code="IP315",
        )
    results: dict[str, Any] = document
    return results
