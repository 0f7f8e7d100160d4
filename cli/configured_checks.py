"""The rules that stand in the configuration file, as ``[[check]]``."""

from __future__ import annotations

from typing import Any

from infoplane.cli.configuration import Configuration
from infoplane.errors import InputError
from infoplane.gate.rules import Check, parse_rule

_KEYS = ("name", "rule", "level", "use")
_WORDS = {"level": ("error", "warning"), "use": ("value", "ci")}


def configured_checks(configuration: Configuration) -> list[Check]:
    """Return the checks of a configuration file, in their order.

    Raises
    ------
    InputError
        With file and line: an unknown key, a wrong value, or a rule that cannot be read.
    """
    entries = configuration.table.get("check", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        configuration.refuse(
            "expected rules under [[check]]; options of the command stand in [check-options]",
            "check",
        )
    return [_check(configuration, index, entry) for index, entry in enumerate(entries)]


def _check(configuration: Configuration, index: int, entry: dict[str, Any]) -> Check:
    configuration.only(_KEYS, "check", index)
    for key, value in entry.items():
        if not isinstance(value, str):
            configuration.refuse(f"expected text, found {value!r}", "check", index, key)
        words = _WORDS.get(key, ())
        if words and value not in words:
            configuration.refuse(
                f"expected {' or '.join(words)}, found {value!r}", "check", index, key
            )
    if "rule" not in entry:
        configuration.refuse("expected a key 'rule'", "check", index)
    source = configuration.where("check", index, "rule")
    try:
        rule = parse_rule(entry["rule"])
    except InputError as error:
        raise InputError(f"{source}: {error}", hint=error.hint, code=error.code) from error
    return Check(
        entry.get("name") or entry["rule"],
        rule,
        level=entry.get("level", "error"),
        use=entry.get("use", "value"),
        source=source,
    )
