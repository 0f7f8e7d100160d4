"""Tell which module of a model is running, from hooks on all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from infoplane.recording.hooks.wrappers import named_layers


@contextmanager
def running_modules(model: nn.Module) -> Iterator[list[str]]:
    """Yield the names of the modules that are running, the innermost last; "" is the model."""
    stack: list[str] = []

    def entered(name: str) -> Callable[[nn.Module, Any], None]:
        return lambda module, inputs: stack.append(name)

    def left(module: nn.Module, inputs: Any, output: Any) -> None:
        stack.pop()

    names = {module: name for name, module in reversed(named_layers(model).items())}
    with ExitStack() as hooks:
        for module, name in {**names, model: ""}.items():
            enter = module.register_forward_pre_hook(entered(name), prepend=True)
            leave = module.register_forward_hook(left, always_call=True)
            hooks.callback(enter.remove)
            hooks.callback(leave.remove)
        yield stack
