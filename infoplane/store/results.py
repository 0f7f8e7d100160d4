"""The results document as a file: one JSON text, compressed if its name ends in ``.gz``."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infoplane.errors import DataError, RunFileError

SCHEMA = "infoplane.results/1"


def write_results(path: Path, results: Mapping[str, Any]) -> None:
    """Write a results document; the file appears only when it is complete.

    Raises
    ------
    RunFileError
        If the file cannot be written.
    """
    text = json.dumps(results, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    data = (text.replace('{"run":', '\n{"run":') + "\n").encode()
    if path.suffix == ".gz":
        data = gzip.compress(data, mtime=0)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
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
        raise RunFileError(f"{path}: no such file", code="IP303") from error
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
    results: dict[str, Any] = document
    return results
