"""Write a run, step by step, batch by batch; layout in ``infoplane.runs.run``."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from infoplane.data import Array, ProbeSet, Slot
from infoplane.errors import InputError, RunFileError
from infoplane.runs.atomic import replace_file
from infoplane.runs.disk import GO_ON, Room, lock, replace_synced, writing
from infoplane.runs.hdf5 import specs_of, write_arrays
from infoplane.runs.layout import FORMAT, VERSION, datasets, step_name
from infoplane.runs.loss_log import NAME as LOG_NAME
from infoplane.runs.loss_log import LogWriter
from infoplane.runs.probe_parts import probe_manifest, probe_parts
from infoplane.runs.run import Run
from infoplane.runs.step_info import StepInfo
from infoplane.runs.step_writer import StepLayout, StepWriter
from infoplane.step_record import LossLog
from infoplane.system import open_file, patiently


class FolderWriter:
    """The one writer of a run folder.

    Parameters
    ----------
    path : Path
        Folder of the run; made if missing.
    probe : ProbeSet
        Written once, to ``probe.h5``.
    manifest : mapping
        Run name, group, seed and provenance; JSON values.
    overwrite : bool
        Replace an earlier run in this folder.
    resume : bool
        Go on with an earlier run in this folder, if its probe set and manifest are the same, but
        for ``created`` and ``provenance``; its manifest stays as it is.

    Raises
    ------
    RunFileError
        If the folder holds a run that is neither to be replaced nor resumed, or that was recorded
        otherwise; holds something else, is being written by another process, or cannot be written.
    """

    def __init__(
        self,
        path: Path,
        probe: ProbeSet,
        manifest: Mapping[str, Any],
        *,
        overwrite: bool = False,
        resume: bool = False,
    ) -> None:
        self.path = path
        self.n_samples = probe.n_samples
        document = {
            "format": FORMAT,
            "version": VERSION,
            **manifest,
            "probe": probe_manifest(probe),
        }
        self._probe_sha256: str = document["probe"]["sha256"]
        try:
            self._manifest = (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()
        except (TypeError, ValueError) as error:
            raise InputError(f"expected provenance of JSON values ({error})") from error
        self._layout = StepLayout(self.n_samples, path / "steps" / "layout.tmp")
        self.resumed: StepInfo | None = None  # the first readable step of a run that goes on
        self.log = LogWriter(path / LOG_NAME)
        self._begun = False
        self._room: Room | None = None
        with writing(path):
            check_folder(path, replace=overwrite or resume)
            self._made = not path.exists()
            (path / "steps").mkdir(parents=True, exist_ok=True)
            self._lock = self._locked()
            self._clean()
            try:
                check_folder(path, replace=overwrite or resume)  # another writer may be faster
                arrays = probe_parts(probe)
                if arrays:
                    write_arrays(self._new_probe, specs_of(arrays), arrays.values())
                if resume and (path / "manifest.json").exists():
                    self._go_on(json.loads(self._manifest))
            except BaseException:
                self._unlock()
                raise

    def n_missing(self, n_steps: int) -> int:
        """Return how many of ``n_steps`` steps are to be written, at least one."""
        held = len(Run(self.path).steps) if self.resumed is not None else 0
        return max(n_steps - held, 1)

    @property
    def begun(self) -> bool:
        """Whether there is a run: its first step is written, or it goes on."""
        return self._begun

    @property
    def logged(self) -> LossLog:
        """The loss log of the run that goes on."""
        return Run(self.path).losses if self.resumed is not None else LossLog()

    @property
    def free_bytes(self) -> int:
        """Bytes that there are for the run: free, or of the steps that it replaces."""
        with writing(self.path, GO_ON):
            replaced = [] if self._begun else (self.path / "steps").glob("step_*.h5")
            return shutil.disk_usage(self.path).free + sum(file.stat().st_size for file in replaced)

    def reserve(self, slots: Sequence[Slot], n_steps: int) -> None:
        """Set the space of steps with these arrays aside; each takes its part when it begins.

        Where an earlier run is replaced, its space is needed and still taken: then nothing is.

        Raises
        ------
        RunFileError
            If the disk is too small.
        """
        if not self._begun and any((self.path / "steps").glob("step_*.h5")):
            return
        found = datasets(slots, self.n_samples)
        with writing(self.path, GO_ON):
            size = self._layout.structure(found).size if found else 0
            if self._room is not None:
                self._room.close()
            self._room = Room(self.path / "steps", size, n_steps)

    def close(self) -> None:
        """Write the rest of the log and release the folder; one without a step is removed.

        Raises
        ------
        RunFileError
            If the log cannot be written; the folder is released all the same.
        """
        try:
            if self._begun:
                self.log.flush()
        finally:
            self._release()

    def _release(self) -> None:
        with suppress(OSError):
            if self._room is not None:
                self._room.close()
                self._room = None
            self._clean()
            if not self._begun:
                self._new_probe.unlink(missing_ok=True)
        if self._made and not self._begun:
            with suppress(OSError):  # not empty: somebody else has put something there
                (self.path / "steps").rmdir()
                self._remove_lock()
                self.path.rmdir()
        self._unlock()  # at the end, lest another writer locks a file that is then removed

    def _remove_lock(self) -> None:
        try:
            (self.path / ".lock").unlink(missing_ok=True)
        except PermissionError:  # Windows: nobody can remove what is open, another writer's neither
            self._unlock()
            (self.path / ".lock").unlink()

    def _clean(self) -> None:
        """Remove what a writer that was killed has left behind."""
        for residue in [*self.path.glob("*.tmp"), *(self.path / "steps").glob("*.tmp")]:
            shutil.rmtree(residue) if residue.is_dir() else residue.unlink()

    def _go_on(self, manifest: Mapping[str, Any]) -> None:
        """Take over the steps that are here, if they were recorded in the same way."""
        run = Run(self.path)
        if not run.steps:
            return
        before, now = _flat(run.manifest), _flat(manifest)
        unlike = [key for key in sorted({**before, **now}) if before.get(key) != now.get(key)]
        if unlike:
            told = [f"{key}: {before.get(key)!r} then, {now.get(key)!r} now" for key in unlike[:3]]
            raise RunFileError(
                f"{self.path}: the run was recorded otherwise: {'; '.join(told)}",
                hint="its steps could not be compared: record into another folder, replace the run "
                "with --overwrite, or go on as it was recorded",
                code="IP302",
            )
        self._put_probe()  # the same, and intact
        for step in run.steps:
            with suppress(RunFileError):
                self.resumed = run.step_info(step)
                break
        if self.resumed is not None:
            self._begun = True
            self._layout.datasets = datasets(self.resumed.slots, self.n_samples)

    def holds(self, writer: StepWriter) -> bool:
        """Tell whether the run that goes on holds this step: intact, of equal provenance."""
        if self.resumed is None or not (run := Run(self.path)).holds(writer.step):
            return False
        try:
            info = run.step_info(writer.step)
            run.datasets(writer.step, verify=True)
        except RunFileError:  # damaged: it is recorded again
            return False
        metrics = {key: value for key, value in writer.metrics.items() if np.isfinite(value)}
        found = (info.slots, info.metrics, info.epoch, info.provenance)
        return found == (self.resumed.slots, metrics, writer.epoch, writer.provenance)

    def copy(self, step: int, arrays: Mapping[str, Array]) -> None:
        """Write the datasets of a step of another run, as ``Run.datasets`` returns them."""
        path = self.path / "steps" / f"{step_name(step)}.h5"
        temporary = path.with_suffix(".h5.tmp")
        with writing(path):
            write_arrays(temporary, specs_of(arrays), arrays.values())
            self._begin()
            replace_synced(temporary, path)

    def step(self, step: int) -> StepWriter:
        """Return the writer of one step, to be used in a ``with`` block."""
        if step < 0:
            raise InputError(f"expected a step of at least 0, got {step}")
        path = self.path / "steps" / f"{step_name(step)}.h5"
        return StepWriter(
            path,
            step,
            self._layout,
            self._probe_sha256,
            make_room=self._room.take if self._room else lambda: None,
            before_commit=self._before_commit,
        )

    def _before_commit(self) -> None:
        """Make the run, and write the log up to the step: a step that is seen has its log."""
        self._begin()
        self.log.flush()

    def _begin(self) -> None:
        """Make the run, now that its first step is complete; an earlier run ends only here."""
        if self._begun:
            return
        patiently((self.path / "manifest.json").unlink, True)
        for file in [*(self.path / "steps").glob("step_*.h5"), self.log.path]:
            patiently(file.unlink, True)
        self._put_probe()
        replace_file(self.path / "manifest.json", self._manifest)
        self._begun = True

    def _locked(self) -> int:
        descriptor = open_file(self.path / ".lock", os.O_WRONLY | os.O_CREAT)
        try:
            if not lock(descriptor, self.path):
                raise RunFileError(
                    f"{self.path}: another process is writing this run",
                    hint="of a training on several processes, record in the first alone, or in all "
                    "with shard=True",
                    code="IP306",
                )
        except BaseException:
            with suppress(OSError):
                os.close(descriptor)
            raise
        return descriptor

    def _unlock(self) -> None:
        with suppress(OSError):
            descriptor, self._lock = self._lock, -1
            os.close(descriptor)

    def _put_probe(self) -> None:
        """Give the probe set its name; of a run without samples there is none."""
        if self.n_samples:
            patiently(self._new_probe.replace, self.path / "probe.h5")
        else:
            patiently((self.path / "probe.h5").unlink, True)

    @property
    def _new_probe(self) -> Path:
        return self.path / "probe.h5.tmp"


def check_folder(path: Path, *, replace: bool) -> None:
    """Make sure that a run can be written to a folder, as far as its content tells.

    Parameters
    ----------
    path : Path
        The folder, which need not exist.
    replace : bool
        Whether it may hold a run, which is replaced or gone on with.

    Raises
    ------
    RunFileError
        If it holds a run that is to be kept, or something else.
    """
    if path.exists() and not path.is_dir():
        raise RunFileError(f"{path}: expected a folder, found a file", code="IP302")
    if (path / "steps").is_symlink():
        raise RunFileError(
            f"{path / 'steps'}: expected a folder, found a link",
            hint="put the run itself where there is room, or link the whole of its folder",
            code="IP302",
        )
    is_run = (path / "manifest.json").exists()
    if is_run and any((path / "steps").glob("step_*.h5")) and not replace:
        raise RunFileError(
            f"{path}: already holds a run",
            hint="choose another folder, go on with --resume, or replace it with --overwrite",
            code="IP302",
        )
    if path.exists() and not is_run:
        own = re.compile(r"\.?(manifest\.json|probe\.h5|log\.jsonl|steps|lock)(\..*tmp)?")
        names = sorted(entry.name for entry in path.iterdir())
        if others := [name for name in names if not own.fullmatch(name)]:
            raise RunFileError(
                f"{path}: the folder holds files that are not of a run ({others[0]})",
                hint="choose an empty or a new folder",
                code="IP302",
            )


def _flat(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes two recordings comparable, nested members as ``outer.inner``."""
    flat: dict[str, Any] = {}
    for key, value in manifest.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": part for inner, part in value.items()}
        else:
            flat[key] = value
    return {
        key: value
        for key, value in flat.items()
        if key != "created" and not key.startswith("provenance.")
    }
