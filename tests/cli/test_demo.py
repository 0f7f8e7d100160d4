import itertools
import json
import shutil
from importlib import import_module, resources

import jsonschema
import pytest

from infoplane.cli.demo import _NETWORKS
from infoplane.estimators import registry
from infoplane.estimators.registry import DEFAULT
from tests.conftest import infoplane as infoplane_process
from tests.conftest import infoplane_here as infoplane


def demo_of(estimators, *options, cwd):
    """Run the demo with some of the default estimators; those of ``both`` are all of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "DEFAULT", estimators)
        return infoplane("demo", *options, cwd=cwd)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The classic network alone, for long, by one estimator: its folder, and the command."""
    folder = tmp_path_factory.mktemp("demo")
    options = ("--network", "twelve-bit", "--seeds", "2", "--epochs", "150")
    done = demo_of(("binning",), *options, cwd=folder)
    assert done.code == 0, done.err
    return folder / "infoplane-demo" / "twelve-bit", done


@pytest.fixture(scope="module")
def document(demo):
    return json.loads((demo[0] / "results.json").read_text())


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Both networks, a seed and an epoch each: the folder of the demo, and the command."""
    folder = tmp_path_factory.mktemp("both")
    done = infoplane_process("demo", "--seeds", "1", "--epochs", "1", "-o", "both", cwd=folder)
    assert done.code == 0, done.err
    return folder / "both", done


def test_leaves_report_figures_and_a_valid_document(demo, document):
    folder, done = demo
    assert (folder / "report.html").stat().st_size > 50_000
    assert len(list((folder / "figures").glob("*.png"))) >= 3
    schema = resources.files("infoplane.schemas").joinpath("results.schema.json").read_text()
    jsonschema.Draft202012Validator(json.loads(schema)).validate(document)
    assert "open infoplane-demo/twelve-bit/report.html\n" in done.out
    names = [path.name for path in sorted((folder / "checkpoints" / "tanh-s0").iterdir())]
    steps = (0, 1, 2, 3, 5, 8, 20, 60, 150)
    assert names == [f"epoch_{step:04d}.pt" for step in steps]
    assert not (folder.parent / "digits").exists()


def test_both_networks_have_a_complete_folder_each(both):
    folder, done = both
    assert "open both/twelve-bit/report.html and both/digits/report.html\n" in done.out
    schema = json.loads(
        resources.files("infoplane.schemas").joinpath("results.schema.json").read_text()
    )
    for name, layers in (
        ("twelve-bit", ["tanh1", "tanh2", "tanh3", "tanh4", "tanh5", "output"]),
        ("digits", ["relu1", "relu2", "relu3", "output"]),
    ):
        document = json.loads((folder / name / "results.json").read_text())
        jsonschema.Draft202012Validator(schema).validate(document)
        assert list(dict.fromkeys(row["layer"] for row in document["rows"])) == layers
        assert {row["step"] for row in document["rows"]} == {0, 1}
        assert {row["estimator"].partition(":")[0] for row in document["rows"]} == set(DEFAULT)
        assert {entry["name"] for entry in document["estimators"]} >= {
            "diffusion spectral entropy",
            "lossy compression",
        }
        assert not any("failed" in row["flags"] for row in document["rows"])
        assert (folder / name / "report.html").stat().st_size > 50_000
        assert (folder / name / "figures" / "plane.png").exists()
        assert f"] analyze {name}\n" in done.err
        assert f"wrote both/{name}/figures/plane.png\n" in done.err
    assert "[4/4] plot twelve-bit, digits\n" in done.err
    assert {path.name for path in folder.iterdir()} == {
        *_NETWORKS,
        "made-by-infoplane-demo",
    }


def test_digits_are_analyzed_with_the_defaults_on_all_images(both):
    document = json.loads((both[0] / "digits" / "results.json").read_text())
    assert [entry["id"].partition(":")[0] for entry in document["estimators"]] == list(DEFAULT)
    (recording,) = document["recordings"]
    assert recording["n"] == 1797
    assert recording["n_classes"] == 10


def test_plane_of_the_digits_is_ordered_and_far_from_its_ceiling(both):
    document = json.loads((both[0] / "digits" / "results.json").read_text())
    for step in (0, 1):
        column = [
            row
            for row in document["rows"]
            if (row["estimator"], row["quantity"], row["step"]) == ("compressed", "ixt", step)
        ]
        assert [row["layer"] for row in column] == ["relu1", "relu2", "relu3", "output"]
        assert not any("saturated" in row["flags"] for row in column)
        # A layer is computed from the one before. Noise relative to each allows 0.25 bits.
        assert all(b["value"] < a["value"] + 0.25 for a, b in itertools.pairwise(column))


def test_epochs_in_the_help_are_those_of_the_sample_runs():
    for one in _NETWORKS.values():
        train = import_module(f"{one.package}.train")
        assert train.EPOCHS == one.epochs == train.CHECKPOINTS[-1]
        assert train.CHECKPOINTS[0] == 0


def test_unknown_network_is_named_with_those_there_are(tmp_path):
    done = infoplane("demo", "--network", "resnet", cwd=tmp_path)
    assert done.code == 2
    assert "'resnet' is not one of 'twelve-bit', 'digits'" in done.err
    assert infoplane("demo", "--epochs", "0", cwd=tmp_path).code == 2
    assert not (tmp_path / "infoplane-demo").exists()


def test_network_is_added_to_a_demo_and_replaced_alone(both):
    folder = both[0].parent
    shutil.copytree(both[0], folder / "parts")
    shutil.rmtree(folder / "parts" / "twelve-bit")
    options = ("--seeds", "1", "--epochs", "1", "--network", "digits", "-o", "parts")
    before = (folder / "parts" / "digits" / "results.json").read_bytes()
    done = infoplane("demo", *options, cwd=folder)
    assert done.code == 3
    assert "parts/digits: the folder is not empty: it holds an earlier demo" in done.err
    assert (folder / "parts" / "digits" / "results.json").read_bytes() == before
    (folder / "parts" / "results.json").write_text("of the first releases")
    (folder / "parts" / "twelve-bit").mkdir()
    (folder / "parts" / "twelve-bit" / "results.json").write_text("stays")
    (folder / "parts" / "digits" / "notes.txt").write_text("mine")
    assert demo_of(("binning",), *options, "--overwrite", cwd=folder).code == 0
    assert not (folder / "parts" / "results.json").exists()
    assert (folder / "parts" / "twelve-bit" / "results.json").read_text() == "stays"
    assert (folder / "parts" / "digits" / "notes.txt").read_text() == "mine"
    again = json.loads((folder / "parts" / "digits" / "results.json").read_text())
    values = [
        [row["value"] for row in one["rows"] if row["estimator"] == "binning"]
        for one in (json.loads(before), again)
    ]
    assert values[0]
    assert values[0] == values[1]  # the same numbers on repeated runs


def test_its_inputs_are_all_there_are_so_the_bound_is_known(demo, document):
    assert all(r["bottleneck"]["deterministic"] for r in document["recordings"])
    assert (demo[0] / "figures" / "bound.png").exists()


def rows(document, layer, quantity):
    found = [
        row
        for row in document["rows"]
        if (row["layer"], row["quantity"], row["estimator"]) == (layer, quantity, "binning")
    ]
    first, last = min(r["step"] for r in found), max(r["step"] for r in found)
    return ([r for r in found if r["step"] == step] for step in (first, last))


def test_deep_layer_fits_and_then_compresses(document):
    before, after = rows(document, "output", "ity")
    assert all(b["value"] > a["value"] + 0.3 for a, b in zip(before, after, strict=True))
    before, after = rows(document, "tanh5", "ixt")
    assert all(b["value"] < a["value"] - 1 for a, b in zip(before, after, strict=True))


def test_layers_at_the_ceiling_are_marked_saturated(document):
    verdicts = {
        phase["layer"]: phase["verdict"]
        for phase in document["phases"]
        if (phase["estimator"], phase["quantity"]) == ("binning", "ixt")
    }
    assert verdicts["tanh1"] == verdicts["tanh2"] == "saturated"
    assert verdicts["tanh5"] != "saturated"
    for row in next(iter(rows(document, "tanh1", "ixt"))):
        assert row["value"] == pytest.approx(12, abs=0.01)
        assert "saturated" in row["flags"]


def test_gradients_are_recorded_with_their_drop(document):
    for recording in document["recordings"]:
        assert {"fc1", "fc5", "output"} <= recording["gradients"].keys()
        assert recording["gradients"]["fc5"]["transition"]["before"] > 0


def test_folder_is_not_overwritten_unless_told(demo):
    folder = demo[0].parent.parent
    before = (demo[0] / "results.json").read_bytes()
    done = infoplane("demo", "--seeds", "1", "--epochs", "5", cwd=folder)
    assert done.code == 3
    assert "the folder is not empty" in done.err
    assert (demo[0] / "results.json").read_bytes() == before
    assert not (demo[0].parent / "digits").exists()


def test_folders_of_others_are_never_touched(tmp_path):
    (tmp_path / "checkpoints" / "tanh-s0").mkdir(parents=True)
    (tmp_path / "checkpoints" / "tanh-s0" / "best.pt").write_text("mine")
    (tmp_path / "results.json").write_text("mine")
    done = infoplane("demo", "-o", ".", "--overwrite", cwd=tmp_path)
    assert done.code == 3
    assert "not an earlier demo" in done.err
    assert (tmp_path / "checkpoints" / "tanh-s0" / "best.pt").read_text() == "mine"
    assert infoplane("demo", "-o", "results.json", cwd=tmp_path).code == 3


# I(X;T) and I(T;Y), bits, of seed 0 at the steps 0, 3, 8, 20 and 600: by an independent program in
# NumPy, from 2,000 of the 4,096 patterns, at a noise of a quarter of the median distance.
CLASSIC = {
    "tanh1": [(3.79, 0.07), (3.77, 0.20), (3.80, 0.38), (3.78, 0.41), (3.68, 0.46)],
    "tanh2": [(3.27, 0.10), (3.23, 0.28), (2.97, 0.54), (2.96, 0.57), (3.04, 0.63)],
    "tanh3": [(3.01, 0.08), (3.04, 0.30), (2.42, 0.56), (2.37, 0.60), (2.43, 0.78)],
    "tanh4": [(2.90, 0.07), (2.87, 0.32), (1.89, 0.58), (1.84, 0.62), (1.62, 0.93)],
    "tanh5": [(2.39, 0.04), (2.22, 0.33), (1.58, 0.57), (1.53, 0.63), (1.00, 0.95)],
    "output": [(1.93, 0.03), (1.82, 0.31), (1.51, 0.57), (1.49, 0.63), (0.99, 0.95)],
}


@pytest.mark.slow
def test_plane_of_the_classic_network_is_reproduced(tmp_path):
    options = ("--network", "twelve-bit", "--seeds", "1", "-o", "demo")
    assert infoplane("demo", *options, cwd=tmp_path).code == 0
    rows = json.loads((tmp_path / "demo" / "twelve-bit" / "results.json").read_text())["rows"]
    found = {
        (row["layer"], row["step"], row["quantity"]): row["value"]
        for row in rows
        if row["estimator"].startswith("compressed:")
    }
    for layer, values in CLASSIC.items():
        for step, (ixt, ity) in zip((0, 3, 8, 20, 600), values, strict=True):
            # Subsets of 2,000 patterns differ by a few hundredths of a bit.
            assert found[layer, step, "ixt"] == pytest.approx(ixt, abs=0.1), (layer, step)
            assert found[layer, step, "ity"] == pytest.approx(ity, abs=0.1), (layer, step)
    for step in (0, 3, 8, 20, 600):
        by_layer = [found[name, step, "ixt"] for name in CLASSIC]
        # No layer lies above the one before, but for what subsets differ by.
        assert all(b < a + 0.05 for a, b in itertools.pairwise(by_layer)), step
