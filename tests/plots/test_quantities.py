"""Quantities of plug-ins, and what a future release may write, in figures and report."""

from __future__ import annotations

import csv
import io
import re
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from infoplane.errors import InputError, NotFoundError
from infoplane.plots.canvas import style as look
from infoplane.plots.compression import compression
from infoplane.plots.drawing import EstimatorOptions, drawing, figure
from infoplane.plots.figures import FIGURES, default_figures, draw, options_of
from infoplane.plots.heat import heat
from infoplane.plots.report.page import render_report
from infoplane.plots.steps import steps
from infoplane.plots.view import View
from tests.plots import synthetic
from tests.plots.test_figures import outside, overlapping, words


@pytest.fixture(scope="module")
def alone() -> View:
    return View.of(synthetic.of_a_plugin(n_layers=3, n_seeds=3, n_steps=10))


@pytest.fixture(scope="module")
def beside() -> View:
    return View.of(synthetic.of_a_plugin(alone=False, n_layers=3, n_seeds=3, n_steps=10))


@pytest.mark.parametrize("size", ["single", "double"])
@pytest.mark.parametrize("name", ["steps", "heat", "depth"])
def test_figures_of_any_quantity_fall_to_what_there_is(alone: View, name: str, size: str) -> None:
    figure = draw(alone, name, size=size)
    labels = [ax.get_ylabel() for ax in figure.axes]
    assert "PR  [dimensions]" in labels
    assert "bits" not in " ".join([*words(figure), *labels])
    assert outside(figure) == []
    assert overlapping(figure) == []


def test_a_quantity_and_its_estimator_can_be_chosen(beside: View) -> None:
    assert steps(beside).get_ylabel() == "I(X;T)  [bits]"
    assert steps(beside, quantity="spread_ratio").get_ylabel() == "PR  [dimensions]"
    assert steps(beside, estimator="dimension").get_ylabel() == "PR  [dimensions]"
    assert steps(beside, quantity="ity").get_ylabel() == "I(T;Y)  [bits]"
    with pytest.raises(InputError, match="expected a quantity, got 'volume'"):
        steps(beside, quantity="volume")


def test_a_scale_is_not_flat_below_a_bound_that_is_far(alone: View) -> None:
    highest = max(np.nanmax(curve.mean()) for curve in alone.curves.values())
    mesh = next(c for c in heat(alone).collections if c.get_array() is not None)
    assert mesh.get_clim() == (0.0, pytest.approx(highest))


def test_by_itself_every_quantity_is_drawn_once(alone: View, beside: View, five: View) -> None:
    def names(view: View, **options: Any) -> list[str]:
        return [file for file, *_ in default_figures(view, options, every=False)]

    def further(view: View) -> list[str]:
        return [file for file in names(view) if file not in FIGURES]

    assert "depth" in names(alone)
    assert further(alone) == []
    extra = [f"{name}-spread_ratio" for name in ("steps", "heat", "depth")]
    assert further(beside) == extra
    assert "depth" not in names(beside)
    assert "depth" not in names(five)
    assert further(five) == []
    assert "depth" in names(five, quantity="ity")
    assert "depth" in [f for f, *_ in default_figures(five, {}, every=True)]


def test_a_name_from_a_file_cannot_leave_the_folder() -> None:
    document = synthetic.of_a_plugin(alone=False, n_layers=2, n_seeds=1, n_steps=3)
    for row in document["rows"]:
        if row["quantity"] == "spread_ratio":
            row["quantity"] = "../../x"
    files = [file for file, *_ in default_figures(View.of(document), {}, every=False)]
    assert "depth--x" in files


def test_the_report_tells_a_quantity_in_its_own_unit(alone: View, beside: View) -> None:
    page = render_report(alone)
    assert re.findall(r"<h2>(.*?)</h2>", page) == ["Spread ratio (PR)", "Provenance"]
    assert "layers in which PR falls" in page
    assert "<caption>PR, spread ratio, dimensions</caption>" in page
    assert page.count("<figure>") == 2  # steps and depth; heat is for many layers
    phase = alone.phases["tanh", "fc3", "dimension", "spread_ratio"]
    row = re.search(r'<tr><th scope="row" title="fc3">.*?</tr>', page)
    assert row is not None
    assert alone.number("spread_ratio", phase.last) in row[0]
    links = dict(re.findall(r'download="([^"]+)" href="data:[^,]+,([^"]+)"', page))
    for name in ("curves.csv", "phases.csv"):
        rows = list(csv.DictReader(io.StringIO(unquote(links[name]))))
        assert {row["unit"] for row in rows} == {"dimensions"}
    headings = re.findall(r"<h2>(.*?)</h2>", render_report(beside))
    assert headings[:4] == [
        "Information plane", "Compression by layer", "Over training", "Spread ratio (PR)",
    ]  # fmt: skip


def test_pairs_of_layers_have_no_depth() -> None:
    document = synthetic.of_a_plugin(n_layers=3, n_seeds=2, n_steps=6)
    pairs = {"fc1": "pair fc1 ~ fc2", "fc2": "pair fc1 ~ fc3", "fc3": "pair fc2 ~ fc3"}
    for entry in (*document["rows"], *document["phases"]):
        entry["layer"] = pairs[entry["layer"]]
    view = View.of(document)
    figure = steps(view).figure
    assert figure.get_suptitle().startswith("PR per pair")
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        "fc1 ~ fc2",
        "fc1 ~ fc3",
        "fc2 ~ fc3",
    ]
    assert "PR by pair and step — tanh" in " ".join(words(heat(view).figure))
    with pytest.raises(NotFoundError, match="needs PR of two layers; 'tanh' has 0"):
        draw(view, "depth")
    assert "fc1 ~ fc3" in render_report(view)


def test_groups_of_another_quantity_stand_side_by_side(alone: View) -> None:
    other = synthetic.of_a_plugin(n_layers=3, n_seeds=3, n_steps=10, group="relu")
    both = {
        **other,
        **{key: [*alone.results[key], *other[key]] for key in ("recordings", "rows", "phases")},
    }
    page = render_report(both)
    assert "by the verdict of their layers; dimensions" in page
    assert "Largest fall of PR" in page


def test_words_of_a_future_release_are_written_as_they_are(five: View) -> None:
    document = dict(five.results)
    document["phases"] = [{**p, "verdict": "wavers", "later": 1} for p in document["phases"]]
    document["rows"] = [
        {**row, "bound_name": "horizon", "flags": [*row["flags"], "new_flag"]}
        for row in document["rows"]
    ]
    view = View.of(document)
    for style in ("paper", "dark"):
        assert "wavers" in " ".join(words(compression(view, style=style).figure))
    assert "bound = 12.00" in words(steps(view).figure)
    assert draw(view, "heat").axes
    assert "wavers" in render_report(view)


def test_old_phases_lack_members(five: View) -> None:
    known = ("group", "layer", "estimator", "quantity", "n_runs", "onset_step", "first", "peak",
             "last", "change", "change_low", "change_high", "verdict", "agree", "of")  # fmt: skip
    phases = [{name: p[name] for name in known} for p in five.results["phases"]]
    view = View.of({**five.results, "phases": phases})
    assert "Grey: ±0.25 bits" in " ".join(words(draw(view, "compression")))
    assert draw(view, "steps").axes


def test_small_numbers_keep_their_digits(alone: View) -> None:
    assert alone.number("spread_ratio", -1.234, sign=True) == "−1.23"
    assert alone.number("ixt", 1e-5) == "0.00"
    document = synthetic.of_a_plugin(n_layers=2, n_seeds=1, n_steps=4)
    for row in document["rows"]:
        row["value"] *= 1e-3 / 8
    assert View.of(document).number("spread_ratio", 0.000321) == "0.000321"
    for row in document["rows"]:
        row["value"] *= 1e12
    assert View.of(document).number("spread_ratio", 1.2345e8) == "1.23e+08"


@pytest.mark.parametrize(("style", "ground"), [("paper", 1.0), ("dark", 0.0056)])
def test_colours_of_plugins_stand_out_from_the_ground(style: str, ground: float) -> None:
    for colour in ("#FFFF00", "#101010", "#5A5A5A"):
        with look.context(style):
            levels = np.array(look.to_rgb(look.readable(colour)))
        linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
        own = float(linear @ [0.2126, 0.7152, 0.0722])
        assert (max(own, ground) + 0.05) / (min(own, ground) + 0.05) >= 2.99  # WCAG: 3 to 1
    with look.context("paper"):
        assert look.readable("#0072B2") == "#0072b2"


@figure(EstimatorOptions)
def last_values(results: Any, **options: Any) -> Any:
    """Draw the last value of each layer.

    Parameters
    ----------
    results : mapping or View
        A results document.
    """
    with drawing(results, "ixt", **options) as on:
        area = on.area(2.0)
        ax = area.add_subplot()
        ax.plot([on.phase(layer).last for layer in on.layers()])
        on.finish(area, "Last values")
        return ax


def test_a_figure_is_a_function_and_a_line_in_the_register(
    five: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FIGURES, "last", "tests.plots.test_quantities:last_values")
    drawn = draw(five, "last", layers=["fc2", "fc3"], size="single")
    phases = [five.phases["tanh", layer, "compressed", "ixt"] for layer in ("fc2", "fc3")]
    np.testing.assert_array_equal(drawn.axes[0].lines[0].get_ydata(), [p.last for p in phases])
    assert "Last values — tanh" in " ".join(words(drawn))
    assert options_of("last") == {"estimator", "group", "layers", "style", "size"}
    assert "last" in [name for _, name, _ in default_figures(five, {}, every=False)]
    assert "infoplane.plots.drawing.EstimatorOptions" in str(last_values.__doc__)
    assert "The first panel" in str(last_values.__doc__)


def test_options_are_told_and_others_refused(five: View) -> None:
    shared = {"group", "layers", "style", "size"}
    assert options_of("compression") == shared
    assert options_of("steps") == {*shared, "quantity", "estimator"}
    with pytest.raises(InputError, match="option of the figure 'steps', got 'colour'") as caught:
        draw(five, "steps", colour="red")
    assert caught.value.hint == "options: ax, estimator, group, layers, quantity, size, style"
