"""I(X;T) of networks that are noisy themselves: linear and Gaussian, through two noisy layers."""

import logging
import math

import numpy as np
import pytest
import torch
from torch import nn

import infoplane
from infoplane import InputError, NotFoundError, Recorder, Run
from infoplane.estimators.registry import parse_estimator
from infoplane.nn import GaussianNoise
from tests.workers import Serial

INNER, OUTER = 0.6, 0.7


class OwnNoise(nn.Module):
    """Noise that nobody is told of."""

    def __init__(self, sigma):
        super().__init__()
        self.size = sigma

    def forward(self, x):
        return x + self.size * torch.randn_like(x)


def network(noise=GaussianNoise):
    torch.manual_seed(3)
    model = nn.Sequential()
    model.add_module("fc1", nn.Linear(3, 2, bias=False))
    model.add_module("noise1", noise(INNER))
    model.add_module("fc2", nn.Linear(2, 2, bias=False))
    model.add_module("noise2", noise(OUTER))
    model.fc1.weight.data *= 3
    model.fc2.weight.data *= 2
    return model


def truths(model):
    """Return I(X;T) of both noisy layers for standard normal inputs, in bits."""
    a, b = (layer.weight.detach().double().numpy() for layer in (model.fc1, model.fc2))
    one = np.eye(2) + a @ a.T / INNER**2
    noise = INNER**2 * b @ b.T + OUTER**2 * np.eye(2)
    two = np.eye(2) + np.linalg.solve(noise, b @ a @ a.T @ b.T)
    return [0.5 * math.log2(np.linalg.det(m)) for m in (one, two)]


def recorded(path, model, n=800, **options):
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(4))
    with Recorder(model, (x, (x[:, 0] > 0).long()), path, **options) as recorder:
        recorder.snapshot(0)
    return path


def rows(path, *estimators):
    found = infoplane.analyze(path, list(estimators), executor=Serial())
    return {
        (row["layer"], row["estimator"], row["quantity"]): row for row in found.document["rows"]
    }


@pytest.fixture(scope="module")
def eight_passes(tmp_path_factory):
    path = tmp_path_factory.mktemp("noisy") / "run"
    return recorded(path, network(), keep_dropout=True, passes=8)


def test_linear_gaussian_network(eight_passes):
    found = rows(eight_passes, "noisy")
    assert {key[0] for key in found} == {"noise1", "noise2"}  # the others have no noise around them
    values = []
    for layer, truth in zip(("noise1", "noise2"), truths(network()), strict=True):
        row = found[layer, "noisy", "ixt"]
        assert row["ci_low"] < truth < row["ci_high"]
        assert row["value"] == pytest.approx(truth, abs=0.15)
        assert "upper_bound" not in row["flags"]
        assert row["diag"]["noise_source"] == "network"
        assert row["diag"]["passes"] == 8
        values.append(row["value"])
    assert values[1] < values[0]  # data processing
    assert found["noise2", "noisy", "ity"]["value"] < found["noise1", "noisy", "ity"]["value"]


def test_one_pass_counts_earlier_noise_and_says_so(tmp_path):
    path = recorded(tmp_path / "run", network(), keep_dropout=True)
    found = rows(path, "noisy")
    one, two = (found[layer, "noisy", "ixt"] for layer in ("noise1", "noise2"))
    assert one["value"] == pytest.approx(truths(network())[0], abs=0.15)
    assert "upper_bound" not in one["flags"]
    assert two["value"] > truths(network())[1] + 0.3
    assert "upper_bound" in two["flags"]


ESTIMATORS = "binning", "compressed", "compressed:mode=neighbors", "kde"


@pytest.mark.parametrize("noise", [None, {"noise1": INNER, "noise2": OUTER}])
def test_noise_without_a_declaration_is_flagged(noise, tmp_path, caplog):
    caplog.set_level(logging.WARNING, logger="infoplane")
    path = recorded(tmp_path / "run", network(OwnNoise), n=400, noise=noise,
                    layers=["fc*", "noise*"])  # fmt: skip
    random = {layer.name for layer in Run(path).layers if layer.random}
    assert random == ({"noise1", "fc2", "noise2"} if noise is None else {"fc2", "noise2"})
    text = "random in evaluation mode" if noise is None else "by more than the noise that is"
    assert text in caplog.text
    found = rows(path, *ESTIMATORS)
    for name in ESTIMATORS:
        for layer in ("fc1", "noise1", "fc2", "noise2"):
            flags = found[layer, name, "ixt"]["flags"]
            if layer in random and found[layer, name, "ixt"]["value"] is not None:
                assert "upper_bound" in flags, (name, layer)
            elif layer == "fc1":
                assert "upper_bound" not in flags, (name, layer)
            assert "upper_bound" not in found[layer, name, "ity"]["flags"]


def test_other_estimators_take_the_first_pass(eight_passes, tmp_path):
    one = recorded(tmp_path / "one", network(), keep_dropout=True, name="run")
    many, single = rows(eight_passes, "binning"), rows(one, "binning")
    for key, row in many.items():
        assert row["value"] == single[key]["value"]
        assert ("upper_bound" in row["flags"]) == ("upper_bound" in single[key]["flags"])


def test_noise_off_is_the_noise_of_the_network(tmp_path):
    """Values without the noise, which is declared: the first layer is measured right."""
    path = recorded(tmp_path / "run", network())
    assert not rows(path, "kde")["noise1", "kde", "ixt"]["flags"].count("upper_bound")
    found = rows(path, "noisy")
    first, second = (found[name, "noisy", "ixt"] for name in ("noise1", "noise2"))
    assert first["value"] == pytest.approx(truths(network())[0], abs=0.15)
    assert "noise_off" not in first["flags"]
    assert "noise_off" in second["flags"]  # the first noise never reached it
    assert second["diag"]["noise_off"] == ["noise1"]


def test_noise_of_the_analysis(eight_passes):
    found = rows(eight_passes, "noisy:std=0.6")
    assert {key[0] for key in found} == {"fc1", "noise1", "fc2", "noise2"}
    assert found["fc2", "noisy:std=0.6", "ixt"]["diag"]["noise_source"] == "added"
    assert found["noise2", "noisy:std=0.6", "ixt"]["diag"]["noise"] == OUTER
    # fc2 with less noise than the network adds holds more than noise2, and less than noise1.
    values = [found[name, "noisy:std=0.6", "ixt"]["value"] for name in ("noise2", "fc2", "noise1")]
    assert values == sorted(values)


def test_network_without_noise_is_told(tmp_path):
    path = recorded(tmp_path / "run", nn.Sequential(nn.Linear(3, 2), nn.Tanh()), n=50)
    with pytest.raises(NotFoundError, match="noisy: no layer declares noise") as refused:
        rows(path, "noisy")
    assert "noisy:std=0.1" in refused.value.hint


def test_few_passes_leave_the_bounds(tmp_path):
    model = nn.Sequential(nn.Linear(3, 40), nn.Dropout(0.5), nn.Linear(40, 40), GaussianNoise(0.05))
    path = recorded(tmp_path / "run", model, n=100, keep_dropout=True, passes=2)
    row = rows(path, "noisy")["3", "noisy", "ixt"]
    assert row["value"] is None
    assert "wide_bracket" in row["flags"]
    assert row["bound_name"] == "bracket"
    assert row["ci_high"] > 5


def test_large_runs_are_subsampled(eight_passes):
    row = rows(eight_passes, "noisy:max_samples=100")["noise1", "noisy:max_samples=100", "ixt"]
    assert row["n"] == 100
    assert "subsampled" in row["flags"]
    assert row["bound_high"] == pytest.approx(math.log2(100))


def test_constant_layer(tmp_path):
    model = nn.Sequential(nn.Linear(3, 2), GaussianNoise(0.5))
    for parameter in model.parameters():
        parameter.data.zero_()
    path = recorded(tmp_path / "run", model, n=50, keep_dropout=True)
    row = rows(path, "noisy")["1", "noisy", "ixt"]
    assert row["value"] == pytest.approx(0.0, abs=1e-12)
    assert "constant" in row["flags"]


@pytest.mark.parametrize("spec", ["noisy:std=0", "noisy:std=-1", "noisy:draws=0", "noisy:std=inf"])
def test_unfit_parameters(spec):
    with pytest.raises(InputError, match="noisy: expected"):
        parse_estimator(spec)
