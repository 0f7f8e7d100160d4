"""Check plain data against the part of JSON Schema that our documents are described with.

Unknown members are let through: readers ignore what they do not know. Numbers must be finite and
whole numbers fit 64 bits, so that what is read can be computed with.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Check: TypeAlias = Callable[[Any], "tuple[str, str] | None"]
"""Returns place and expectation of the first mistake in a value, or None."""

_WHOLE = 2**63
_MEMBERS = {
    "type", "const", "enum", "pattern", "required", "properties", "items", "minItems", "$ref",
    "additionalProperties", "propertyNames", "uniqueItems", "format", "minimum",
}  # fmt: skip
_NOTES = {"$schema", "$id", "$defs", "title", "description"}


def compile_schema(schema: Mapping[str, Any], *, open_enums: tuple[str, ...] = ()) -> Check:
    """Return a function that checks a document.

    Parameters
    ----------
    schema : mapping
        A JSON Schema with local references.
    open_enums : tuple of str
        Members whose words may be others than those listed.

    Raises
    ------
    ValueError
        If the schema uses a member that is not checked here.
    """
    return _compile(schema, schema, open_enums, "")


def _compile(
    schema: Mapping[str, Any], root: Mapping[str, Any], open_enums: tuple[str, ...], name: str
) -> Check:
    if unknown := schema.keys() - _MEMBERS - _NOTES:
        raise ValueError(f"schema member {sorted(unknown)[0]!r} is not checked")
    if "$ref" in schema:
        target: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return _compile(target, root, open_enums, name)
    checks: list[Check] = []
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        checks.append(_of_type(kinds))
    if "const" in schema:
        checks.append(_one_of([schema["const"]]))
    if "enum" in schema and name not in open_enums:
        checks.append(_one_of(schema["enum"]))
    if "pattern" in schema:
        checks.append(_matching(schema["pattern"]))
    if "properties" in schema or "required" in schema or "additionalProperties" in schema:
        inner = {
            key: _compile(part, root, open_enums, key)
            for key, part in schema.get("properties", {}).items()
        }
        others = schema.get("additionalProperties")
        rest = _compile(others, root, open_enums, name) if isinstance(others, Mapping) else None
        checks.append(_members(inner, rest, schema.get("required", ())))
    if "items" in schema:
        checks.append(_items(_compile(schema["items"], root, open_enums, name)))
    if schema.get("minItems"):
        checks.append(lambda value: None if value else ("", "expected at least one item"))

    def check(value: Any) -> tuple[str, str] | None:
        for one in checks:
            if found := one(value):
                return found
        return None

    return checks[0] if len(checks) == 1 else check


def _is(value: Any, kind: str) -> bool:
    if kind == "number":
        return type(value) in (int, float) and _finite(value)
    if kind == "integer":
        return type(value) is int and -_WHOLE <= value < _WHOLE
    types = {"string": str, "boolean": bool, "object": dict, "array": list, "null": type(None)}
    return type(value) is types[kind]


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _of_type(kinds: list[str]) -> Check:
    expected = "expected " + " or ".join(kinds)

    def check(value: Any) -> tuple[str, str] | None:
        return None if any(_is(value, kind) for kind in kinds) else ("", expected)

    return check


def _one_of(words: list[Any]) -> Check:
    expected = "expected " + " or ".join(map(repr, words))
    return lambda value: None if value in words else ("", expected)


def _matching(pattern: str) -> Check:
    found = re.compile(pattern)

    def check(value: Any) -> tuple[str, str] | None:
        matched = not isinstance(value, str) or found.search(value)
        return None if matched else ("", f"expected {pattern}")

    return check


def _members(inner: dict[str, Check], rest: Check | None, required: tuple[str, ...]) -> Check:
    def check(value: Any) -> tuple[str, str] | None:
        if type(value) is not dict:
            return None  # the type says so
        for key in required:
            if key not in value:
                return "", f"expected {key!r}"
        for key, item in value.items():
            part = inner.get(key, rest)
            if part is not None and (found := part(item)):
                return f".{key}{found[0]}", found[1]
        return None

    return check


def _items(part: Check) -> Check:
    def check(value: Any) -> tuple[str, str] | None:
        if type(value) is list:
            for index, item in enumerate(value):
                if found := part(item):
                    return f"[{index}]{found[0]}", found[1]
        return None

    return check
