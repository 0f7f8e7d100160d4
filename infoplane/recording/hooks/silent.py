"""Say why chosen layers take no part in a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from torch import nn

from infoplane.recording.hooks.capture import direct_calls
from infoplane.recording.hooks.variants import module_name
from infoplane.recording.hooks.wrappers import named_layers

_CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)


def silent_reasons(
    model: nn.Module,
    layers: Mapping[str, nn.Module],
    silent: Sequence[str],
    told: Sequence[str],
    forward: Callable[[], None],
) -> str:
    """Return the reasons of the ``silent`` layers that are to be ``told``, after another pass."""
    names = {name: module_name(name) for name in told}
    with direct_calls({names[name]: layers[name] for name in told}) as direct:
        forward()
    fired = [module_name(name) for name in layers if name not in silent]
    return "; ".join(f"{name} ({why_silent(model, names[name], fired, direct)})" for name in told)


def why_silent(model: nn.Module, name: str, fired: Collection[str], direct: Collection[str]) -> str:
    """Say why a module took no part in a forward pass.

    ``fired`` names those that did, ``direct`` those whose ``forward`` ran without their hooks.
    """
    named = named_layers(model)
    parent = named.get(name.rpartition(".")[0], model)
    if isinstance(named[name], _CONTAINERS):
        return "a container, which is never called; choose the layers inside it"
    if name in direct:
        return "its forward() is called directly, which no hook sees; call the module itself"
    if isinstance(parent, nn.MultiheadAttention):
        return "MultiheadAttention uses its weights without calling it"
    if any(other.startswith(f"{name}.") for other in fired):
        return "only its sub-modules are called; choose those"
    return "not used on these inputs"
