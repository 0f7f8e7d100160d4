"""Check every byte of a run, and save what is intact of a damaged one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from infoplane.data import Slot
from infoplane.errors import DataError, InfoplaneError, RunFileError, is_of_system
from infoplane.runs.atomic import private_folder
from infoplane.runs.disk import writing
from infoplane.runs.hdf5 import missing_size
from infoplane.runs.probe_parts import probe_sha256
from infoplane.runs.run import Run
from infoplane.runs.writer import FolderWriter

LOG = "loss log"
"""What a finding about it names in place of a layer."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a run."""

    path: Path  # the file
    step: int | None  # None for the manifest and the probe set
    layer: str | None  # or the weight, or the log
    message: str  # one line
    damage: bool = True  # or the system does not let us read it

    @classmethod
    def of(cls, error: InfoplaneError, path: Path, step: int | None, layer: str | None) -> Finding:
        """Return what an error in reading tells."""
        return cls(path, step, layer, str(error), not is_of_system(error.__cause__ or error))


def verify(run: Run) -> list[Finding]:
    """Read all of a run and return what is wrong with it; an empty list means that it is intact.

    Checked are the manifest, the hash of the probe set, the metadata of every step, that every
    step has the layers of the first readable one, the checksum of every layer and weight, and the
    loss log.
    Raises nothing for damage: that is what the findings tell.
    """
    try:
        if probe_sha256(run.probe) != run.manifest["probe"].get("sha256"):
            path = run.path if run.packed or run.shards else run.path / "probe.h5"
            message = f"{path}: the probe set does not match its hash in the manifest"
            return [Finding(path, None, None, message)]
        steps = run.steps
    except InfoplaneError as error:  # nothing can be read without them
        return [Finding.of(error, run.path, None, None)]
    return [*_of_steps(run, steps), *([] if run.shards else _of_log(run))]


def _of_log(run: Run) -> list[Finding]:
    """Return what is wrong with the loss log; the steps do not need it."""
    try:
        run.losses  # noqa: B018
    except InfoplaneError as error:
        return [Finding.of(error, run.log_file, None, LOG)]
    return []


def _of_steps(run: Run, steps: Sequence[int]) -> list[Finding]:
    found = [finding for shard in run.shards for finding in verify(Run(shard.path))]
    told = {finding.step for finding in found}
    expected: tuple[Slot, ...] = ()
    for step in [step for step in steps if step not in told]:
        path = run.step_file(step)
        try:
            slots = run.step_info(step).slots
        except InfoplaneError as error:
            found.append(Finding.of(error, path, step, None))
            continue
        expected = expected or slots
        if slots != expected:
            message = f"{path}: its layers are not those of the steps before it"
            found.append(Finding(path, step, None, message))
            continue
        for slot in () if run.shards else slots:
            try:
                run.stored(step, slot, verify=True)
            except InfoplaneError as error:
                found.append(Finding.of(error, path, step, slot.name))
    return found


def rescue(run: Run, output: Path) -> tuple[int, ...]:
    """Copy the intact steps of a run, a folder or packed, into a new folder; return them.

    The copied files are equal to the originals, byte for byte. Of a packed run that lost its end,
    the steps before it are saved.

    Raises
    ------
    RunFileError
        If the manifest or the probe set is damaged, the output exists or cannot be written.
    DataError
        If no step is intact.
    """
    with _of_full_length(run, output) as readable:
        return _rescued(readable, output)


@contextmanager
def _of_full_length(run: Run, output: Path) -> Iterator[Run]:
    """Give a truncated file its length again, in a copy: what is missing reads as zeros."""
    size = missing_size(run.path) if run.path.is_file() else None
    if size is None:
        yield run
        return
    with ExitStack() as stack:
        with writing(output):
            copy = stack.enter_context(private_folder(output)) / run.path.name
            shutil.copyfile(run.path, copy)
            os.truncate(copy, size)
        yield Run(copy)


def _rescued(run: Run, output: Path) -> tuple[int, ...]:
    found = [finding for finding in reversed(verify(run)) if finding.layer != LOG]
    damaged = {finding.step: finding.message for finding in found}
    if None in damaged:
        raise RunFileError(f"{damaged[None]}: nothing can be saved without it")
    intact = tuple(step for step in run.steps if step not in damaged)
    if not intact:
        raise DataError(f"{run.path}: no step is intact")
    writer = FolderWriter(output, run.probe, run.manifest)
    if not _of_log(run):
        writer.log.add(run.losses)
    try:
        for step in intact:
            writer.copy(step, run.datasets(step, verify=True))
    finally:
        writer.close()
    return intact
