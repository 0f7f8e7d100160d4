import json
import os
import pickle
import shutil
import zlib
from contextlib import closing

import h5py
import numpy as np
import pytest

from infoplane.data import ProbeSet
from infoplane.errors import InputError, NotFoundError, RunFileError
from infoplane.runs.run import Run
from infoplane.runs.writer import FolderWriter


def write_run(path, probe, steps=(0, 7), names=("a/b", "..", "fc[1]"), scale=1.0):
    rng = np.random.default_rng(1)
    data = {}
    writer = FolderWriter(path, probe, {"run": path.name, "group": "g", "seed": 0})
    for step in steps:
        with writer.step(step) as out:
            out.metrics = {"train_loss": 0.5, "test_loss": float("nan")}
            for index, name in enumerate(names):
                values = rng.normal(size=(probe.n_samples, index + 1, 2)).astype(np.float32) * scale
                data[step, name] = values
                for row in range(0, probe.n_samples, 50):
                    out.write(index, name, "Linear", row, values[row : row + 50], "float32")
    writer.close()
    return data


@pytest.fixture
def run(tmp_path, probe):
    write_run(tmp_path / "s0", probe)
    return Run(tmp_path / "s0")


def test_round_trip(tmp_path, probe):
    data = write_run(tmp_path / "s0", probe)
    run = Run(tmp_path / "s0")
    assert run.steps == (0, 7)
    assert [layer.name for layer in run.layers] == ["a/b", "..", "fc[1]"]
    assert [layer.n_units for layer in run.layers] == [2, 4, 6]
    for (step, name), values in data.items():
        found = run.activations(step, name)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, values.reshape(len(values), -1))
    np.testing.assert_array_equal(run.probe.inputs, probe.inputs)
    np.testing.assert_array_equal(run.probe.labels, probe.labels)
    assert run.step_info(7).metrics == {"train_loss": 0.5}  # what is not finite is left out
    run.check()


def test_activations_are_read_only(run):
    with pytest.raises(ValueError, match="read-only"):
        run.activations(0, "..")[0, 0] = 1


def test_run_pickles_by_path(run):
    run.layers  # noqa: B018  - fill what is cached
    copy = pickle.loads(pickle.dumps(run))
    assert copy == run
    assert vars(copy) == {"path": run.path, "dropped": (), "split": None, "label_bins": None}


def test_same_content_gives_the_same_bytes_and_hash(tmp_path, probe):
    for name in ("one", "two"):
        write_run(tmp_path / name, probe)
    for file in ("probe.h5", "steps/step_000000000007.h5"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    assert Run(tmp_path / "one").content_hash() == Run(tmp_path / "two").content_hash()
    write_run(tmp_path / "three", probe, scale=1.01)
    assert Run(tmp_path / "three").content_hash() != Run(tmp_path / "one").content_hash()


def test_a_step_that_fails_leaves_nothing(tmp_path, probe):
    writer = FolderWriter(tmp_path / "s0", probe, {"run": "s0"})
    with closing(writer), pytest.raises(KeyboardInterrupt), writer.step(3) as out:
        out.write(0, "fc", "Linear", 0, np.zeros((10, 2), np.float32), "float32")
        raise KeyboardInterrupt
    assert not (tmp_path / "s0").exists()


def test_folder_that_vanishes_before_a_step_is_complete_is_one_line(tmp_path, probe):
    writer = FolderWriter(tmp_path / "r", probe, {"run": "r"})
    values = np.ones((probe.n_samples, 2), np.float32)
    with (
        closing(writer),
        pytest.raises(RunFileError, match="cannot be written"),
        writer.step(0) as out,
    ):
        out.write(0, "fc", "Linear", 0, values, "float32")
        shutil.rmtree(tmp_path / "r")


def test_a_step_with_missing_rows_is_not_made(tmp_path, probe):
    writer = FolderWriter(tmp_path / "s0", probe, {"run": "s0"})
    error = pytest.raises(RunFileError, match="expected 120 rows, got 10")
    with closing(writer), error, writer.step(3) as out:
        out.write(0, "fc", "Linear", 0, np.zeros((10, 2), np.float32), "float32")
    assert not (tmp_path / "s0").exists()


def test_residue_of_a_killed_writer_is_no_obstacle(tmp_path, probe):
    (tmp_path / "s0" / "steps").mkdir(parents=True)
    for name in (".lock", "probe.h5.tmp", "manifest.json.77.tmp", "steps/step_000000000003.h5.tmp"):
        (tmp_path / "s0" / name).write_bytes(b"x")
    write_run(tmp_path / "s0", probe)
    Run(tmp_path / "s0").check()


def test_full_disk_is_one_line_and_keeps_complete_steps(tmp_path, probe, monkeypatch):
    import errno
    import os

    def full(descriptor, offset, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    writer = FolderWriter(tmp_path / "s0", probe, {"run": "s0"})
    with closing(writer):
        with writer.step(0) as out:
            out.write(0, "fc", "Linear", 0, np.zeros((120, 2), np.float32), "float32")
        monkeypatch.setattr(os, "posix_fallocate", full)
        with (
            pytest.raises(RunFileError, match="cannot be written .No space left"),
            writer.step(1) as out,
        ):
            out.write(0, "fc", "Linear", 0, np.zeros((120, 2), np.float32), "float32")
    run = Run(tmp_path / "s0")
    assert run.steps == (0,)
    run.check()
    assert not list((tmp_path / "s0" / "steps").glob("*.tmp"))


def test_changed_data_and_renamed_steps_are_found(run):
    path = run.step_file(7)
    with h5py.File(path) as file:
        offset = file["layers/L0001/act"].id.get_offset()
    data = bytearray(path.read_bytes())
    data[offset + 3] ^= 1
    path.write_bytes(data)
    run.activations(7, "..")
    with pytest.raises(RunFileError, match="does not match its checksum"):
        run.activations(7, "..", verify=True)
    path.rename(run.step_file(8))
    with pytest.raises(RunFileError, match="expected step 8 by its name, found step 7"):
        Run(run.path).check()


def test_reading_a_layer_does_not_read_the_probe_set(run, monkeypatch):
    monkeypatch.setattr(Run, "probe", property(lambda self: pytest.fail("read")))
    Run(run.path).activations(7, "..", verify=True)


def test_existing_run_is_kept_unless_told(tmp_path, probe):
    write_run(tmp_path / "s0", probe)
    with pytest.raises(RunFileError, match="already holds a run"):
        FolderWriter(tmp_path / "s0", probe, {})
    assert Run(tmp_path / "s0").steps == (0, 7)
    old = Run(tmp_path / "s0").content_hash()
    FolderWriter(tmp_path / "s0", probe, {}, overwrite=True).close()
    assert Run(tmp_path / "s0").content_hash() == old  # replaced only by a complete step
    writer = FolderWriter(tmp_path / "s0", probe, {}, overwrite=True)
    with closing(writer), writer.step(3) as out:
        out.write(0, "fc", "Linear", 0, np.zeros((120, 2), np.float32), "float32")
    assert Run(tmp_path / "s0").steps == (3,)
    assert sorted(p.name for p in (tmp_path / "s0" / "steps").iterdir()) == ["step_000000000003.h5"]


def test_folder_with_other_files_is_never_touched(tmp_path, probe):
    (tmp_path / "thesis.tex").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(RunFileError, match=r"not of a run \(thesis.tex\)"):
            FolderWriter(tmp_path, probe, {}, overwrite=overwrite)
    assert (tmp_path / "thesis.tex").read_text() == "x"


def test_one_writer_at_a_time(tmp_path, probe):
    first = FolderWriter(tmp_path / "s0", probe, {})
    with pytest.raises(RunFileError, match="another process is writing"):
        FolderWriter(tmp_path / "s0", probe, {}, overwrite=True)
    first.close()
    FolderWriter(tmp_path / "s0", probe, {}, overwrite=True).close()


@pytest.mark.parametrize("size", [0, 8, 100, 5000, -1])
def test_truncated_step_is_refused_with_its_name(run, size):
    path = run.step_file(7)
    data = path.read_bytes()
    path.write_bytes(data[:size])
    with pytest.raises(RunFileError, match="step_000000000007.h5"):
        run.check()
    assert run.step_info(0).step == 0


def test_other_version_is_refused(run):
    manifest = run.path / "manifest.json"
    document = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**document, "version": 2}))
    with pytest.raises(RunFileError, match="expected format version 1, found 2"):
        Run(run.path).steps  # noqa: B018


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"format": "other"}', '{"format": "infoplane.recording"}']
)
def test_damaged_manifest_is_refused(run, text):
    (run.path / "manifest.json").write_text(text)
    with pytest.raises(RunFileError, match="manifest.json"):
        Run(run.path).steps  # noqa: B018


def test_missing_layer_and_step_list_what_exists(run):
    with pytest.raises(NotFoundError, match=r"no layer 'fc9'; it has a/b, \.\., fc\[1\]"):
        run.activations(0, "fc9")
    with pytest.raises(NotFoundError, match="no step 5; it has 0, 7"):
        run.step_info(5)


def test_links_out_of_the_file_are_not_followed(run, tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(b"secret" * 1000)
    shape = (120, 2)

    def external_storage(file):
        external = [(str(secret), 0, 960)]
        file.create_dataset("layers/L0000/act", shape, np.float32, external=external)

    def external_link(file):
        file["layers/L0000"] = h5py.ExternalLink(str(run.step_file(0)), "/layers/L0000")

    def soft_link(file):
        file["layers/L0000/act"] = h5py.SoftLink("/layers/L0001/act")

    def virtual(file):
        layout = h5py.VirtualLayout(shape, np.float32)
        layout[:] = h5py.VirtualSource(str(run.step_file(0)), "layers/L0000/act", (120, 1, 2))[:, 0]
        file.create_virtual_dataset("layers/L0000/act", layout)

    def objects(file):
        file.create_dataset("layers/L0000/act", data=["a", "b"], dtype=h5py.string_dtype())

    def chunked(file):
        file.create_dataset("layers/L0000/act", data=np.zeros(shape, np.float32), chunks=(10, 2))

    def huge(file):
        file.create_dataset("layers/L0000/act", shape=(120, 2**40), dtype=np.float32)

    for attack in (external_storage, external_link, soft_link, virtual, objects, chunked, huge):
        copy = tmp_path / attack.__name__
        shutil.copytree(run.path, copy)
        with h5py.File(copy / "steps/step_000000000007.h5", "a") as file:
            del file["layers/L0000"]
            attack(file)
        with pytest.raises(RunFileError, match="dataset 'layers/L0000/act'"):
            Run(copy).activations(7, "a/b")


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_lock_that_is_no_file_of_the_run_is_not_opened(tmp_path, probe, kind):
    path = tmp_path / "s0"
    write_run(path, probe)
    (path / ".lock").unlink()
    other = tmp_path / "other"
    other.write_text("precious")
    if kind == "link":
        (path / ".lock").symlink_to(other)
    elif kind == "pipe":
        os.mkfifo(path / ".lock")
    else:
        (path / ".lock").mkdir()
    with pytest.raises(RunFileError, match="cannot be written"):
        FolderWriter(path, probe, {}, overwrite=True)
    assert other.read_text() == "precious"


def test_fifo_does_not_hang(run):
    import os

    path = run.step_file(7)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(RunFileError, match="regular file"):
        run.step_info(7)


def test_many_layers_with_long_names_fit_the_metadata(tmp_path, probe):
    names = tuple(f"encoder.block.{i}.{'x' * 300}" for i in range(400))
    writer = FolderWriter(tmp_path / "s0", probe, {"run": "s0"})
    with closing(writer), writer.step(0) as out:
        for index, name in enumerate(names):
            out.write(index, name, "Linear", 0, np.zeros((120, 1), np.float32), "float32")
    assert tuple(layer.name for layer in Run(tmp_path / "s0").layers) == names


def test_run_without_labels(tmp_path, probe):
    bare = ProbeSet(probe.inputs)
    write_run(tmp_path / "s0", bare)
    assert Run(tmp_path / "s0").probe.labels is None


@pytest.mark.parametrize("seed", range(20))
def test_every_layer_keeps_its_values_whatever_the_sizes(tmp_path, seed):
    """HDF5 fills gaps, so a layer may stand before one that was written earlier."""
    rng = np.random.default_rng(seed)
    probe = ProbeSet(rng.normal(size=(120, 2)))
    kinds = [np.float32, np.float64, np.int64, np.uint8]
    layers = [
        rng.normal(0, 50, (120, rng.integers(1, 30))).astype(kinds[rng.integers(4)])
        for _ in range(rng.integers(2, 12))
    ]
    with closing(FolderWriter(tmp_path / "r", probe, {})) as writer:
        for step in (0, 1):
            with writer.step(step) as file:
                for index, values in enumerate(layers):
                    file.write(index, f"l{index}", "T", 0, values, str(values.dtype))
    run = Run(tmp_path / "r")
    for step in (0, 1):
        for index, values in enumerate(layers):
            np.testing.assert_array_equal(run.activations(step, f"l{index}", verify=True), values)


def shuffled(probe):
    return probe.take(np.random.default_rng(2).permutation(probe.n_samples))


@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "int8", "bool", "bfloat16"])
def test_numbers_of_a_layer_of_many_blocks(tmp_path, kind):
    rng = np.random.default_rng(3)
    stored, encoding = (np.dtype(np.uint16), kind) if kind == "bfloat16" else (np.dtype(kind), None)
    shape = (4, 1_500_000 // stored.itemsize)  # bytes of a row: several blocks, and a part of one
    values = rng.normal(size=shape) * 30
    values[rng.random(shape) < 0.01] = 0.0
    if stored.kind == "f":
        values[1, 5], values[2, -1] = np.inf, np.nan
        values[3, : shape[1] // 2] = np.nan  # whole blocks
    bits = values.astype(np.float32).view(np.uint32) >> 16
    array = bits.astype(np.uint16) if encoding else values.astype(stored)
    writer = FolderWriter(tmp_path / "r", ProbeSet(np.zeros((4, 1))), {"run": "r"})
    with closing(writer), writer.step(0) as out:
        out.write(0, "fc", "Linear", 0, array[:1], kind, encoding)
        out.write(0, "fc", "Linear", 1, array[1:], kind, encoding)
    run = Run(tmp_path / "r")
    meant = (bits << 16).view(np.float32) if encoding else array
    np.testing.assert_array_equal(run.activations(0, "fc", verify=True), meant)
    layer = json.loads(bytes(run.datasets(0)["meta"]))["layers"][0]
    finite = meant[np.isfinite(meant)]
    assert (layer["min"], layer["max"]) == (finite.min(), finite.max())
    assert layer["n_zero"] == (meant == 0).sum()
    assert layer["n_nonfinite"] == meant.size - finite.size
    assert layer["crc32"] == zlib.crc32(array.tobytes())


def test_a_step_of_another_probe_set_is_refused(tmp_path, probe):
    write_run(tmp_path / "s0", probe)
    write_run(tmp_path / "s1", shuffled(probe))  # the same samples, in another order
    step = "steps/step_000000000007.h5"
    (tmp_path / "s0" / step).write_bytes((tmp_path / "s1" / step).read_bytes())
    run = Run(tmp_path / "s0")
    run.step_info(0)
    with pytest.raises(RunFileError, match=r"step_000000000007.*on another probe set"):
        run.check()


@pytest.mark.parametrize("dropped", [(), (3, 5)])
def test_another_probe_set_under_the_same_activations_is_refused(tmp_path, probe, dropped):
    write_run(tmp_path / "s0", probe)
    write_run(tmp_path / "s1", shuffled(probe))
    Run(tmp_path / "s0", dropped).check()
    (tmp_path / "s0" / "probe.h5").write_bytes((tmp_path / "s1" / "probe.h5").read_bytes())
    with pytest.raises(RunFileError, match="not the one that the activations were recorded on"):
        Run(tmp_path / "s0", dropped).check()


def test_ids_stay_with_their_samples(tmp_path, probe):
    ids = np.random.default_rng(3).permutation(1000)[: probe.n_samples]
    with_ids = ProbeSet(probe.inputs, probe.labels, ids=ids)
    data = write_run(tmp_path / "s0", with_ids)
    run = Run(tmp_path / "s0", (0, 7))
    kept = np.delete(np.arange(probe.n_samples), [0, 7])
    np.testing.assert_array_equal(run.probe.ids, ids[kept])
    np.testing.assert_array_equal(run.probe.inputs, probe.inputs[kept])
    found = run.activations(7, "..")
    np.testing.assert_array_equal(found, data[7, ".."].reshape(len(ids), -1)[kept])
    with pytest.raises(InputError, match="expected sample ids of 120 samples"):
        ProbeSet(probe.inputs, probe.labels, ids=ids[:-1])


@pytest.mark.parametrize("length", [0, 100, -1, -4096])
def test_step_truncated_after_others_were_read_is_refused(run, length):
    for layer in run.layers:
        run.activations(0, layer.name)
    path = run.step_file(7)
    path.write_bytes(path.read_bytes()[:length])
    for name in ("a/b", "fc[1]"):
        with pytest.raises(RunFileError, match=r"step_000000000007\.h5: .*bytes"):
            run.activations(7, name)


def test_step_replaced_by_a_pipe_or_removed_does_not_hang(run):
    for _ in range(2):
        run.activations(0, "..")
    path = run.step_file(7)
    path.unlink()
    with pytest.raises(RunFileError, match="cannot be read") as error:
        run.activations(7, "..")
    assert "--resume" in error.value.hint
    os.mkfifo(path)
    with pytest.raises(RunFileError, match="expected a regular file"):
        run.activations(7, "..")
