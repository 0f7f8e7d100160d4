"""What training libraries write: which files hold the weights, and which of them only a part."""

from __future__ import annotations

import json
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from infoplane.errors import DataError, RunFileError
from infoplane.recording.checkpoints.read import read_json

SUFFIXES = (".pt", ".pth", ".ckpt", ".safetensors", ".pt2")

_BESIDES = re.compile(
    r"(?<![a-z])(?:optim|optimizers?|(?:lr_)?schedulers?|scaler|rng_states?|random_states"
    r"|training_args)(?![a-z])"
)
"""What is saved beside the weights, with a suffix of weights."""

_PART = re.compile(
    r"(?:zero_pp_rank_\d+_)?mp_rank_\d+_model_states|layer_\d+-(?:model_\d+-)?model_states"
)
"""Files of DeepSpeed; of the first kind one alone is the whole model, unless it is of ZeRO 3."""

_ADAPTED = {
    "CAUSAL_LM": "AutoPeftModelForCausalLM",
    "SEQ_2_SEQ_LM": "AutoPeftModelForSeq2SeqLM",
    "SEQ_CLS": "AutoPeftModelForSequenceClassification",
    "TOKEN_CLS": "AutoPeftModelForTokenClassification",
    "QUESTION_ANS": "AutoPeftModelForQuestionAnswering",
    "FEATURE_EXTRACTION": "AutoPeftModelForFeatureExtraction",
}
"""Classes of PEFT that load a base model with its adapter, by task."""


def of_weights(files: Iterable[Path]) -> list[Path]:
    """Return the files that hold weights, not those that libraries write beside them.

    Raises
    ------
    DataError
        If a file holds only a part of a model.
    """
    found = [path for path in files if not _BESIDES.search(path.name.lower())]
    parts: dict[Path, list[str]] = defaultdict(list)
    for path in found:
        if _PART.fullmatch(path.stem):
            parts[path.parent].append(path.name)
    for folder, names in parts.items():
        if len(names) > 1 or names[0].startswith(("zero_pp_rank", "layer_")):
            raise _in_parts(folder, sorted(names))
    return found


def is_adapter(folder: Path) -> bool:
    """Tell whether a folder holds an adapter of PEFT."""
    return (folder / "adapter_config.json").is_file()


def adapter_alone(folder: Path) -> DataError:
    """Return the error of an adapter without the model that it changes."""
    try:
        task = read_json(folder / "adapter_config.json").get("task_type")
    except RunFileError:
        task = None
    name = _ADAPTED.get(str(task), "AutoPeftModel")
    where, merged = (json.dumps(str(path)) for path in (folder, Path("merged", folder.name)))
    code = (
        f"from peft import {name}; "
        f"{name}.from_pretrained({where}).merge_and_unload().save_pretrained({merged})"
    )
    return DataError(
        f"{folder}: a PEFT adapter alone, without the base model that it changes",
        hint=f"merge them: python -c {shlex.quote(code)}; and name the folder that this makes",
        code="IP312",
    )


def distributed(folder: Path) -> DataError:
    """Return the error of a distributed checkpoint."""
    place, file = (shlex.quote(str(path)) for path in (folder, Path(f"{folder.name}.pt")))
    return DataError(
        f"{folder}: a distributed checkpoint, whose index is a pickle",
        hint="make one file of it: python -m torch.distributed.checkpoint.format_utils "
        f"dcp_to_torch {place} {file}",
        code="IP311",
    )


def is_distributed(folder: Path) -> bool:
    """Tell whether a folder is a checkpoint of ``torch.distributed.checkpoint``."""
    return (folder / ".metadata").is_file()


def _in_parts(folder: Path, names: Sequence[str]) -> DataError:
    several = f"{len(names)} files of which each holds a part of the model"
    found = several if len(names) > 1 else "a file that holds a part of the model"
    more = ", ..." if len(names) > 2 else ""
    place, tag = folder.parent, folder.name
    convert = shlex.join(
        ["python", str(place / "zero_to_fp32.py"), str(place), f"{tag}_whole", "--tag", tag]
    )
    return DataError(
        f"{folder}: {found}: {', '.join(names[:2])}{more}",
        hint="make one file of it, with the script that DeepSpeed puts beside it: "
        f"{convert}; or save the whole model: "
        "torch.save(model.state_dict(), 'step_100.pt')",
        code="IP312",
    )
