"""Several groups of runs: side by side, over one another, and twice into one place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from infoplane.errors import InputError, NotFoundError
from infoplane.plots.figures import draw
from infoplane.plots.plane.figure import plane
from infoplane.plots.report.groups import group_sections
from infoplane.plots.steps import steps
from infoplane.plots.view import View
from tests.plots import synthetic
from tests.plots.test_figures import outside, overlapping, ticks_that_touch, words


def made(group: str, **shape: Any) -> dict[str, Any]:
    shape = {"n_layers": 3, "n_steps": 6, "n_seeds": 2, "estimators": ("binning",), **shape}
    return synthetic.results(group=group, **shape)


def until(last: int, group: str) -> dict[str, Any]:
    """A group whose training ends early."""
    document = made(group)
    document["rows"] = [row for row in document["rows"] if row["step"] <= last]
    return document


def joined(*documents: dict[str, Any]) -> View:
    first = documents[0]
    parts = ("recordings", "rows", "phases")
    return View.of({**first, **{key: [x for d in documents for x in d[key]] for key in parts}})


@pytest.fixture(scope="module")
def three() -> View:
    return joined(made("main"), made("pr", seed=1), made("relu", seed=2))


def heads(figure: Figure) -> list[str]:
    return [text for text in words(figure) if " — " in text]


@pytest.mark.parametrize("name", ["plane", "steps", "compression", "heat"])
def test_a_figure_of_one_group_of_several_says_so(name: str, three: View) -> None:
    assert any("1 of 3 groups drawn" in text for text in words(draw(three, name)))
    assert not any("groups drawn" in text for text in words(draw(three.only("pr"), name)))


@pytest.mark.parametrize("name", ["steps", "compression", "heat", "diagnostics"])
def test_every_figure_is_drawn_side_by_side(name: str, three: View) -> None:
    figure = draw(three, name, groups="beside")
    told = " ".join(words(figure))
    assert all(f"— {group}" in told for group in three.groups)
    assert "groups drawn" not in told
    assert outside(figure) == overlapping(figure) == []
    assert ticks_that_touch(figure) == []


def test_panels_side_by_side_have_the_same_limits(three: View) -> None:
    alone = [draw(three, "steps", group=g, size=3.5).axes for g in three.groups]
    figure = draw(three, "steps", groups="beside")
    per_group = len(figure.axes) // 3
    for i in range(per_group):
        shared = {figure.axes[g * per_group + i].get_ylim() for g in range(3)}
        ends = np.array([axes[i].get_ylim() for axes in alone])
        assert shared == {(ends[:, 0].min(), ends[:, 1].max())}


def test_colours_side_by_side_are_of_one_scale() -> None:
    low, high = made("low"), made("high", seed=1)
    for row in low["rows"]:
        row["value"] *= 0.5
    figure = draw(joined(low, high), "heat", groups="beside")
    bars = [bar for ax in figure.axes if (bar := getattr(ax, "_colorbar", None)) is not None]
    assert len(bars) == 2
    assert len({(bar.norm.vmin, bar.norm.vmax) for bar in bars}) == 1


def test_an_axis_of_time_holds_the_steps_of_all_groups() -> None:
    view = joined(until(500, "short"), made("long"))
    assert view.steps("short")[-1] != view.steps("long")[-1]
    figure = draw(view, "steps", groups="beside")
    assert len({ax.get_xlim() for ax in figure.axes}) == 1


def test_panels_that_differ_keep_their_axes_and_it_is_said() -> None:
    figure = draw(joined(made("a"), made("b", n_layers=2)), "steps", groups="beside")
    assert any("The axes are those of each group" in text for text in words(figure))


def test_a_group_without_the_figure_is_named_in_its_place() -> None:
    without = made("none")
    without["rows"] = [row for row in without["rows"] if row["quantity"] == "ity"]
    without["phases"] = []
    view = joined(made("whole"), without)
    figure = draw(view, "compression", groups="beside")
    assert any(text.startswith("none: not drawn:") for text in words(figure))
    with pytest.raises(NotFoundError):
        draw(view, "compression", groups="beside", group=["none"])


def test_groups_are_chosen_by_name(three: View) -> None:
    figure = draw(three, "steps", groups="beside", group=["relu", "pr"])
    assert [head.rpartition(" — ")[2].strip() for head in heads(figure)] == ["relu", "pr"]
    with pytest.raises(NotFoundError, match="no group 'x'"):
        draw(three, "steps", groups="beside", group=["pr", "x"])
    with pytest.raises(InputError, match="groups: expected 'beside' or 'overlay', got 'all'"):
        draw(three, "steps", groups="all")
    with pytest.raises(InputError, match="without ax"):
        draw(three, "steps", groups="beside", ax=Figure().add_subplot())


def test_more_groups_than_fit_are_counted(monkeypatch: pytest.MonkeyPatch, three: View) -> None:
    monkeypatch.setattr("infoplane.plots.groups.MOST", 2)
    told = words(draw(three, "heat", groups="beside"))
    assert any("2 of 3 groups drawn" in text for text in told)


# --- over one another


def paths(ax: Axes) -> dict[str, Line2D]:
    found = {str(line.get_label()): line for line in ax.lines}
    return {label: line for label, line in found.items() if label.startswith("_path ")}


def test_an_overlay_has_a_path_per_group_and_layer_and_tells_them_apart(three: View) -> None:
    figure = draw(three, "plane", groups="overlay")
    [ax] = figure.axes
    drawn = paths(ax)
    assert len(drawn) == 3 * 3
    by_group = [
        {(line.get_color(), line.get_linestyle()) for label, line in drawn.items()
         if label.split()[1] == group}
        for group in three.groups
    ]  # fmt: skip
    assert [len(looks) for looks in by_group] == [1, 1, 1]
    colours, _ = zip(*(looks.pop() for looks in by_group), strict=True)
    assert len(set(colours)) == 3
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[:3] == ["main (2 runs)", "pr (2 runs)", "relu (2 runs)"]
    curve = three.curves["pr", "fc1", "binning", "ixt"]
    np.testing.assert_allclose(drawn["_path pr fc1"].get_xdata(), curve.mean())
    assert outside(figure) == overlapping(figure) == []


def test_groups_in_an_overlay_differ_without_colour(three: View) -> None:
    lines = paths(draw(three, "plane", groups="overlay").axes[0])
    patterns = {label.split()[1]: str(getattr(line, "_unscaled_dash_pattern"))  # noqa: B009
                for label, line in lines.items()}  # fmt: skip
    assert len(set(patterns.values())) == 3


def test_an_overlay_of_many_layers_has_a_panel_for_each() -> None:
    view = joined(*(made(g, n_layers=9, n_steps=3, n_seeds=1) for g in ("a", "b")))
    figure = draw(view, "plane", groups="overlay")
    panels = [ax for ax in figure.axes if ax.get_visible()]
    assert len(panels) == 9
    assert all(len(paths(ax)) == 2 for ax in panels)
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in panels}) == 1


def test_a_layer_has_one_mark_in_every_group() -> None:
    less = made("less")
    less["rows"] = [row for row in less["rows"] if row["layer"] != "fc1"]
    figure = draw(joined(made("more"), less), "plane", groups="overlay")
    last: dict[str, set[Any]] = {}
    for label, line in paths(figure.axes[0]).items():
        end = tuple(np.asarray(line.get_xydata())[-1])
        marks = {
            other.get_marker() for other in figure.axes[0].lines
            if len(other.get_xydata()) == 1 and tuple(np.asarray(other.get_xydata())[0]) == end
        }  # fmt: skip
        last.setdefault(label.split()[2], set()).update(marks)
    assert all(len(marks) == 1 for marks in last.values())
    assert len(set.union(*last.values())) == 3


def test_what_differs_between_groups_is_told_over_them() -> None:
    other = until(500, "other")
    for recording in other["recordings"]:
        recording["h_y"] = 1.5
    for row in other["rows"]:
        row["n"] = 77
    told = " ".join(words(draw(joined(made("one"), other), "plane", groups="overlay")))
    assert "groups differ: N = " in told
    assert "H(Y) or log₂ N differ" in told
    assert "Last checkpoint: step" in told


def test_more_groups_than_colours_are_counted() -> None:
    view = joined(*(made(f"g{i}", n_layers=1, n_steps=2, n_seeds=1) for i in range(8)))
    told = " ".join(words(draw(view, "plane", groups="overlay")))
    assert "6 of 8 groups shown" in told


# --- twice into one place


@pytest.mark.parametrize("orders", [(plane, plane), (steps, steps), (plane, steps), (steps, plane)])
def test_a_second_figure_takes_the_place_of_the_first(orders: Any, three: View) -> None:
    pair = [Figure(figsize=(9, 5), layout="constrained") for _ in range(2)]
    twice, once = (figure.subplots(1, 2)[0] for figure in pair)
    for function in orders:
        function(three, ax=twice, group="main")
    orders[-1](three, ax=once, group="main")
    for figure in pair:
        figure.draw_without_rendering()
    one, other = ([" ".join(text.split()) for text in words(figure)] for figure in pair)
    assert one == other  # but for the breaks of lines
    assert len(pair[0].axes) == len(pair[1].axes)
    assert overlapping(pair[0]) == []


def test_what_the_caller_drew_first_stays(three: View) -> None:
    ax = Figure(layout="constrained").add_subplot()
    [own] = ax.plot([1, 2], [0, 1])
    assert own in plane(three, ax=ax).lines


# --- the report


def small(group: str) -> dict[str, Any]:
    return made(group, n_layers=2, n_steps=2, n_seeds=1)


def test_a_group_that_the_baseline_lacks_is_named_in_the_report() -> None:
    sections = group_sections(joined(small("b")), "b", 1, baseline=joined(small("a"), small("c")))
    markup = {anchor: text for anchor, _, text in sections}
    assert "<p>Not compared: no group &#x27;b&#x27;" in markup["g1-compare"]


def test_an_estimator_has_one_colour_in_the_figures_of_all_groups() -> None:
    view = joined(made("main", estimators=("binning", "dse")), made("pr", estimators=("dse",)))

    def colours(group: str) -> dict[str, object]:
        legend = draw(view, "compression", group=group).legends[0]
        texts = [text.get_text() for text in legend.get_texts()]
        return dict(zip(texts, [line.get_color() for line in legend.get_lines()], strict=True))

    one, other = colours("main"), colours("pr")
    assert len(set(one.values())) == 2
    assert other.items() <= one.items()
