"""Make the model that a user names, and load checkpoints into it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from infoplane.errors import InputError
from infoplane.recording.checkpoints.exported import load_exported, unflattened
from infoplane.recording.checkpoints.fit import Unmatched
from infoplane.recording.checkpoints.load import load_into
from infoplane.recording.checkpoints.pretrained import MARK, load_folder, made_by_configuration
from infoplane.recording.checkpoints.read import Weights, load_weights
from infoplane.recording.checkpoints.sources import called


def load_model(
    reference: str,
    checkpoint: Path | None = None,
    *,
    key: str | None = None,
    strict: bool = True,
    trust_model: bool = False,
) -> nn.Module:
    """Return the model that a reference names.

    Parameters
    ----------
    reference : str
        ``MODULE:CALLABLE`` or ``path/to/file.py:callable``, whose code is imported and run, the
        working directory included; ``hf:CLASS``, a class of ``transformers`` such as
        ``hf:AutoModel``, of which a checkpoint is loaded; or a ``.pt2`` file.
    checkpoint : Path, optional
        A checkpoint of the training.
    key, strict : optional
        As of ``load_weights`` and ``load_folder``.
    trust_model : bool, default False
        Load ``.pt2`` files, which run code.

    Raises
    ------
    InputError
        If the reference cannot be resolved, the callable fails, or returns no ``nn.Module``.
    DataError
        If a ``.pt2`` file is not trusted, or a checkpoint makes no such model.
    RunFileError
        If a file is missing or damaged.
    """
    if reference.startswith(MARK):
        path = checkpoint or Path()
        return _pretrained(reference, path, load_weights(path, key), key, strict=strict)[0]
    if reference.endswith(".pt2"):
        return unflattened(load_exported(Path(reference), trust_model=trust_model), reference)
    made = called(reference, "model")
    if not isinstance(made, nn.Module):
        raise InputError(
            f"model {reference}: expected a torch.nn.Module, got {type(made).__name__}",
            argument="model",
        )
    return made


def load_checkpoint(
    model: nn.Module,
    path: Path,
    weights: Weights,
    reference: str = "",
    key: str | None = None,
    *,
    strict: bool = True,
    begin: Callable[[], object] = lambda: None,
) -> tuple[nn.Module, Unmatched]:
    """Return the model with the weights of a checkpoint, and what was left out.

    Parameters
    ----------
    model : torch.nn.Module
        The model, which weights are loaded into; of ``hf:CLASS`` each checkpoint makes its own.
    reference, key : str, optional
        What named the model, and the weights in the checkpoint.
    begin : callable, optional
        As of ``load_into``.

    Raises
    ------
    InfoplaneError
        As ``load_into`` and ``load_folder``.
    """
    if not reference.startswith(MARK):
        return model, load_into(model, weights, path, strict=strict, begin=begin)
    made, left = _pretrained(reference, path, weights, key, strict=strict)
    device = next((parameter.device for parameter in model.parameters()), None)
    return made.to(device), left


def _pretrained(
    reference: str, path: Path, weights: Weights, key: str | None, *, strict: bool
) -> tuple[nn.Module, Unmatched]:
    """Return the model of a folder, or of weights with ``config.json`` beside."""
    if path.is_dir() and key is None:
        return load_folder(reference, path, weights, strict=strict)
    folder = path if path.is_dir() else path.parent
    model = made_by_configuration(reference, folder, weights)
    return model, load_into(model, weights, path, strict=strict)
