"""Every figure over every shape of data, read back from its artists."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from infoplane.errors import InputError, NotFoundError, RunFileError
from infoplane.plots.canvas.picture import save
from infoplane.plots.compression import compression
from infoplane.plots.figures import FIGURES, draw, options_of
from infoplane.plots.many_layers import MANY
from infoplane.plots.plane.figure import plane
from infoplane.plots.steps import steps
from infoplane.plots.view import View
from tests.plots.synthetic import results

OF_TRAINING = ("losses", "curvature", "weights")
OF_CURVES = [n for n in FIGURES if not n.startswith("similarity") and n not in OF_TRAINING]
"""The others are drawn in test_similarity.py, test_training.py and test_weights.py."""


def texts(figure: Figure) -> list[Text]:
    """Return the visible texts that say something, without tick labels."""
    ticks = {
        label
        for ax in figure.axes
        for label in (*ax.get_xticklabels(), *ax.get_yticklabels(), *ax.get_xticklabels(minor=True))
    }
    return [
        t
        for t in figure.findobj(Text)
        if t.get_visible() and t.get_text().strip() and t not in ticks
    ]


OF_REPRESENTATIONS = ("representation", "collapse", "eigenvalues", "output", "attention")
NEW = ("scale", "resolution")
"""Figures of the estimator ``compressed`` alone."""


def words(figure: Figure) -> list[str]:
    return [t.get_text() for t in texts(figure)]


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Return pairs of texts whose boxes share more than a sliver."""
    boxes = [(t.get_text(), t.get_window_extent()) for t in texts(figure) if not is_spacer(t)]
    pairs = []
    for (a, box), (b, other) in combinations(boxes, 2):
        if share_more_than_a_sliver(box, other):
            pairs.append((a, b))
    return pairs


def share_more_than_a_sliver(box: Bbox, other: Bbox) -> bool:
    width = min(box.x1, other.x1) - max(box.x0, other.x0)
    height = min(box.y1, other.y1) - max(box.y0, other.y0)
    return width > 2 and height > 2


def ticks_that_touch(figure: Figure) -> list[tuple[str, str]]:
    """Return pairs of lying tick labels whose boxes share more than a sliver."""
    labels = [
        (label.get_text(), label.get_window_extent())
        for ax in figure.axes
        for label in (*ax.get_xticklabels(), *ax.get_yticklabels())
        if ax.get_visible() and label.get_visible() and label.get_text() and is_inside(label, ax)
    ]
    return [
        (a, b)
        for (a, one), (b, two) in combinations(labels, 2)
        if share_more_than_a_sliver(one, two)
    ]


def is_inside(label: Text, ax: Axes) -> bool:
    """Whether a tick is within the limits: labels of others are not drawn."""
    upright = label in ax.get_yticklabels()
    low, high = sorted(ax.get_ylim() if upright else ax.get_xlim())
    return low <= label.get_position()[upright] <= high and label.get_rotation() == 0


def is_spacer(text: Text) -> bool:
    """Whether the box of a text is larger than its letters: lines kept free for others."""
    return text.get_text() != text.get_text().strip()


def without_unit(figure: Figure) -> set[str]:
    """Return labels of axes that name no unit."""
    labels = {label for ax in figure.axes for label in (ax.get_xlabel(), ax.get_ylabel())}
    units = ("[bits]", "[ratio]", "[0 to 1]", "(log scale)", "loss", "[octaves]")
    return {label for label in labels - {""} if not any(unit in label for unit in units)}


def outside(figure: Figure) -> list[str]:
    """Return texts that leave the figure."""
    figure.draw_without_rendering()
    width, height = figure.canvas.get_width_height()
    return [
        t.get_text()
        for t in texts(figure)
        for box in [t.get_window_extent()]
        if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1
    ]


@pytest.mark.parametrize("name", OF_CURVES)
def test_no_text_is_cut_or_covers_another(name: str, view: View) -> None:
    try:
        figure = draw(view, name, **({"baseline": view} if name == "compare" else {}))
    except NotFoundError:
        assert name in ("spectral", "agreement", "gap", *NEW, *OF_REPRESENTATIONS)
        return
    assert without_unit(figure) == set()
    assert outside(figure) == []
    assert overlapping(figure) == []
    assert ticks_that_touch(figure) == []


@pytest.mark.parametrize(
    ("shape", "size"),
    [("sixty", 3.5), pytest.param("five", 5.0, marks=pytest.mark.slow), ("missing", "slide")],
)
@pytest.mark.parametrize("name", OF_CURVES)
def test_nor_at_other_widths(
    name: str, shape: str, size: str | float, views: dict[str, View]
) -> None:
    more = {"baseline": views[shape]} if name == "compare" else {}
    try:
        figure = draw(views[shape], name, size=size, **more)
    except NotFoundError:
        assert name in ("gap", *NEW, *OF_REPRESENTATIONS)
        return
    assert outside(figure) == []
    assert overlapping(figure) == []
    assert ticks_that_touch(figure) == []


def test_the_plane_holds_data_and_bounds(view: View) -> None:
    ax = plane(view, estimator="binning")
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    group = view.groups[0]
    assert left < view.ceiling(group) < right
    assert bottom <= 0 < view.label_entropy(group) < top
    for layer in view.layers(group, "binning"):
        x = view.curves[group, layer, "binning", "ixt"].mean()
        y = view.curves[group, layer, "binning", "ity"].mean()
        assert left <= np.nanmin(x) <= np.nanmax(x) <= right
        assert bottom <= np.nanmin(y) <= np.nanmax(y) <= top


def test_the_plane_draws_one_path_and_all_runs_per_layer(five: View) -> None:
    ax = plane(five, estimator="binning")
    paths = [line for line in ax.lines if str(line.get_label()).startswith("_path")]
    assert len(paths) == 5
    curve = five.curves["tanh", "fc3", "binning", "ixt"]
    drawn = next(line for line in paths if line.get_label() == "_path fc3")
    np.testing.assert_array_equal(drawn.get_xdata(), curve.mean())
    runs = {c.get_label(): len(c.get_segments()) for c in runs_of(ax)}
    assert runs == {f"_runs fc{i}": 8 for i in range(1, 6)}
    assert runs_of(plane(five, seeds="mean", estimator="binning")) == []


def runs_of(ax: Axes) -> list[LineCollection]:
    found = [c for c in ax.collections if str(c.get_label()).startswith("_runs")]
    return [c for c in found if isinstance(c, LineCollection)]


def test_the_plane_names_every_layer_once(five: View) -> None:
    written = words(plane(five, estimator="binning").figure)
    assert "fc1: saturated" in written
    for name in ("fc2 (512)", "fc3 (256)", "fc4 (128)", "fc5 (64)"):
        assert written.count(name) == 1
    assert "H(Y) = 3.32 bits" in written
    assert "log₂ N = 12.00 bits" in written


def test_layers_on_one_point_share_a_label(views: dict[str, View]) -> None:
    assert "fc4, fc5, fc6, fc7" in words(plane(views["one_point"]).figure)


def test_all_layers_saturated_is_one_label(views: dict[str, View]) -> None:
    assert "fc1, fc2, fc3, fc4: saturated" in words(
        plane(views["saturated"], estimator="binning").figure
    )


def test_zoom_leaves_saturated_layers_out(views: dict[str, View]) -> None:
    ax = plane(views["five"], zoom=True, estimator="binning")
    assert ax.get_xlim()[1] < 12
    assert "fc1: saturated" not in words(ax.figure)
    nothing_else = plane(views["saturated"], zoom=True, estimator="binning")
    assert nothing_else.get_xlim()[1] > 11


def test_names_are_written_as_they_are(views: dict[str, View]) -> None:
    ax = plane(views["odd_names"], estimator="binning")
    written = words(ax.figure)
    assert "$x_1$: saturated" in written
    assert "a_b^c (512)" in written
    assert "\\u5c64.ReLU (128)" in written  # the font has no such glyph
    assert not any(t.get_parse_math() for t in texts(ax.figure))
    rows = compression(views["odd_names"]).get_yticklabels()
    assert rows[0].get_text() == "$x_1$ (1024)"
    assert not any(label.get_parse_math() for label in rows)


def test_many_layers_are_drawn_by_layer(views: dict[str, View]) -> None:
    figure = draw(views["sixty"], "plane")
    assert "24 of 60 layers shown; --layers chooses others." in " ".join(words(figure))
    assert len([ax for ax in figure.axes if ax.get_title(loc="left")]) == 24
    chosen = draw(views["sixty"], "plane", layers=views["sixty"].layers("tanh")[:3])
    assert len(chosen.axes) == 2  # plane and colour bar


@pytest.mark.parametrize("facet", ["layer", "estimator", "group"])
def test_facets_share_their_axes(facet: str, five: View) -> None:
    figure = draw(five, "plane", facet=facet)
    limits = {ax.get_xlim() for ax in figure.axes if ax.get_xlabel().startswith("I(X;T)")}
    assert len(limits) == 1
    figure.draw_without_rendering()
    assert overlapping(figure) == []


@pytest.mark.parametrize("name", ["plane", "steps", "spectral", "gradients"])
def test_panels_inside_have_the_grid_lines_of_the_outer_ones(
    name: str, views: dict[str, View]
) -> None:
    panels = [ax for ax in draw(views["sixty"], name).axes if ax.get_title(loc="left")]
    across = {(round(x.get_position().x0, 3), x.get_xlim()) for x in panels}
    assert len({limits for _, limits in across}) == 1
    first, inside = panels[0], panels[1]
    assert len(first.get_yticks()) > 0
    assert len(inside.get_yticks()) == 0
    low, high = sorted(first.get_ylim())
    grid = [tick for tick in first.get_yticks() if low <= tick <= high]
    drawn = [c.get_segments() for c in inside.collections if isinstance(c, LineCollection)]
    assert any([line[0, 1] for line in lines] == pytest.approx(grid) for lines in drawn if lines)


def test_steps_are_labelled_with_steps_in_log_scale(five: View) -> None:
    first = steps(five, estimator="binning")
    figure = first.figure
    assert len(figure.axes) == 10
    assert figure.axes[0] is first
    line = next(x for x in figure.axes[1].lines if str(x.get_label()).startswith("_mean"))
    curve = five.curves["tanh", "fc2", "binning", "ixt"]
    np.testing.assert_allclose(10 ** line.get_xdata() - 1, curve.steps)
    np.testing.assert_array_equal(line.get_ydata(), curve.mean())
    labels = [t.get_text() for t in figure.axes[-1].get_xticklabels()]
    assert labels[0] == "0"
    assert labels[-1] == "20k"
    for ax in figure.axes[:5]:
        assert ax.get_ylim()[1] > 12
        assert ax.get_ylabel() in ("", "I(X;T)  [bits]")
    assert figure.axes[0].get_ylabel() == "I(X;T)  [bits]"
    assert figure.axes[5].get_ylabel() == "I(T;Y)  [bits]"


def test_steps_show_change_onset_and_saturation(five: View) -> None:
    written = words(steps(five, estimator="binning").figure)
    phase = five.phases["tanh", "fc5", "binning", "ixt"]
    assert f"{phase.change:+.2f} bits".replace("-", "−") in written
    assert f"onset {phase.onset_step:,}" in written
    assert "saturated" in written


def test_steps_of_many_layers_say_what_is_left_out(views: dict[str, View]) -> None:
    figure = steps(views["sixty"]).figure
    assert len(figure.axes) == 16
    assert "8 of 60 layers shown" in " ".join(words(figure))


def test_negative_spectral_information_is_inside(views: dict[str, View]) -> None:
    figure = draw(views["five"], "spectral")
    lowest = min(
        np.nanmin(c.mean()) for (*_, q), c in views["five"].curves.items() if q == "dsmi_y"
    )
    assert lowest < 0
    row = [ax for ax in figure.axes if ax.get_ylabel().startswith("DSMI(T;Y)")]
    assert row[0].get_ylim()[0] < lowest


def test_compression_shows_every_verdict(view: View) -> None:
    ranges, forest = compression(view).figure.axes
    group = view.groups[0]
    many = len(view.layers(group)) > MANY
    blocks = 20  # of 3 layers each
    assert len(ranges.get_yticks()) == (blocks if many else len(view.layers(group)))
    low, high = forest.get_xlim()
    for (_, _, _, quantity), p in view.phases.items():
        if quantity in ("ixt", "dse") and not p.saturated and p.change is not None:
            assert low <= p.change <= high
    bracketed = any(c.bracket() is not None for c in view.curves.values())
    named = any("log₂ N" in text.get_text() for text in ranges.texts)
    assert named != bracketed  # nothing is drawn that log2 N does not bound
    if not bracketed:
        assert ranges.get_xlim()[0] < view.ceiling(group) < ranges.get_xlim()[1]
    bars = sum(patch.get_height() for patch in forest.patches if not patch.get_clip_on())
    assert (
        bars == len(view.layers(group)) if many else len(forest.texts) >= len(ranges.get_yticks())
    )


def test_agreement_has_a_mark_per_layer_and_pair(views: dict[str, View]) -> None:
    figure = draw(views["five"], "agreement")
    panels = [ax for ax in figure.axes if ax.get_visible()]
    assert len(panels) == 3
    # fc1 is saturated in binning, so only the pair without binning has five layers
    marks = [sum(line.get_marker() != "None" for line in ax.lines) for ax in panels]
    assert marks == [4, 4, 5]
    low, high = panels[0].get_xlim()
    assert (low, high) == panels[0].get_ylim()
    with pytest.raises(NotFoundError, match="needs two estimators"):
        draw(views["binning_only"], "agreement")


def test_the_gap_has_a_mark_per_run(views: dict[str, View]) -> None:
    figure = draw(views["five"], "gap")
    ax = figure.axes[0]
    assert len(ax.lines[0].get_xdata()) == 8
    assert ax.get_ylabel() == "change  [bits]"
    assert "Change of I(X;T), peak to last." in " ".join(words(figure))
    assert "Correlation over runs, not cause." in " ".join(words(figure))
    with pytest.raises(NotFoundError, match=r"needs 5 runs.*'tanh' has 3"):
        draw(views["three"], "gap")


def test_diagnostics_are_the_mean_over_runs(views: dict[str, View]) -> None:
    figure = draw(views["five"], "diagnostics")
    (ax,) = figure.axes
    drawn = next(line for line in ax.lines if line.get_label() == "_share fc3")
    curve = views["five"].curves["tanh", "fc3", "binning", "ixt"]
    np.testing.assert_allclose(drawn.get_ydata(), ((curve.values / 12) ** 2).mean(axis=0))
    assert "sparse above 0.5" in words(figure)
    assert ax.get_ylim()[0] < 0 < 0.5 < ax.get_ylim()[1]


def test_negative_information_is_drawn_below_zero(views: dict[str, View]) -> None:
    figure = draw(views["five"], "spectral")
    curve = views["five"].curves["tanh", "fc5", "dse", "dsmi_y"]
    lowest = float(np.nanmin(curve.mean()))
    assert lowest < 0
    rows = [ax for ax in figure.axes if ax.get_ylabel().startswith("DSMI(T;Y)")]
    assert rows[0].get_ylim()[0] < lowest


def test_missing_cells_differ_from_high_ones_without_colour(views: dict[str, View]) -> None:
    figure = draw(views["missing"], "heat", estimator="binning")
    assert figure.axes[0].patch.get_hatch() == "...."
    assert any(p.get_hatch() == "///" for p in figure.axes[0].patches)


def test_heat_covers_layers_and_bound(views: dict[str, View]) -> None:
    figure = draw(views["missing"], "heat", estimator="binning")
    mesh = next(c for c in figure.axes[0].collections if c.get_array() is not None)
    assert mesh.get_clim() == (0.0, 12.0)
    assert np.ma.getmaskarray(mesh.get_array()).any()
    assert {"saturated", "no value", "compression onset"} <= set(words(figure))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, "svg") for name in ("plane", "steps", "compression")),
        ("plane", "png"),
        ("plane", "pdf"),
    ],
)
def test_the_same_results_give_the_same_bytes(
    name: str, kind: str, views: dict[str, View], tmp_path: Path
) -> None:
    files = [tmp_path / f"{i}.{kind}" for i in range(2)]
    for path in files:
        save(draw(views["three"].results, name), path, dpi=60)
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("style", ["paper", "talk", "dark"])
def test_styles_leave_the_settings_of_matplotlib_alone(style: str, five: View) -> None:
    before = dict(mpl.rcParams)
    figure = draw(five, "plane", style=style)
    assert dict(mpl.rcParams) == before
    dark = sum(figure.get_facecolor()[:3]) < 1
    assert dark == (style == "dark")


@pytest.mark.parametrize("layout", [None, "constrained"])
@pytest.mark.parametrize("name", [name for name in OF_CURVES if name not in OF_REPRESENTATIONS])
def test_every_figure_is_drawn_into_given_axes(
    name: str, layout: str | None, views: dict[str, View]
) -> None:
    five = views["five"]
    figure = Figure(figsize=(16, 9), layout=layout)
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1])
    shown = views["bracketed"] if name in NEW else five
    given = {"ax": right, "results": shown} | ({"baseline": five} if name == "compare" else {})
    drawn = resolve_name(FIGURES[name])(**given)
    assert drawn.get_figure(root=True) is figure
    assert drawn.get_ylabel() or drawn.get_yticklabels()
    assert "ax" not in options_of(name)
    assert (right in figure.axes) == (drawn is right)
    figure.draw_without_rendering()
    for ax in set(figure.axes) - {left}:
        assert ax.get_window_extent().x0 > left.get_window_extent().x1
    mine = [text for text in words(figure) if "tanh" in text]
    assert len(mine) == 1  # one title, and whose it is
    assert overlapping(figure) == []
    assert outside(figure) == []


def test_axes_of_small_multiples_can_be_given(five: View) -> None:
    figure = Figure(figsize=(14, 7))
    top, bottom = figure.subplots(2, 1)
    assert plane(five, ax=top, legend=False) is top
    first = plane(five, ax=bottom, facet="layer")
    assert len([ax for ax in first.figure.axes if ax.get_title(loc="left")]) == 5
    assert first.figure is not figure
    with pytest.raises(InputError, match="axes of a grid"):
        steps(five, ax=figure.add_axes((0.1, 0.1, 0.3, 0.3)))


def test_axes_stay_when_there_is_nothing_to_draw(views: dict[str, View]) -> None:
    figure = Figure()
    ax = figure.subplots()
    with pytest.raises(NotFoundError):
        draw(views["binning_only"], "spectral", ax=ax)
    assert figure.axes == [ax]


def test_nothing_imports_pyplot(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from tests.plots import synthetic\n"
        "from infoplane.plots import draw\n"
        "draw(synthetic.results(n_steps=4, n_seeds=1), 'plane')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    here = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", code, here], check=True)


def test_figures_that_cannot_be_drawn_say_why(views: dict[str, View], tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"needs an estimator with DSE; 'tanh' has binning"):
        draw(views["binning_only"], "spectral")
    with pytest.raises(NotFoundError, match=r"'dse' has no numbers for I\(X;T\)"):
        draw(views["five"], "plane", estimator="dse")
    with pytest.raises(NotFoundError, match="no layer matches 'fc9' in"):
        draw(views["five"], "plane", layers=["fc9"])
    with pytest.raises(NotFoundError, match=r"no group 'x'; there are tanh"):
        draw(views["five"], "steps", group="x")
    with pytest.raises(InputError, match=r"got 'plain'; did you mean 'plane'"):
        draw(views["five"], "plain")
    with pytest.raises(InputError, match=r"style of paper, talk, dark, got 'neon'"):
        draw(views["five"], "plane", style="neon")
    empty: dict[str, Any] = {**views["five"].results, "rows": []}
    with pytest.raises(NotFoundError, match="hold no rows"):
        draw(empty, "plane")
    with pytest.raises(NotFoundError, match="no phases"):
        draw({**views["five"].results, "phases": []}, "compression")
    figure = draw(views["three"], "plane")
    with pytest.raises(InputError, match=r"ending in .png, .svg or .pdf"):
        save(figure, tmp_path / "x.gif")
    with pytest.raises(RunFileError, match="cannot be written"):
        (tmp_path / "file").touch()
        save(figure, tmp_path / "file" / "x.png")


def of_a_probe(document: dict[str, Any]) -> View:
    """Return the document with the rows of ``ity`` by compressed as those of a probe."""
    entry = {**document["estimators"][1], "id": "probe", "name": "held-out probe", "params": {}}
    rows = [row for row in document["rows"] if row["estimator"] != "compressed"]
    labels = (row for row in document["rows"] if row["quantity"] == "ity")
    rows += [{**row, "estimator": "probe"} for row in labels if row["estimator"] == "compressed"]
    entries = [document["estimators"][0], entry]
    return View.of({**document, "estimators": entries, "rows": rows, "phases": []})


def test_the_plane_takes_the_information_on_labels_of_another_estimator() -> None:
    view = of_a_probe(results(n_layers=4, n_seeds=3, n_steps=12))
    for options in ({"ity": "probe"}, {"ity": "probe", "estimator": "binning"}):
        ax = plane(view, **options)
        for layer in ("fc1", "fc4"):
            (path,) = (line for line in ax.lines if line.get_label() == f"_path {layer}")
            x = view.curves["tanh", layer, "binning", "ixt"].mean()
            y = view.curves["tanh", layer, "probe", "ity"].mean()
            np.testing.assert_array_equal(path.get_xydata(), np.column_stack([x, y]))
        assert ax.get_xlabel() == "I(X;T)  [bits]"
        assert ax.get_ylabel() == "I(T;Y)  [bits],  held-out probe"
    assert plane(view).get_ylabel() == "I(T;Y)  [bits]"


@pytest.mark.parametrize("facet", ["layer", "estimator", "group"])
def test_facets_of_the_plane_take_it_as_well(facet: str) -> None:
    view = of_a_probe(results(n_layers=3, n_seeds=3, n_steps=6))
    ax = plane(view, ity="probe", facet=facet)
    assert {a.get_ylabel() for a in ax.figure.axes} >= {"I(T;Y)  [bits],  held-out probe"}


def test_an_estimator_without_the_information_is_named() -> None:
    view = of_a_probe(results(n_layers=3, n_seeds=3, n_steps=6))
    with pytest.raises(NotFoundError, match="estimator 'dse' has no numbers for I"):
        plane(view, ity="dse")
    with pytest.raises(InputError, match="ity: expected a text or None"):
        plane(view, ity=3)
