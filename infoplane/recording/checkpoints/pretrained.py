"""Models of the ``transformers`` library, loaded as the library loads them.

``from_pretrained`` renames, fuses, splits and ties weights on the way from a file to a model. What
it would read is checked first: configuration and weights lie in the folder, and none is code.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from infoplane.errors import DataError, InputError, RunFileError
from infoplane.recording.checkpoints.fit import Unmatched, changed_kinds, check_fit
from infoplane.recording.checkpoints.read import Weights, read_json
from infoplane.text import one_line

MARK = "hf:"
"""Begins the name of a model class of the library."""


def is_pretrained(model: nn.Module) -> bool:
    """Tell whether a model is one of the library."""
    return "transformers" in sys.modules and isinstance(
        model, sys.modules["transformers"].PreTrainedModel
    )


def load_folder(
    reference: str, folder: Path, weights: Weights, *, strict: bool = True
) -> tuple[nn.Module, Unmatched]:
    """Return the model in a folder that ``save_pretrained`` wrote, and what was left out.

    Parameters
    ----------
    reference : str
        ``hf:CLASS``, e.g. ``hf:AutoModel``.
    weights : Weights
        What the folder holds.
    strict : bool, default True
        Refuse weights that lack some of the model, or have them in other shapes. Weights that the
        model does not have are those of another head, and left out.

    Raises
    ------
    InputError
        If there is no such library or class.
    RunFileError
        If there is no configuration.
    DataError
        If the configuration makes no such model, or the weights do not fit it.
    """
    kind, _ = _class_and_configuration(reference, folder)
    model, left = _loaded(kind, folder, str(folder), local_files_only=True, trust_remote_code=False)
    expected = model.state_dict()
    check_fit(left, folder, len(expected), strict=strict, foreign=True)
    return model, replace(left, changed=changed_kinds(expected, weights.state))


def load_by_library(model: nn.Module, weights: Weights, path: Path) -> Unmatched | None:
    """Give a model of the library other weights, by their names of any release.

    Returns
    -------
    Unmatched
        What was left out; the model has the weights only if none are missing or of other shapes.
        None if the library cannot load them.
    """
    given = {
        "config": model.config,
        "state_dict": dict(weights.state),
        "torch_dtype": model.dtype,
    }
    try:
        loaded, left = _loaded(type(model), path, None, **given)
    except DataError:
        return None
    modules = list(zip(model.named_modules(), loaded.named_modules(), strict=False))
    if left.missing or left.reshaped or any(mine[0] != theirs[0] for mine, theirs in modules):
        return left
    device = next((parameter.device for parameter in model.parameters()), None)
    loaded.to(device)
    for (_, mine), (_, theirs) in modules:
        mine._parameters, mine._buffers = theirs._parameters, theirs._buffers
    return replace(left, changed=changed_kinds(model.state_dict(), weights.state))


def made_by_configuration(reference: str, folder: Path, weights: Weights) -> nn.Module:
    """Return the model that ``config.json`` in a folder describes, with weights that are drawn.

    Its dtype is that of the configuration, else that of the weights, as in ``from_pretrained``.

    Raises
    ------
    InfoplaneError
        As ``load_folder``.
    """
    kind, config = _class_and_configuration(reference, folder)
    make = kind.from_config if hasattr(kind, "from_config") else kind._from_config
    with _library(folder / "config.json", f"makes no {reference.removeprefix(MARK)}"):
        made = make(config)
    assert isinstance(made, nn.Module)
    given = getattr(config, "dtype", None) or getattr(config, "torch_dtype", None)
    tensors = (value for value in weights.state.values() if isinstance(value, torch.Tensor))
    own = next((value.dtype for value in tensors if value.is_floating_point()), None)
    return made if given is not None else made.to(own)


def _class_and_configuration(reference: str, folder: Path) -> tuple[Any, Any]:
    try:
        import transformers
    except ImportError as error:
        raise InputError(
            f"model {reference}: needs the package transformers",
            argument="model",
            hint="python3 -m pip install transformers",
        ) from error
    path = folder / "config.json"
    if not path.is_file():
        raise RunFileError(
            f"model {reference}: expected config.json beside the checkpoint, found none in "
            f"{folder}",
            argument="model",
            hint="save it with model.config.save_pretrained(FOLDER)",
            code="IP303",
        )
    kind: Any = getattr(transformers, reference.removeprefix(MARK), None)
    if not hasattr(kind, "from_config") and not hasattr(kind, "_from_config"):
        raise InputError(
            f"model {reference}: transformers {transformers.__version__} has no such model class",
            argument="model",
            hint="for example hf:AutoModel, hf:AutoModelForSequenceClassification",
        )
    _check_folder(folder)
    with _library(path, f"makes no {reference.removeprefix(MARK)}"):
        return kind, transformers.AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )


def _check_folder(folder: Path) -> None:
    """Refuse what the library would follow elsewhere, or unpickle."""
    config = folder / "config.json"
    for kernel in _implementations(read_json(config)):
        if not kernel.replace("_", "").isalnum():
            raise DataError(
                f"{config}: attn_implementation {kernel!r:.80} is code of another repository, "
                "which is not run",
                hint="take the entry out of the file",
                code="IP311",
            )
    if (folder / "adapter_config.json").is_file():
        raise DataError(
            f"{folder}: holds an adapter, whose weights come on top of those of its model",
            hint="merge them: model.merge_and_unload().save_pretrained(FOLDER)",
            code="IP312",
        )
    if (folder / ".metadata").exists():
        raise DataError(
            f"{folder}: a distributed checkpoint, whose index is a pickle",
            hint="save whole weights: model.save_pretrained(FOLDER)",
            code="IP311",
        )


def _implementations(config: Any) -> Iterator[str]:
    """Yield the names of attention code anywhere in a configuration."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            if "attn_implementation" in key:
                yield from value.values() if isinstance(value, dict) else [str(value or "eager")]
            yield from _implementations(value)
    elif isinstance(config, list):
        for value in config:
            yield from _implementations(value)


def _loaded(kind: Any, path: Path, source: str | None, **given: Any) -> tuple[Any, Unmatched]:
    """Return a model, and what the library says of names that do not fit."""
    with _library(path, "cannot be loaded"):
        model, told = kind.from_pretrained(
            source, ignore_mismatched_sizes=True, output_loading_info=True, **given
        )
    if errors := told.get("error_msgs"):
        raise DataError(
            f"{path}: the weights do not fit the model: {one_line(errors[0])}", code="IP312"
        )
    reshaped = {key: (expected, found) for key, found, expected in told["mismatched_keys"]}
    return model, Unmatched(
        tuple(sorted(set(told["missing_keys"]) - reshaped.keys())),
        tuple(sorted(told["unexpected_keys"])),
        tuple(
            f"{key} {tuple(expected)}, found {tuple(found)}"
            for key, (expected, found) in sorted(reshaped.items())
        ),
    )


@contextmanager
def _library(path: Path, what: str) -> Iterator[None]:
    """Run the library quietly, offline in its draws; whatever it raises becomes one line."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(0)  # weights that a checkpoint lacks are drawn
            yield
    except Exception as error:  # whatever the library says of a folder
        raise DataError(f"{path}: {what}: {one_line(error)}", hint=_remedy(error, path)) from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _remedy(error: Exception, path: Path) -> str:
    """Return what to do about an error of the library."""
    own = "a model of your own can be made by --model MODULE:CALLABLE"
    if "trust_remote_code" in str(error):
        return f"code that a configuration names is not run; {own}"
    if isinstance(error, ImportError):
        return f"install the package that is named, beside infoplane; or {own}"
    config = path if path.name == "config.json" else path / "config.json"
    names = read_json(config).get("architectures") if config.is_file() else None
    if "configuration class" in str(error) and isinstance(names, list) and names:
        return f"the configuration names the class {names[0]!s:.80}: --model hf:{names[0]!s:.80}"
    return own
