"""The configuration file: ``infoplane.toml``, or ``[tool.infoplane]`` in ``pyproject.toml``.

The nearest file counts, from the working directory upwards to the root of the repository; files
are not merged. What its keys mean is known to the commands; this module finds the file, reads it,
and knows the line of every key, so that a mistake can be shown where it was made.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from infoplane.errors import InputError
from infoplane.text import printable

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

log = logging.getLogger("infoplane")

NAMES = ("infoplane.toml", ".infoplane.toml", "pyproject.toml")
Key: TypeAlias = tuple["str | int", ...]
"""Path of a value: table names, keys, and indices of arrays of tables."""


@dataclass(frozen=True)
class Configuration:
    """What a file says; nothing where there is no file."""

    path: Path | None = None
    table: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[Key, int] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """The path as it is shown: relative below the working directory."""
        if self.path is None:
            return "no configuration file"
        try:
            return str(self.path.relative_to(Path.cwd()))
        except ValueError:
            return str(self.path)

    @property
    def folder(self) -> Path:
        """What relative paths in the file start from."""
        return Path() if self.path is None else self.path.parent

    @property
    def _prefix(self) -> Key:
        return ("tool", "infoplane") if self.path and self.path.name == "pyproject.toml" else ()

    def line(self, *key: str | int) -> int:
        """Return the line of a key, or of the nearest table around it."""
        path: Key = (*self._prefix, *key)
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def where(self, *key: str | int) -> str:
        """Return ``file:line`` of a key."""
        return f"{self.file}:{self.line(*key)}"

    def header(self, *tables: str) -> str:
        """Return the header of a table as it stands in this file."""
        return f"[{'.'.join([*map(str, self._prefix), *tables])}]"

    def subtable(self, *tables: str) -> Mapping[str, Any]:
        """Return a table, empty if it is not there.

        Raises
        ------
        InputError
            If there is something else in its place.
        """
        found: Any = self.table
        for depth, name in enumerate(tables):
            found = found.get(name, {})
            if not isinstance(found, Mapping):
                self.refuse(f"expected a table, found {_kind(found)}", *tables[: depth + 1])
        table: Mapping[str, Any] = found
        return table

    def only(self, known: Sequence[str], *tables: str | int) -> None:
        """Make sure that a table has no other than the known keys.

        Raises
        ------
        InputError
            IP102, with the line of the first unknown key and the nearest known one.
        """
        table: Any = self.table
        for name in tables:
            table = table[name]
        for key in table:
            if key.replace("_", "-") not in known:
                names = [str(part) for part in tables if isinstance(part, str)]
                place = f" in {self.header(*names)}" if names or self._prefix else ""
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
                raise InputError(
                    f"{self.where(*tables, key)}: unknown key {printable(key)!r}{place}",
                    hint=f"did you mean {near[0]!r}?" if near else "keys: " + ", ".join(known),
                    code="IP102",
                )

    def refuse(self, message: str, *key: str | int) -> NoReturn:
        """Raise the error that a value cannot be used, with its place."""
        name = ".".join(str(part) for part in key if isinstance(part, str))
        raise InputError(f"{self.where(*key)}: {printable(name)}: {message}", code="IP106")


def find_configuration(start: Path) -> Path | None:
    """Return the nearest configuration file, from ``start`` up to the root of the repository."""
    for folder in (start, *start.parents):
        found = [path for path in (folder / name for name in NAMES) if _configures(path)]
        if found[1:]:
            log.warning("%s is used, %s is not", found[0], found[1].name)
        if found:
            return found[0]
        if (folder / ".git").exists():
            break
    return None


def read_configuration(path: Path) -> Configuration:
    """Read a configuration file.

    Raises
    ------
    InputError
        IP105 if the file cannot be read or is not TOML, with the line.
    """
    text = _text(path)
    table = _parsed(path, text)
    configuration = Configuration(path.absolute(), table, _lines(text))
    for name in configuration._prefix:
        table = table.get(str(name), {}) if isinstance(table, dict) else {}
    if not isinstance(table, dict):
        configuration.refuse(f"expected a table, found {_kind(table)}")
    return Configuration(configuration.path, table, configuration.lines)


def require_version(configuration: Configuration, version: str) -> None:
    """Make sure that ``required-version`` admits this version.

    Raises
    ------
    InputError
        IP107 if it does not, IP106 if it is no list of comparisons such as ``>=0.1,<1``.
    """
    wanted = configuration.table.get("required-version")
    if wanted is None:
        return
    comparisons = re.findall(r"(>=|<=|==|!=|>|<)\s*([0-9]+(?:\.[0-9]+)*)\s*(?:,\s*|$)", str(wanted))
    if "".join(map("".join, comparisons)) != re.sub(r"[\s,]", "", str(wanted)) or not comparisons:
        configuration.refuse(
            f"expected comparisons such as '>=0.1,<1', found {wanted!r}", "required-version"
        )
    have = _release(version)
    for relation, text in comparisons:
        need = _release(text)
        order = (have > need) - (have < need)
        holds = {">=": order >= 0, "<=": order <= 0, "==": order == 0}
        holds |= {"!=": order != 0, ">": order > 0, "<": order < 0}
        if not holds[relation]:
            raise InputError(
                f"{configuration.where('required-version')}: expected infoplane {wanted}, "
                f"this is {version}",
                hint="use such a release of infoplane, or change required-version",
                code="IP107",
            )


def _configures(path: Path) -> bool:
    if not path.is_file():
        return False
    if path.name != "pyproject.toml":
        return True
    if "infoplane" not in _text(path):
        return False
    tool = _parsed(path, _text(path)).get("tool")
    return isinstance(tool, dict) and "infoplane" in tool


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"{path}: cannot be read ({reason})", code="IP105") from error


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        told = " ".join(str(error).split()) or type(error).__name__
        at = re.search(r" \(at line ([0-9]+), column [0-9]+\)", told)
        line = at[1] if at else str(max(text.count("\n"), 1))
        reason = printable(re.sub(r" \(at .*\)$", "", told))
        raise InputError(f"{path}:{line}: not valid TOML: {reason}", code="IP105") from error


def _release(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in re.findall(r"[0-9]+", version)[:3]]
    return tuple(numbers + [0] * (3 - len(numbers)))


def _kind(value: object) -> str:
    words = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list"}
    return words.get(type(value), "a table" if isinstance(value, dict) else "a date")


def _lines(text: str) -> dict[Key, int]:
    """Return the line of every table and key of a TOML text that is known to be valid.

    A statement ends with the first line that makes it valid TOML by itself. Keys inside inline
    tables and arrays have no line of their own.
    """
    found: dict[Key, int] = {}
    table: Key = ()
    counts: dict[Key, int] = {}
    statement, start = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        statement += f"{line}\n"
        try:
            parsed: Any = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        name: tuple[str, ...] = ()
        while isinstance(parsed, dict) and parsed:
            key, parsed = next(iter(parsed.items()))
            name = (*name, key)
        if not statement.lstrip().startswith("["):
            for depth in range(1, len(name) + 1):
                found.setdefault((*table, *name[:depth]), start)
        else:
            table = ()
            for part in name[:-1]:
                table = (*table, part)
                table = (*table, counts[table] - 1) if table in counts else table
            table = (*table, name[-1])
            found.setdefault(table, start)
            if isinstance(parsed, list):  # an array of tables
                counts[table] = counts.get(table, 0) + 1
                table = (*table, counts[table] - 1)
                found[table] = start
        statement, start = "", number + 1
    return found


def relative_to_working_directory(path: str, folder: Path) -> str:
    """Return a path that is relative to ``folder`` as one relative to the working directory."""
    if os.path.isabs(path) or path == "-" or folder == Path.cwd():  # noqa: PTH117  - a text
        return path
    return os.path.relpath(folder / path)
