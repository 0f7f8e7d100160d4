"""Options from the configuration file and the environment, handed to click.

The command line comes before ``INFOPLANE_<COMMAND>_<OPTION>``, that before the file, that before
the default. The names in the file are the long names of the options.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infoplane import __version__
from infoplane.cli.configuration import (
    Configuration,
    find_configuration,
    read_configuration,
    relative_to_working_directory,
    require_version,
)
from infoplane.errors import InputError
from infoplane.system import split_reference
from infoplane.text import printable

if TYPE_CHECKING:
    from infoplane.cli.shared_options import SharedOptions

    _Text = click.ParamType[str]
else:
    _Text = click.ParamType  # not generic before click 8.4


class Location(_Text):
    """A path; in the configuration file it is relative to that file.

    With ``reference`` also ``MODULE:CALLABLE``, which stays as it is; with ``named`` as
    ``NAME=PATH``. Instead of a path, a ``word`` may stand there, alone or as ``WORD:NUMBER``.
    """

    name = "path"

    def __init__(
        self, *, reference: bool = False, named: bool = False, word: str | None = None
    ) -> None:
        self.reference, self.named, self.word = reference, named, word

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text of the path."""
        return str(value)


SHARED = ("quiet", "verbose", "color", "progress")
"""Options of every command, which stand outside of all tables."""
NOT_IN_FILE = (*SHARED, "config", "no-config", "help", "version")
TABLES = {"check": "check-options"}
"""The table of a command where it is not called like it: [[check]] are the rules."""


def configure(ctx: click.Context, shared: SharedOptions) -> dict[str, Any]:
    """Read the configuration of an invocation; return the defaults of its command.

    Raises
    ------
    InputError
        If the file, a key, a value, or the name of an environment variable is wrong.
    """
    names = ctx.command_path.split()[1:]
    _check_environment(ctx, names)
    if shared.no_config:
        return {}
    path = Path(shared.config) if shared.config else _nearest()
    if path is None:
        return {}
    shared.configuration = read_configuration(path, named=bool(shared.config))
    if not shared.config and path.parent != Path.cwd() and not shared.quiet:
        click.echo(f"configuration: {printable(str(path))}", err=True)
    require_version(shared.configuration, __version__)
    root = ctx.find_root()
    commands = root.command
    assert isinstance(commands, click.Group)
    made: dict[str, dict[str, Any]] = {}
    known = ["required-version", "estimator", "check", *SHARED]
    for name in commands.list_commands(root):
        command = commands.get_command(root, name)
        if command is not None and not isinstance(command, click.Group):
            known.append(TABLES.get(name, name))
    shared.configuration.only(known)
    for name in commands.list_commands(root):
        command = commands.get_command(root, name)
        if command is not None:
            made[name] = defaults(shared.configuration, TABLES.get(name, name), command, ctx)
    common = {
        str(option.name): _value(shared.configuration, (key,), option, ctx)
        for key, option in _options(ctx.command).items()
        if key in SHARED and key in shared.configuration.table
    }
    return {**common, **(made.get(names[0], {}) if len(names) == 1 else {})}


def _nearest() -> Path | None:
    try:
        return find_configuration(Path.cwd())
    except FileNotFoundError:  # the working folder was removed
        return None


def defaults(
    configuration: Configuration, table: str, command: click.Command, ctx: click.Context
) -> dict[str, Any]:
    """Return what the file says about the options of a command, by parameter name."""
    options = {key: o for key, o in _options(command).items() if key not in NOT_IN_FILE}
    found: dict[str, Any] = {}
    values = configuration.subtable(table)
    if values:
        configuration.only(list(options), table)
    for key in values:
        option = options[key.replace("_", "-")]
        if option.name in found:
            configuration.refuse("is given twice", table, key)
        found[str(option.name)] = _value(configuration, (table, key), option, ctx)
    return found


def long_names(option: click.Option) -> list[str]:
    """Return the names of an option in the file: its long names, then that of its parameter."""
    long = [name[2:] for name in option.opts if name.startswith("--")]
    return list(dict.fromkeys([*long, str(option.name).strip("_").replace("_", "-")]))


def name_variables(command: click.Command, prefix: str) -> None:
    """Let options be set by variables that are called like their long names."""
    for option in command.params:
        if isinstance(option, click.Option) and option.envvar is None:
            option.envvar = [f"{prefix}_{_upper(name)}" for name in long_names(option)]


def _options(command: click.Command) -> dict[str, click.Option]:
    return {
        name: option
        for option in command.params
        if isinstance(option, click.Option)
        for name in long_names(option)
    }


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")


def _check_environment(ctx: click.Context, names: list[str]) -> None:
    """Refuse a variable that looks like an option of this command and is none."""
    prefix = "_".join(["INFOPLANE", *map(_upper, names)]) + "_"
    known = [
        variable
        for option in ctx.command.params
        if isinstance(option, click.Option)
        for variable in [*(option.envvar or ()), f"{prefix}{str(option.name).upper()}"]
    ]
    for variable in sorted(os.environ):
        if variable.startswith(prefix) and variable not in known:
            near = difflib.get_close_matches(variable, known, n=1, cutoff=0.5)
            raise InputError(
                f"environment: unknown option {variable}",
                hint=f"did you mean {near[0]}?" if near else None,
                code="IP108",
            )


def _value(
    configuration: Configuration,
    key: tuple[str, ...],
    option: click.Option,
    ctx: click.Context,
) -> Any:
    """Return a value of the file as the type of its option."""
    value: Any = configuration.table
    for part in key:
        value = value[part]
    if _reaches_out(option, value):
        configuration.refuse_foreign(*key)
    if option.multiple:
        items = value if isinstance(value, list) else [value]
        return [_scalar(configuration, key, option, item, ctx) for item in items]
    if isinstance(value, list) and isinstance(option.type, click.types.StringParamType):
        # options such as --steps and --format take several, joined by commas
        items = [_scalar(configuration, key, option, item, ctx) for item in value]
        return ",".join(map(str, items))
    return _scalar(configuration, key, option, value, ctx)


def _reaches_out(option: click.Option, value: object) -> bool:
    """Tell whether a value runs code, or connects somewhere."""
    if isinstance(option.type, Location) and option.type.reference:
        return True
    if option.name == "estimators":
        return ".py" in str(value)
    return option.name == "trust_model" or (option.name == "executor" and value != "processes")


def _scalar(
    configuration: Configuration,
    key: tuple[str, ...],
    option: click.Option,
    value: Any,
    ctx: click.Context,
) -> Any:
    if option.is_flag or option.count:
        wanted: tuple[type, ...] = (bool,) if option.is_flag else (int, bool)
        expected = "true or false" if option.is_flag else "a whole number"
    elif isinstance(option.type, (click.types.IntParamType, click.types.FloatParamType)):
        whole = isinstance(option.type, click.types.IntParamType)
        wanted = (int,) if whole else (int, float)
        expected = "a whole number" if whole else "a number"
    else:
        wanted, expected = (str, int, float), "text"
    if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
        configuration.refuse(f"expected {expected}, found {value!r}", *key)
    try:
        converted = option.type.convert(value, option, ctx)
    except click.BadParameter as error:
        configuration.refuse(error.message, *key)
    if option.name == "estimators":
        return _estimator_located(converted, configuration.folder)
    if isinstance(option.type, Location):
        head, equals, path = converted.partition("=") if option.type.named else ("", "", converted)
        return head + equals + _located(path, configuration.folder, option.type)
    return converted


def _located(path: str, folder: Path, kind: Location) -> str:
    if kind.word is not None and path.partition(":")[0] == kind.word:
        return path
    files = [folder / path, folder / split_reference(path)[0]]
    if kind.reference and not any(file.is_file() for file in files):
        return path
    return relative_to_working_directory(path, folder)


def _estimator_located(spec: str, folder: Path) -> str:
    """Return a spec; the file of an estimator in one is relative to the configuration."""
    from infoplane.estimators.from_file import file_reference

    reference = file_reference(spec)
    if reference is None:
        return spec
    path = relative_to_working_directory(reference.path, folder)
    return f"{path}:{reference.name}{reference.settings}"


def estimator_specs(specs: Sequence[str], configuration: Configuration) -> list[str]:
    """Return ``NAME:parameter=value,...`` with what [estimator.NAME] says and the spec does not.

    Raises
    ------
    InputError
        With file and line, if an estimator or a parameter in the file is unknown or unfit.
    """
    from infoplane.estimators.registry import parse_estimator, without_presets

    told: dict[str, dict[str, str]] = {}
    for written in configuration.subtable("estimator"):
        if ".py" in written:
            configuration.refuse_foreign("estimator", written)
        name = _estimator_located(written, configuration.folder)
        told[name] = {}
        for key, value in configuration.subtable("estimator", written).items():
            text = "+".join(map(_written, value if isinstance(value, list) else [value]))
            told[name][key.replace("-", "_")] = text
            try:
                parse_estimator(f"{name}:{key}={text}")
            except InputError as error:
                where = configuration.where("estimator", written, key)
                raise InputError(f"{where}: {error}", hint=error.hint, code=error.code) from error
        if not told[name]:
            parse_estimator(name)
    return [_with_more(spec, told) for spec in without_presets(specs)]


def _with_more(spec: str, told: Mapping[str, Mapping[str, str]]) -> str:
    """Return a spec with the settings of its estimator that it does not name."""
    from infoplane.estimators.from_file import file_reference
    from infoplane.estimators.measure_id import MeasureId

    reference = file_reference(spec)
    name = str(reference) if reference else MeasureId.read(spec).name
    written = MeasureId.read(f"_{spec.removeprefix(name)}")
    given = {key.strip().replace("-", "_") for key, _ in written.settings}
    more = [item for item in told.get(name, {}).items() if item[0] not in given]
    settings = str(replace(written, settings=(*written.settings, *more)))
    return name + settings.removeprefix("_")


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
