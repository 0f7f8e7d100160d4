"""The content address of a cell: a hash of everything that its number depends on.

That is the recorded data (by its checksum, shape and dtype; or what is recorded with the step, the
loss log up to it included, where an estimator reads that), the probe set, which samples are kept,
the estimator with version and parameters (of one in a file, also the text of the file), and the
seed. Names of run, step and layer count too, since random streams derive from them. Where an
estimator pools checkpoints (a basis fitted on all of them) or the runs of a group, the data of all
of these counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import metadata
from typing import Any

from infoplane.analysis.selection import Group, step_before
from infoplane.data import Slot, plain
from infoplane.estimators.base import Estimator
from infoplane.estimators.from_file import version_of
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
    group : Group, optional
        The group of the run; the run alone unless given.
    shared : mapping, optional
        What the runs of the group share, where it is given instead of made.
    """

    def __init__(
        self,
        run: Run,
        estimator: Estimator,
        seed: int,
        device: str | None = None,
        group: Group | None = None,
        shared: Mapping[str, Any] | None = None,
    ) -> None:
        self.estimator_id = estimator_id(estimator)
        self._run = run
        self._group = group or Group(run.name, (run,))
        self._pools = estimator.pools
        self._reads = estimator.reads
        self._shared = shared
        self._layers: dict[Slot, str] = {}  # hashes of their data
        cls = type(estimator)
        self._start = _digest(
            metadata.version("infoplane"),
            f"{cls.name}:{cls.__qualname__}",  # not its module: code may move
            version_of(estimator),
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
        return _digest(self._start, "artifacts", self._whole)

    def cell(self, slots: Sequence[Slot], step: int) -> str:
        """Return the key of one cell, which is about these arrays, or about the step itself."""
        if self._reads == "step":
            content = self._run.record_of(step).content()
            return _digest(self._start, [slot.name for slot in slots], content, self._whole)
        abouts = [self._about(slot, step) for slot in slots]
        return _digest(self._start, abouts[0] if len(abouts) == 1 else abouts, self._whole)

    def _about(self, slot: Slot, step: int) -> list[Any]:
        about = [slot.name, slot.index, slot.type, slot.shape, slot.dtype]
        about += [slot.reduction, slot.noise, step, self._data(slot, step)]
        about += ["random"] if slot.random else []
        about += [slot.noise_in] if slot.noise_in else []
        if self._pools == "layer":
            about.append(self._whole_layer(slot))
        if self._reads == "weight":  # how far it is from the first step, it tells or that step
            first = self._run.step_info(self._run.steps[0])
            about.append(first.slot(slot.name, slot.kind).checksum)
            about.append(first.provenance.get("parameters_hash") if slot.summary else None)
            about.append(repr(self._run.step_info(step).slot(slot.name, slot.kind).summary))
        if self._reads == "consecutive" and (before := step_before(self._run, step)) is not None:
            about.append(self._data(slot, before))
        return about

    @cached_property
    def _whole(self) -> Any:
        if self._shared is not None:
            return [dict(self._shared), self._run.content_hash()]
        if self._pools == "group":
            hashes = [(run.name, run.content_hash()) for run in self._group.runs]
            return [self._group.name, hashes]
        return self._run.content_hash() if self._pools == "run" else None

    def _whole_layer(self, layer: Slot) -> str:
        if layer not in self._layers:
            self._layers[layer] = _digest([self._data(layer, step) for step in self._run.steps])
        return self._layers[layer]

    def _data(self, layer: Slot, step: int) -> list[Any]:
        recorded = self._run.step_info(step).slot(layer.name, layer.kind)
        return [step, recorded.checksum, recorded.nonfinite]


def _digest(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
