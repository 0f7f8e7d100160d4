"""Labels keep clear of one another and of lines, and lead back to what they name."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from infoplane.plots.canvas import clock
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.axes import log_numbers
from infoplane.plots.canvas.labels import Label, place
from infoplane.plots.canvas.page import laid_out
from infoplane.plots.labels import panel_names, short_names


def square() -> Axes:
    figure = Figure(figsize=(5, 4), layout="constrained")
    ax = figure.add_subplot(xlim=(0, 1), ylim=(0, 1))
    laid_out(figure, lambda: None)
    return ax


def test_labels_of_one_point_do_not_overlap() -> None:
    ax = square()
    labels = [Label(f"layer {i}", [(0.5, 0.5)], "black") for i in range(12)]
    boxes = [note.get_window_extent() for note in place(ax, labels)]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    frame = ax.get_window_extent()
    assert all(frame.x0 <= b.x0 and b.x1 <= frame.x1 for b in boxes)
    leaders = [line for line in ax.lines if line.get_label() == "_leader"]
    assert len(leaders) >= 4  # the ring around the point holds about eight


def test_labels_keep_off_lines() -> None:
    ax = square()
    line = np.column_stack([np.linspace(0, 1, 50), np.full(50, 0.5)])
    (note,) = place(ax, [Label("name", [(0.5, 0.5)], "black")], lines=[line])
    box = note.get_window_extent()
    level = ax.transData.transform((0.5, 0.5))[1]
    assert box.y0 > level or box.y1 < level


def test_labels_keep_off_given_boxes_and_inside_at_a_corner() -> None:
    ax = square()
    ((first, second),) = [place(ax, [Label("corner", [(1.0, 1.0)], "black")] * 2)]
    frame = ax.get_window_extent()
    for note in (first, second):
        box = note.get_window_extent()
        assert box.x1 <= frame.x1
        assert box.y1 <= frame.y1
    (third,) = place(
        ax,
        [Label("corner", [(1.0, 1.0)], "black")],
        boxes=[first.get_window_extent(), second.get_window_extent()],
    )
    assert not third.get_window_extent().overlaps(first.get_window_extent())
    assert not third.get_window_extent().overlaps(second.get_window_extent())


def test_a_name_may_cover_a_little_to_stay_at_its_first_anchor() -> None:
    ax = square()
    line = np.column_stack([np.linspace(0, 1, 50)] * 2)
    crowd = [line + np.array([0, shift]) for shift in np.linspace(-0.2, 0.2, 9)]
    for keep, at in ((1.0, (0.1, 0.9)), (1e4, (0.5, 0.5))):
        label = Label("name", [(0.5, 0.5), (0.1, 0.9)], "black", keep=keep)
        (note,) = place(ax, [label], lines=crowd)
        assert tuple(note.xy) == at


def test_the_nearest_free_anchor_wins() -> None:
    ax = square()
    crowd = np.random.default_rng(0).uniform(0.0, 0.45, (4000, 2))
    (note,) = place(
        ax, [Label("name", [(0.2, 0.2), (0.8, 0.8)], "black")], lines=list(crowd[:, None])
    )
    assert tuple(note.xy) == (0.8, 0.8)


def test_a_label_between_two_lines_stands_nearer_to_its_own() -> None:
    ax = square()
    low = np.array([[0.1, 0.45], [0.5, 0.25]])
    high = np.array([[0.3, 0.41], [0.9, 0.17]])  # beside the free end of the other

    def nearest(own: bool) -> tuple[float, float]:
        label = Label("name", [(0.5, 0.25)], "black", own=[low] if own else ())
        rival = Label("rival", [(0.9, 0.17)], "black", own=[high] if own else ())
        box = place(ax, [label, rival], lines=[low, high])[0].get_window_extent()
        along = np.linspace(0, 1, 200)[:, None]
        points = [ax.transData.transform(a + along * (b - a)) for a, b in (low, high)]
        mine, other = (np.hypot(*(p - np.clip(p, box.min, box.max)).T).min() for p in points)
        return float(mine), float(other)

    mine, other = nearest(own=True)
    assert mine + 8 * ax.figure.dpi / 72 <= other + 1
    mine, other = nearest(own=False)
    assert mine + 8 * ax.figure.dpi / 72 > other


LONG = {
    "last part": [f"encoder.layers.{i}.mlp.dense_4h_to_h" for i in range(12)],
    "start": [f"{i}{'x' * 60}" for i in range(12)],
    "middle": [f"{'x' * 30}{i:02}{'x' * 30}" for i in range(12)],
    "end": [f"{'x' * 60}{i:02}" for i in range(12)],
    "quarter": [f"{'x' * 9}{i:02}{'x' * 50}" for i in range(12)],
    "one line each": [f"{'x' * 40}{i:02}{'x' * 40}.{'y' * 40}" for i in range(12)],
    "wide letters": [f"WWWWWW.MMMMMMMMMMMMMMM.{i}" for i in range(12)],
    "no glyph": [f"層層層層層{i}層層層層層" for i in range(12)],
    "short": ["a", "b", "$x$", "-"],
}


@pytest.mark.parametrize("width", [0.6, 0.9, 1.5])
@pytest.mark.parametrize("kind", LONG)
def test_names_above_panels_fit_and_differ(kind: str, width: float) -> None:
    names = panel_names(LONG[kind], look.fits(width, 7.5, bold=True))
    assert list(names) == LONG[kind]
    assert len(set(names.values())) == len(names)
    figure = Figure(dpi=200)
    with look.context():
        for line in {line for name in names.values() for line in name.split("\n")}:
            text: Text = figure.text(0, 0, line, fontsize=7.5, fontweight="bold")
            assert text.get_window_extent().width / figure.dpi <= width + 0.01


@pytest.mark.parametrize("most", [12, 24])
@pytest.mark.parametrize("kind", ["last part", "start", "end", "quarter", "short"])
def test_short_names_differ_where_a_cut_leaves_what_differs(kind: str, most: int) -> None:
    names = short_names(LONG[kind], most)
    assert len(set(names.values())) == len(names)
    if kind != "quarter" or most == 24:
        assert max(map(len, names.values())) <= most


def test_the_width_of_text_is_that_of_its_letters() -> None:
    one = look.text_width("m", 10)
    assert one == pytest.approx(0.974 * 10 / 72, rel=0.1)  # advance of m in DejaVu Sans, in em
    assert look.text_width("m", 20) == pytest.approx(2 * one, rel=0.02)
    assert look.text_width("m", 10, bold=True) > one


@pytest.mark.parametrize(
    ("steps", "n_ticks", "told"),
    [
        ([0, 1, 10, 50], 4, ["0", "10", "50"]),
        ([0, 5, 50, 500], 4, ["0", "5", "50", "500"]),
        ([0, 50], 4, ["0", "50"]),
        ([7], 4, ["7"]),
        ([0], 4, ["0"]),
        ([100, 120, 1563], 4, ["100", "1563"]),
        (range(0, 20001, 100), 6, ["0", "10", "100", "1k", "20k"]),
        (range(0, 20001, 100), 2, ["0", "20k"]),
        (range(3, 41), 6, ["3", "5", "10", "20", "40"]),
        (range(0, 10**6 + 1, 10**5), 4, ["0", "100", "10k", "1M"]),
    ],
)
def test_ticks_of_steps_stand_at_both_ends_and_apart(
    steps: list[int], n_ticks: int, told: list[str]
) -> None:
    ax = Figure().add_subplot()
    clock.step_axis(ax.xaxis, steps, n_ticks=n_ticks)
    assert [label.get_text() for label in ax.get_xticklabels()] == told
    time = np.log10(np.array([steps[0], steps[-1]]) + 1.0)
    np.testing.assert_allclose(ax.get_xticks()[[0, -1]], time)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (0.02, 0.3),
        (3, 29),
        (2.1, 4.9),
        (9, 11),
        (0.9, 28),
        (1, 1000),
        (1e-6, 1e6),
        (12, 13),
        (1, 10),
    ],
)
def test_log_axes_have_more_than_one_number(low: float, high: float) -> None:
    ax = Figure().add_subplot(yscale="log", ylim=(low, high))
    log_numbers(ax.yaxis)
    inside = [tick for tick in ax.get_yticks() if low <= tick <= high]
    assert 2 <= len(inside) <= 9
