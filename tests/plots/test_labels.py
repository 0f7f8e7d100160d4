"""Labels keep clear of one another and of lines, and lead back to what they name."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from infoplane.plots.canvas.labels import Label, place
from infoplane.plots.canvas.page import laid_out


def square() -> Axes:
    figure = Figure(figsize=(5, 4), layout="constrained")
    ax = figure.add_subplot(xlim=(0, 1), ylim=(0, 1))
    laid_out(figure)
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
