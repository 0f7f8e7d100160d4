"""Make the model that a user names: by a callable, a Hugging Face class, or an exported program."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn

from infoplane.errors import DataError, InputError, RunFileError
from infoplane.recording.checkpoints.sources import called
from infoplane.text import one_line


def load_model(
    reference: str, checkpoint: Path | None = None, *, trust_model: bool = False
) -> nn.Module:
    """Return the model that a reference names.

    Parameters
    ----------
    reference : str
        ``MODULE:CALLABLE`` or ``path/to/file.py:callable``, whose code is imported and run, the
        working directory included; ``hf:CLASS``, a class of ``transformers`` such as
        ``hf:AutoModel``, made by the ``config.json`` beside the checkpoint; or a ``.pt2`` file.
    checkpoint : Path, optional
        A checkpoint of the training.
    trust_model : bool, default False
        Load ``.pt2`` files, which run code.

    Raises
    ------
    InputError
        If the reference cannot be resolved, the callable fails, or returns no ``nn.Module``.
    DataError
        If a ``.pt2`` file is not trusted, or ``config.json`` makes no model.
    RunFileError
        If a file is missing or damaged.
    """
    if reference.startswith("hf:"):
        return _hugging_face(reference, checkpoint)
    if reference.endswith(".pt2"):
        return _unflattened(load_exported(Path(reference), trust_model=trust_model), reference)
    made = called(reference, "model")
    if not isinstance(made, nn.Module):
        raise InputError(
            f"model {reference}: expected a torch.nn.Module, got {type(made).__name__}",
            argument="model",
        )
    return made


def _hugging_face(reference: str, checkpoint: Path | None) -> nn.Module:
    """Return a model of the ``transformers`` library; code of a checkpoint is never run."""
    try:
        import transformers
    except ImportError as error:
        raise InputError(
            f"model {reference}: needs the package transformers",
            argument="model",
            hint="python3 -m pip install transformers",
        ) from error
    folder = checkpoint if checkpoint is None or checkpoint.is_dir() else checkpoint.parent
    if folder is None or not (folder / "config.json").is_file():
        raise RunFileError(
            f"model {reference}: expected config.json beside the checkpoint, found none in "
            f"{folder}",
            argument="model",
            hint="save it with model.config.save_pretrained(FOLDER)",
            code="IP303",
        )
    kind: Any = getattr(transformers, reference.removeprefix("hf:"), None)
    if not hasattr(kind, "from_config") and not hasattr(kind, "_from_config"):
        raise InputError(
            f"model {reference}: transformers {transformers.__version__} has no such model class",
            argument="model",
            hint="for example hf:AutoModel, hf:AutoModelForSequenceClassification",
        )
    try:
        config = transformers.AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
        make = kind.from_config if hasattr(kind, "from_config") else kind._from_config
        made = make(config)
    except Exception as error:  # whatever the library says of a configuration
        raise DataError(
            f"{folder / 'config.json'}: makes no {reference.removeprefix('hf:')}: "
            f"{one_line(error)}",
            hint="code that a configuration names is not run; a model of your own can be made by "
            "--model MODULE:CALLABLE",
        ) from error
    if not isinstance(made, nn.Module):
        raise InputError(
            f"model {reference}: expected a model, got {type(made).__name__}", argument="model"
        )
    return made


def is_exported(members: Iterable[str]) -> bool:
    """Tell by the members of an archive whether it is an exported program."""
    names = {name.partition("/")[2] for name in members}
    return "archive_format" in names or "serialized_exported_program.json" in names


def load_exported(path: Path, *, trust_model: bool) -> Any:
    """Return the exported program in a ``.pt2`` file.

    Raises
    ------
    DataError
        If it is not trusted: torch unpickles its examples and evaluates expressions in it.
    RunFileError
        If it is missing or damaged.
    """
    if not path.is_file():
        raise RunFileError(f"{path}: no such file", code="IP303")
    if not trust_model:
        raise DataError(
            f"{path}: refused: an exported program is code: loading it unpickles objects and "
            "evaluates expressions that it holds",
            hint="if you trust the file, add --trust-model; or save model.state_dict() and name "
            "what builds the model with --model MODULE:CALLABLE",
            code="IP311",
        )
    from torch.export import load

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations within torch
            return load(path)
    except Exception as error:  # code of the file
        raise RunFileError(f"{path}: not a readable .pt2 file ({one_line(error)})") from error


def _unflattened(program: Any, reference: str) -> nn.Module:
    """Return the modules of a program, which hooks can be put on."""
    from torch.export import unflatten

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations within torch
            return unflatten(program)
    except Exception as error:  # what unflatten cannot undo
        raise DataError(
            f"{reference}: its modules cannot be restored ({one_line(error)})"
        ) from error
