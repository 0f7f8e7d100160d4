"""Synthetic layers in the shape of recorded ones."""

import json
import math

import numpy as np
import pytest

from infoplane.data import LayerInfo, ProbeSet
from infoplane.errors import InputError
from infoplane.estimators.registry import parse_estimator
from infoplane.validation.like import LayerModel, SyntheticRun, expectations, layer_models
from infoplane.validation.problems import Resolution
from tests.cli.test_analyze import write_run
from tests.conftest import infoplane_here as infoplane


def _recorded(n=4000):
    rng = np.random.default_rng(0)
    labels = np.repeat([3, 5, 9], [n // 2, n // 4, n // 4])
    layer = rng.normal(size=(n, 4)) * [3.0, 1.0, 0.3, 0.0] + 2.0 * (labels == 9)[:, None]
    layer[:, 3] = 7.0
    return layer.astype(np.float32), labels


def test_samples_classes_dead_units_means_and_spectrum_are_kept():
    layer, labels = _recorded()
    info = LayerInfo("fc", 0, "Linear", (4,), "float32")
    model = LayerModel.of_layer(info, layer, labels)
    assert model.counts.tolist() == [2000, 1000, 1000]
    drawn_labels = np.repeat([0, 1, 2], model.counts)
    drawn = model.draw(drawn_labels, np.random.default_rng(1))
    assert drawn.dtype == np.float32
    assert drawn.shape == layer.shape
    assert (drawn[:, 3] == 7.0).all()
    for which, label in enumerate((3, 5, 9)):
        mine, theirs = drawn[drawn_labels == which], layer[labels == label]
        assert mine.mean(axis=0) == pytest.approx(theirs.mean(axis=0), abs=0.3)
    spectrum = [np.linalg.eigvalsh(np.cov(one[:, :3].T)) for one in (drawn, layer)]
    assert spectrum[0] == pytest.approx(spectrum[1], rel=0.15)


def test_truth_of_a_separated_and_of_an_unlabelled_layer():
    rng = np.random.default_rng(2)
    labels = np.arange(900) % 3
    info = LayerInfo("fc", 0, "Linear", (3,), "float64")
    apart = LayerModel.of_layer(info, 50.0 * np.eye(3)[labels] + rng.normal(size=(900, 3)), labels)
    bare = Resolution({}, 0.0, {})
    assert apart.truths["ity"](bare) == pytest.approx(math.log2(3), abs=1e-6)
    assert apart.truths["ixt"](bare) is None  # infinitely many bits without noise
    one = LayerModel.of_layer(info, 2.0 * rng.normal(size=(900, 3)), np.zeros(900, dtype=int))
    noisy = Resolution({}, 1.0, {})
    assert one.truths["ity"](noisy) == pytest.approx(0.0, abs=1e-9)
    assert one.truths["ixt"](noisy) == pytest.approx(1.5 * math.log2(1 + 4), abs=0.1)


def test_expectations_tell_bias_and_spread():
    layer, labels = _recorded(1200)
    info = LayerInfo("fc", 0, "Linear", (4,), "float32")
    run = SyntheticRun(ProbeSet(layer, labels), [info], {"fc": layer})
    models = layer_models(run, 0)
    (binned,) = expectations(models, parse_estimator("exact"), True, 3, 0)
    assert (binned.quantity, binned.draws, binned.n, binned.units) == ("ity", 3, 1200, 4)
    assert binned.mean == pytest.approx(1.5)  # every row is a state of its own: H(Y)
    assert binned.bias == pytest.approx(1.5 - binned.truth)
    assert binned.status == "KNOWN-LIMIT"
    by_quantity = {
        e.quantity: e for e in expectations(models, parse_estimator("compressed"), True, 3, 0)
    }
    assert abs(by_quantity["ity"].bias) < 0.05
    assert by_quantity["ity"].status == "PASS"
    assert expectations(models, parse_estimator("renyi"), True, 2, 0) == []


def test_nothing_to_copy_is_said():
    constant = np.ones((50, 2))
    info = LayerInfo("fc", 0, "Linear", (2,), "float64")
    run = SyntheticRun(ProbeSet(constant, None), [info], {"fc": constant})
    with pytest.raises(InputError, match="nothing to copy"):
        layer_models(run, 0)


def test_command_on_a_recorded_run(tmp_path):
    write_run(tmp_path / "net-s0", n=200)
    arguments = ["validate", "--like", "net-s0", "-e", "exact", "--draws", "2"]
    done = infoplane(*arguments, "--format", "json", cwd=tmp_path)
    document = json.loads(done.out)
    assert (document["run"], document["step"]) == ("net-s0", 10)
    assert {row["layer"] for row in document["expectations"]} == {"fc1", "fc2"}
    assert done.code == 0
    table = infoplane(*arguments, "-q", cwd=tmp_path, COLUMNS="80")
    assert max(map(len, table.out.splitlines())) <= 80
    assert infoplane("validate", "--like", "missing", cwd=tmp_path).code == 3
    assert infoplane("validate", "--like", "net-s0", "--step", "7", cwd=tmp_path).code == 4
