"""Damaged input, made by hypothesis: results documents, configuration files, rules."""

from __future__ import annotations

import json
import string
from typing import Any

from hypothesis import strategies as st

from tests.gate.made import compressing

HOSTILE_TEXT = [
    "", " ", "\x00", "\x1b[2J", "::error::x", "<script>", "$\\frac{", "[bold]", "a\nb", "../..",
    "%s%n", "{0}", "`", "|", "é", "\u202e", "\U0001f600", "\ud800", "x" * 3000, "nan",
]  # fmt: skip
_ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**25), 10**25),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0, -1, 1, 2**63, -(2**63), 10**400, 1e308, -1e308, 5e-324]),
    st.sampled_from(HOSTILE_TEXT),
    st.just([]),
    st.just({}),
    st.lists(st.integers(-3, 3), max_size=3),
    st.dictionaries(st.sampled_from(["a", "run", "name"]), st.integers(0, 3), max_size=2),
)


def small() -> dict[str, Any]:
    """A small document with every part that is read."""
    results = compressing(layers=("fc4", "fc5"), runs=3, estimators=("binning", "kde"))
    results["rows"] = [r for r in results["rows"] if r["step"] in (0, 20, 60, 90)]
    label = [r | {"quantity": "ity", "bound_name": "h_y"} for r in results["rows"][:12]]
    results["rows"] += label
    for recording in results["recordings"]:
        recording["steps"] = [0, 20, 60, 90]
        recording["epochs"] = [0.0, 2.0, 6.0, 9.0]
        recording["metrics"] = {"train_loss": [1.0, 0.5, 0.2, 0.1]}
    results["warnings"] = [{"code": "IP201", "message": "at the ceiling", "count": 3, "layers": []}]
    return results


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        items: list[tuple[Any, Any]] = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value[:6]))
    else:
        return found
    for key, item in items:
        found += _places(item, (*path, key))
    return found


_SMALL = small()
_PLACES = _places(_SMALL)


@st.composite
def results_texts(draw: st.DrawFn) -> bytes:
    """JSON of a document with up to four values replaced, removed or renamed, sometimes cut."""
    document = json.loads(json.dumps(_SMALL))
    for path in draw(st.lists(st.sampled_from(_PLACES), min_size=1, max_size=4)):
        holder: Any = document
        try:
            for key in path[:-1]:
                holder = holder[key]
            how = draw(st.sampled_from(["replace", "replace", "remove", "rename", "double"]))
            if how == "replace":
                holder[path[-1]] = draw(_ODD)
            elif how == "remove":
                del holder[path[-1]]
            elif how == "rename" and isinstance(holder, dict):
                holder[draw(st.sampled_from(HOSTILE_TEXT))] = holder.pop(path[-1])
            elif isinstance(holder, list):
                holder.append(holder[path[-1]])
        except (KeyError, IndexError, TypeError):
            continue
    data = json.dumps(document).encode()
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=4)) + data[at + draw(st.integers(0, 40)) :]
    return data


_NAMES = st.sampled_from(
    ["last", "first", "at:20", "at:", "peak", "min", "max", "mean", "change", "onset", "agree",
     "verdict", "share", "count", "runs", "ixt", "ity", "dse", "fc5", "fc*", "**", "binning",
     "kde", "failed", "saturated", "compresses", "no_change", "1", "-2.5", "1e999",
     "nan", "[", "[a-", "[]]"]
)  # fmt: skip
_PIECES = st.one_of(
    _NAMES, st.sampled_from([*"(),<>='\" ", "<=", ">=", "==", "\n", "\x1b", "é"]),
    st.text(string.printable, max_size=3),
)  # fmt: skip
_CALLS = st.builds(
    "{}({}) {} {}".format,
    _NAMES,
    st.lists(_NAMES, max_size=4).map(", ".join),
    st.sampled_from(["<", "<=", ">", ">=", "==", "=", "!="]),
    _NAMES,
)
_WELL_FORMED = st.builds(
    "{}({}, {}) {} {}".format,
    st.sampled_from(
        ["last", "first", "at:20", "at:7", "peak", "min", "max", "mean", "change", "onset"]
    ),
    st.sampled_from(["ixt", "ity", "dse"]),
    st.sampled_from(["fc5", "fc*", "**", "[", "[a-", "'a b'", "x" * 300]),
    st.sampled_from(["<", "<=", ">", ">=", "=="]),
    st.floats(allow_nan=False, allow_infinity=False),
)
rules = st.one_of(_WELL_FORMED, _CALLS, st.lists(_PIECES, max_size=14).map("".join))

_TOML = """required-version = ">=0.1"
quiet = 1
color = "never"
[analyze]
estimators = ["binning", "dse:sigma=median"]
steps = [0, "last"]
seed = 0
[estimator.binning]
bins = 30
[check-options]
on-unknown = "warn"
fail-on = ["failed"]
[compare]
tolerance = 0.25
[[check]]
name = "keeps"
rule = "last(ixt, fc5) >= 4"
use = "value"
[[check]]
rule = "share(saturated) <= 0.25"
level = "warning"
"""
_VALUES = st.one_of(
    st.sampled_from(["1", "-1", "true", '"x"', "[]", "{}", "nan", "1979-05-27", "[[1], 2]", '"""']),
    st.sampled_from(HOSTILE_TEXT).map(lambda text: json.dumps(text)),
    rules.map(json.dumps),
)  # fmt: skip
_KEYS = st.sampled_from(
    ["rule", "name", "level", "use", "seed", "bins", "steps", "quiet", "[check]", "[[check]]",
     "[analyze]", "[estimator.x]", "[estimator]", "estimator", "check", "tool", "a.b", "sede"]
)  # fmt: skip


@st.composite
def configurations(draw: st.DrawFn) -> bytes:
    """TOML with up to three lines replaced, removed, doubled or inserted."""
    lines = _TOML.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        how = draw(st.sampled_from(["value", "key", "remove", "double", "insert", "text"]))
        key, _, value = lines[at].partition(" = ")
        if how == "value":
            lines[at] = f"{key} = {draw(_VALUES)}"
        elif how == "key":
            lines[at] = f"{draw(_KEYS)} = {value}"
        elif how == "remove" and len(lines) > 1:
            del lines[at]
        elif how == "double":
            lines.insert(at, lines[at])
        elif how == "insert":
            lines.insert(at, draw(_KEYS))
        else:
            lines[at] = draw(st.text(max_size=12))
    return "\n".join(lines).encode("utf-8", "surrogatepass")
