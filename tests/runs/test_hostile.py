"""Files made to mislead a reader: one clear error, nothing read outside the file, no hang."""

import os
import resource
import shutil
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest

from infoplane.cli.main import run as command
from infoplane.errors import DataError, InfoplaneError, RunFileError
from infoplane.runs.pack import pack
from infoplane.runs.run import Run
from infoplane.runs.verify import verify
from tests.processes import LONG
from tests.runs.test_run import write_run

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

SHAPE = (120, 1, 2)
ACT = "layers/L0000/act"


@pytest.fixture
def run(tmp_path, probe):
    write_run(tmp_path / "s0", probe, names=("fc\n1/..", "fc2"))
    return Run(tmp_path / "s0")


def limited(function, seconds=5, memory=2 << 30):
    """Call a function in a child process of limited processor time, waiting time and memory.

    Return the exception that it raised, as text; None if there was none.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(max(LONG, 8 * seconds))  # a busy machine may be that slow
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        resource.setrlimit(resource.RLIMIT_CPU, (int(used) + seconds + 1,) * 2)
        address_space = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
        resource.setrlimit(resource.RLIMIT_AS, (address_space + memory,) * 2)
        said = ""
        try:
            function()
        except InfoplaneError as error:
            said = f"{type(error).__name__}: {error}"
        except BaseException as error:  # noqa: BLE001  - told to the parent
            said = f"unexpected {type(error).__name__}: {error}"
        os.write(writer, said.encode()[:4000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, f"killed by {signal.Signals(-status).name}"
    return said or None


def read_all(path):
    """Read everything that analyze would."""
    run = Run(path)
    run.check()
    run.content_hash()
    assert run.probe.n_samples == run.n_samples
    for step in run.steps:
        for layer in run.layers:
            run.activations(step, layer.name, verify=True)


def refused(path):
    said = limited(lambda: read_all(path))
    assert said is not None
    assert said.startswith(("RunFileError: ", "DataError: ")), said
    assert str(path) in said
    assert "\n" not in said
    return said


def external_storage(file, fifo):
    file.create_dataset(ACT, SHAPE, np.float32, external=[(str(fifo), 0, 960)])


def external_link(file, fifo):
    file[ACT] = h5py.ExternalLink(str(fifo), "/act")


def external_link_in_the_middle(file, fifo):
    del file["layers"]
    file["layers"] = h5py.ExternalLink(str(fifo), "/layers")


def soft_link(file, fifo):
    file[ACT] = h5py.SoftLink("/layers/L0001/act")


def soft_link_loop(file, fifo):
    file[ACT] = h5py.SoftLink("/" + ACT)


def hard_link_loop(file, fifo):
    del file["layers/L0000"]
    file["layers/L0000"] = file["layers"]


def virtual(file, fifo):
    layout = h5py.VirtualLayout(SHAPE, np.float32)
    layout[:] = h5py.VirtualSource(str(fifo), "act", SHAPE)
    file.create_virtual_dataset(ACT, layout)


def objects(file, fifo):
    file.create_dataset(ACT, data=["a", "b"], dtype=h5py.string_dtype())


def compound(file, fifo):
    file.create_dataset(ACT, data=np.zeros(SHAPE, [("x", "f4"), ("y", "i4")]))


def references(file, fifo):
    file.create_dataset(ACT, data=np.full(SHAPE, file.ref), dtype=h5py.ref_dtype)


def bits_of_half_a_float(file, fifo):
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_size(2)
    kind.set_ebias(127)
    h5py.h5d.create(file["layers/L0000"].id, b"act", kind, h5py.h5s.create_simple(SHAPE))


def big_endian(file, fifo):
    file.create_dataset(ACT, data=np.zeros(SHAPE, ">f4"))


def four_tebibytes(file, fifo):
    file.create_dataset(ACT, (120, 1, 2**33), np.float32)


def more_than_64_bits(file, fifo):
    file.create_dataset(ACT, (120, 2**31, 2**31), np.float32, chunks=(1, 1, 1024))


def bomb(file, fifo):
    file.create_dataset(
        ACT, (120, 1, 2**26), np.float32, chunks=(1, 1, 2**26), compression="gzip", fillvalue=0
    )


def chunked(file, fifo):
    file.create_dataset(ACT, data=np.zeros(SHAPE, np.float32), chunks=(10, 1, 2))


def compact(file, fifo):
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple(SHAPE)
    group = file["layers/L0000"].id
    h5py.h5d.create(group, b"act", h5py.h5t.NATIVE_FLOAT, space, dcpl=properties)


def unallocated(file, fifo):
    file.create_dataset(ACT, SHAPE, np.float32)


def scalar(file, fifo):
    file[ACT] = np.float32(1)


def no_values(file, fifo):
    file[ACT] = h5py.Empty("f")


def no_rows(file, fifo):
    file[ACT] = np.zeros((0, 1, 2), np.float32)


def other_shape(file, fifo):
    file[ACT] = np.zeros((120, 2, 1), np.float32)


def other_dtype(file, fifo):
    file[ACT] = np.zeros(SHAPE, np.float64)


def a_group(file, fifo):
    file.create_group(ACT)


def nothing(file, fifo):
    pass


DATASETS = [
    external_storage,
    external_link,
    external_link_in_the_middle,
    soft_link,
    soft_link_loop,
    hard_link_loop,
    virtual,
    objects,
    compound,
    references,
    bits_of_half_a_float,
    big_endian,
    four_tebibytes,
    more_than_64_bits,
    bomb,
    chunked,
    compact,
    unallocated,
    scalar,
    no_values,
    no_rows,
    other_shape,
    other_dtype,
    a_group,
    nothing,
]


@pytest.mark.parametrize("attack", DATASETS, ids=lambda attack: attack.__name__)
def test_dataset_that_is_not_plain_numbers_in_the_file(run, tmp_path, attack):
    fifo = tmp_path / "secret"
    os.mkfifo(fifo)  # whoever opens it waits until the alarm
    with h5py.File(run.step_file(7), "a") as file:
        del file[ACT]
        attack(file, fifo)
    said = refused(run.path)
    assert "step_000000000007.h5: " in said


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "packed"])
@pytest.mark.parametrize(
    "attack",
    [external_storage, external_link, soft_link, virtual, objects, four_tebibytes, bomb, scalar],
    ids=lambda attack: attack.__name__,
)
def test_probe_set_that_is_not_plain_numbers(run, tmp_path, attack, packed):
    fifo = tmp_path / "secret"
    os.mkfifo(fifo)
    path = tmp_path / "s0.h5" if packed else run.path / "probe.h5"
    if packed:
        pack(run, path)
    with h5py.File(path, "a") as file:
        attack(file, fifo)
        group = file["probe"] if packed else file
        del group["labels"]
        file.move(ACT, f"{group.name}/labels")
    refused(path if packed else run.path)


@pytest.mark.parametrize("name", ["manifest.json", "probe.h5", "steps/step_000000000007.h5"])
@pytest.mark.parametrize("kind", ["fifo", "folder", "dangling", "loop", "empty", "text", "sparse"])
def test_file_that_is_none(run, name, kind):
    path = run.path / name
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "dangling":
        path.symlink_to("nowhere")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "sparse":
        with path.open("wb") as file:
            file.truncate(1 << 42)
    else:
        path.write_text("" if kind == "empty" else "GIF89a, perhaps")
    refused(run.path)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 100_000, "9" * 10_000, '{"format": "infoplane.recording"}', "nan"],
    ids=["brackets", "braces", "digits", "bare", "nan"],
)
def test_metadata_that_is_no_description(run, text):
    (run.path / "manifest.json").write_text(text)
    refused(run.path)


@pytest.mark.parametrize(
    "change",
    [
        {"n_samples": -1},
        {"step": 8},
        {"step": "7"},
        {"layers": []},
        {"layers": {}},
        {"layers": None},
        {"layers": [{"name": "x"}]},
        {"metrics": {"loss": "much"}},
        {"metrics": []},
        {"metrics": {"loss": 10**400}},
        {"epoch": {}},
        {"version": 2},
        {"version": True},
        {"format": "other"},
        {"provenance": 3},
        {"gradients": {"fc2": 3}},
    ],
    ids=str,
)
def test_metadata_of_a_step_that_does_not_fit(run, change):
    rewrite_metadata(run.step_file(7), lambda meta: meta.update(change))
    refused(run.path)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [10**30]},
        {"shape": [-1, 2]},
        {"shape": 3},
        {"dtype": "O"},
        {"crc32": -5},
        {"name": "fc2"},
        {"noise": "some"},
    ],
    ids=str,
)
def test_layer_that_does_not_fit(run, change):
    for step in run.steps:
        rewrite_metadata(run.step_file(step), lambda meta: meta["layers"][0].update(change))
    refused(run.path)


def rewrite_metadata(path, change):
    import json

    with h5py.File(path, "a") as file:
        meta = json.loads(bytes(file["meta"][...]))
        change(meta)
        meta.pop("meta_crc32", None)
        del file["meta"]
        file["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)


def test_packed_index_that_does_not_fit(run, tmp_path):
    pack(run, tmp_path / "whole.h5")
    for index in (np.array([7, 0]), np.array([0, 0]), np.array([[0, 7]]), np.array([-1, 7]), 5):
        path = tmp_path / "s0.h5"
        shutil.copy(tmp_path / "whole.h5", path)
        with h5py.File(path, "a") as file:
            del file["steps/index"]
            file["steps/index"] = index
        refused(path)


def test_names_stay_on_one_line(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for step in run.steps:
        rewrite_metadata(
            run.step_file(step), lambda meta: meta["layers"][0].update(name="../a\n\x1b[31mb\0")
        )
    assert command(["analyze", "s0", "-q", "--no-cache", "-e", "binning", "-o", "r.json"]) == 0
    said = capsys.readouterr().out
    assert "\x1b[31m" not in said
    assert "\0" not in said
    path = run.step_file(7)
    path.write_bytes(path.read_bytes()[:-9])
    assert command(["analyze", "s0", "-q", "--no-cache", "-e", "binning", "-o", "x.json"]) == 3
    assert len(capsys.readouterr().err.splitlines()) == 2  # the error and its hint
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["r.json", "s0"]


def test_truncated_at_every_boundary(run, tmp_path):
    pack(run, tmp_path / "s0.h5")
    for path, where in (
        (run.step_file(7), run.path),
        (run.path / "probe.h5", run.path),
        (tmp_path / "s0.h5", tmp_path / "s0.h5"),
    ):
        data = path.read_bytes()
        ends = {*range(100), *range(100, len(data), max(1, len(data) // 40)), len(data) - 1}

        def every(path=path, where=where, data=data, ends=ends):
            for end in sorted(ends):
                path.write_bytes(data[:end])
                with pytest.raises((RunFileError, DataError)):
                    read_all(where)

        assert limited(every, seconds=60) is None
        path.write_bytes(data)
    read_all(run.path)


def mutated(data, rng):
    """Return data with a few bytes changed, a part moved, or the end cut off."""
    data = bytearray(data)
    kind = rng.integers(8)
    if kind == 0:
        return bytes(data[: rng.integers(len(data))])
    if kind == 1:
        first, second, length = rng.integers(len(data), size=3)
        part = data[first : first + length % 512]
        data[second : second + len(part)] = part
        return bytes(data)
    for _ in range(rng.integers(1, 9)):
        # Mostly where the structure stands: the head, and around texts and numbers of HDF5.
        where = (
            rng.integers(min(len(data), 4096)) if rng.random() < 0.7 else rng.integers(len(data))
        )
        data[where] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)])
    return bytes(data)


def fuzz(run, tmp_path, count):
    """Read runs of which one file was mutated; return how many were refused."""
    pack(run, tmp_path / "s0.h5")
    targets = [
        (run.step_file(7), run.path),
        (run.step_file(7), run.path),
        (run.path / "probe.h5", run.path),
        (run.path / "manifest.json", run.path),
        (tmp_path / "s0.h5", tmp_path / "s0.h5"),
    ]
    tally = tmp_path / "tally"
    tally.write_text("")
    for batch in range(0, count, 50):

        def some(batch=batch):
            outcomes = 0
            for index in range(batch, min(batch + 50, count)):
                path, where = targets[index % len(targets)]
                data = path.read_bytes()
                path.write_bytes(mutated(data, np.random.default_rng(index)))
                (tmp_path / "last").write_text(str(index))
                try:
                    read_all(where)
                    verify(Run(where))
                except (RunFileError, DataError) as error:
                    assert "\n" not in str(error)  # noqa: PT017
                    outcomes += 1
                finally:
                    path.write_bytes(data)
            with tally.open("a") as file:
                file.write(f"{outcomes}\n")

        assert limited(some, seconds=60) is None, (tmp_path / "last").read_text()
    return sum(map(int, tally.read_text().split()))


def test_mutated_files(run, tmp_path):
    assert 50 < fuzz(run, tmp_path, 150) < 150


@pytest.mark.slow
def test_thousands_of_mutated_files(run, tmp_path):
    refused_ones = fuzz(run, tmp_path, 6000)
    print(f"{refused_ones} of 6000 refused")
    assert 2000 < refused_ones < 6000
