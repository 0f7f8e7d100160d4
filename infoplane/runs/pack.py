"""Make one HDF5 file of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from infoplane.data import Array
from infoplane.errors import InputError, NotFoundError, RunFileError
from infoplane.runs.atomic import replacing
from infoplane.runs.disk import writing
from infoplane.runs.hdf5 import specs_of, write_arrays
from infoplane.runs.layout import Spec, step_name
from infoplane.runs.probe_parts import probe_parts
from infoplane.runs.run import Run

_STRUCTURE_BYTES = 2048  # of a dataset and its groups; they stand before all data


def pack(run: Run, output: Path, *, overwrite: bool = False) -> int:
    """Write a run as one file, which ``Run`` reads like the folder; return its size in bytes.

    The file appears under its name when it is complete. Checksums are verified on the way, and the
    same run gives the same bytes.

    Parameters
    ----------
    run : Run
        A run folder; it stays as it is.
    output : Path
        The file to write.
    overwrite : bool, default False
        Replace the file if it exists.

    Raises
    ------
    InputError
        If the run is packed already, or the file would lie in the run's folder.
    NotFoundError
        If the run holds no step.
    RunFileError
        If the run is damaged, or the file exists or cannot be written.
    """
    if run.packed:
        raise InputError(f"{run.path}: expected a run folder, it is a packed run already")
    if run.path.resolve() in output.resolve().parents:
        raise InputError(f"{output}: expected a place outside the run's folder")
    if output.exists() and not (overwrite and output.is_file()):
        raise RunFileError(
            f"{output}: the file exists",
            hint="choose another name, or replace it with --overwrite",
            code="IP302",
        )
    if not run.steps:
        raise NotFoundError(f"{run.path}: the run holds no complete step", code="IP402")
    run.check()
    head = _head(run)
    with writing(output), replacing(output) as temporary:
        specs = _specs(run, head)
        room = _STRUCTURE_BYTES * (2 + len(specs))
        write_arrays(temporary, specs, _arrays(run, head), room)
    return output.stat().st_size


def _head(run: Run) -> dict[str, Array]:
    """Return what a packed file holds besides the steps."""
    head: dict[str, Array] = {"manifest": np.frombuffer(run.manifest_text, dtype=np.uint8)}
    head.update((f"probe/{name}", array) for name, array in probe_parts(run.probe).items())
    head["steps/index"] = np.array(run.steps, dtype=np.int64)
    return head


def _specs(run: Run, head: dict[str, Array]) -> dict[str, Spec]:
    """Return shape and dtype of everything in the packed file."""
    specs = specs_of(head)
    for step in run.steps:
        for name, spec in specs_of(run.datasets(step)).items():
            specs[f"steps/{step_name(step)}/{name}"] = spec
    return specs


def _arrays(run: Run, head: dict[str, Array]) -> Iterator[Array]:
    """Yield everything in the packed file, one step mapped at a time."""
    yield from head.values()
    for step in run.steps:
        yield from run.datasets(step, verify=True).values()
