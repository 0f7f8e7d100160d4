"""Slots: one entry for each array of a step, layers and weights alike."""

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

import infoplane
from infoplane.data import Slot
from infoplane.errors import InputError, NotFoundError, RunFileError
from infoplane.runs.checksum import crc32
from infoplane.runs.pack import pack
from infoplane.runs.run import Run
from infoplane.runs.verify import rescue, verify
from tests.runs.test_run import write_run
from tests.runs.weights import with_weights

DATA = Path(__file__).parent.parent / "data"


def weights_at(step):
    rng = np.random.default_rng(step)
    return {"fc.weight": rng.normal(size=(4, 3)).astype(np.float32), "fc.bias": np.ones(4)}


@pytest.fixture
def plain(tmp_path, probe):
    write_run(tmp_path / "plain", probe)
    return Run(tmp_path / "plain")


@pytest.fixture
def weighted(plain, tmp_path):
    return with_weights(plain, tmp_path / "weighted", weights_at)


def test_former_name_is_a_slot():
    slot = infoplane.LayerInfo("fc", 0, "Linear", (4,), "float32")
    assert slot == Slot("fc", 0, "Linear", (4,), "float32", kind="layer", axes=("unit",))
    assert infoplane.LayerInfo is Slot


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((), ()), ((7,), ("unit",)), ((5, 7), ("position", "unit")),
     ((3, 8, 8), ("channel", "height", "width"))],
)  # fmt: skip
def test_axes_are_taken_from_the_shape(shape, axes):
    assert Slot("x", 0, "", shape, "float32").axes == axes
    assert len(Slot("x", 0, "", shape, "float32", kind="weight").axes) == len(shape)


def test_as_many_names_as_axes():
    with pytest.raises(InputError, match="layer 'fc': expected 2 names of axes"):
        Slot("fc", 0, "Linear", (4, 3), "float32", axes=("unit",))


def test_entry_of_a_step_is_found_by_name(plain):
    info = plain.step_info(7)
    for slot in info.slots:
        stored = plain.stored(7, slot)
        assert info.slot(slot.name) is slot
        assert (slot.checksum, slot.nonfinite) == (crc32(stored.data), 0)
    assert [slot.checksum for slot in plain.slots] == [None] * 3  # no step is meant
    assert plain.slots == info.slots == plain.layers
    with pytest.raises(NotFoundError, match="step 7: no weight 'fc'"):
        info.slot("fc", "weight")


def test_weights_stand_beside_the_layers(plain, weighted):
    assert weighted.layers == plain.layers
    assert [(slot.kind, slot.name, slot.shape) for slot in weighted.weights] == [
        ("weight", "fc.weight", (4, 3)),
        ("weight", "fc.bias", (4,)),
    ]
    for step in weighted.steps:
        for name, array in weights_at(step).items():
            np.testing.assert_array_equal(weighted.weight(step, name, verify=True), array)
        for layer in plain.layers:
            np.testing.assert_array_equal(
                weighted.activations(step, layer.name, verify=True),
                plain.activations(step, layer.name),
            )
    assert weighted.content_hash() != plain.content_hash()
    weighted.check()
    assert verify(weighted) == []
    with pytest.raises(NotFoundError, match=r"no weight 'out'; it has fc\.weight, fc\.bias"):
        weighted.weight(0, "out")
    with pytest.raises(NotFoundError, match="no weight 'out'; it has none"):
        plain.weight(0, "out")


def test_weights_are_packed_and_rescued(weighted, tmp_path):
    pack(weighted, tmp_path / "run.h5")
    rescue(weighted, tmp_path / "rescued")
    for path in ("run.h5", "rescued"):
        again = Run(tmp_path / path)
        assert again.content_hash() == weighted.content_hash()
        np.testing.assert_array_equal(again.weight(7, "fc.weight"), weights_at(7)["fc.weight"])


def test_damaged_weight_is_found(weighted):
    path, array = weighted.step_file(7), weights_at(7)["fc.weight"]
    data = path.read_bytes()
    at = data.index(array.tobytes())
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(RunFileError, match=r"weight 'fc\.weight' does not match its checksum"):
        weighted.weight(7, "fc.weight", verify=True)
    assert [(found.step, found.layer) for found in verify(weighted)] == [(7, "fc.weight")]


def test_names_of_axes_may_stand_in_the_file(plain, tmp_path):
    run = with_weights(plain, tmp_path / "r", lambda step: {"w": np.ones(2)}, axes=["head"])
    assert run.weights[0].axes == ("head",)
    run = with_weights(plain, tmp_path / "bad", lambda step: {"w": np.ones(2)}, axes=["a", "b"])
    with pytest.raises(RunFileError, match="weight 'w': expected 1 names of axes"):
        run.step_info(0)


@pytest.mark.parametrize("name", ["run-v1", "run-v1.h5"])
def test_runs_of_the_last_release_are_the_same_recordings(name):
    """Documents of the last release tell recordings apart by this hash."""
    assert Run(DATA / name).content_hash() == (
        "sha256:1f41038b1320e5f355b2518f6a33ea5eb0fead49ade80828b36b852780ded99f"
    )


def test_schema_describes_what_stands_in_a_step(weighted):
    jsonschema = pytest.importorskip("jsonschema")
    text = resources.files("infoplane.schemas").joinpath("run.schema.json").read_text()
    schema = json.loads(text)
    meta = json.loads(bytes(weighted._text(0)))
    step = {"$defs": schema["$defs"], **schema["$defs"]["step"]}
    jsonschema.validate(meta, step)
    meta["weights"][0].pop("crc32")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(meta, step)
