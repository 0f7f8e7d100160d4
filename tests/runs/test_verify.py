import shutil

import h5py
import numpy as np
import pytest

from infoplane.errors import DataError, InputError, RunFileError
from infoplane.runs.layout import step_name
from infoplane.runs.pack import pack
from infoplane.runs.run import Run
from infoplane.runs.verify import rescue, verify
from tests.runs.test_run import write_run


@pytest.fixture
def run(tmp_path, probe):
    write_run(tmp_path / "s0", probe, steps=(0, 7, 2**40))
    return Run(tmp_path / "s0")


@pytest.fixture
def packed(run, tmp_path):
    pack(run, tmp_path / "s0.h5")
    return Run(tmp_path / "s0.h5")


def flip(path, array):
    """Change one bit of an array in a file."""
    data = bytearray(path.read_bytes())
    data[data.index(array.tobytes()) + 5] ^= 8
    path.write_bytes(data)


def test_packed_run_reads_like_the_folder(run, packed):
    assert (packed.name, packed.manifest) == (run.name, run.manifest)
    assert packed.steps == run.steps == (0, 7, 2**40)
    assert packed.layers == run.layers
    assert packed.content_hash() == run.content_hash()
    np.testing.assert_array_equal(packed.probe.inputs, run.probe.inputs)
    np.testing.assert_array_equal(packed.probe.labels, run.probe.labels)
    for step in run.steps:
        assert packed.step_info(step) == run.step_info(step)
        for layer in run.layers:
            found = packed.activations(step, layer.name, verify=True)
            np.testing.assert_array_equal(found, run.activations(step, layer.name))
    packed.check()
    assert verify(packed) == []


def test_packing_twice_gives_the_same_bytes(run, packed, tmp_path):
    pack(run, tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == packed.path.read_bytes()


def test_pack_refuses(run, packed, tmp_path):
    with pytest.raises(InputError, match="packed run already"):
        pack(packed, tmp_path / "x.h5")
    with pytest.raises(InputError, match="outside the run's folder"):
        pack(run, run.path / "x.h5")
    before = packed.path.read_bytes()
    with pytest.raises(RunFileError, match="the file exists"):
        pack(run, packed.path)
    flip(run.step_file(7), run.activations(7, ".."))
    with pytest.raises(RunFileError, match="does not match its checksum"):
        pack(run, packed.path, overwrite=True)
    assert packed.path.read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["s0", "s0.h5"]


def test_verify_names_every_damaged_layer(run):
    assert verify(run) == []
    flip(run.step_file(7), run.activations(7, ".."))
    flip(run.step_file(2**40), run.activations(2**40, "a/b"))
    run.step_file(0).write_bytes(b"nothing")
    found = verify(Run(run.path))
    assert [(one.step, one.layer) for one in found] == [(0, None), (7, ".."), (2**40, "a/b")]
    assert "not a complete HDF5 file" in found[0].message
    assert all("does not match its checksum" in one.message for one in found[1:])


def test_no_changed_character_of_the_metadata_goes_unnoticed(run, packed):
    for one in (run, packed):
        path = one.step_file(7)
        data = path.read_bytes()
        for old, new in ((b'"train_loss": 0.5', b'"train_loss": 0.7'), (b'"a/b"', b'"a/c"')):
            at = data.index(old, data.index(b'"step": 7'))
            path.write_bytes(data[:at] + new + data[at + len(old) :])
            (found,) = verify(Run(one.path))
            assert (found.step, found.layer) == (7, None)
            assert "the metadata does not match its checksum" in found.message
        path.write_bytes(data)
        assert verify(Run(one.path)) == []


def test_verify_finds_a_changed_probe_set(run, packed):
    for one in (run, packed):
        path = one.path if one.packed else one.path / "probe.h5"
        data = path.read_bytes()
        where = data.index(run.probe.inputs.tobytes())
        path.write_bytes(data[:where] + b"x" + data[where + 1 :])
        (found,) = verify(Run(one.path))
        assert (found.step, found.path) == (None, path)
        assert "probe set does not match" in found.message


def test_verify_finds_damage_in_a_packed_run(packed):
    flip(packed.path, packed.activations(7, "fc[1]"))
    (found,) = verify(packed)
    assert (found.path, found.step, found.layer) == (packed.path, 7, "fc[1]")


def test_rescue_copies_what_is_intact(run, tmp_path):
    flip(run.step_file(7), run.activations(7, ".."))
    run.step_file(0).write_bytes(b"")
    assert rescue(Run(run.path), tmp_path / "out") == (2**40,)
    kept = Run(tmp_path / "out")
    assert kept.steps == (2**40,)
    assert verify(kept) == []
    for name in ("manifest.json", "probe.h5", "steps/step_1099511627776.h5"):
        assert (kept.path / name).read_bytes() == (run.path / name).read_bytes()


def test_rescue_unpacks(run, packed, tmp_path):
    assert rescue(packed, tmp_path / "out") == run.steps
    for file in sorted(run.path.rglob("*.*")):
        if file.name != ".lock":
            copy = tmp_path / "out" / file.relative_to(run.path)
            assert copy.read_bytes() == file.read_bytes()


def test_rescue_without_anything_intact(run, tmp_path):
    copy = Run(tmp_path / "copy")
    shutil.copytree(run.path, copy.path)
    for step in run.steps:
        run.step_file(step).write_bytes(b"")
    with pytest.raises(DataError, match="no step is intact"):
        rescue(run, tmp_path / "out")
    (copy.path / "manifest.json").write_text("{")
    with pytest.raises(RunFileError, match="nothing can be saved without it"):
        rescue(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_steps_before_the_end_of_a_truncated_packed_run_are_saved(run, tmp_path):
    path = tmp_path / "s0.h5"
    pack(run, path)
    data = path.read_bytes()
    first = run.steps[0]
    with h5py.File(path) as file:
        starts = [
            file[f"steps/{step_name(step)}/layers/L0000/act"].id.get_offset() for step in run.steps
        ]
    assert starts == sorted(starts)
    path.write_bytes(data[: starts[1] + 8])
    with pytest.raises(RunFileError, match="truncated: ") as caught:
        Run(path).check()
    assert f"inspect {path} --rescue" in str(caught.value.hint)
    assert rescue(Run(path), tmp_path / "out") == (first,)
    saved = Run(tmp_path / "out")
    for layer in run.layers:
        np.testing.assert_array_equal(
            saved.activations(first, layer.name), run.activations(first, layer.name)
        )
    path.write_bytes(data[:2000])
    with pytest.raises(RunFileError, match="nothing can be saved"):
        rescue(Run(path), tmp_path / "none")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "s0", "s0.h5"]
