"""The content address of a cell: a hash of everything that its number depends on.

That is the recorded data (by its checksum, shape and dtype), the probe set, which samples are kept,
the estimator with version and parameters, and the seed. Names of run, step and layer count too,
since random streams derive from them. Where an estimator pools checkpoints (a basis fitted on all
of them), the data of all of these counts.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from importlib import metadata
from typing import Any

from infoplane.data import LayerInfo, plain
from infoplane.estimators.base import Estimator
from infoplane.estimators.registry import estimator_id
from infoplane.runs.run import Run


class CellKeys:
    """Keys of the cells of one run and one estimator.

    Parameters
    ----------
    run : Run
        Its step files are opened for their checksums; the activations are not read.
    estimator : Estimator
        Which data its prepared state is made of, it says in ``pools``.
    seed : int
        Seed of the analysis.
    device : str, optional
        GPU that computes; it rounds in other ways than the processor does, as all its kind do.
    """

    def __init__(
        self, run: Run, estimator: Estimator, seed: int, device: str | None = None
    ) -> None:
        self.estimator_id = estimator_id(estimator)
        self._run = run
        self._pools = estimator.pools
        self._layers: dict[LayerInfo, str] = {}  # hashes of their data
        cls = type(estimator)
        self._start = _digest(
            metadata.version("infoplane"),
            f"{cls.name}:{cls.__qualname__}",  # not its module: code may move
            estimator.version,
            plain(estimator.seeded(seed).parameters()),
            seed,
            run.name,
            run.probe_hash,
            run.dropped,
            *(["on a GPU"] if device else []),
        )

    @cached_property
    def artifacts(self) -> str:
        """Key of what the estimator keeps of the run."""
        return _digest(self._start, "artifacts", self._whole_run)

    def cell(self, layer: LayerInfo, step: int) -> str:
        """Return the key of one cell."""
        about = [layer.name, layer.index, layer.type, layer.shape, layer.dtype]
        about += [layer.reduction, layer.noise, step, self._data(layer, step)]
        if self._pools == "layer":
            about.append(self._whole_layer(layer))
        return _digest(self._start, about, self._whole_run)

    @cached_property
    def _whole_run(self) -> str | None:
        return self._run.content_hash() if self._pools == "run" else None

    def _whole_layer(self, layer: LayerInfo) -> str:
        if layer not in self._layers:
            self._layers[layer] = _digest([self._data(layer, step) for step in self._run.steps])
        return self._layers[layer]

    def _data(self, layer: LayerInfo, step: int) -> list[Any]:
        info = self._run.step_info(step)
        return [step, info.checksums[layer.index], info.nonfinite[layer.index]]


def _digest(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
