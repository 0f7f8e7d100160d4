"""Figures and the table of the training itself: the loss curve, the curvature."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from infoplane import Recorder, analyze
from infoplane.cli.table import summary
from infoplane.data import ProbeSet
from infoplane.errors import NotFoundError
from infoplane.plots.figures import FIGURES, default_figures, draw
from infoplane.plots.report.page import render_report
from infoplane.plots.view import View
from infoplane.results.merging import merged
from tests.conftest import small_net
from tests.plots.test_figures import outside, overlapping, ticks_that_touch, words

LOSS = nn.functional.cross_entropy


def trained(folder: Path, seed: int, **options: Any) -> Path:
    """Record a short training: 600 losses, curvature at five steps."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(120, 5)).astype(np.float32)
    probe = ProbeSet(inputs, (inputs[:, 0] > 0).astype(np.int64))
    torch.manual_seed(seed)
    path = folder / f"net-s{seed}"
    with Recorder(small_net(), probe, path, schedule="every:150", **options) as recorder:
        for step in range(601):
            loss = 0.4 + 0.3 * ((step + 1) / 600) ** -0.5 + 0.02 * rng.standard_normal()
            recorder.log(step, train_loss=loss, tokens=64 * (step + 1))
            recorder.step(step, epoch=step / 1000)
    return path


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("runs")
    runs = [
        trained(folder, seed, curvature=LOSS, curvature_samples=20, learning_rate=0.5)
        for seed in (0, 1)
    ]
    return analyze(runs, ["prequential", "curvature", "fisher"])


@pytest.fixture(scope="module")
def view(results: Any) -> View:
    return View.of(results)


@pytest.mark.parametrize("size", ["single", "double", "slide", 5.0])
@pytest.mark.parametrize("name", ["losses", "curvature"])
def test_no_text_is_cut_or_covers_another(name: str, size: str | float, view: View) -> None:
    figure = draw(view, name, size=size)
    assert outside(figure) == []
    assert overlapping(figure) == []
    assert ticks_that_touch(figure) == []


@pytest.mark.parametrize("name", ["losses", "curvature"])
def test_they_are_drawn_into_given_axes(name: str, view: View) -> None:
    figure = Figure(figsize=(16, 6))
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1])
    drawn = resolve_name(FIGURES[name])(view, ax=right)
    assert drawn.get_figure(root=True) is figure
    assert outside(figure) == []


def test_the_loss_curve_has_its_fit_and_its_area(view: View, results: Any) -> None:
    figure = draw(view, "losses")
    left, right = figure.axes[:2]
    assert {line.get_label() for line in left.lines} == {"_run net-s0", "_run net-s1", "_fit"}
    assert len(right.collections) == 1
    row = next(
        row
        for row in reversed(results["rows"])
        if (row["run"], row["quantity"]) == ("net-s0", "prequential_excess_bits")
    )
    assert f"Area: {row['value']:,.4g} bits." in " ".join(words(figure))
    fit = next(line for line in left.lines if line.get_label() == "_fit")
    assert np.all(np.diff(fit.get_ydata()) < 0)
    assert "Area and fit: of net-s0." in " ".join(words(figure))


def test_the_eigenvalue_stands_beside_the_limit(view: View) -> None:
    figure = draw(view, "curvature")
    limit = next(line for line in figure.axes[0].lines if line.get_label() == "_limit")
    np.testing.assert_allclose(limit.get_ydata(), 4.0)
    assert len(figure.axes) == 2


def test_results_without_them_say_how_they_are_made(tmp_path: Path) -> None:
    made = analyze(trained(tmp_path, 3), "spectrum")
    assert draw(made, "losses") is not None  # the curve alone
    with pytest.raises(NotFoundError, match="needs the curvature of the loss"):
        draw(made, "curvature")
    for recording in made["recordings"]:
        del recording["losses"]
    with pytest.raises(NotFoundError, match="needs a loss log"):
        draw(made, "losses")


def test_report_and_default_figures_have_them(view: View, results: Any) -> None:
    names = {name for _, name, _ in default_figures(view, {}, every=False)}
    assert {"losses", "curvature"} <= names
    page = render_report(results)
    for words_ in ("Loss curve", "Curvature"):
        assert words_ in page


def test_merged_results_keep_the_longer_log(results: Any) -> None:
    parts = [
        {
            **results,
            "recordings": [
                {**r, "steps": [s for s in r["steps"] if s in steps]} for r in results["recordings"]
            ],
            "rows": [row for row in results["rows"] if row["step"] in steps],
        }
        for steps in ((0, 150), (300, 450, 600))
    ]
    whole = merged(parts, names=["a", "b"])
    for recording in whole["recordings"]:
        assert recording["losses"]["n"] == 601


def test_the_table_shows_values_intervals_and_flags(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run = trained(tmp_path, 0, curvature=LOSS, curvature_samples=20, learning_rate=0.5)
    text = summary(analyze(run, ["prequential", "curvature", "fisher"]))
    assert all(len(line) <= 80 for line in text.splitlines())
    lines = {line.split("  ")[0].strip(): line for line in text.splitlines()}
    for symbol in ("excess bits", "sharpness", "β", "L∞", "λ₁(H)", "tr H", "2/η", "tr F"):
        assert symbol in lines, text
    for symbol in ("excess bits", "β", "λ₁(H)", "tr H"):
        assert ".." in lines[symbol]
    assert lines["2/η"].split()[1] == "4"
