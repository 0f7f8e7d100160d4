"""The ``infoplane`` command: its sub-commands, and the one place that chooses an exit code."""

from __future__ import annotations

import difflib
import importlib
import keyword
import os
import sys
import traceback
from functools import partial
from typing import NoReturn

import click

from infoplane import __version__
from infoplane.cli import signals, streams
from infoplane.cli.options import shared_options
from infoplane.cli.settings import name_variables
from infoplane.cli.shared_options import SharedOptions
from infoplane.errors import (
    DataError,
    EstimationError,
    ExitCode,
    InfoplaneError,
    NotFoundError,
    RunFileError,
    TerminatedError,
    WorkerError,
    refused,
)
from infoplane.text import printable

_COMMANDS = {
    "Pipeline": {
        "record": "Hook layers and save their activations, step by step.",
        "import": "Make a run of activations that are there as arrays.",
        "analyze": "Estimate information for every run, step and layer.",
        "similarity": "Compare layers, checkpoints, seeds and models.",
        "plot": "Draw the figures and the HTML report.",
        "pack": "Turn a run into one file.",
        "merge": "Join several results documents into one.",
        "export": "Write results as CSV, Parquet or for TensorBoard.",
    },
    "Gate": {
        "check": "Test results against rules, for example in CI.",
        "compare": "Compare results with a baseline.",
        "validate": "Run estimators on data whose answer is known.",
    },
    "Look": {
        "inspect": "Show what is in recorded runs and results.",
        "estimators": "List estimators, their parameters and units.",
        "config": "Show the settings in use, and where they come from.",
    },
    "Start": {
        "init": "Write a commented infoplane.toml and CI workflows.",
        "demo": "Train, record, analyze and plot two networks, offline, in 1-2 minutes.",
    },
    "Other": {
        "schema": "Print the JSON Schema of a document.",
    },
}

_EPILOG = """\b
Exit codes:
  0  done                          4    nothing matched
  1  a check failed                5    partial results (--strict)
  2  usage or configuration        70   a bug in infoplane
  3  unusable data                 130  interrupted (143: terminated)"""


class _Commands(click.Group):
    """A group that imports a command only when it is used; torch would cost seconds."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for section in _COMMANDS.values() for name in section]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        module = f"{name}_" if keyword.iskeyword(name) else name
        command = getattr(importlib.import_module(f"infoplane.cli.{module}"), module)
        assert isinstance(command, click.Command)
        name_variables(command, f"INFOPLANE_{name.upper()}")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name[:1].isalpha() and name not in self.list_commands(ctx):
            near = difflib.get_close_matches(name, self.list_commands(ctx), 1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {printable(name)!r}.{meant}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, commands in _COMMANDS.items():
            with formatter.section(section):
                formatter.write_dl(list(commands.items()))


@click.group(
    cls=_Commands,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "INFOPLANE"},
)
@click.version_option(__version__, "-V", "--version", prog_name="infoplane")
@partial(shared_options, told=True)
def cli() -> None:
    """Information-plane analysis of neural networks.

    How much does each layer keep of the input, I(X;T), how much does it tell about the label,
    I(T;Y), how do both move during training, and can the number be trusted?

    \b
    infoplane demo
    infoplane record --model net.py:build --checkpoints 'epoch_*.pt' --data probe.npz -o runs/s0
    infoplane analyze runs/s0 -o results.json
    infoplane plot results.json --report report.html
    """


def main() -> NoReturn:
    """Run the command line and exit with one of ``ExitCode``."""
    signals.install()
    streams.install()
    if "_INFOPLANE_COMPLETE" in os.environ:
        cli.main(prog_name="infoplane")
    sys.exit(int(run(sys.argv[1:])))


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code.

    click's own ``main`` is not used: it answers a closed pipe with 1, which means "a check failed".
    """
    shared = SharedOptions()
    try:
        with cli.make_context("infoplane", arguments, obj=shared) as ctx:
            code = cli.invoke(ctx)
            signals.check()
            sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        variable = _variable(error)
        if variable:
            _tell(f"The value is that of the environment variable {variable}.")
        return ExitCode.USAGE
    except click.Abort:
        _tell("interrupted")
        return ExitCode.INTERRUPTED
    except TerminatedError as stop:
        _tell(str(stop) or "terminated")
        return ExitCode.TERMINATED
    except KeyboardInterrupt as stop:
        _tell(str(stop) or "interrupted")
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001  - the last resort: say it in one line
        status = _failed(error, arguments, shared)
        if shared.verbose > 1:
            traceback.print_exc()
        return status
    return code if isinstance(code, int) else ExitCode.OK


def _failed(error: Exception, arguments: list[str], shared: SharedOptions) -> ExitCode:
    """Tell of an error; return its exit code."""
    known = error if isinstance(error, InfoplaneError) else refused(error)
    if known is None:
        text = printable(" ".join(str(error).split()))
        told = f": a bug in infoplane: {type(error).__name__}: {text}"
        _tell(_red("error[IP900]") + told, shared)
        _tell("  hint: run again with -vv for the traceback, and report it")
        return ExitCode.BUG
    text = printable(_with_option(known, arguments))
    _tell(_red(f"error[{known.code}]") + f": {text}", shared)
    if known.hint:
        _tell(f"  hint: {printable(known.hint)}")
    return _exit_code(known)


def _variable(error: click.ClickException) -> str | None:
    """Return the environment variable that a refused value came from."""
    if not isinstance(error, click.BadParameter) or error.ctx is None or error.param is None:
        return None
    source = error.ctx.get_parameter_source(error.param.name or "")
    if source is not click.core.ParameterSource.ENVIRONMENT:
        return None
    names = error.param.envvar or ()
    return next((name for name in ([names] if isinstance(names, str) else names)
                 if name in os.environ), None)  # fmt: skip


def _with_option(error: InfoplaneError, arguments: list[str]) -> str:
    """Return the message of an error; what begins with an argument, begins with its option."""
    text, argument, context = str(error), error.argument, click.Context(cli)
    used = [name for name in arguments if name in cli.list_commands(context)]
    command = cli.get_command(context, used[0]) if used else None
    if argument is None or command is None or not text.startswith(argument):
        return text
    for option in command.params:
        written = f"--{argument.replace('_', '-')}"
        if isinstance(option, click.Option) and (option.name == argument or written in option.opts):
            return max(option.opts, key=len) + text.removeprefix(argument)
    return text


def _exit_code(error: InfoplaneError) -> ExitCode:
    if isinstance(error, NotFoundError):
        return ExitCode.NOTHING
    if isinstance(error, WorkerError):
        return ExitCode.PARTIAL
    if isinstance(error, (DataError, RunFileError, EstimationError)):
        return ExitCode.DATA
    return ExitCode.USAGE


def _red(text: str) -> str:
    return click.style(text, fg="red", bold=True)


def _tell(text: str, shared: SharedOptions | None = None) -> None:
    click.echo(text, err=True, color=shared.colors if shared else None)
