"""The estimator of recorded weights, and the measures of the head in `collapse`."""

import json
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

import infoplane as ip
from infoplane.analysis.selection import parts_of, select_cells
from infoplane.errors import InputError, NotFoundError
from infoplane.estimators.base import Estimator
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.quantities import WEIGHTS, Quantity
from infoplane.recording.recorder import Recorder
from infoplane.runs.run import Run

CLASSES = 3
NAMES = {quantity.name for quantity in WEIGHTS}


class Net(nn.Module):
    def __init__(self, outputs=CLASSES):
        super().__init__()
        self.conv = nn.Conv1d(1, 24, 3)
        self.body = nn.Linear(96, 30)
        self.head = nn.Linear(30, outputs)

    def forward(self, x):
        hidden = torch.relu(self.conv(x[:, None])).flatten(1)
        return self.head(torch.tanh(self.body(hidden)))


X = np.random.default_rng(0).normal(size=(90, 6)).astype(np.float32)
Y = np.arange(90) % CLASSES
LAYERS = ["body", "op:tanh", "head"]


def recorded(path, model, *, weights, steps=(0, 4), change=None, labels=Y, layers=LAYERS):
    with Recorder(model, (X, labels), path, weights=weights, layers=layers, name="r") as recorder:
        for step in steps:
            recorder.snapshot(step)
            with torch.no_grad():
                (change or (lambda net: [one.mul_(1.5) for one in net.parameters()]))(model)
    return Run(path)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Net()


def rows_of(run, *estimators, **options):
    return ip.analyze(run, list(estimators), jobs=1, **options)["rows"]


def table(rows):
    return {(row["step"], row["layer"], row["quantity"]): row for row in rows}


@pytest.mark.parametrize("weights", ["summary", "**"])
def test_values_are_those_of_the_function(tmp_path, model, weights):
    arrays = {name: value.detach().numpy().copy() for name, value in model.named_parameters()}
    rows = table(rows_of(recorded(tmp_path / "r", model, weights=weights), "weights"))
    for step, scale in ((0, 1.0), (4, 1.5)):
        for name, array in arrays.items():
            found = {
                quantity: row["value"]
                for (at, layer, quantity), row in rows.items()
                if (at, layer) == (step, f"weights {name}")
            }
            distance = found.pop("weight_distance")
            assert distance == pytest.approx(scale - 1.0, rel=1e-6, abs=1e-9)
            norm = scale * np.linalg.norm(array)
            assert found.pop("frobenius_norm") == pytest.approx(norm, rel=1e-6)
            if array.ndim == 1:
                assert not found
                continue
            expected = ip.weight_measures(array)
            assert found.pop("spectral_norm") == pytest.approx(scale * expected.spectral_norm)
            assert found.pop("weight_stable_rank") == pytest.approx(expected.stable_rank)
            assert found.pop("condition_number") == pytest.approx(expected.condition_number)
            assert found.pop("log_volume") == pytest.approx(expected.log_volume, abs=1e-9)
            if not math.isnan(expected.alpha):
                assert found.pop("weight_alpha") == pytest.approx(expected.alpha, rel=1e-5)
            assert not found


def test_alpha_is_told_with_its_goodness(tmp_path, model):
    rows = table(rows_of(recorded(tmp_path / "r", model, weights="summary"), "weights"))
    row = rows[0, "weights body.weight", "weight_alpha"]
    tail = ip.weight_measures(model.body.weight.detach().numpy()).tail
    assert row["diag"]["ks_distance"] == pytest.approx(tail.distance, rel=1e-4)
    assert row["diag"]["tail"] == tail.n
    assert (0, "weights head.weight", "weight_alpha") not in rows  # of 3 singular values


@pytest.mark.parametrize("weights", ["summary", "**"])
def test_rank_deficient_weights_have_no_condition_number(tmp_path, model, weights):
    def change(net):
        net.body.weight[5:] = 0.0

    run = recorded(tmp_path / "r", model, weights=weights, change=change)
    rows = table(rows_of(run, "weights"))
    for quantity in ("condition_number", "log_volume"):
        row = rows[4, "weights body.weight", quantity]
        assert row["value"] is None
        assert row["flags"] == ["failed", "rank_deficient"]
        assert "infinite: only 5 singular values" in row["diag"]["reason"]
    assert rows[4, "weights body.weight", "weight_stable_rank"]["value"] <= 5.0


@pytest.mark.parametrize("weights", ["summary", "**"])
def test_weights_of_zeros(tmp_path, model, weights):
    def change(net):
        net.body.weight.zero_()

    rows = table(
        rows_of(recorded(tmp_path / "r", model, weights=weights, change=change), "weights")
    )
    assert rows[4, "weights body.weight", "frobenius_norm"]["value"] == 0.0
    assert rows[4, "weights body.weight", "weight_distance"]["value"] == pytest.approx(1.0)
    row = rows[4, "weights body.weight", "condition_number"]
    assert (row["value"], row["flags"]) == (None, ["failed", "constant"])


@pytest.mark.parametrize("weights", ["summary", "**"])
def test_nan_fails_the_cell_of_its_weight_alone(tmp_path, model, weights):
    def change(net):
        net.body.weight[0, 0] = float("nan")
        net.body.bias[0] = float("inf")

    run = recorded(tmp_path / "r", model, weights=weights, change=change, layers=["conv"])
    rows = table(rows_of(run, "weights"))
    for name in ("body.weight", "body.bias"):
        row = rows[4, f"weights {name}", "frobenius_norm"]
        assert row["value"] is None
        assert row["flags"] == ["failed", "nonfinite"]
    assert rows[4, "weights conv.weight", "condition_number"]["value"] > 1.0
    assert rows[0, "weights body.weight", "condition_number"]["value"] > 1.0


def test_biases_that_began_as_zeros_have_no_relative_distance(tmp_path, model):
    with torch.no_grad():
        model.head.bias.zero_()
    change = lambda net: net.head.bias.add_(1.0)  # noqa: E731
    rows = table(rows_of(recorded(tmp_path / "r", model, weights="**", change=change), "weights"))
    assert (4, "weights head.bias", "weight_distance") not in rows
    about = rows[4, "weights head.bias", "frobenius_norm"]["diag"]
    assert about["distance"] == pytest.approx(math.sqrt(CLASSES))


def test_square_weights_within_what_chance_reads_are_flagged(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 40), nn.Linear(40, 40), nn.Linear(40, 3))
    with torch.no_grad():
        model[1].weight.normal_()
    run = recorded(tmp_path / "r", model, weights="summary", layers=["2"])
    row = table(rows_of(run, "weights"))[0, "weights 1.weight", "condition_number"]
    low, high = row["diag"]["null_range"]
    assert ("within_null" in row["flags"]) == (low <= row["value"] <= high)
    assert low < row["diag"]["null"] < high


def test_a_resumed_recording_says_why_there_is_no_distance(tmp_path, model):
    recorded(tmp_path / "r", model, weights="summary", steps=(0,))
    options = {"weights": "summary", "layers": LAYERS, "name": "r", "resume": True}
    with Recorder(model, (X, Y), tmp_path / "r", **options) as recorder:
        recorder.snapshot(4)
    rows = table(rows_of(Run(tmp_path / "r"), "weights"))
    assert (4, "weights body.weight", "weight_distance") not in rows
    about = rows[4, "weights body.weight", "frobenius_norm"]["diag"]
    assert "not at hand" in about["no_distance"]


def test_cached_values_follow_the_first_step(tmp_path, model):
    """The distance depends on weights that are not those of the cell."""
    values = []
    for scale in (1.0, 2.0):
        torch.manual_seed(0)
        net = Net()
        first = {name: value.detach().clone() for name, value in net.named_parameters()}
        with torch.no_grad():
            [one.mul_(scale) for one in net.parameters()]
        last = lambda net, to=first: [  # noqa: E731
            one.copy_(3 * to[name]) for name, one in net.named_parameters()
        ]
        for weights in ("**", "summary"):
            run = recorded(tmp_path / f"{scale}{weights[0]}", net, weights=weights, change=last)
            rows = table(rows_of(run, "weights", cache=tmp_path / "cache"))
            values.append(rows[4, "weights body.weight", "weight_distance"]["value"])
            with torch.no_grad():
                [one.copy_(scale * first[name]) for name, one in net.named_parameters()]
    np.testing.assert_allclose(values, [2.0, 2.0, 0.5, 0.5], rtol=1e-6)


@dataclass(frozen=True)
class Largest(Estimator):
    """The largest number of a weight."""

    name: ClassVar[str] = "largest"
    title: ClassVar[str] = "largest"
    quantities = (Quantity(name="largest", symbol="max W", unit="norm"),)
    subject: ClassVar[str] = "weights"

    def estimate(self, prepared, activations, rng):
        return {"largest": Estimate(float(activations.max()))}


def test_estimators_of_arrays_are_given_whole_weights_alone(tmp_path, model):
    run = recorded(tmp_path / "r", model, weights=["summary", "body.*"])
    layers = select_cells([run])[run][0]
    names = [part.slots[0].name for part in parts_of(Largest(), run, layers)]
    assert names == ["body.weight", "body.bias", "head.weight", "head.bias"]
    run = recorded(tmp_path / "s", model, weights=["summary", "!head.*"])
    with pytest.raises(NotFoundError, match="only what sums them up is recorded"):
        parts_of(Largest(), run, layers)


def test_what_an_estimator_reads_goes_with_its_subject():
    with pytest.raises(InputError, match="weight of weights"):

        @dataclass(frozen=True)
        class Wrong(Estimator):
            name: ClassVar[str] = "wrong"
            quantities = (Quantity(name="largest", symbol="max W", unit="norm"),)
            reads: ClassVar[str] = "weight"

            def estimate(self, prepared, activations, rng):
                return {}


@pytest.mark.parametrize("weights", ["summary", "conv.weight"])
def test_nc3_and_nc4_are_those_of_the_recorded_head(tmp_path, model, weights):
    run = recorded(tmp_path / "r", model, weights=weights)
    rows = [row for row in rows_of(run, "collapse") if row["quantity"] in ("nc3", "nc4")]
    assert {row["layer"] for row in rows} == {"op:tanh"}
    assert len(rows) == 4
    for row in rows:
        found = ip.neural_collapse(
            run.activations(row["step"], "op:tanh"),
            Y,
            run.weight(row["step"], "head.weight"),
            run.weight(row["step"], "head.bias"),
        )
        assert row["value"] == pytest.approx(getattr(found, row["quantity"]), rel=1e-9)
        assert row["ci_low"] < row["value"] < row["ci_high"]
        assert row["diag"]["null"] is not None


def test_without_weights_or_features_there_is_no_nc3(tmp_path, model):
    for name, weights, layers in (("a", None, LAYERS), ("b", "summary", ["body", "conv"])):
        run = recorded(tmp_path / name, model, weights=weights, layers=layers)
        found = {row["quantity"] for row in rows_of(run, "collapse")}
        assert "nc1" in found
        assert not found & {"nc3", "nc4"}


@pytest.mark.parametrize(
    ("labels", "outputs", "words"),
    [
        (np.arange(90) % 2, 3, "expected samples of all classes that the head predicts, 0 to 2"),
        (np.arange(90) % 3 + 1, 3, "expected samples of all classes"),
        (np.arange(90) % 2, 1, "expected samples of all classes"),
    ],
)
def test_classes_that_are_not_those_of_the_head_have_a_reason(tmp_path, labels, outputs, words):
    torch.manual_seed(0)
    run = recorded(tmp_path / "r", Net(outputs), weights="summary", labels=labels)
    rows = [row for row in rows_of(run, "collapse") if row["quantity"] in ("nc3", "nc4")]
    assert rows
    for row in rows:
        assert row["value"] is None
        assert words in row["diag"]["reason"]


def test_results_are_plain_json(tmp_path, model):
    run = recorded(tmp_path / "r", model, weights="summary")
    document = ip.analyze(run, ["weights"], jobs=1)
    json.dumps(dict(document), allow_nan=False)
    assert {row["quantity"] for row in document["rows"]} == NAMES
