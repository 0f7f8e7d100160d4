"""Make the untrained model that a training began with."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from infoplane.errors import InputError
from infoplane.recording.checkpoints.models import load_model
from infoplane.recording.checkpoints.pretrained import MARK, made_by_configuration
from infoplane.recording.checkpoints.read import load_weights


@dataclass(frozen=True)
class Initial:
    """The untrained model: what makes it, and the seed that is set before.

    It is the one that a training began with if that made it first of all after setting this seed of
    torch, NumPy and ``random``, and on the same release of torch.

    Parameters
    ----------
    source : str or callable
        What ``--model`` names, or what makes the model.
    checkpoint : Path
        A checkpoint of the training; of ``hf:CLASS`` it has the configuration.
    seed : int
        The seed.
    key : str, optional
        Where the weights are in the checkpoint.
    """

    source: str | Callable[[], nn.Module]
    checkpoint: Path
    seed: int
    key: str | None = None

    def make(self, other: nn.Module) -> nn.Module:
        """Return the model, where the ``other`` computes, which the checkpoints are loaded into.

        Raises
        ------
        InfoplaneError
            If it cannot be made, or is the other one.
        """
        with _seeded(self.seed):
            made = self._made()
        if made is other:
            raise InputError(
                f"initial: expected a model that is made anew, got the same {type(made).__name__} "
                "twice",
                hint="let --model name a function that builds the model, which is called twice",
            )
        device = next((parameter.device for parameter in other.parameters()), None)
        return made.to(device)

    def _made(self) -> nn.Module:
        if not isinstance(self.source, str):
            return self.source()
        if self.source.startswith(MARK):
            path = self.checkpoint
            folder = path if path.is_dir() else path.parent
            return made_by_configuration(self.source, folder, load_weights(path, self.key))
        if self.source.endswith(".pt2"):
            raise InputError(
                f"initial: {self.source} holds a trained program, which cannot be made untrained",
                hint="let --model name a function that builds the model",
            )
        return load_model(self.source)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed all random numbers in the block, and put them back afterwards."""
    numpy_state = np.random.get_state()  # noqa: NPY002  - that of the model
    python_state = random.getstate()
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            random.seed(seed)
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
