"""The configuration file: ``infoplane.toml``, or ``[tool.infoplane]`` in ``pyproject.toml``.

The nearest file counts, from the working directory upwards to the root of the repository, the home
folder or the border of the file system; files are not merged. One of another user is refused.
What its keys mean is known to the commands; this module finds the file, reads it, and knows the
line of every key, so that a mistake can be shown where it was made.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from infoplane.errors import InputError
from infoplane.owners import TRUST, stranger
from infoplane.system import relative
from infoplane.text import printable, shortened

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

log = logging.getLogger("infoplane")

NAMES = ("infoplane.toml", ".infoplane.toml", "pyproject.toml")
_MOST_BYTES = 4 << 20
Key: TypeAlias = tuple["str | int", ...]
"""Path of a value: table names, keys, and indices of arrays of tables."""


@dataclass(frozen=True)
class Configuration:
    """What a file says; nothing where there is no file."""

    path: Path | None = None
    table: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[Key, int] = field(default_factory=dict)
    owner: str | None = None
    """Who it belongs to, if not to a user whose files are trusted."""

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

    def refuse_foreign(self, *key: str | int) -> None:
        """Refuse a value that runs code or connects somewhere, from a file of another user.

        Raises
        ------
        InputError
            IP113, if the file is not the user's own.
        """
        if self.owner is not None:
            name = str(key[-1])
            raise InputError(
                f"{self.where(*key)}: {printable(name)}: runs code or connects somewhere, and is "
                f"not taken from a file of {self.owner}",
                hint=f"give it on the command line, or trust the folder: "
                f"{TRUST}={printable(str(self.folder))}",
                code="IP113",
            )

    def refuse(self, message: str, *key: str | int) -> NoReturn:
        """Raise the error that a value cannot be used, with its place."""
        name = ".".join(str(part) for part in key if isinstance(part, str))
        raise InputError(f"{self.where(*key)}: {printable(name)}: {message}", code="IP106")


def find_configuration(start: Path) -> Path | None:
    """Return the nearest configuration file, from ``start`` upwards."""
    for folder in _upwards(start):
        found = [path for path in (folder / name for name in NAMES) if _configures(path)]
        if found[1:]:
            log.warning("%s is used, %s is not", found[0], found[1].name)
        if found:
            return found[0]
    return None


def _upwards(start: Path) -> Iterator[Path]:
    """Yield a folder and those around it that belong together."""
    home = Path(os.path.expanduser("~")).resolve()  # noqa: PTH111  - that of pathlib may raise
    border = _status(start)
    for folder in (start, *start.parents):
        status = _status(folder)
        if status is None or border is None or status.st_dev != border.st_dev:
            return
        yield folder
        if folder == home or _status(folder / ".git"):
            return


def read_configuration(path: Path, *, named: bool = True) -> Configuration:
    """Read a configuration file; one of another user only if the user has ``named`` it.

    Raises
    ------
    InputError
        IP105 if the file cannot be read or is not TOML, with the line; IP113 if it is refused.
    """
    text, owner = _read(path)
    if owner is not None and not named:
        raise InputError(
            f"{path}: expected a configuration of this user, found one of {owner}",
            hint=f"--no-config; or use it: -c {path}; or trust its folder: {TRUST}={path.parent}",
            code="IP113",
        )
    table = _parsed(path, text)
    configuration = Configuration(path.absolute(), table, _lines(text), owner)
    for name in configuration._prefix:
        table = table.get(str(name), {}) if isinstance(table, dict) else {}
    if not isinstance(table, dict):
        configuration.refuse(f"expected a table, found {_kind(table)}")
    return replace(configuration, table=table)


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
            f"expected comparisons such as '>=0.1,<1', found {shortened(repr(wanted), 60)}",
            "required-version",
        )
    have = _release(version)
    for relation, text in comparisons:
        need = _release(text)
        order = (have > need) - (have < need)
        holds = {">=": order >= 0, "<=": order <= 0, "==": order == 0}
        holds |= {"!=": order != 0, ">": order > 0, "<": order < 0}
        if not holds[relation]:
            raise InputError(
                f"{configuration.where('required-version')}: expected infoplane "
                f"{shortened(str(wanted), 60)}, "
                f"this is {version}",
                hint="use such a release of infoplane, or change required-version",
                code="IP107",
            )


def _configures(path: Path) -> bool:
    status = _status(path)
    if status is None or not stat.S_ISREG(status.st_mode):
        return False
    if path.name != "pyproject.toml":
        return True
    try:
        text, _ = _read(path)
        tool = _parsed(path, text).get("tool") if "infoplane" in text else None
    except InputError:
        if stranger(path):
            return False
        raise
    return isinstance(tool, dict) and "infoplane" in tool


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _read(path: Path) -> tuple[str, str | None]:
    """Return the text of a file, and who it belongs to if that is a stranger."""
    try:
        with path.open("rb") as file:
            owner = stranger(path, os.fstat(file.fileno()))
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise InputError(f"{path}: expected at most {_MOST_BYTES} bytes", code="IP105")
        return data.decode("utf-8-sig").replace("\r\n", "\n"), owner
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


def _release(version: str) -> list[tuple[int, str]]:
    """Return three numbers in a form that is ordered like them, whatever their length."""
    numbers = [part.lstrip("0") for part in re.findall(r"[0-9]+", version)[:3]]
    return [(len(digits), digits) for digits in numbers + [""] * (3 - len(numbers))]


def _kind(value: object) -> str:
    words = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list"}
    return words.get(type(value), "a table" if isinstance(value, dict) else "a date")


_TOKEN = re.compile(
    r'''"{3}(?:[^"\\]+|\\.|"{1,2}(?!"))*"{3,5}|"(?:[^"\\]+|\\.)*"'''
    r"|'{3}.*?'{3,5}|'[^']*'|#[^\n]*|\n\s*|[][{}=]",
    re.DOTALL,
)
"""What may end a statement of TOML, or hide its end: strings, comments, brackets, new lines."""

_BARE_KEY = re.compile(r"\s*([\w-]+)\s*= 0", re.ASCII)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line of each header and key of a valid TOML text, and a text with it alone."""
    line, start = 1, 1
    depth, begin, equals = 0, 0, -1
    for token in _TOKEN.finditer(f"{text}\n"):
        mark = token[0]
        if mark in ("[", "{"):
            depth += 1
        elif mark in ("]", "}"):
            depth -= 1
        elif mark == "=" and not depth and equals < 0:
            equals = token.start()
        line += mark.count("\n")
        if mark[0] == "\n" and not depth:
            if equals >= 0:
                yield start, f"{text[begin:equals]}= 0"
            elif text[begin : token.start()].lstrip().startswith("["):
                yield start, text[begin : token.start()]
            start, begin, equals = line, token.end(), -1


def _lines(text: str) -> dict[Key, int]:
    """Return the line of every table and key of a TOML text that is known to be valid.

    Keys inside inline tables and arrays have no line of their own.
    """
    found: dict[Key, int] = {}
    table: Key = ()
    counts: dict[Key, int] = {}
    for start, statement in _statements(text):
        bare = _BARE_KEY.fullmatch(statement)  # the usual case, and far quicker
        parsed: Any = {bare[1]: 0} if bare else tomllib.loads(statement)
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
    return found


def relative_to_working_directory(path: str, folder: Path) -> str:
    """Return a path that is relative to ``folder`` as one relative to the working directory."""
    if os.path.isabs(path) or path == "-" or folder == Path.cwd():  # noqa: PTH117  - a text
        return path
    return relative(folder / path, Path.cwd())
