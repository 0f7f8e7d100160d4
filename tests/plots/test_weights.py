"""The figure of recorded weights."""

import numpy as np
import pytest
import torch
from torch import nn

import infoplane as ip
from infoplane.errors import NotFoundError
from infoplane.plots import draw
from infoplane.plots.figures import default_figures
from infoplane.plots.view import View
from infoplane.recording.recorder import Recorder


@pytest.fixture
def results(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 30), nn.Tanh(), nn.Linear(30, 24), nn.Linear(24, 2))
    x = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    with Recorder(model, (x, np.arange(40) % 2), tmp_path / "r", weights="summary") as recorder:
        for step in (0, 3, 9):
            recorder.snapshot(step)
            with torch.no_grad():
                [value.add_(0.1 * torch.randn_like(value)) for value in model.parameters()]
    return dict(ip.analyze(tmp_path / "r", ["weights"], jobs=1))


def test_weights_are_drawn_by_depth_and_over_training(results):
    figure = draw(results, "weights")
    panels = [ax for ax in figure.axes if ax.get_title(loc="left")]
    assert [ax.get_title(loc="left") for ax in panels] == [
        "κ(W)", "stable rank W", "α(W)", "‖ΔW‖/‖W₀‖",
    ]  # fmt: skip
    assert panels[0].get_yscale() == "log"
    values = {
        row["layer"]: row["value"]
        for row in results["rows"]
        if (row["quantity"], row["step"]) == ("condition_number", 9)
    }
    last = [line for line in panels[0].lines if line.get_label() == "_step 9"]
    np.testing.assert_allclose(last[0].get_ydata(), list(values.values()))


def test_it_shows_all_quantities_of_weights(results):
    names = [file for file, *_ in default_figures(View.of(results), {}, every=False)]
    assert "weights" in names
    assert not [name for name in names if name.startswith(("steps-", "heat-", "depth-"))]


def test_without_weights_it_says_what_to_do(results):
    rows = [row for row in results["rows"] if row["quantity"] == "frobenius_norm"]
    phases = [one for one in results["phases"] if one["quantity"] == "frobenius_norm"]
    with pytest.raises(NotFoundError, match="this figure needs one of"):
        draw({**results, "rows": rows, "phases": phases}, "weights")
