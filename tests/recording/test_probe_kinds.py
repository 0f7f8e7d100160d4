"""Probe sets of every kind, read against what was written; and files that are not what they say."""

import gzip
import io
import os
import resource
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from infoplane.errors import DataError, InfoplaneError, InputError, RunFileError
from infoplane.recording.probes.from_arrays import as_probe
from infoplane.recording.probes.named import load_probe, load_splits
from infoplane.recording.recorder import Recorder
from infoplane.runs.pack import pack
from infoplane.runs.run import Run
from infoplane.runs.verify import verify
from tests.recording.test_tensor_files import F32, write

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = np.arange(40) % 4


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def same(probe, x=X, y=Y):
    np.testing.assert_array_equal(probe.inputs, x)
    assert (probe.labels is None) == (y is None)
    if y is not None:
        np.testing.assert_array_equal(probe.labels, y)


def save_npy():
    np.save("x.npy", X)
    np.save("y.npy", Y)


def save_fortran():
    np.save("x.npy", np.asfortranarray(X))
    np.save("y.npy", Y.astype(">i2"))


def save_h5(**options):
    with h5py.File("p.h5", "w") as file:
        file.create_dataset("inputs", data=X, **options)
        file.create_dataset("labels", data=Y)


def save_safetensors():
    header = {
        "inputs": {"dtype": "F32", "shape": [40, 3], "data_offsets": [0, 480]},
        "labels": {"dtype": "I64", "shape": [40], "data_offsets": [480, 800]},
    }
    write(header, X.tobytes() + Y.astype(np.int64).tobytes(), "p.safetensors")


def idx(array, code):
    head = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize(
    ("save", "reference", "options"),
    [
        (save_npy, "x.npy", {"labels": "y.npy"}),
        (save_fortran, "x.npy", {"labels": "y.npy"}),
        (save_h5, "p.h5", {}),
        (save_h5, "p.h5:inputs,labels", {}),
        (lambda: save_h5(compression="gzip", chunks=(7, 2), shuffle=True), "p.h5", {}),
        (save_safetensors, "p.safetensors", {}),
        (lambda: np.savez("p.npz", a=X, b=Y, c=Y), "p.npz:a,b", {}),
        (lambda: np.savez_compressed("p.npz", inputs=X, labels=Y), "p.npz", {}),
        (lambda: np.savez("p.npz", inputs=X, labels=np.eye(4)[Y]), "p.npz", {}),
        (lambda: np.savez("p.npz", inputs=X, y=Y[:, None]), "p.npz", {}),
    ],
)
def test_files_of_arrays(save, reference, options):
    save()
    probe = load_probe(reference, **options)
    same(probe)
    np.testing.assert_array_equal(probe.ids, np.arange(40))


@pytest.mark.parametrize("packed", [True, False])
def test_idx_images_are_scaled_and_have_a_channel(packed):
    images = np.random.default_rng(0).integers(0, 256, (40, 5, 6)).astype(np.uint8)
    suffix = ".gz" if packed else ""
    for name, array in (("images-idx3", images), ("labels-idx1", Y.astype(np.uint8))):
        data = idx(array, 8)
        Path(f"t10k-{name}-ubyte{suffix}").write_bytes(gzip.compress(data) if packed else data)
    probe = load_probe(f"t10k-images-idx3-ubyte{suffix}", labels=f"t10k-labels-idx1-ubyte{suffix}")
    same(probe, images[:, None].astype(np.float32) / np.float32(255))
    assert probe.inputs.dtype == np.float32


def test_folder_of_images():
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 4, 5, 3)).astype(np.uint8)
    for index, (kind, name) in enumerate(zip("ddccbb", "badcfe", strict=True)):
        Path("photos", kind).mkdir(parents=True, exist_ok=True)
        image.fromarray(pixels[index]).save(f"photos/{kind}/{name}.png")
    Path("photos/b/notes.txt").write_text("not an image")
    probe = load_probe("photos")
    order = [5, 4, 3, 2, 1, 0]  # by class, then by name
    same(probe, pixels[order].transpose(0, 3, 1, 2) / np.float32(255), [0, 0, 1, 1, 2, 2])
    image.fromarray(pixels[0, :3]).save("photos/c/z.png")
    with pytest.raises(DataError, match=r"z\.png: expected images of one size"):
        load_probe("photos")
    Path("photos/c/z.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(RunFileError, match=r"z\.png: not a readable image"):
        load_probe("photos")
    Path("none").mkdir()
    with pytest.raises(DataError, match="expected images, or a sub-folder"):
        load_probe("none")


def test_classes_of_one_name_have_one_id_in_all_splits():
    np.savez("train.npz", inputs=X[:6], labels=["cat", "dog", "owl", "cat", "dog", "owl"])
    np.savez("test.npz", inputs=X[:3], labels=["owl", "cat", "owl"])
    probe = load_splits({"train": "train.npz", "test": "test.npz"})
    assert probe.labels.tolist() == [0, 1, 2, 0, 1, 2, 2, 0, 2]
    np.savez("plain.npz", inputs=X[:3], labels=[0, 1, 0])
    with pytest.raises(DataError, match="classes have names in 'train', none in 'test'"):
        load_splits({"train": "train.npz", "test": "plain.npz"})
    image = pytest.importorskip("PIL.Image")
    for number, place in enumerate(["one/a", "one/b", "two/b"]):
        Path(place).mkdir(parents=True)
        for index in range(2):
            image.new("L", (3, 2), number).save(f"{place}/{index}.png")
    assert load_splits({"one": "one", "two": "two"}).labels.tolist() == [0, 0, 1, 1, 1, 1]


def test_depth_of_images_is_heeded():
    image = pytest.importorskip("PIL.Image")
    Path("deep").mkdir()
    deep = np.array([[0, 255, 256], [1000, 40000, 65535]], np.uint16)
    image.fromarray(deep).save("deep/0.png")
    image.fromarray((deep // 257).astype(np.uint8)).save("deep/1.png")
    found = load_probe("deep").inputs[:, 0]
    np.testing.assert_array_equal(found[0], deep.astype(np.float32) / np.float32(65535))
    np.testing.assert_allclose(found[1], found[0], atol=1 / 255)
    image.fromarray(np.linspace(0, 9, 6, dtype=np.float32).reshape(2, 3)).save("deep/2.tif")
    with pytest.raises(RunFileError, match=r"2\.tif: not a readable image \(expected 8 or 16 bits"):
        load_probe("deep")


def test_samples_are_chosen_before_images_are_read():
    image = pytest.importorskip("PIL.Image")
    for kind in "ab":
        Path("photos", kind).mkdir(parents=True)
        for index in range(20):
            image.new("L", (3, 2), index).save(f"photos/{kind}/{index:02d}.png")
    probe = load_probe("photos", 10, 3)
    assert np.bincount(probe.labels).tolist() == [5, 5]
    np.testing.assert_array_equal(np.round(255 * probe.inputs[:, 0, 0, 0]), probe.ids % 20)


def test_ids_are_the_rows_of_the_source():
    np.savez("p.npz", inputs=X, labels=Y)
    probe = load_probe("p.npz", 12, 5)
    np.testing.assert_array_equal(probe.inputs, X[probe.ids])
    np.testing.assert_array_equal(probe.labels, Y[probe.ids])


def test_targets_that_are_no_classes(caplog):
    np.savez("p.npz", inputs=X, labels=X[:, 0])
    probe = load_probe("p.npz")
    assert probe.labels is None
    np.testing.assert_array_equal(probe.targets, X[:, 0])
    assert not caplog.text
    binned = load_probe("p.npz", label_bins=4)
    assert np.bincount(binned.labels).tolist() == [10, 10, 10, 10]
    assert (np.diff(binned.labels[np.argsort(X[:, 0])]) >= 0).all()
    np.savez("v.npz", inputs=X, labels=X)
    np.testing.assert_array_equal(load_probe("v.npz").targets, X)
    with pytest.raises(DataError, match="expected scalar targets"):
        load_probe("v.npz", label_bins=4)
    np.savez("n.npz", inputs=X)
    same(load_probe("n.npz"), y=None)
    assert "no labels: I(T;Y) will not be estimated" in caplog.text


IDS = np.arange(40 * 6).reshape(40, 6) % 11
MASK = (np.arange(6) < 2 + Y[:, None]).astype(np.int64)

CODE = """
import numpy as np, torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

with np.load("tokens.npz") as z:
    ids, mask, y = (torch.tensor(z[k]) for k in ("input_ids", "attention_mask", "labels"))

class Rows(Dataset):
    def __len__(self): return len(y)
    def __getitem__(self, i): return dict(input_ids=ids[i], attention_mask=mask[i], labels=y[i])

class Pairs(Rows):
    def __getitem__(self, i): return (ids[i], mask[i]), y[i]

class Lists(Rows):
    def __getitem__(self, i): return dict(input_ids=ids[i].tolist(), labels=int(y[i]))

class Ragged(Rows):
    def __getitem__(self, i): return dict(input_ids=ids[i][: 2 + i % 3].tolist(), labels=int(y[i]))

def rows(): return Rows()
def loader(): return DataLoader(Rows(), batch_size=7)
def mapping(): return dict(input_ids=ids, attention_mask=mask, labels=y)
def nested(): return dict(inputs=dict(input_ids=ids, attention_mask=mask), labels=y)
def pairs(): return Pairs()
def pair(): return (ids, mask), y
def lists(): return Lists()
def ragged(): return Ragged()
def shuffled(): return DataLoader(TensorDataset(ids, y), batch_size=7, shuffle=True)
def bare(): return TensorDataset(ids)
def tensor(): return ids
def some(): return [(ids[0], 1), ids[1], ids[2]]

class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.out = nn.Embedding(11, 4), nn.Linear(4, 4)
    def forward(self, input_ids, attention_mask):
        h = self.embed(input_ids) * attention_mask[..., None]
        return self.out(h.sum(1) / attention_mask.sum(1, keepdim=True))

def build(): return Encoder()
"""


@pytest.fixture
def tokens():
    np.savez("tokens.npz", input_ids=IDS, attention_mask=MASK, labels=Y)
    Path("tok.py").write_text(CODE)


@pytest.mark.parametrize("name", ["rows", "loader", "mapping", "nested", "pairs", "pair", "npz"])
def test_several_inputs(tokens, name):
    probe = load_probe("tokens.npz" if name == "npz" else f"tok.py:{name}")
    by_position = name.startswith("pair")
    assert list(probe.arguments) == (["0", "1"] if by_position else ["input_ids", "attention_mask"])
    for found, expected in zip(probe.arguments.values(), (IDS, MASK), strict=True):
        np.testing.assert_array_equal(found, expected)
    same(probe, np.concatenate([IDS, MASK], axis=1))
    same(load_probe("tokens.npz", x="input_ids"), IDS)
    with pytest.raises(DataError, match="expected an input 'pixels', found input_ids"):
        load_probe("tokens.npz", x="pixels")


def test_a_probe_set_is_taken_as_it_is():
    Path("sets.py").write_text(
        "import numpy as np\n"
        "from infoplane.recording.probes.from_arrays import as_probe, joined\n"
        "g = np.random.default_rng(0)\n"
        "def one(n, labels=True):\n"
        "    named = {'a': g.normal(size=(n, 3)), 'b': g.normal(size=(n, 2))}\n"
        "    y = np.arange(n) % 2 if labels else g.normal(size=n)\n"
        "    return as_probe(named, y, x='b', ids=100 + np.arange(n))\n"
        "def whole(): return one(12)\n"
        "def real(): return one(12, False)\n"
        "def splits(): return joined({'train': one(12), 'test': one(8)})\n"
    )
    probe = load_probe("sets.py:whole")
    np.testing.assert_array_equal(probe.inputs, probe.arguments["b"])  # the X that it chose
    np.testing.assert_array_equal(probe.ids, 100 + np.arange(12))
    some = load_probe("sets.py:splits", samples=4)
    assert some.splits == {"train": 4, "test": 4}
    assert [np.bincount(some.labels[rows]).tolist() for rows in some.parts] == [[2, 2], [2, 2]]
    assert load_probe("sets.py:splits").splits == {"train": 12, "test": 8}
    real = load_probe("sets.py:real", label_bins=3)
    assert real.targets.dtype == np.float64
    assert np.bincount(real.labels).tolist() == [4, 4, 4]
    for option in ({"x": "a"}, {"labels": "y.npy"}):
        with pytest.raises(InputError, match="returns a ProbeSet, which says itself"):
            load_probe("sets.py:whole", **option)
    with pytest.raises(DataError, match="'one': expected a probe set without splits of its own"):
        load_splits({"one": "sets.py:splits", "two": "sets.py:whole"})


def test_one_named_input(tokens):
    probe = load_probe("tok.py:lists")
    assert list(probe.arguments) == ["input_ids"]
    same(probe, IDS)
    with pytest.raises(DataError, match="arrays of one shape") as error:
        load_probe("tok.py:ragged")
    assert "pad" in error.value.hint
    with pytest.raises(DataError, match="labels for every sample, 2 have none"):
        load_probe("tok.py:some")
    for name in ("bare", "tensor"):
        same(load_probe(f"tok.py:{name}"), IDS, None)


def test_a_shuffled_loader_gives_the_same_rows_and_leaves_no_trace(tokens):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, again = (load_probe("tok.py:shuffled") for _ in range(2))
    np.testing.assert_array_equal(one.inputs, again.inputs)
    assert not np.array_equal(one.inputs, load_probe("tok.py:shuffled", seed=1).inputs)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["rows", "pairs"])
def test_a_model_with_several_inputs_is_recorded(tokens, name):
    namespace = {}
    exec(CODE, namespace)
    model = namespace["build"]()
    probe = load_probe(f"tok.py:{name}")
    with Recorder(model, probe, "run", layers=["out"], batch_size=16) as recorder:
        recorder.snapshot(0, gradients=torch.nn.functional.cross_entropy, gradient_batch_size=10)
    run = Run(Path("run"))
    with torch.no_grad():
        expected = model(torch.tensor(IDS), torch.tensor(MASK)).numpy()
    np.testing.assert_array_equal(run.activations(0, "out"), expected)
    pack(run, Path("run.h5"))
    for read in (run, Run(Path("run.h5"))):
        np.testing.assert_array_equal(read.probe.inputs, probe.inputs)
        np.testing.assert_array_equal(read.probe.ids, probe.ids)
        assert list(read.probe.arguments) == list(probe.arguments)
        for found, given in zip(
            read.probe.arguments.values(), probe.arguments.values(), strict=True
        ):
            np.testing.assert_array_equal(found, given)
        assert not verify(read)
    few = Run(Path("run"), dropped=(0, 3)).probe
    np.testing.assert_array_equal(few.arguments[next(iter(few.arguments))][0], IDS[1])


def test_unlike_lengths_are_told_of_all():
    with pytest.raises(InfoplaneError, match=r"as many rows, got a \(4, 2\), b \(3, 2\)"):
        as_probe({"a": np.zeros((4, 2)), "b": np.zeros((3, 2))}, np.zeros(4, int))


def test_named_arrays_alone_are_read():
    with h5py.File("p.h5", "w") as file:
        file["train/deep/x"], file["y"], file["names"] = X, Y, ["a", "b"]
        file["gone"] = h5py.ExternalLink("other.h5", "/x")
    for reference in ("p.h5:train/deep/x,y", "p.h5:/train/deep/x,/y"):
        same(load_probe(reference))
    with pytest.raises(DataError, match="no dataset 'train/z'; '/train' holds deep"):
        load_probe("p.h5:train/z,y")
    with pytest.raises(DataError, match="'gone' is a link"):
        load_probe("p.h5:gone,y")
    with pytest.raises(InfoplaneError, match="names,y: expected probe inputs of real numbers"):
        load_probe("p.h5:names,y")
    np.savez("p.npz", x=X, y=Y, names=np.array([{}]))
    same(load_probe("p.npz:x,y"))
    with pytest.raises(DataError, match="array 'names': expected plain"):
        load_probe("p.npz:names,y")


@pytest.mark.parametrize("reference", ["p.npz", "p.npz:inputs,labels", "p.npz:labels,inputs"])
def test_single_numbers_are_no_samples(reference):
    np.savez("p.npz", inputs=np.float32(1), labels=Y)
    with pytest.raises(DataError, match="array 'inputs': expected samples along its first axis"):
        load_probe(reference)


def test_hidden_images_and_folders_are_none_of_the_samples():
    image = pytest.importorskip("PIL.Image")
    for name in ("a/1", "a/2", "b/1", ".ipynb_checkpoints/1", "b/._1"):
        Path("photos", name).parent.mkdir(parents=True, exist_ok=True)
        image.new("L", (3, 2)).save(f"photos/{name}.png")
    Path("photos/a/._1.png").write_bytes(b"\0\5\x16\7")  # as macOS leaves them
    np.testing.assert_array_equal(load_probe("photos").labels, [0, 0, 1])


def test_classes_that_the_samples_miss_are_told(caplog):
    np.savez("p.npz", inputs=X, labels=np.r_[1, 2, np.zeros(38, int)])
    assert load_probe("p.npz").labels.max() == 2
    assert not caplog.text
    load_probe("p.npz", 4)
    assert "p.npz: none of the 4 samples is of 2 rare classes" in caplog.text


def test_labels_of_a_dataset_may_be_names(tokens):
    Path("named.py").write_text(
        "import torch\nfrom torch.utils.data import DataLoader\n"
        "def rows(): return [(torch.tensor([float(i)]), 'ab'[i % 2]) for i in range(6)]\n"
        "def loader(): return DataLoader(rows(), batch_size=4)\n"
    )
    for name in ("rows", "loader"):
        found = load_probe(f"named.py:{name}")
        np.testing.assert_array_equal(found.labels, [0, 1] * 3)
        np.testing.assert_array_equal(found.inputs[:, 0], np.arange(6.0))


def test_inputs_of_unknown_names_are_told_how_to_be_given():
    np.savez("p.npz", x=X, y=Y)
    with (
        Recorder(torch.nn.Sequential(torch.nn.Linear(3, 2)), load_probe("p.npz"), "run") as one,
        pytest.raises(DataError, match="unexpected keyword argument 'x'") as error,
    ):
        one.snapshot(0)
    assert "--data FILE:x,y" in error.value.hint


def npz(shape, data, **options):
    with zipfile.ZipFile("bad.npz", "w", **options) as archive, io.BytesIO() as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        archive.writestr("inputs.npy", file.getvalue() + data)


def hdf5(make):
    with h5py.File("bad.h5", "w") as file:
        file["labels"] = Y
        make(file)


def external(file):
    Path("secret").write_bytes(bytes(480))
    file.create_dataset("inputs", (40, 3), "f4", external=[("secret", 0, 480)])


def virtual(file):
    layout = h5py.VirtualLayout((40, 3), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (40, 3))
    file.create_virtual_dataset("inputs", layout)


def hard_loop(file):
    group = file.create_group("inputs")
    group["again"] = group


def linked(link):
    return lambda: hdf5(lambda file: file.__setitem__("inputs", link))


def holding(data, **options):
    return lambda: hdf5(lambda file: file.create_dataset("inputs", data=data, **options))


def made(name, data):
    return lambda: Path(name).write_bytes(data)


def truncated_npy():
    save_npy()
    Path("bad.npy").write_bytes(Path("x.npy").read_bytes()[:300])


LONG_IDX = b"\0\0\x08\x03" + struct.pack(">3I", 2**14, 2**10, 2**10)
WIDE_IDX = b"\0\0\x08\xff" + b"\xff" * 1020
BOMB_IDX = gzip.compress(b"\0\0\x08\x01" + struct.pack(">I", 2**32 - 1))
LONG_TENSOR = {"inputs": {**F32, "shape": [2**40]}}
RECORDS = np.zeros(40, "f4,i4")
HOSTILE = {
    "npz of 16 GiB": ("bad.npz", lambda: npz((2**34,), bytes(64))),
    "npz that unfolds": ("bad.npz", lambda: npz((2**23,), bytes(2**23), compression=8)),
    "npz of objects": ("bad.npz", lambda: np.savez("bad.npz", inputs=np.array([{}]), labels=Y)),
    "npy of objects": ("bad.npy", lambda: np.save("bad.npy", np.array([{}, {}]))),
    "npy of records": ("bad.npy", lambda: np.save("bad.npy", RECORDS)),
    "npy truncated": ("bad.npy", truncated_npy),
    "fifo npz": ("bad.npz", lambda: os.mkfifo("bad.npz")),
    "fifo h5": ("bad.h5", lambda: os.mkfifo("bad.h5")),
    "h5 external link": ("bad.h5", linked(h5py.ExternalLink("o.h5", "/x"))),
    "h5 soft link": ("bad.h5", linked(h5py.SoftLink("/inputs"))),
    "h5 external storage": ("bad.h5", lambda: hdf5(external)),
    "h5 virtual": ("bad.h5", lambda: hdf5(virtual)),
    "h5 loop": ("bad.h5", lambda: hdf5(hard_loop)),
    "h5 4 TiB": ("bad.h5", holding(None, shape=(2**40,), dtype="f4", chunks=(2**20,))),
    "h5 that unfolds": ("bad.h5", holding(np.zeros(2**23, "u1"), compression="gzip")),
    "h5 compound": ("bad.h5", holding(RECORDS)),
    "h5 objects": ("bad.h5", holding(["a", "b"])),
    "h5 empty": ("bad.h5", holding(h5py.Empty("f4"))),
    "h5 of bytes": ("bad.h5", made("bad.h5", b"\x89HDF\r\n\x1a\n" + bytes(500))),
    "safetensors": ("bad.safetensors", made("bad.safetensors", struct.pack("<Q", 2**62))),
    "long": ("bad.safetensors", lambda: write(LONG_TENSOR, bytes(8), "bad.safetensors")),
    "idx of 16 GiB": ("bad-idx3-ubyte", made("bad-idx3-ubyte", LONG_IDX)),
    "idx of 255 axes": ("bad-idx3-ubyte", made("bad-idx3-ubyte", WIDE_IDX)),
    "idx that unfolds": ("bad-idx1-ubyte.gz", made("bad-idx1-ubyte.gz", BOMB_IDX)),
    "idx damaged": ("bad-idx1-ubyte.gz", made("bad-idx1-ubyte.gz", BOMB_IDX[:-9])),
    "idx of other bytes": ("bad-idx1-ubyte", made("bad-idx1-ubyte", b"hello, world")),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_is_told_in_one_line(name, monkeypatch):
    monkeypatch.setattr("infoplane.recording.probes.hdf5._LEAST", 2**20)  # GiB take long to write
    reference, save = HOSTILE[name]
    save()
    before = _peak()
    with pytest.raises((DataError, RunFileError)) as error:
        load_probe(reference)
    assert str(error.value).startswith("bad")
    assert "\n" not in str(error.value)
    assert _peak() - before < 2**28


def _peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
