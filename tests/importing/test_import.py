import json
import logging
import pickle
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import infoplane
from infoplane.errors import DataError, InfoplaneError, InputError, NotFoundError, RunFileError
from infoplane.importing.held import held_in
from tests.conftest import infoplane_here

N = 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 5)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)
STEPS = (0, 10, 200)
LAYERS = ("conv1", "conv10", "conv2")


def acts(step):
    return {name: np.tanh(X * (i + 1) + step / 100) for i, name in enumerate(LAYERS)}


def nested():
    return {f"step_{step}/{name}": a for step in STEPS for name, a in acts(step).items()}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("acts").mkdir()
    np.save("labels.npy", Y)
    return tmp_path


def npz_by_step():
    for step in STEPS:
        np.savez(f"acts/step_{step}.npz", **acts(step))


def npz_in_one():
    np.savez_compressed("acts/all.npz", **nested())


def npy_in_folders():
    for step in STEPS:
        Path(f"acts/step_{step}").mkdir()
        for name, array in acts(step).items():
            np.save(f"acts/step_{step}/{name}.npy", array)


def npy_in_folders_of_layers():
    for name in LAYERS:
        Path(f"acts/{name}").mkdir()
        for step in STEPS:
            np.save(f"acts/{name}/epoch_{step}.npy", acts(step)[name])


def hdf5():
    with h5py.File("acts/all.h5", "w") as file:
        for name, array in nested().items():
            file.create_dataset(name, data=array, compression="gzip", chunks=True)


def tensors():
    for step in STEPS:
        torch.save({k: torch.tensor(v) for k, v in acts(step).items()}, f"acts/step_{step}.pt")


def tensors_in_one():
    torch.save(
        {f"step_{s}": {k: torch.tensor(v) for k, v in acts(s).items()} for s in STEPS},
        "acts/all.pt",
    )


def arrays_by_torch():
    for step in STEPS:
        torch.save(acts(step), f"acts/step_{step}.pt")


def safetensors():
    for step in STEPS:
        _safetensors(Path(f"acts/step_{step}.safetensors"), acts(step))


def _safetensors(path, arrays):
    header, data = {}, b""
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array).tobytes()
        kind = {"float32": "F32", "int64": "I64", "uint16": "BF16"}[str(array.dtype)]
        span = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": span}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


IN_ORDER = (npz_by_step, npz_in_one, tensors, tensors_in_one, arrays_by_torch)
BY_NAME = (npy_in_folders, npy_in_folders_of_layers, hdf5, safetensors)


@pytest.mark.parametrize("write", IN_ORDER + BY_NAME, ids=lambda one: one.__name__)
def test_forms_of_one_recording_give_one_run(write):
    write()
    run = infoplane.import_arrays("acts", "runs/s0", labels="labels.npy")
    run.check()
    names = list(LAYERS) if write in IN_ORDER else ["conv1", "conv2", "conv10"]
    assert [slot.name for slot in run.layers] == names
    assert run.steps == STEPS
    np.testing.assert_array_equal(run.probe.labels, Y)
    for step in STEPS:
        for name in LAYERS:
            np.testing.assert_array_equal(run.activations(step, name), acts(step)[name])


def thingsvision(kind="npy", suffix=""):
    """What extract_features(output_dir=...) of thingsvision writes, and its dataset beside it."""
    for name, array in acts(0).items():
        folder = Path(f"acts/features.{name}")
        folder.mkdir()
        for start, end in ((0, 32), (32, N)):
            path = folder / f"features{suffix}_{start}-{end}.{kind}"
            part = array[start:end]
            torch.save(torch.tensor(part), path) if kind == "pt" else np.save(path, part)
    images = [f"/data/images/{'cat' if y else 'dog'}/{i}.jpg" for i, y in enumerate(Y)]
    Path("acts/file_names.txt").write_text("\n".join(images) + "\n")


@pytest.mark.parametrize(("kind", "suffix"), [("npy", ""), ("npy", "_train"), ("pt", "")])
def test_output_of_thingsvision(kind, suffix):
    thingsvision(kind, suffix)
    run = infoplane.import_arrays("acts", "runs/tv", labels="acts/file_names.txt")
    assert [slot.name for slot in run.layers] == [
        f"features.{name}" for name in ("conv1", "conv2", "conv10")
    ]
    np.testing.assert_array_equal(run.probe.labels, 1 - Y)  # cat before dog
    values = [run.activations(0, slot.name) for slot in run.layers]
    for found, name in zip(values, ("conv1", "conv2", "conv10"), strict=True):
        np.testing.assert_array_equal(found, acts(0)[name])


def test_single_file_of_thingsvision():
    np.save("acts/features.npy", X)
    np.savetxt("features.txt", X)
    for path in ("acts", "features.txt"):
        run = infoplane.import_arrays(path, "runs/tv", overwrite=True)
        assert [slot.name for slot in run.layers] == ["features"]
        np.testing.assert_allclose(run.activations(0, "features"), X, rtol=1e-6)


def test_lost_part_of_rows_is_refused():
    thingsvision()
    Path("acts/features.conv1/features_0-32.npy").unlink()
    with pytest.raises(DataError, match="expected the part that begins at 0"):
        infoplane.import_arrays("acts", "runs/tv")


def test_bfloat16_of_safetensors_is_kept():
    tensor = torch.tensor(X).bfloat16()
    _safetensors(Path("a.safetensors"), {"fc1": tensor.view(torch.uint16).numpy()})
    run = infoplane.import_arrays("a.safetensors", "runs/b")
    assert run.layers[0].encoding == "bfloat16"
    np.testing.assert_array_equal(run.activations(0, "fc1"), tensor.float().numpy())


@pytest.mark.parametrize(
    ("names", "options"),
    [
        (("inputs", "labels"), {}),
        (("x", "y"), {}),
        (("input", "target"), {}),
        (("img", "cls"), {"inputs": "img", "labels": "cls"}),
    ],
)
def test_inputs_and_labels_are_found_by_name(names, options):
    for step in STEPS:
        roles = dict(zip(names, (X, Y), strict=True))
        np.savez(f"acts/step_{step}.npz", **acts(step), **roles)
    run = infoplane.import_arrays("acts", "runs/s0", **options)
    np.testing.assert_array_equal(run.probe.inputs, X)
    np.testing.assert_array_equal(run.probe.labels, Y)
    assert len(run.layers) == len(LAYERS)


def test_labels_of_every_kind_of_file():
    np.savez("acts/step_0.npz", **acts(0))
    Path("ids.txt").write_text("\n".join(map(str, Y)))
    Path("names.txt").write_text("\n".join("yes" if y else "no" for y in Y))
    np.savez("more.npz", other=X, answer=Y)
    np.savez("usual.npz", other=X, labels=Y)
    with h5py.File("text.h5", "w") as file:
        file["names"] = ["yes" if y else "no" for y in Y]
    for labels in ("ids.txt", "names.txt", "more.npz:answer", "usual.npz", "text.h5"):
        run = infoplane.import_arrays("acts", "runs/s0", labels=labels, overwrite=True)
        np.testing.assert_array_equal(run.probe.labels, Y)


def test_numbers_become_metrics_step_and_epoch():
    for step in STEPS:
        numbers = {"loss": 1 / (1 + step), "epoch": step / 10, "step": step}
        torch.save({**acts(step), **numbers}, f"acts/{'abc'[STEPS.index(step)]}.pt")
    run = infoplane.import_arrays("acts", "runs/s0")
    assert run.steps == STEPS
    assert run.step_info(10).metrics == {"loss": 1 / 11}
    assert run.step_info(10).epoch == 1.0


def test_layers_are_chosen_and_ordered():
    np.savez("a.npz", **acts(0))
    run = infoplane.import_arrays("a.npz", "runs/s0", layers=["conv2", "conv*", "!conv10"])
    assert [slot.name for slot in run.layers] == ["conv2", "conv1"]


def test_layout_leaves_out_what_it_does_not_fit():
    for step in STEPS:
        np.savez(f"acts/run_{step}.npz", **acts(step), labels=Y)
    np.savez("acts/other.npz", fc=X)
    run = infoplane.import_arrays("acts", "runs/s0", layout="run_{step}/{layer}")
    assert run.steps == STEPS
    np.testing.assert_array_equal(run.probe.labels, Y)


def shuffled():
    for step in STEPS:
        order = np.random.default_rng(step).permutation(N)
        np.savez(f"acts/step_{step}.npz", fc1=X[order], labels=Y[order])


def of_files(**arrays):
    return lambda: [np.savez(f"acts/{name}.npz", **held) for name, held in arrays.items()]


WRONG = {
    "labels of shuffled samples": (shuffled, {}, "labels of .* are not those of"),
    "numbered files": (
        of_files(acts_0={"fc1": X}, acts_10={"fc1": X}),
        {},
        "'fc1': found twice, acts_0.npz/fc1 and acts_10.npz/fc1",
    ),
    "parts of the data": (
        of_files(train={"fc1": X}, test={"fc1": X[:30]}), {}, "'fc1': found twice",
    ),
    "a step twice": (
        of_files(step_1={"fc1": X}, epoch_1={"fc1": X}), {}, "at step 1: found twice",
    ),
    "other lengths": (
        of_files(step_0={"fc1": X, "fc2": X[:30]}), {}, "as many samples, .* 60 in fc1; 30 in fc2",
    ),
    "other lengths at other steps": (
        of_files(step_0={"fc1": X}, step_1={"fc1": X[:30]}), {"labels": "labels.npy"},
        r"expected an array as at step 0, \(60, 5\) .*, found \(30, 5\)",
    ),
    "other dtypes": (
        of_files(step_0={"fc1": X}, step_1={"fc1": X.astype(float)}), {}, "found .* of float64",
    ),
    "other labels": (of_files(step_0={"fc1": X[:30]}), {"labels": "labels.npy"}, "expected 60"),
    "a lost layer": (
        of_files(step_0={"fc1": X, "fc2": X}, step_1={"fc1": X}),
        {},
        "step 0 has a layer 'fc2', step 1 has none",
    ),
    "steps for some": (
        of_files(step_0={"fc1": X}, other={"fc2": X}), {}, "tells no step, that of .* does",
    ),
    "no layers": (of_files(step_0={"labels": Y}), {}, "expected arrays .* found none"),
    "one axis": (of_files(step_0={"fc1": X[:, 0]}), {}, r"found none; left out: .*\(60,\)"),
    "two labels": (of_files(step_0={"fc1": X, "y": Y, "labels": Y}), {}, "labels or y|y or labels"),
    "unknown labels": (of_files(step_0={"fc1": X}), {"labels": "cls"}, "labels: no array 'cls'"),
    "unknown layer": (of_files(step_0={"fc1": X}), {"layers": "fc7"}, "no layer matches 'fc7'"),
    "no array of a layout": (
        of_files(step_0={"fc1": X}), {"layout": "x_{step}/{layer}"}, "no array fits",
    ),
    "another step inside": (
        of_files(step_5={"fc1": X, "step": 7}), {}, "tells step 5, the file step 7",
    ),
    "objects": (
        of_files(step_0={"fc1": np.array([[None]] * N)}), {}, "found none; left out: .*object",
    ),
    "bfloat16 of NumPy": (of_files(step_0={"fc1": X.view("V4")}), {}, "found none; left out"),
    "one sample": (of_files(step_0={"fc1": X[:1]}), {}, "at least 2"),
    "no samples": (of_files(step_0={"fc1": X[:0]}), {}, "at least 2"),
    "NaN in inputs": (
        of_files(step_0={"fc1": X, "inputs": np.where(X > 1, np.nan, X)}), {}, "finite",
    ),
    "no files": (lambda: Path("acts/readme.md").touch(), {}, "holds no file of arrays"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_could_be_misread_is_refused_in_one_line(case):
    write, options, message = WRONG[case]
    write()
    with pytest.raises(InfoplaneError, match=message) as error:
        infoplane.import_arrays("acts", "runs/s0", **options)
    assert "\n" not in str(error.value)
    assert not Path("runs/s0").exists()


class Evil:
    def __reduce__(self):
        return open, ("ran", "w")


@pytest.mark.parametrize(
    "name", ["a.pkl", "a.pickle", "a.joblib", "a.pt", "a.npy", "a.npz", "a.h5"]
)
def test_no_pickle_is_run(name):
    if name.endswith("npy"):
        np.save(name, np.array([Evil()], dtype=object), allow_pickle=True)
    elif name.endswith("npz"):
        np.savez(name, fc1=np.array([[Evil()]] * 3, dtype=object))
    else:
        Path(name).write_bytes(pickle.dumps({"fc1": Evil()}))
    Path("ran").unlink(missing_ok=True)
    with pytest.raises(InfoplaneError):
        infoplane.import_arrays(name, "runs/s0")
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("nothing.npz", RunFileError, "no such file"),
        ("a.csv", DataError, "expected .npz, .npy"),
        ("broken.npz", RunFileError, "not a readable .npz"),
        ("broken.npy", RunFileError, "not a readable .npy"),
        ("broken.h5", RunFileError, "not a readable HDF5"),
        ("broken.safetensors", RunFileError, "safetensors"),
        ("broken.pt", InfoplaneError, "broken.pt"),
        ("weights.pt", DataError, "holds weights of a model"),
        ("list.pt", DataError, "expected a dict of tensors"),
        ("lists.pt", DataError, "fc1: expected a tensor, found list"),
    ],
)
def test_files_of_other_content_are_told(name, error, message):
    if name.startswith("broken") or name == "a.csv":
        Path(name).write_bytes(b"1,2,3\n4,5,6\n" * 9)
    torch.save(torch.nn.Linear(3, 4).state_dict(), "weights.pt")
    torch.save([torch.zeros(3, 2)], "list.pt")
    torch.save({"fc1": [torch.zeros(3, 2)]}, "lists.pt")
    with pytest.raises(error, match=message):
        infoplane.import_arrays(name, "runs/s0")


def test_groups_of_hdf5_that_lie_in_themselves_end():
    with h5py.File("a.h5", "w") as file:
        file["fc1"] = X
        file["again"] = file["/"]
        file["away"] = h5py.ExternalLink("b.h5", "/")
    assert [held.key for held in held_in(Path("a.h5"))] == ["fc1"]


def test_labels_marked_as_none_are_left_out(caplog):
    labels = np.where(np.arange(N) < 5, -100, Y)
    np.savez("a.npz", fc1=X, labels=labels)
    with caplog.at_level(logging.WARNING):
        run = infoplane.import_arrays("a.npz", "runs/s0")
    assert "5 of 60 samples have the label -100" in caplog.text
    np.testing.assert_array_equal(run.activations(0, "fc1"), X[5:])


def test_command_says_what_arrays_are_taken_for():
    for step in STEPS:
        np.savez(f"acts/step_{step}.npz", **acts(step), labels=Y, loss=1.0, note=Y + 1)
    dry = infoplane_here("import", "acts", "-o", "runs/s0", "--dry-run")
    assert (dry.code, Path("runs").exists()) == (0, False)
    done = infoplane_here("import", "acts", "-o", "runs/s0")
    assert done.code == 0, done.err
    first, *lines = done.out.splitlines()
    assert first.startswith("imported 3 steps x 3 layers, N = 60, in runs/s0 (")
    assert lines == dry.out.splitlines()
    assert lines[:5] == [
        "steps:  0 10 200",
        "layers: conv1 5, conv10 5, conv2 5",
        "inputs: none",
        "labels: step_0.npz/labels",
        "metrics: loss",
    ]
    assert "left out: step_0.npz/note (shape (60,)" in done.out
    assert "no inputs" in done.err


def test_command_errors_have_exit_codes():
    of_files(step_0={"fc1": X, "fc2": X[:30]})()
    assert infoplane_here("import", "acts", "-o", "runs/s0").code == 3
    assert infoplane_here("import", "acts", "-o", "r", "-l", "fc9").code == 4
    assert infoplane_here("import", "acts", "-o", "r", "--layout", "x").code == 2
    told = infoplane_here("import", "acts", "-o", "r", "--layout", "x").err
    assert "--layout: expected {step} and {layer}" in told


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("a.npz", "infoplane import a.npz -o RUN"),
        ("acts", "infoplane import acts -o RUN"),
        ("other.h5", "infoplane import other.h5 -o RUN"),
        ("t.pt", "infoplane import t.pt -o RUN; weights are recorded with: infoplane record"),
    ],
)
def test_analyze_of_arrays_says_which_command_to_use(path, hint):
    np.savez("a.npz", fc1=X)
    np.savez("acts/a.npz", fc1=X)
    torch.save({"fc1": torch.tensor(X)}, "t.pt")
    with h5py.File("other.h5", "w") as file:
        file["fc1"] = X
    done = infoplane_here("analyze", path, "-o", "results.json")
    assert (done.code, hint in done.err) == (3, True), done.err


def test_label_bins_and_real_targets(caplog):
    np.savez("a.npz", fc1=X, y=X[:, 1])
    assert infoplane.import_arrays("a.npz", "runs/a").probe.labels is None
    probe = infoplane.import_arrays("a.npz", "runs/b", label_bins=3).probe
    np.testing.assert_array_equal(np.bincount(probe.labels), [20, 20, 20])


def test_zarr_is_read_where_the_package_is_installed():
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group("acts/all.zarr", mode="w")
    for name, array in nested().items():
        group.create_array(name, data=array)
    run = infoplane.import_arrays("acts/all.zarr", "runs/z", labels="labels.npy")
    assert run.steps == STEPS
    np.testing.assert_array_equal(run.activations(10, "conv10"), acts(10)["conv10"])


def _zarr(**changes):
    folder = Path("a.zarr/fc1")
    folder.mkdir(parents=True)
    Path("a.zarr/.zgroup").write_text('{"zarr_format": 2}')
    about = {
        "zarr_format": 2, "shape": [N, 5], "chunks": [N, 5], "dtype": "<f4", "order": "C",
        "compressor": None, "filters": None, "fill_value": 0,
    }  # fmt: skip
    (folder / ".zarray").write_text(json.dumps({**about, **changes}))
    (folder / "0.0").write_bytes(X.tobytes())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "|O"}, "plain numbers, found dtype '|O'"),
        ({"filters": [{"id": "pickle"}]}, "found 'pickle'"),
        ({"compressor": {"id": "evil"}}, "found 'evil'"),
        (
            {
                "codecs": [
                    {"name": "sharding_indexed", "configuration": {"codecs": [{"name": "p"}]}}
                ]
            },
            "found 'p'",
        ),
    ],
)
def test_zarr_that_would_unpickle_is_refused_before_it_is_opened(changes, message):
    _zarr(**changes)
    with pytest.raises(DataError) as error:
        infoplane.import_arrays("a.zarr", "runs/z")
    assert message in str(error.value)


def test_zarr_without_the_package_says_so(monkeypatch):
    _zarr()
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(InfoplaneError, match="needs the package zarr"):
        infoplane.import_arrays("a.zarr", "runs/z")


def test_links_out_of_a_store_are_refused():
    _zarr()
    Path("a.zarr/fc1/1.0").symlink_to(Path("labels.npy").resolve())
    with pytest.raises(DataError, match="a link"):
        infoplane.import_arrays("a.zarr", "runs/z")


@pytest.mark.parametrize(
    ("options", "error"),
    [({"layers": 3}, InputError), ({"labels": 3}, InputError), ({"label_bins": 1}, InputError)],
)
def test_arguments_are_checked(options, error):
    np.savez("a.npz", fc1=X)
    with pytest.raises(error):
        infoplane.import_arrays("a.npz", "runs/s0", **options)
    with pytest.raises((NotFoundError, InputError)):
        infoplane.import_arrays([], "runs/s0")
