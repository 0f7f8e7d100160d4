from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from infoplane.data import class_ids
from infoplane.errors import DataError, InfoplaneError, InputError, RunFileError
from infoplane.recording.checkpoints.models import load_model
from infoplane.recording.probes.named import load_probe


def test_model_from_file_and_module(project):
    assert isinstance(load_model("net.py:build"), nn.Sequential)
    assert isinstance(load_model("net:build"), nn.Sequential)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("net.py", "expected MODULE:CALLABLE"),
        ("net.py:", "expected MODULE:CALLABLE"),
        ("missing.py:build", "no such file"),
        ("no_such_module:build", "ModuleNotFoundError"),
        ("net.py:bild", "AttributeError"),
        ("net.py:OrderedDict", "expected a torch.nn.Module, got OrderedDict"),
        ("broken.py:build", r"broken.py:3: ZeroDivisionError"),
        ("syntax.py:build", "SyntaxError"),
        ("ends.py:build", r"ends.py:3: SystemExit: it ended the program with exit\(0\)"),
        ("ends_at_once.py:build", r"ends_at_once.py:2: SystemExit: .*exit\(\)"),
    ],
)
def test_unusable_model_is_told_in_one_line(project, reference, message):
    Path("broken.py").write_text("\ndef build():\n    1 / 0\n")
    Path("syntax.py").write_text("def build(:\n")
    Path("ends.py").write_text("import sys\ndef build():\n    sys.exit(0)\n")
    Path("ends_at_once.py").write_text("import sys\nsys.exit()\n")
    with pytest.raises(InputError, match=message) as error:
        load_model(reference)
    assert "\n" not in str(error.value)
    assert "<frozen" not in str(error.value)
    assert "importlib" not in str(error.value)


def test_interrupt_of_user_code_passes(project):
    Path("slow.py").write_text("def build():\n    raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load_model("slow.py:build")


def test_npz(project, probe):
    found = load_probe("probe.npz")
    np.testing.assert_array_equal(found.inputs, probe.inputs)
    np.testing.assert_array_equal(found.labels, probe.labels)


def test_callables(project, probe):
    Path("data.py").write_text(
        "import numpy as np, torch\n"
        "from torch.utils.data import TensorDataset\n"
        "with np.load('probe.npz') as z:\n"
        "    x, y = torch.tensor(z['inputs']), torch.tensor(z['labels'])\n"
        "def pair(): return x, y\n"
        "def dataset(): return TensorDataset(x, y)\n"
        "constant = (x, y)\n"
        "def nothing(): return 3\n"
    )
    for name in ("pair", "dataset", "constant"):
        found = load_probe(f"data.py:{name}")
        np.testing.assert_array_equal(found.inputs, probe.inputs)
        np.testing.assert_array_equal(found.labels, probe.labels)
    with pytest.raises(DataError, match="got int"):
        load_probe("data.py:nothing")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"inputs": np.zeros((4, 2)), "classes": np.zeros(4)}, "labels is missing"),
        ({"labels": np.zeros(4)}, "inputs is missing"),
        ({"inputs": np.zeros((4, 2)), "labels": np.zeros(3)}, r"shape \(4,\), got \(3,\)"),
        ({"inputs": np.full((4, 2), np.nan), "labels": np.zeros(4)}, "NaN or inf in 4 of 4 rows"),
        ({"inputs": np.zeros((4, 2)), "labels": np.full(4, np.nan)}, "finite targets"),
        ({"inputs": np.zeros((4, 2)), "labels": np.zeros((4, 2, 3))}, r"got \(4, 2, 3\)"),
        ({"inputs": np.zeros((1, 2)), "labels": np.zeros(1)}, "at least 2 probe samples"),
        ({"inputs": np.zeros((0, 2)), "labels": np.zeros(0)}, "at least 2 probe samples"),
        ({"inputs": np.array([{}, {}]), "labels": np.zeros(2)}, "plain arrays"),
        ({"inputs": np.array(["a", "b"]), "labels": np.zeros(2)}, "real numbers, got dtype <U1"),
        ({"inputs": np.zeros((2, 3), complex), "labels": np.zeros(2)}, "got dtype complex128"),
        ({"inputs": np.zeros((2, 3), np.longdouble), "labels": np.zeros(2)}, "got dtype"),
        ({"inputs": np.zeros((2, 3)), "labels": np.full(2, 2.0**64)}, "do not fit 64 bits"),
        ({"inputs": np.zeros((2, 3)), "labels": np.full(2, 2**63, "u8")}, "do not fit 64 bits"),
    ],
)
def test_unusable_npz(tmp_path, arrays, message):
    path = tmp_path / "p.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=message) as error:
        load_probe(str(path))
    assert "p.npz" in str(error.value)


def test_damaged_and_missing_npz(tmp_path, project):
    data = Path("probe.npz").read_bytes()
    for content in (b"", b"PK\x03\x04", data[: len(data) // 2], b"\x93NUMPY\x01\x00"):
        Path("p.npz").write_bytes(content)
        with pytest.raises(InfoplaneError, match=r"p\.npz"):
            load_probe("p.npz")
    with pytest.raises(RunFileError, match="no such file"):
        load_probe("q.npz")
    np.save("a.npy", np.zeros(3))
    Path("a.npy").rename("a.npz")
    with pytest.raises(RunFileError, match=r"a.npz: not a readable .npz file"):
        load_probe("a.npz")


def test_damaged_compressed_npz(tmp_path):
    path = tmp_path / "p.npz"
    np.savez_compressed(path, inputs=np.arange(9000.0).reshape(-1, 3), labels=np.zeros(3000, int))
    data = path.read_bytes()
    for at in range(0, len(data), 150):
        path.write_bytes(data[:at] + bytes(20) + data[at + 20 :])
        with pytest.raises((RunFileError, DataError), match=r"p\.npz: ") as error:
            load_probe(str(path))
        assert "\n" not in str(error.value)


def test_samples_are_stratified_seeded_and_in_order(tmp_path):
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    np.savez(tmp_path / "p.npz", inputs=np.arange(1000.0)[:, None], labels=labels)
    reference = str(tmp_path / "p.npz")
    one, again, other = (load_probe(reference, 100, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(np.bincount(one.labels), [60, 30, 10])
    np.testing.assert_array_equal(one.inputs, again.inputs)
    assert not np.array_equal(one.inputs, other.inputs)
    assert (np.diff(one.inputs[:, 0]) > 0).all()
    assert load_probe(reference, 5000).n_samples == 1000
    with pytest.raises(DataError, match="at least 2 samples"):
        load_probe(reference, 1)


def test_string_labels_become_class_ids(tmp_path):
    np.savez(tmp_path / "p.npz", inputs=np.zeros((3, 1)), labels=np.array(["dog", "cat", "dog"]))
    np.testing.assert_array_equal(load_probe(str(tmp_path / "p.npz")).labels, [1, 0, 1])


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", "i1", "u1", "i8", "u8", "?"])
def test_class_ids_of_all_dtypes(dtype):
    found = class_ids(np.array([0, 1, 1], dtype))  # warnings are errors
    assert (found.dtype, found.tolist()) == (np.int64, [0, 1, 1])


@pytest.mark.parametrize(
    "labels",
    [
        np.array([-(2**63), 2**63 - 1]),
        np.array([0, 2**63 - 1], "u8"),
        np.array([-(2.0**63), 2.0**63 - 1024]),
        np.array([-65504, 65504], "f2"),
    ],
)
def test_class_ids_up_to_the_ends_of_64_bits(labels):
    assert class_ids(labels).tolist() == [int(label) for label in labels]


def test_torch_labels_and_float_class_ids(tmp_path):
    np.savez(tmp_path / "p.npz", inputs=np.zeros((3, 1)), labels=np.array([2.0, 0.0, 1.0]))
    found = load_probe(str(tmp_path / "p.npz"))
    assert found.labels.dtype == np.int64
    assert torch.from_numpy(found.labels).tolist() == [2, 0, 1]


def test_foreign_byte_order_becomes_native(tmp_path):
    inputs = np.arange(6.0).reshape(3, 2)
    np.savez(tmp_path / "p.npz", inputs=inputs.astype(">f4"), labels=np.arange(3).astype(">i8"))
    found = load_probe(str(tmp_path / "p.npz"))
    assert found.inputs.dtype == np.dtype("=f4")
    assert found.inputs.dtype.isnative
    np.testing.assert_array_equal(found.inputs, inputs)
    assert found.labels.tolist() == [0, 1, 2]


DATA = """
import numpy as np, torch
from torch.utils.data import DataLoader, Dataset, TensorDataset
with np.load('probe.npz') as z:
    x, y = torch.tensor(z['inputs']), torch.tensor(z['labels'])

class Endless(Dataset):  # never raises IndexError
    def __len__(self): return len(x)
    def __getitem__(self, i): return x[i % len(x)], y[i % len(x)]

def endless(): return Endless()
def loader(): return DataLoader(TensorDataset(x, y), batch_size=50)
def mapping(): return dict(inputs=x, labels=y.numpy())
def rows(): return [(a, int(b)) for a, b in zip(x, y)]
def generated(): return zip(x, y)
def aslist(): return [x, y]
def two(): return rows()[:2]

class Broken(Endless):
    def __getitem__(self, i): return 1 / 0
def broken(): return Broken()
def ends(): return (exit(3) for _ in range(2))
def triples(): return TensorDataset(x, y, y)
def ragged(): return [(torch.zeros(i + 1), 0) for i in range(3)]
def words(): return [("a", 0), ("b", 1)]
def text(): return "xy"
def nothing(): return []
def three(): return (x, y, y)
def odd(): return [[1.0, 2.0], [1.0]], [0, 1]
def sparse(): return x.to_sparse(), y
def complex(): return x.to(torch.complex64), y
"""


@pytest.mark.parametrize(
    "name", ["endless", "loader", "mapping", "rows", "generated", "aslist", "two"]
)
def test_what_a_data_callable_may_return(project, probe, name):
    Path("data.py").write_text(DATA)
    found = load_probe(f"data.py:{name}")
    n = 2 if name == "two" else probe.n_samples
    np.testing.assert_array_equal(found.inputs, probe.inputs[:n])
    np.testing.assert_array_equal(found.labels, probe.labels[:n])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", r"data.py:\d+: ZeroDivisionError"),
        ("ends", r"exit\(3\)"),
        ("triples", "got tuple of 3 at 0"),
        ("ragged", "arrays of one shape"),
        ("words", "arrays of one shape"),
        ("text", "got str"),
        ("nothing", "one shape"),
        ("three", "got tuple of 3"),
        ("odd", "array of numbers"),
        ("sparse", "dense"),
        ("complex", "complex64"),
    ],
)
def test_unusable_data_callable_is_told_in_one_line(project, name, message):
    Path("data.py").write_text(DATA)
    with pytest.raises(InfoplaneError, match=message) as error:
        load_probe(f"data.py:{name}")
    assert "data.py" in str(error.value)
    assert "\n" not in str(error.value)
