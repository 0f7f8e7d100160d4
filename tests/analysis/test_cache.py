"""A cache that others made, or damaged: nothing of it is believed that ours could not be."""

import json
import os
import sqlite3
import time

import pytest

from infoplane import owners
from infoplane.analysis import remembered
from infoplane.analysis.cache import CellCache
from infoplane.analysis.selection import Part
from infoplane.data import LayerInfo
from infoplane.estimators.estimate import Estimate, Measurement
from infoplane.estimators.registry import parse_estimator

TABLE = "CREATE TABLE cells (key TEXT PRIMARY KEY, value TEXT NOT NULL);"
ENDLESS = "WITH RECURSIVE c(key, value) AS (SELECT 'a', 'b' UNION ALL SELECT key, value FROM c)"


@pytest.fixture
def file(tmp_path):
    with CellCache(tmp_path / "cache") as cache:
        cache.put("a", [1])
        return cache.path


def is_anew(file, caplog):
    """Open a cache; tell whether it began anew, and works."""
    start = time.monotonic()
    with CellCache(file.parent) as cache:
        assert cache.get("a") is None
        cache.put("a", [2])
        assert cache.get("a") == [2]
    assert time.monotonic() - start < 5
    return "begins anew" in caplog.text


@pytest.mark.parametrize(
    "script",
    [
        f"CREATE VIEW cells AS {ENDLESS} SELECT * FROM c;",
        f"CREATE VIEW cells(key, value) AS {ENDLESS} SELECT key, value FROM c;",
        "CREATE TABLE cells (a, b, c);",
        "CREATE TABLE cells (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;",
        "CREATE TABLE cells (key TEXT PRIMARY KEY, value TEXT NOT NULL, z AS (key || value));",
        "CREATE TABLE cells (key TEXT PRIMARY KEY, value TEXT DEFAULT (randomblob(1000000000)));",
        f"{TABLE} CREATE TRIGGER t BEFORE INSERT ON cells BEGIN SELECT RAISE(ABORT, 'no'); END;",
        f"{TABLE} CREATE TRIGGER t AFTER INSERT ON cells BEGIN DELETE FROM cells; END;",
        f"{TABLE} CREATE INDEX i ON cells(length(value));",
        f"{TABLE} CREATE TABLE other (x);",
        f"{TABLE} CREATE VIEW v AS SELECT 1;",
        "CREATE TABLE \"CELLS\" (key TEXT PRIMARY KEY, value TEXT NOT NULL);",
        "CREATE VIRTUAL TABLE cells USING fts4(key, value);",
    ],
)  # fmt: skip
def test_other_schemas_begin_anew(tmp_path, caplog, script):
    file = tmp_path / "cache" / "cells-1.sqlite"
    file.parent.mkdir()
    with sqlite3.connect(file) as connection:
        try:
            connection.executescript(script)
        except sqlite3.OperationalError as error:
            pytest.skip(f"this SQLite has none: {error}")
    connection.close()
    assert is_anew(file, caplog)


def test_statement_without_end_is_given_up(file):
    with CellCache(file.parent) as cache, pytest.raises(sqlite3.OperationalError, match="interr"):
        cache._run(f"{ENDLESS} SELECT count(*) FROM c")


def test_many_statements_are_no_statement_without_end(file):
    with CellCache(file.parent) as cache:
        for number in range(3000):
            cache.put(str(number % 7), number)
        assert cache.get("0") is not None


def journal_naming(name):
    text = name.encode()
    return (bytes(28) + bytes(4) + text + len(text).to_bytes(4, "big")
            + sum(text).to_bytes(4, "big") + bytes.fromhex("d9d505f920a163d7"))  # fmt: skip


@pytest.mark.parametrize("kind", ["super", "link", "hard link", "fifo", "wal", "shm"])
def test_journals_that_concern_other_files_go_with_the_cache(tmp_path, file, caplog, kind):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious" * 500)
    beside = file.with_name(file.name + {"wal": "-wal", "shm": "-shm"}.get(kind, "-journal"))
    beside.unlink(missing_ok=True)
    if kind == "super":
        head = bytes.fromhex("d9d505f920a163d7") + bytes(504)
        beside.write_bytes(head + journal_naming(str(victim)))
    elif kind == "link":
        beside.symlink_to(victim)
    elif kind == "hard link":
        beside.hardlink_to(victim)
    elif kind == "fifo":
        os.mkfifo(beside)
    else:
        beside.write_bytes(b"x" * 4096)
    assert is_anew(file, caplog)
    assert victim.read_bytes() == b"precious" * 500
    assert not os.path.lexists(beside) or beside.stat().st_size == 0


def test_journal_of_a_killed_analysis_is_rolled_back(tmp_path, file):
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA cache_size=1")
    connection.execute("BEGIN")
    connection.execute("UPDATE cells SET value = '[3]'")
    connection.executemany(
        "INSERT INTO cells VALUES (?, ?)", ((str(i), "x" * 900) for i in range(50))
    )
    copy = tmp_path / "killed"
    copy.mkdir()
    for path in file.parent.iterdir():  # as they are at a kill
        (copy / path.name).write_bytes(path.read_bytes())
    connection.close()
    assert len(list(copy.iterdir())) == 2
    with CellCache(copy) as cache:
        assert cache.get("a") == [1]
        assert cache.get("5") is None


@pytest.mark.parametrize("kind", ["link", "dangling", "hard link", "folder", "fifo"])
def test_what_is_no_file_of_its_own_is_not_used(tmp_path, file, caplog, kind):
    other = tmp_path / "other"
    file.unlink()
    if kind in ("link", "hard link"):
        other.write_text("precious")
    make = {"folder": file.mkdir, "fifo": lambda: os.mkfifo(file)}
    make["hard link"] = lambda: file.hardlink_to(other)
    make.get(kind, lambda: file.symlink_to(other))()
    with CellCache(file.parent) as cache:
        cache.put("a", 1)
        assert cache.get("a") is None
    assert "the cache is not used" in caplog.text
    assert not other.exists() or other.read_text() == "precious"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no users here")
@pytest.mark.parametrize("what", ["folder", "file"])
@pytest.mark.parametrize("mode", [0o777, 0o776, 0o666, 0o622])
def test_one_that_others_may_write_to_is_not_used(file, caplog, what, mode):
    (file if what == "file" else file.parent).chmod(mode | 0o700)
    with CellCache(file.parent) as cache:
        assert cache.get("a") is None
    assert "others may write to it" in caplog.text
    assert len(caplog.records) == 1


def test_one_of_another_user_is_not_used(file, caplog, monkeypatch):
    monkeypatch.setattr(owners, "_trusted_owners", lambda: frozenset({987654}))
    with CellCache(file.parent) as cache:
        assert cache.get("a") is None
    assert "belongs to" in caplog.text
    monkeypatch.setenv("INFOPLANE_TRUST", str(file.parent.parent))
    with CellCache(file.parent) as cache:
        assert cache.get("a") == [1]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no users here")
def test_a_new_one_is_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        with CellCache(tmp_path / "new") as cache:
            cache.put("a", 1)
    finally:
        os.umask(before)
    assert [oct(path.stat().st_mode & 0o777) for path in (cache.path.parent, cache.path)] == [
        "0o700", "0o600"]  # fmt: skip


@pytest.mark.parametrize(
    "value",
    ["NaN", "Infinity", "1e999", "[" * 5000 + "]" * 5000, "[" * 40 + "]" * 40, "{", "", "9" * 5000,
     "9" * 30, '"\\ud800"', b"[1]", b"\xff\xfe", "[1" + " " * (1 << 26) + "]"],
)  # fmt: skip
def test_values_that_no_result_has_are_none(file, value):
    connection = sqlite3.connect(file)
    connection.execute("UPDATE cells SET value = ?", (value,))
    if value == b"\xff\xfe":
        connection.execute("UPDATE cells SET value = CAST(value AS TEXT)")
    connection.commit()
    connection.close()
    with CellCache(file.parent) as cache:
        assert cache.get("a") is None
        cache.put("b", 1)
        assert cache.get("b") == 1


LAYER = LayerInfo("fc", 0, "Linear", (3,), "float32")
CONTENT = Measurement(
    "run", 0, LAYER, "binning",
    {"ixt": Estimate(1.0, low=0.5, high=1.5, method="bootstrap", level=0.95, bound_high=2.0,
                     bound_name="log2_n", n=4, flags=("saturated",), diagnostics={"a": [1, "b"]},
                     setting="x"),
     "ity": Estimate(None, flags=("failed",), diagnostics={"reason": "r"})}, 0.1,
).content()  # fmt: skip


def read(content):
    return remembered.measurement(
        content, "run", 0, Part(None, (LAYER,)), parse_estimator("binning")
    )


def places(value, path=()):
    yield path
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield from places(inner, (*path, key))


def changed(path, new):
    whole = {"root": json.loads(json.dumps(CONTENT))}
    holder = whole
    for key in ("root", *path)[:-1]:
        holder = holder[key]
    holder[("root", *path)[-1]] = new
    return whole["root"]


def test_what_was_measured_is_read_as_it_was():
    assert read(CONTENT).content() == CONTENT


@pytest.mark.parametrize("new", [None, "x", [], {}, 1e308, True, -1, [None], {"x": 1}])
def test_another_value_anywhere_is_a_measurement_or_nothing(new):
    for path in places(CONTENT):
        if "diagnostics" in path[:-1]:
            continue  # whatever an estimator says
        measured = read(changed(path, new))
        for estimate in measured.estimates.values() if measured else ():
            assert estimate.bits is None or (
                type(estimate.bits) is not bool and abs(estimate.bits) < 1e101
            )
            assert all(isinstance(flag, str) for flag in estimate.flags)
            assert isinstance(estimate.diagnostics, dict)


@pytest.mark.parametrize(
    "content",
    [{**CONTENT, "estimates": estimates} for estimates in (
        {"nonsense": {"bits": 1.0}}, {"ixt": {"bits": 1.0, "odd": 1}}, {"ixt": {}},
        {"ixt": {"bits": 1e101}},
        {"ixt": {"bits": 1.0, "n": 0}}, {"ixt": {"bits": 1.0}, "ixt@": {"bits": 2.0}},
        {"ixt": {"bits": 1.0, "flags": ["a", 1]}})],
)  # fmt: skip
def test_cells_that_no_estimator_can_give(content):
    assert read(content) is None


@pytest.mark.parametrize(
    "costs",
    [[], 1, "x", None, *({"a": entry} for entry in (
        "x", [], None, {"scale": "x", "cells": 1}, {"scale": -1.0, "cells": 1}, {"scale": 1.0},
        {"scale": 0.0, "cells": 1}, {"scale": 1e9, "cells": 1}, {"scale": 1.0, "cells": 1.5}))],
)  # fmt: skip
def test_costs_that_cannot_be_are_left_out(costs):
    good = {"scale": 2.0, "cells": 3}
    assert remembered.costs(costs) == {}
    assert remembered.costs({"good": good, **(costs if isinstance(costs, dict) else {})}) == {
        "good": good
    }


@pytest.mark.parametrize("found", [[], 1, {"a": 1}, {"x": {"content": "c"}}, {"0" * 64: {}},
                                   {"0" * 64: {"content": 1}}])  # fmt: skip
def test_artifacts_of_another_shape_are_made_anew(found):
    assert remembered.artifacts(found) is None
