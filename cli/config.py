"""``infoplane config``: show the settings in use, or check the configuration file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import click
from click.core import ParameterSource

from infoplane.cli.options import SharedOptions, shared_options
from infoplane.cli.settings import NOT_IN_FILE, TABLES, defaults, long_names
from infoplane.errors import InputError, NotFoundError


class Setting(NamedTuple):
    """An option of a command, its value as text, and where the value comes from."""

    command: str
    option: str
    value: str
    origin: str


@click.group()
def config() -> None:
    """Show the settings in use and where they come from, or check the file.

    \b
    infoplane config show --origin
    infoplane config show --origin analyze
    infoplane config check
    """


@config.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", required=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[OPTION...]")
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@shared_options
@click.pass_context
def show(ctx: click.Context, command: str | None, arguments: tuple[str, ...], origin: bool) -> None:
    """Show the options of COMMAND, or the options of all commands that are not defaults.

    Options after COMMAND count as if it were run with them.

    \b
    infoplane config show --origin analyze
    infoplane config show --origin analyze --seed 7
    """
    from infoplane.cli.output import plain, printable, width
    from infoplane.cli.table_columns import Column, render

    group = ctx.find_root().command
    assert isinstance(group, click.Group)
    names = [name for name in group.list_commands(ctx) if name != "config"]
    if command is not None and command not in names:
        raise InputError(
            f"expected a command, got {command!r}", hint="commands: " + ", ".join(names)
        )
    found = [
        setting
        for name in ([command] if command else names)
        for setting in _settings(ctx, name, arguments)
        if command or setting.origin != "default"
    ]
    columns = [
        Column("command", [setting.command for setting in found]),
        Column("option", [setting.option for setting in found]),
        Column("value", [printable(setting.value) for setting in found]),
        Column("origin", [printable(setting.origin) for setting in found]),
    ]
    shared: SharedOptions = ctx.obj
    click.echo(printable(shared.configuration.file))
    if found:
        shown = columns[1 if command else 0 : 4 if origin else 3]
        click.echo(plain("\n".join(render(shown, limit=width()))))


@config.command()
@shared_options
@click.pass_obj
def check(shared: SharedOptions) -> None:
    """Check every key, value and rule of the configuration file."""
    from infoplane.cli.configured_checks import configured_checks
    from infoplane.cli.output import printable
    from infoplane.cli.settings import estimator_specs
    from infoplane.results.vocabulary import installed_vocabulary
    from infoplane.text import counted

    configuration = shared.configuration
    if configuration.path is None:
        raise NotFoundError(
            "no infoplane.toml, and no pyproject.toml with [tool.infoplane], from here upwards",
            hint="name one: infoplane config check -c FILE",
            code="IP406",
        )
    rules = configured_checks(configuration)
    known = installed_vocabulary()
    for rule in rules:
        rule.resolved(known)
    estimator_specs([], configuration)
    click.echo(f"{printable(configuration.file)}: ok, {counted(len(rules), 'rule')}")


def _settings(ctx: click.Context, name: str, arguments: Sequence[str]) -> Iterator[Setting]:
    """Yield the options of a command as an invocation here would find them."""
    root = ctx.find_root()
    group = root.command
    assert isinstance(group, click.Group)
    command = group.get_command(ctx, name)
    assert command is not None
    shared: SharedOptions = ctx.obj
    table = TABLES.get(name, name)
    of_file = defaults(shared.configuration, table, command, ctx)
    inner = click.Context(command, parent=root, info_name=name, default_map=of_file)
    given, _, _ = command.make_parser(inner).parse_args(list(arguments))
    written = {key.replace("_", "-"): key for key in shared.configuration.subtable(table)}
    for option in command.params:
        if not isinstance(option, click.Option) or long_names(option)[0] in NOT_IN_FILE:
            continue
        value, source = option.consume_value(inner, given)
        if source is ParameterSource.DEFAULT:
            value = option.get_default(inner)
        keys = [written[key] for key in long_names(option) if key in written]
        origin = "default"
        if source is ParameterSource.COMMANDLINE:
            origin = "command line"
        elif source is ParameterSource.ENVIRONMENT:
            origin = _variable(option, inner)
        elif source is ParameterSource.DEFAULT_MAP:
            origin = shared.configuration.where(table, keys[0])
        yield Setting(name, long_names(option)[0], _text(value), origin)


def _variable(option: click.Option, ctx: click.Context) -> str:
    names = [*(option.envvar or ()), f"{ctx.auto_envvar_prefix}_{str(option.name).upper()}"]
    return next(name for name in names if os.environ.get(name))


def _text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "-"
    if not isinstance(value, (str, int, float)):
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)
