"""The results document as a file: one JSON text, compressed if its name ends in ``.gz``."""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from infoplane.errors import DataError, RunFileError, is_of_system, unreadable
from infoplane.results.schema import Check, compile_schema
from infoplane.runs.atomic import check_regular, replace_file

SCHEMA = "infoplane.results/1"


def write_results(path: Path, results: Mapping[str, Any]) -> None:
    """Write a results document; the file appears only when it is complete.

    Names that are no text, such as those of folders that are not UTF-8, are written with escapes.

    Raises
    ------
    RunFileError
        If the file cannot be written.
    DataError
        If it could not be read again.
    """
    text = json.dumps(dict(results), allow_nan=False, separators=(",", ":"))
    document = json.loads(text)
    if mistake := _shape()(document) or _contradiction(document):
        raise DataError(f"{path}: cannot be written: {': '.join(mistake)}", code="IP315")
    if re.search(r"\\ud[89a-f]", text):
        text = json.dumps(_legible(document), allow_nan=False, separators=(",", ":"))
    data = (text.replace('{"run":', '\n{"run":') + "\n").encode()
    replace_file(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


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
        if path.exists() and not path.is_dir():
            check_regular(path)
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = _unpacked(data)
        document = json.loads(data, parse_constant=_refuse)
        if b"\\ud" in data.lower():
            json.dumps(document, ensure_ascii=False).encode()  # half a pair is no character
    except FileNotFoundError as error:
        raise RunFileError(
            f"{path}: no such file",
            hint="expected the file that 'infoplane analyze -o' wrote",
            code="IP303",
        ) from error
    except IsADirectoryError as error:
        raise RunFileError(
            f"{path}: expected a results document, found a folder",
            hint=f"of a run, results are made by: infoplane analyze {path} -o results.json",
            code="IP303",
        ) from error
    except UnicodeDecodeError as error:
        raise RunFileError(
            f"{path}: expected a results document, found binary data",
            hint="expected the file that 'infoplane analyze -o' wrote",
            code="IP303",
        ) from error
    except (OSError, EOFError, zlib.error, MemoryError) as error:
        if is_of_system(error):
            raise unreadable(path, error) from error
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
    if mistake := _shape()(document):
        place, expected = mistake
        raise DataError(
            f"{path}: {place.lstrip('.')}: {expected}" if place else f"{path}: {expected}",
            hint="analyze the runs again, or restore the file",
            code="IP315",
        )
    if mistake := _contradiction(document):
        raise DataError(f"{path}: {mistake[0]}: {mistake[1]}", code="IP315")
    results: dict[str, Any] = document
    return results


_LEAST_LIMIT = 64 << 20  # bytes
_MOST_TIMES = 100  # results take a fifteenth of their size when they are compressed


def _unpacked(data: bytes) -> bytes:
    """Return what a gzip file holds, once it is known that it is not many times larger.

    Raises
    ------
    ValueError
        If it is.
    """
    limit = max(_LEAST_LIMIT, _MOST_TIMES * len(data))
    size = 0
    with gzip.open(io.BytesIO(data)) as file:
        while block := file.read(1 << 20):
            size += len(block)
            if size > limit:
                raise ValueError(f"{len(data):,} bytes of gzip hold more than {limit:,}")
    return gzip.decompress(data)


_IN_BITS = ("value", "ci_low", "ci_high", "bound_low", "bound_high")
_MOST_BITS = 1e100  # sums and squares of such numbers still are numbers


@cache
def _shape(member: str | None = None) -> Check:
    """Return the check of a document, or of a member of it."""
    schema_file = resources.files("infoplane.schemas").joinpath("results.schema.json")
    text = schema_file.read_text(encoding="utf-8")
    open_enums = (
        "flags", "bound_name", "ci_method", "verdict", "interval", "about", "direction", "stage",
    )  # fmt: skip
    schema = json.loads(text)
    if member is not None:
        schema = {**schema["properties"][member], "$defs": schema.get("$defs", {})}
    return compile_schema(schema, open_enums=open_enums)


def _contradiction(document: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return where the parts of a document contradict one another, and how."""
    steps: dict[str, set[int]] = {}
    for index, recording in enumerate(document["recordings"]):
        if recording["run"] in steps:
            return f"recordings[{index}].run", f"{recording['run']!r} stands there twice"
        if not recording["steps"]:
            return f"recordings[{index}].steps", "expected at least one step"
        steps[recording["run"]] = set(recording["steps"])
    ids = {entry["id"] for entry in document["estimators"]}
    seen: set[tuple[Any, ...]] = set()
    units: dict[str, str] = {}
    for index, row in enumerate(document["rows"]):
        if row["run"] not in steps:
            return f"rows[{index}].run", f"{row['run']!r} is not among the recordings"
        if row["step"] not in steps[row["run"]]:
            return f"rows[{index}].step", f"{row['step']} is not a step of {row['run']!r}"
        if row["estimator"] not in ids:
            return f"rows[{index}].estimator", f"{row['estimator']!r} is not described"
        cell = row["run"], row["step"], row["layer"], row["estimator"], row["quantity"]
        if cell in seen:
            return f"rows[{index}]", "a second row of the same run, step, layer and estimator"
        seen.add(cell)
        unit = units.setdefault(row["quantity"], row["unit"])
        if row["unit"] != unit:
            return f"rows[{index}].unit", f"{row['unit']!r}, but {unit!r} in an earlier row"
        if row["step"] < 0:
            return f"rows[{index}].step", "expected a step of at least 0"
        for name in _IN_BITS:
            if (bits := row.get(name)) is not None and abs(bits) > _MOST_BITS:
                return f"rows[{index}].{name}", f"expected a number of {unit}, got {bits!r:.12}"
    return None


def check_recordings(recordings: Sequence[Mapping[str, Any]], seen: str) -> None:
    """Make sure, before the work, that results with these recordings could be read again.

    Raises
    ------
    DataError
        If they could not; the message begins with where they were ``seen``.
    """
    if mistake := _shape("recordings")(recordings):
        raise DataError(f"{seen}{mistake[0].partition('.')[2]}: {mistake[1]}", code="IP310")


def _legible(value: Any) -> Any:
    """Return a JSON value whose texts are text: half a pair of UTF-16 becomes an escape."""
    if isinstance(value, str):
        whole = value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        return whole.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_legible(key): _legible(part) for key, part in value.items()}
    return [_legible(part) for part in value] if isinstance(value, (list, tuple)) else value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
