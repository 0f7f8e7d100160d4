"""The JSON Schema of the configuration file, made of the options that the commands have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from infoplane.cli.settings import NOT_IN_FILE, SHARED, TABLES, long_names

_CHECK = {
    "type": "object",
    "additionalProperties": False,
    "required": ["rule"],
    "properties": {
        "name": {"type": "string"},
        "rule": {"type": "string", "description": "statistic(quantity[, layers]) OP number"},
        "level": {"enum": ["error", "warning"], "default": "error"},
        "use": {"enum": ["value", "ci"], "default": "value"},
    },
}


def config_schema(commands: Mapping[str, click.Command]) -> dict[str, Any]:
    """Return the schema of ``infoplane.toml``; what it cannot say, ``config check`` tells."""
    tables = {
        TABLES.get(name, name): _table(command)
        for name, command in commands.items()
        if not isinstance(command, click.Group)
    }
    options = {str(o.name): o for o in next(iter(commands.values())).params}
    shared = {name: _option(options[name]) for name in SHARED}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "infoplane.config/1",
        "title": "infoplane.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "required-version": {"type": "string", "description": "e.g. >=0.1,<1"},
            **shared,
            **tables,
            "estimator": {"type": "object", "additionalProperties": {"type": "object"}},
            "check": {"type": "array", "items": _CHECK},
        },
    }


def _table(command: click.Command) -> dict[str, Any]:
    """Return the schema of a command's table; keys may have ``_`` for ``-``."""
    found = {}
    for option in command.params:
        if not isinstance(option, click.Option) or long_names(option)[0] in NOT_IN_FILE:
            continue
        for name in long_names(option):
            found[name] = found[name.replace("-", "_")] = _option(option)
    return {"type": "object", "additionalProperties": False, "properties": found}


def _option(option: click.Parameter) -> dict[str, Any]:
    kind: dict[str, Any] = {"type": ["string", "number"]}
    assert isinstance(option, click.Option)
    if option.is_flag:
        kind = {"type": "boolean"}
    elif option.count:
        kind = {"type": ["integer", "boolean"]}
    elif isinstance(option.type, click.Choice):
        kind = {"enum": list(option.type.choices)}
    elif isinstance(option.type, click.types.IntParamType):
        kind = {"type": "integer"}
    elif isinstance(option.type, click.types.FloatParamType):
        kind = {"type": "number"}
    if option.multiple or isinstance(option.type, click.types.StringParamType):
        kind = {"anyOf": [kind, {"type": "array", "items": kind}]}
    return {**kind, "description": option.help} if option.help else kind
