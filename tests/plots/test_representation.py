"""Figures of representations: measures side by side, eigenvalues, planes of any quantities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from infoplane.errors import InputError, NotFoundError
from infoplane.plots.figures import default_figures, draw
from infoplane.plots.report.page import render_report
from infoplane.plots.view import View
from tests.plots import synthetic
from tests.plots.test_figures import outside, overlapping, ticks_that_touch, words

PARTS = ("self_attn", "linear1", "mlp.dense_4h_to_h")
NAMES = [f"encoder.layers.{i // 3}.{PARTS[i % 3]}" for i in range(60)]


@pytest.fixture(scope="module")
def three() -> View:
    return View.of(synthetic.of_representations())


@pytest.fixture(scope="module")
def sixty() -> View:
    return View.of(synthetic.of_representations(n_layers=60, n_steps=4, names=NAMES))


FIGURES: list[tuple[str, dict[str, Any]]] = [
    ("representation", {}),
    ("collapse", {}),
    ("eigenvalues", {}),
    ("plane", {"x": "effective_rank", "y": "label_alignment"}),
    ("steps", {}),
]


@pytest.mark.parametrize("size", ["single", "double"])
@pytest.mark.parametrize(("name", "options"), FIGURES)
@pytest.mark.parametrize("shape", ["three", "sixty"])
def test_nothing_is_cut_or_covered(
    shape: str, name: str, options: dict[str, Any], size: str, request: pytest.FixtureRequest
) -> None:
    figure = draw(request.getfixturevalue(shape), name, size=size, **options)
    assert outside(figure) == []
    assert overlapping(figure) == []
    assert ticks_that_touch(figure) == []


def test_measures_have_a_line_per_checkpoint_above_and_per_layer_below(three: View) -> None:
    figure = draw(three, "representation")
    above, below = figure.axes[0], figure.axes[3]
    assert sum(str(line.get_label()).startswith("_step") for line in above.lines) == 8
    assert sum(str(line.get_label()).startswith("_layer") for line in below.lines) == 3
    null = next(line for line in above.lines if line.get_label() == "_null")
    np.testing.assert_allclose(null.get_ydata(), 90.0)


@pytest.mark.parametrize(("n_steps", "drawn"), [(2, 2), (6, 6), (8, 8), (20, 5)])
def test_the_note_tells_how_many_checkpoints_are_drawn(n_steps: int, drawn: int) -> None:
    view = View.of(synthetic.of_representations(n_steps=n_steps))
    every = len(view.steps("tanh"))
    assert every == n_steps
    figure = draw(view, "representation")
    lines = [line for line in figure.axes[0].lines if str(line.get_label()).startswith("_step")]
    assert len(lines) == drawn
    told = f"each of {drawn} of {every} checkpoints" if drawn < every else "a line per checkpoint"
    assert told in " ".join(" ".join(words(figure)).split())


@pytest.mark.parametrize("name", ["representation", "collapse"])
def test_the_note_tells_how_many_layers_the_legend_names(
    name: str, three: View, sixty: View
) -> None:
    assert "The legend names 6 of 60 layers." in " ".join(words(draw(sixty, name)))
    assert "The legend names" not in " ".join(words(draw(three, name)))


def test_a_power_law_lies_on_its_eigenvalues(three: View) -> None:
    ax = draw(three, "eigenvalues").axes[0]
    (fit,) = [line for line in ax.lines if line.get_label() == "_fit"]
    ranks, drawn = np.asarray(fit.get_xydata()).T
    total = (np.arange(1, 61) ** -1.5).sum()
    np.testing.assert_allclose(drawn, ranks**-1.5 / total, rtol=1e-9)
    assert "α = 1.50" in words(ax.figure)


def test_a_plane_takes_any_two_quantities_of_any_estimators(three: View) -> None:
    ax = draw(three, "plane", x="effective_rank", y="label_alignment").axes[0]
    assert ax.get_xlabel() == "effective rank  [dimensions]"
    assert ax.get_ylabel().startswith("CKA(T,Y)  [ratio]")
    ax = draw(three, "plane", x="effective_rank", y="alpha_req").axes[0]
    assert ax.get_ylabel() == "α  [exponent]"
    with pytest.raises(InputError, match="expected a quantity, got"):
        draw(three, "plane", x="volume", y="alpha_req")
    with pytest.raises(NotFoundError, match="needs an estimator with I"):
        draw(three, "plane")


def test_by_itself_measures_are_drawn_once(three: View) -> None:
    files = {file: of for file, _, of in default_figures(three, {}, every=False)}
    assert {"representation", "collapse", "eigenvalues"} <= set(files)
    assert not any(files.values())  # no file of a single measure


def test_the_report_tells_stages_and_nulls(three: View) -> None:
    page = render_report(three)
    assert "warm-up, then entropy-seeking, then compression-seeking" in page
    assert "no training error since" in page
    assert "Measures of the representation" in page


def test_each_row_has_its_own_legend_and_names_lie_where_they_fit(three: View, sixty: View) -> None:
    for view, turned in ((three, 0.0), (sixty, 90.0)):
        figure = draw(view, "representation")
        *panels, of_steps, of_layers = figure.axes
        above, below = panels[: len(panels) // 2], panels[len(panels) // 2 :]
        assert {ax.get_xlabel() for ax in above} == {""}
        assert {ax.get_xlabel() for ax in below} == {"training step"}
        assert {label.get_rotation() for ax in above for label in ax.get_xticklabels()} == {turned}
        told = [[text.get_text() for text in ax.get_legend().texts] for ax in (of_steps, of_layers)]
        assert all(text.startswith(("step", "null")) for text in told[0])
        assert not any(text.startswith(("step", "null")) for text in told[1])
