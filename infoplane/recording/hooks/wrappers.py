"""Look through the wrappers that parallel, averaged, compiled or checkpointed models stand in."""

from __future__ import annotations

from torch import nn
from torch.optim.swa_utils import AveragedModel

from infoplane.errors import InputError

_BY_CLASS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)
_ATTRIBUTES = (
    "_orig_mod",
    "_checkpoint_wrapped_module",
)  # of torch.compile, activation checkpoints


def unwrapped(model: object) -> nn.Module:
    """Return the model inside its wrappers.

    Raises
    ------
    InputError
        If it is no module, or TorchScript, whose modules take no hooks; or if its parameters are
        sharded over processes or have no values.
    """
    if not isinstance(model, nn.Module):
        found = model.__name__ if isinstance(model, type) else f"an object: {type(model).__name__}"
        raise InputError(f"expected a model, an instance of torch.nn.Module, got {found}")
    while (attribute := _inner(model)) is not None:
        model = model.get_submodule(attribute)
    for module in model.modules():
        kind = {base.__name__ for base in type(module).__mro__}
        if kind & {"ScriptModule", "RecursiveScriptModule"}:
            raise InputError(
                f"expected a model of Python code, got TorchScript ({type(module).__name__})",
                hint="record the model before torch.jit.script or torch.jit.trace",
            )
        if kind & {"FullyShardedDataParallel", "FSDPModule"}:
            raise InputError(
                "expected a model whose parameters are whole, got one sharded by FSDP",
                hint="save full state dicts and record them: infoplane record --checkpoints",
            )
    for name, parameter in model.named_parameters():
        if parameter.is_meta:
            raise InputError(
                f"expected a model whose parameters have values, found {name} on the device meta",
                hint="make the model on the CPU, or give it memory: model.to_empty(device='cpu')",
            )
    return model


def named_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the sub-modules by dotted name, wrapper components such as ``module.`` left out.

    A module that is registered under several names has all of them.
    """
    clean = {"": ""}
    by_path = {"": model}
    found = {}
    for path, module in model.named_modules(remove_duplicate=False):
        if not path:
            continue
        parent, _, last = path.rpartition(".")
        by_path[path] = module
        bare = _inner(by_path[parent]) == last
        clean[path] = clean[parent] if bare else ".".join(filter(None, (clean[parent], last)))
        found[clean[path]] = module  # the module inside a wrapper replaces the wrapper
    return found


def _inner(module: nn.Module) -> str | None:
    """Return the attribute that holds the wrapped module, None if this is no wrapper."""
    if isinstance(module, _BY_CLASS):
        return "module"
    return next((name for name in _ATTRIBUTES if name in module._modules), None)
