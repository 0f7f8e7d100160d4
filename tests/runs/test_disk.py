"""File systems that lack something, disks that fail, runs that go away while they are read."""

import errno
import fcntl
import mmap
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from infoplane.errors import RunFileError
from infoplane.results.inspection import damage, describe, is_empty
from infoplane.runs import hdf5
from infoplane.runs.pack import pack
from infoplane.runs.run import Run
from infoplane.runs.verify import verify
from tests.runs.test_run import write_run


def failing(number):
    def fail(*args, **options):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.fixture
def run(tmp_path, probe):
    write_run(tmp_path / "s0", probe)
    return Run(tmp_path / "s0")


@pytest.mark.parametrize("name", ["EBADF", "EOPNOTSUPP", "ENOTSUP", "EINVAL", "ENOSYS"])
def test_without_fallocate_the_same_bytes_are_written(
    run, tmp_path, probe, monkeypatch, caplog, name
):
    monkeypatch.setattr(os, "posix_fallocate", failing(getattr(errno, name)))
    write_run(tmp_path / "other" / "s0", probe)
    for step in run.steps:
        other = tmp_path / "other" / "s0" / "steps" / run.step_file(step).name
        assert other.read_bytes() == run.step_file(step).read_bytes()
    assert not caplog.records


@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT", "EIO", "EFBIG"])
def test_a_disk_that_has_no_room_is_still_an_error(tmp_path, probe, monkeypatch, name):
    number = getattr(errno, name)
    monkeypatch.setattr(os, "posix_fallocate", failing(number))
    with pytest.raises(RunFileError, match=os.strerror(number)) as error:
        write_run(tmp_path / "s0", probe)
    assert error.value.code == "IP305"


@pytest.mark.parametrize("name", ["ENOLCK", "ENOSYS", "EOPNOTSUPP", "EINVAL"])
def test_without_locks_a_run_is_written_with_one_warning(
    tmp_path, probe, monkeypatch, caplog, name
):
    monkeypatch.setattr(fcntl, "flock", failing(getattr(errno, name)))
    write_run(tmp_path / "s0", probe)
    assert verify(Run(tmp_path / "s0")) == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "only one process at a time" in caplog.text


def test_a_run_that_another_process_writes_is_left_alone(tmp_path, probe, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", failing(errno.EAGAIN))
    with pytest.raises(RunFileError) as error:
        write_run(tmp_path / "s0", probe)
    assert error.value.code == "IP306"


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_step_whose_file_cannot_be_closed_is_not_recorded(tmp_path, probe, monkeypatch, number):
    def close(descriptor):
        name = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        real(descriptor)
        if "step_000000000007" in name:
            failing(number)()

    real = os.close
    monkeypatch.setattr(os, "close", close)
    with pytest.raises(RunFileError, match=os.strerror(number)) as error:
        write_run(tmp_path / "s0", probe)
    assert error.value.code == "IP305"
    run = Run(tmp_path / "s0")
    assert run.steps == (0,)
    assert verify(run) == []
    assert not list(run.path.rglob("step*.tmp"))


def test_pack_whose_disk_fails_at_the_end_leaves_no_file(run, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(RunFileError, match="Input/output error"):
        pack(run, tmp_path / "p.h5")
    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL))  # a file system without it
    assert pack(run, tmp_path / "p.h5") > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.h5", "s0"]


_OF_READING = ["ENOLCK", "EACCES", "EIO", "ENODEV", "ENOMEM", "EMFILE", "ESTALE", "ENOTCONN"]


@pytest.mark.parametrize("name", _OF_READING)
@pytest.mark.parametrize("where", ["open", "read"])
def test_what_the_system_refuses_is_no_damage(run, monkeypatch, name, where):
    number = getattr(errno, name)
    if where == "open":
        monkeypatch.setattr(h5py, "File", failing(number))
    else:
        monkeypatch.setattr(os, "pread", failing(number))
    with pytest.raises(RunFileError, match=os.strerror(number)) as error:
        Run(run.path).activations(0, "..", verify=True)
    assert error.value.code == "IP303"
    told = f"{error.value} {error.value.hint}"
    assert "delete" not in told
    assert "complete HDF5" not in told
    found = verify(Run(run.path))
    assert found
    assert not any(one.damage for one in found)


def test_words_of_hdf5_for_errors_of_reading(run, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("Unable to read (time = ..., errno = 5, error message = 'I/O error')")

    monkeypatch.setattr(h5py, "File", fail)
    with pytest.raises(RunFileError, match=r"cannot be read \(Input/output error\)"):
        run.step_info(0)


@pytest.mark.parametrize("cut", [0, 100, 3000])
def test_damage_that_is_proved_is_still_damage(run, cut):
    os.truncate(run.step_file(7), cut)
    with pytest.raises(RunFileError) as error:
        run.step_info(7)
    assert error.value.code == "IP301"
    assert "delete the file" in error.value.hint
    (found,) = verify(run)
    assert found.damage


def test_readers_take_no_lock(run):
    with run.step_file(0).open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert verify(Run(run.path)) == []


@pytest.mark.parametrize("number", [errno.ENODEV, errno.ENOMEM])
def test_without_memory_maps_layers_are_read(run, monkeypatch, number):
    expected = np.array(run.activations(7, ".."))
    monkeypatch.setattr(hdf5, "_SMALL", 1)
    monkeypatch.setattr(mmap, "mmap", failing(number))
    if number == errno.ENODEV:
        np.testing.assert_array_equal(run.activations(7, ".."), expected)
    else:
        with pytest.raises(RunFileError, match="Cannot allocate memory"):
            run.activations(7, "..")


def test_file_that_is_cut_off_while_it_is_read_is_an_error_of_one_line(run, monkeypatch):
    """Read through a map, this would end the process with SIGBUS."""
    monkeypatch.setattr(hdf5, "_SMALL", 1)
    real = os.pread

    def pread(descriptor, size, offset):
        os.truncate(str(Path(f"/proc/self/fd/{descriptor}").readlink()), 1000)
        return real(descriptor, size, offset)

    infos = {step: run.step_info(step) for step in run.steps}
    monkeypatch.setattr(os, "pread", pread)
    with pytest.raises(RunFileError, match="cut off while it was read"):
        run.stored(7, infos[7].slots[0], verify=True)


def test_inspection_never_maps_layers(run, monkeypatch):
    expected = describe(run.path, every_step=True)
    monkeypatch.setattr(hdf5, "_SMALL", 1)
    monkeypatch.setattr(mmap, "mmap", failing(errno.ENOMEM))
    assert describe(run.path, every_step=True) == expected


@pytest.mark.parametrize("what", ["moved", "removed"])
def test_run_that_goes_away_is_told_as_that(run, tmp_path, what):
    assert run.steps == (0, 7)
    if what == "moved":
        run.path.rename(tmp_path / "elsewhere")
    else:
        shutil.rmtree(run.path)
    with pytest.raises(RunFileError, match="is gone: the run was moved, removed") as error:
        run.step_info(7)
    assert error.value.code == "IP303"


def test_run_without_steps_is_empty(run):
    assert not is_empty(run.path)
    shutil.rmtree(run.path / "steps")
    assert damage(run.path) == []
    assert is_empty(run.path)
