"""Brackets are bands, bounds alone are bars, and log2 N is no line where it bounds nothing."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from infoplane.errors import NotFoundError
from infoplane.plots import draw
from infoplane.plots.depth import depth
from infoplane.plots.figures import default_figures
from infoplane.plots.plane.figure import plane
from infoplane.plots.report.page import render_report
from infoplane.plots.resolution import resolution
from infoplane.plots.scale import scale
from infoplane.plots.steps import steps
from infoplane.plots.view import View
from infoplane.text import in_lines
from tests.plots import synthetic
from tests.plots.test_figures import outside, overlapping, words

ASIDE = "adaptive binning: all 7 layers at log₂ N, not drawn"


@pytest.fixture(scope="module")
def view(views: dict[str, View]) -> View:
    return views["bracketed"]


def marked(ax: Axes, beginning: str) -> list[str]:
    """Return the labels of what was drawn that begin like this."""
    labels = [str(artist.get_label()) for artist in ax.get_children()]
    return [label for label in labels if label.startswith(beginning)]


def said(figure: Figure) -> str:
    return " ".join(" ".join(words(figure)).split())


@pytest.mark.parametrize("name", ["plane", "steps", "compression", "depth", "heat"])
def test_what_says_nothing_is_told_in_one_line(name: str, view: View) -> None:
    text = said(draw(view, name))
    assert text.count(ASIDE) == 1
    assert "saturated" not in text
    assert "log₂ N =" not in text


def test_the_one_that_is_named_is_drawn(view: View) -> None:
    text = said(draw(view, "plane", estimator="binning"))
    assert "log₂ N = 12.00 bits" in text
    assert "7 layers): saturated" in text
    assert "not drawn" not in text


def test_the_panels_of_estimators_leave_out_what_says_nothing(view: View) -> None:
    figure = draw(view, "plane", facet="estimator")
    assert [ax.get_title(loc="left") for ax in figure.axes][:-1] == ["lossy compression"]
    assert said(figure).count(ASIDE) == 1
    assert "saturation band" not in said(figure)


def test_steps_draw_brackets_as_bands_and_bounds_alone_as_bars(view: View) -> None:
    figure = steps(view).figure
    first = figure.axes[0]
    assert marked(first, "_bracket") == ["_bracket fc1"]
    curve = view.curves["tanh", "fc1", "compressed", "ixt"]
    (bars,) = [c for c in first.collections if c.get_label() == "_bounds fc1"]
    drawn = np.array(bars.get_segments())[:, :, 1]
    np.testing.assert_allclose(drawn[:, 0], curve.bracket_low[0][curve.bounds_alone])
    np.testing.assert_allclose(drawn[:, 1], curve.bracket_high[0][curve.bounds_alone])
    line = next(line for line in first.lines if line.get_label() == "_mean fc1")
    assert np.isnan(line.get_ydata()).sum() == curve.bounds_alone.sum() > 0
    low, high = first.get_ylim()
    assert low < np.nanmin(curve.bracket_low) < np.nanmax(curve.bracket_high) < high
    assert "Light band: between the lower and the upper bound." in said(figure)
    assert "Bars: the bounds alone, too far apart for a value." in said(figure)


def test_plane_and_depth_draw_the_bounds_of_the_last_checkpoint(view: View) -> None:
    ax = plane(view)
    assert marked(ax, "_bracket") == [f"_bracket fc{i}" for i in range(1, 8)]
    box = next(patch for patch in ax.patches if patch.get_label() == "_bracket fc4")
    curve = view.curves["tanh", "fc4", "compressed", "ixt"]
    assert box.get_x() == pytest.approx(curve.bracket_low[0, -1])
    assert box.get_width() == pytest.approx(0.12)
    assert "lower to upper bound, last checkpoint" in said(ax.figure)
    assert marked(depth(view), "_bracket") == ["_bracket 0", "_bracket 9"]


def test_a_layer_without_any_value_is_drawn_by_its_bounds() -> None:
    document = synthetic.bracketed(n_layers=2, n_steps=3, last_step=2, wide_layers=1)
    for row in document["rows"]:
        if row["layer"] == "fc1" and row["bound_name"] == "bracket":
            row["value"] = row["ci_low"] = row["ci_high"] = None
    view = View.of(document)
    assert marked(steps(view).figure.axes[0], "_bounds") == ["_bounds fc1"]
    assert depth(view)
    assert marked(plane(view), "_path") == ["_path fc2"]


def test_log2_n_is_drawn_where_it_bounds_and_is_near() -> None:
    far = View.of(synthetic.bracketed(n_layers=3, recorded=True))
    assert plane(far).get_xlim()[1] < 6
    assert "saturation band" not in said(plane(far).figure)
    assert "↑ log₂ N = 12.00" in said(steps(far).figure)
    near = View.of(synthetic.bracketed(n_layers=3, recorded=True, n=64))
    assert "log₂ N = 6.00 bits" in said(plane(near).figure)


def test_scale_is_what_lies_between_relative_and_fixed_noise(view: View) -> None:
    ax = scale(view)
    text = said(ax.figure)
    curve = view.curves["tanh", "fc7", "compressed", "ixt"].mean()
    assert f"shape {curve[-1] - curve[0]:+.2f}".replace("-", "−") in text
    assert text.count("scale +1.00") == 5  # an octave over the training; two have no first value
    assert marked(ax.figure.axes[6], "_scale") == ["_scale fc7"]
    assert ax.figure.axes[7].get_ylabel() == "log₂ D  [octaves]"
    many = View.of(synthetic.bracketed(n_layers=60, n_steps=4, last_step=3))
    assert "8 of 60 layers shown" in said(scale(many).figure)


def test_resolution_is_a_curve_per_layer_over_the_noise(view: View) -> None:
    ax = resolution(view)
    line = next(line for line in ax.lines if line.get_label() == "_resolution fc3")
    last = view.curves["tanh", "fc3", "compressed", "ixt"].mean()[-1]
    np.testing.assert_allclose(10 ** line.get_xdata(), [0.2, 0.25, 0.35])
    np.testing.assert_allclose(line.get_ydata(), [last + 1.0, last, last - 1.2])
    assert "step 9" in said(ax.figure)
    assert "step 0" in said(resolution(view, step=0).figure)


def test_a_sweep_is_a_curve_as_well() -> None:
    document = synthetic.bracketed(n_layers=2)
    entry = document["estimators"][1]
    rows: list[dict[str, Any]] = []
    ids = [f"compressed:c={c}" for c in (0.1, 0.15, 0.3, 0.5)]
    for c, identifier in zip((0.1, 0.15, 0.3, 0.5), ids, strict=True):
        for row in document["rows"]:
            if row["estimator"] == "compressed" and row["quantity"] == "ixt":
                moved = {"value": 1 / c, "setting": f"c={c}", "estimator": identifier}
                rows.append({**row, **moved, "diag": {"c": c}})
    swept = {**document, "rows": rows, "estimators": [{**entry, "id": i} for i in ids]}
    ax = resolution(View.of(swept))
    line = next(line for line in ax.lines if line.get_label() == "_resolution fc2")
    np.testing.assert_allclose(line.get_ydata(), [10, 1 / 0.15, 1 / 0.3, 2])
    two = [row for row in rows if row["estimator"] in ids[:2]]
    with pytest.raises(NotFoundError, match="at 3 resolutions"):
        resolution(View.of({**swept, "rows": two, "phases": []}))


def test_the_two_views_are_drawn_by_default_and_their_parts_not_again(view: View) -> None:
    files = [file for file, *_ in default_figures(view, {}, every=False)]
    assert {"scale", "resolution"} <= set(files)
    assert not any(file.endswith(("size", "ixt_fixed")) for file in files)


@pytest.mark.parametrize("layers", [3, 60])
@pytest.mark.parametrize("name", ["plane", "steps", "scale", "resolution"])
def test_few_and_many_layers_fit(name: str, layers: int) -> None:
    names = [f"module.backbone.layer{i // 15}.{i}.conv" for i in range(layers)]
    view = View.of(synthetic.bracketed(names=names, n_steps=5, wide_layers=1, n_seeds=2))
    figure = draw(view, name)
    assert outside(figure) == []
    assert overlapping(figure) == []


def test_the_report_tells_the_choice_the_parts_and_what_cannot_be_used(view: View) -> None:
    page = render_report(view)
    assert "Shown: lossy compression (no layer saturated, brackets at most 1.40 bits wide" in page
    assert "IP201, IP202 I(X;T) and I(T;Y) by adaptive binning are unusable in 7 of 7" in page
    assert "use compressed (above)" in page
    assert "<h2>Shape and scale</h2>" in page
    assert "<h2>Resolution</h2>" in page
    assert "no layer is at its ceiling" in page
    assert "saturated</span>" not in page.split("<details>")[0]


def test_what_happened_is_told_in_the_sentences_of_the_results(view: View) -> None:
    phases = [{**p, "sentence": f"falls & rises in {p['layer']}"} for p in view.results["phases"]]
    page = render_report({**view.results, "phases": phases})
    assert "<li><b>fc3</b> falls &amp; rises in fc3</li>" in page


def with_a_probe_above() -> dict[str, Any]:
    """Return results of three runs whose I(T;Y) by compressed is below what a probe reads."""
    document = synthetic.bracketed(n_layers=2, n_seeds=3, n_steps=4, last_step=3)
    ity = [r for r in document["rows"] if (r["estimator"], r["quantity"]) == ("compressed", "ity")]
    identifier = "probe:max_samples=100"
    document["rows"] += [
        {**row, "estimator": identifier, "value": row["value"] + 0.5, "bound_name": "h_y"}
        for row in ity
    ]
    for row in ity:
        row["flags"] = ["below_probe"]
    entry = {**document["estimators"][1], "id": identifier, "name": "held-out probe"}
    document["estimators"].append(entry)
    return document


BELOW = "a held-out probe reads more of the label than shown (24 of 24 points); plane --ity probe"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plane", {}),
        ("plane", {"facet": "layer"}),
        ("plane", {"facet": "estimator"}),
        ("steps", {}),
    ],
)
def test_a_figure_says_that_a_probe_reads_more_than_it_shows(name: str, options: Any) -> None:
    text = said(draw(with_a_probe_above(), name, **options))
    assert text.lower().count(BELOW.lower()) == 1


def test_the_probe_is_found_by_its_name_and_its_plane_says_nothing_of_it() -> None:
    view = View.of(with_a_probe_above())
    view.check_names(ity="probe", estimator="compressed")
    text = said(draw(view, "plane", ity="probe"))
    assert "reads more" not in text
    assert "held-out probe" in text
    with pytest.raises(NotFoundError, match="--ity: the results have no 'prob'"):
        view.check_names(ity="prob")


def test_the_text_alternative_says_that_a_probe_reads_more() -> None:
    told = re.findall(r"<desc[^>]*>([^<]*)|alt=\"([^\"]*)", render_report(with_a_probe_above()))
    assert any(BELOW[1:] in "".join(one) for one in told)


def test_scale_says_what_both_kinds_of_bands_are_and_holds_them() -> None:
    view = View.of(synthetic.bracketed(n_layers=2, n_seeds=3, n_steps=4, last_step=3))
    figure = scale(view).figure
    text = said(figure)
    assert "Light band: between the lower and the upper bound." in text
    assert "Dark band: 95 % interval of the mean of 3 runs." in text
    for ax in figure.axes[:2]:
        low, high = ax.get_ylim()
        for curve in view.curves.values():
            if curve.quantity in ("ixt", "ixt_fixed") and curve.estimator == "compressed":
                interval = curve.interval()
                assert interval is not None
                assert low < interval[0].min() < interval[1].max() < high


def test_a_logarithm_stays_with_what_it_is_of() -> None:
    lines = in_lines("the size of a layer is log₂ D, and log₂ N = 10.8 bits", 28)
    assert lines == ["the size of a layer is", "log₂ D, and log₂ N = 10.8", "bits"]
