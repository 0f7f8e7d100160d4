"""Record a training script from outside, without a change to it (experimental).

The script runs in this process. A global forward hook sees which modules it calls while it trains;
the first optimizer step tells which of them is the model, namely the one that owns the optimizer's
parameters. From then on the optimizer's steps are counted and recorded by the schedule.
"""

from __future__ import annotations

import logging
import os
import re
import runpy
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from infoplane.errors import DataError, InputError
from infoplane.recording.processes import first_process
from infoplane.recording.recorder import Recorder
from infoplane.text import one_line

_PYTHON = re.compile(r"(python(\d(\.\d+)?)?|py)(\.exe)?", re.IGNORECASE)

log = logging.getLogger("infoplane")

MakeRecorder: TypeAlias = Callable[[nn.Module, tuple[Any, ...]], Recorder]
"""Makes a recorder for the model, given the positional arguments of its first call."""


@dataclass
class _Training:
    """What is known of a training that runs."""

    make: MakeRecorder
    recorder: Recorder | None = None
    failed: bool = False
    calls: dict[nn.Module, tuple[Any, ...]] = field(default_factory=dict)  # outermost modules
    _depth: int = 0
    _optimizer: Optimizer | None = None
    _steps: Counter[Optimizer] = field(default_factory=Counter)

    def entered(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Note the first call of a module that no other module called."""
        if torch.compiler.is_compiling() or self._optimizer is not None:
            return
        self._depth += 1
        if self._depth == 1 and torch.is_grad_enabled() and module not in self.calls:
            copies = tuple(x.detach().clone() if isinstance(x, torch.Tensor) else x for x in inputs)
            self.calls[module] = copies

    def left(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """Count the way out of a module."""
        if not torch.compiler.is_compiling() and self._optimizer is None:
            self._depth -= 1

    def before_step(self, optimizer: Optimizer, *rest: Any) -> None:
        """Open the run before the first step, and record the state before it."""
        if self._optimizer is not None:
            return
        owned = {id(p) for group in optimizer.param_groups for p in group["params"]}
        shares = {
            module: sum(p.numel() for p in module.parameters() if id(p) in owned)
            for module in self.calls
        }
        model = max(shares, key=lambda module: shares[module], default=None)
        if model is None or not shares[model]:
            return  # an optimizer of something else; the next may be the one
        self._optimizer = optimizer
        inputs = self.calls[model]
        self.calls.clear()
        if not first_process():
            return
        try:
            self.recorder = self.make(model, inputs)
        except Exception as error:  # noqa: BLE001  - the training goes on
            self.failed = True
            log.warning("nothing is recorded, training goes on: %s", one_line(error))
        else:
            self._record()

    def after_step(self, optimizer: Optimizer, *rest: Any) -> None:
        """Count a step and record it if it is due."""
        self._steps[optimizer] += 1
        if optimizer is self._optimizer:
            self._record()

    def finish(self) -> None:
        """Record the last step and close the run."""
        self._record(last=True)
        if self.recorder is not None:
            self.recorder.close(last=False)

    def _record(self, *, last: bool = False) -> None:
        if self.recorder is not None and self._optimizer is not None:
            self.recorder.step(self._steps[self._optimizer], last=last)


def record_script(command: Sequence[str], make: MakeRecorder) -> Recorder:
    """Run a training script and record it; return the closed recorder.

    Parameters
    ----------
    command : sequence of str
        ``python SCRIPT.py ARGUMENTS...`` or ``python -m MODULE ARGUMENTS...``.
    make : callable
        Makes the recorder when the model is known.

    Raises
    ------
    InputError
        If the command is of another form.
    DataError
        If the script fails, or no optimizer steps parameters of a module that was called. What was
        recorded before stays.
    """
    run = _program(command)
    training = _Training(make)
    with ExitStack() as stack:
        stack.callback(training.finish)
        for handle in (
            register_module_forward_pre_hook(training.entered),
            register_module_forward_hook(training.left, always_call=True),
            register_optimizer_step_pre_hook(training.before_step),
            register_optimizer_step_post_hook(training.after_step),
        ):
            stack.callback(handle.remove)
        _run_to_its_end(run, command)
    if training.recorder is None or not training.recorder.steps:
        warned = training.failed or training.recorder is not None
        raise DataError(
            f"{' '.join(command)}: nothing was recorded: "
            + ("see the warning" if warned else "no torch optimizer stepped a model"),
            hint="mend what the warning says; --data names a probe set of your own"
            if warned
            else "calls in a function under torch.compile are not seen; record in the training "
            "loop with infoplane.Recorder",
        )
    return training.recorder


def _program(command: Sequence[str]) -> Callable[[], object]:
    """Return what runs the command in this process."""
    words = list(command)
    if words and _PYTHON.fullmatch(Path(words[0]).name):
        words = words[2:] if words[1:2] == ["-u"] else words[1:]
    module = words[:1] == ["-m"] and len(words) > 1
    arguments = words[1:] if module else words
    if not arguments or not (module or arguments[0].endswith(".py")):
        raise InputError(
            f"expected python SCRIPT.py or python -m MODULE after --, got {' '.join(command)!r}",
            hint="start other launchers from a script, or record the checkpoints that it writes",
        )
    if not module and not Path(arguments[0]).is_file():
        raise InputError(f"{arguments[0]}: no such file")
    script = Path(arguments[0]).absolute()  # as the interpreter gives ``__file__``
    folder = Path.cwd() if module else script.resolve().parent

    def run() -> None:
        with _arguments(arguments, folder):
            if module:
                runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(str(script), run_name="__main__")

    return run


@contextmanager
def _arguments(arguments: Sequence[str], folder: Path) -> Iterator[None]:
    """Give the block ``sys.argv`` and ``sys.path`` as the interpreter gives them to a script.

    Afterwards they and the working directory are as before.
    """
    argv, path, here = sys.argv, list(sys.path), Path.cwd()
    sys.argv = list(arguments)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.argv, sys.path[:] = argv, path
        os.chdir(here)


def _run_to_its_end(run: Callable[[], object], command: Sequence[str]) -> None:
    what = " ".join(command)
    try:
        run()
    except SystemExit as end:
        if end.code not in (None, 0):
            raise DataError(f"{what}: it ended with exit status {end.code}") from end
    except Exception as error:
        sys.excepthook(type(error), error, error.__traceback__)  # as Python itself would
        raise DataError(f"{what}: {type(error).__name__}: {one_line(error)}") from error
