"""Placing text so that it covers neither lines nor other text; leader lines where it is far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox, BboxBase

from infoplane.data import FloatArray
from infoplane.plots.canvas.style import halo, muted

_RADII = (5, 9, 15, 23, 33, 46, 62, 82, 106, 140)  # points from anchor to text
_ANGLES = np.deg2rad(np.arange(0, 360, 15))
_LEADER_FROM = 11.0  # points
_CLEAR = 8.0  # points: as much nearer to its own line than to that of another label


@dataclass(frozen=True)
class Label:
    """A text and the points (data) it may stand at, the best first."""

    text: str
    anchors: Sequence[tuple[float, float]]
    colour: str
    weight: str = "normal"
    lead: bool = True  # a leader line where the text is far from the point
    keep: float = 1.0  # what it costs to stand at the next of the points, as 1.5 do of a line
    own: Sequence[FloatArray] = field(default=(), compare=False)  # lines (data) that it names


def place(
    ax: Axes,
    labels: Sequence[Label],
    *,
    lines: Sequence[FloatArray] = (),
    boxes: Sequence[Bbox] = (),
    size: float | None = None,
) -> list[Annotation]:
    """Write labels near their anchors, over as little of the drawing as possible.

    Call it last: limits and layout have to be final (`infoplane.plots.canvas.page.laid_out`).

    Parameters
    ----------
    ax : Axes
        Where to write.
    labels : sequence of Label
        Placed in this order; a label may not touch one placed before it.
    lines : sequence of array (n_points, 2)
        Curves in data coordinates that should stay visible.
    boxes : sequence of Bbox
        Boxes in display coordinates that must stay free, e.g. of other text.
    size : float, optional
        Font size in points.

    Returns
    -------
    list of Annotation
        In the order of ``labels``.
    """
    pixels = ax.figure.dpi / 72.0

    def dense(some: Sequence[FloatArray]) -> FloatArray:
        return _dense([ax.transData.transform(line) for line in some if len(line)], 3 * pixels)

    points = dense(lines)
    frame, sheet = ax.get_window_extent(), ax.figure.bbox
    taken = [box.padded(3 * pixels) for box in boxes]
    placed = []
    for label in labels:
        note = ax.annotate(
            label.text,
            label.anchors[0],
            xytext=(0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            color=label.colour,
            fontweight=label.weight,
            fontsize=size,
            zorder=7,
            annotation_clip=False,
            path_effects=halo(),
        )
        note.set_in_layout(False)
        extent = note.get_window_extent()
        others = [line for other in labels if other is not label for line in other.own]
        anchor, centre = _best(
            ax.transData.transform(label.anchors), extent, frame, sheet, points, taken, pixels,
            dense(label.own), dense(others), label.keep,
        )  # fmt: skip
        at = ax.transData.transform(label.anchors[anchor])
        note.xy = label.anchors[anchor]
        note.set_position(tuple((centre - at) / pixels))
        box = _box(centre, extent)
        taken.append(box.padded(3 * pixels))
        if label.lead:
            _leader(ax, at, box, pixels)
        placed.append(note)
    return placed


def _best(
    anchors: FloatArray,
    extent: Bbox,
    frame: Bbox,
    sheet: BboxBase,
    points: FloatArray,
    taken: Sequence[Bbox],
    pixels: float,
    own: FloatArray,
    others: FloatArray,
    keep: float,
) -> tuple[int, FloatArray]:
    """Return the index of the anchor and the centre of the text (2,) in display coordinates."""
    half = np.array([extent.width, extent.height]) / 2
    centres, costs, of = [], [], []
    for i, anchor in enumerate(anchors):
        for radius in _RADII:
            direction = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])
            # the edge of the text, not its centre, is `radius` away from the anchor
            reach = 1 / np.maximum(
                np.abs(direction[:, 0]) / (half[0] + radius * pixels),
                np.abs(direction[:, 1]) / (half[1] + radius * pixels),
            )
            centres.append(anchor + direction * reach[:, None])
            costs.append(np.full(len(_ANGLES), radius * 0.12 + i * keep))
            of.append(np.full(len(_ANGLES), i))
    centre = np.vstack(centres)
    cost = np.concatenate(costs)
    low, high = centre - half, centre + half
    if len(points):
        x, y = points[:, 0], points[:, 1]
        margin = 1.5 * pixels
        inside = (
            (x >= low[:, :1] - margin)
            & (x <= high[:, :1] + margin)
            & (y >= low[:, 1:] - margin)
            & (y <= high[:, 1:] + margin)
        )
        cost += 1.5 * inside.sum(axis=1)
    if len(own) and len(others):
        clear = (_distance(low, high, others) - _distance(low, high, own)) / (_CLEAR * pixels)
        cost += 1.5 * (1 - np.clip(clear, -1, 1))
    for box in taken:
        hit = (low[:, 0] < box.x1) & (high[:, 0] > box.x0)
        hit &= (low[:, 1] < box.y1) & (high[:, 1] > box.y0)
        cost += 1e4 * hit
    outside = (low[:, 0] < frame.x0) | (high[:, 0] > frame.x1)
    outside |= (low[:, 1] < frame.y0) | (high[:, 1] > frame.y1)
    cost += 1e3 * outside
    cut = (low < sheet.min).any(axis=1) | (high > sheet.max).any(axis=1)
    cost += 1e5 * cut
    best = int(cost.argmin())
    return int(np.concatenate(of)[best]), centre[best]


def _distance(low: FloatArray, high: FloatArray, points: FloatArray) -> FloatArray:
    """Return how far boxes (n, 2) are from the nearest of some points, 0 if it lies inside."""
    nearest = np.full(len(low), np.inf)
    for x, y in points:
        gap = np.maximum(np.maximum(low - (x, y), (x, y) - high), 0.0)
        nearest = np.minimum(nearest, np.hypot(*gap.T))
    return nearest


def _leader(ax: Axes, anchor: FloatArray, box: Bbox, pixels: float) -> None:
    """Draw a thin line from a distant label to its anchor."""
    near = np.clip(anchor, [box.x0, box.y0], [box.x1, box.y1])
    gap = anchor - near
    distance = float(np.hypot(*gap))
    if distance < _LEADER_FROM * pixels:
        return
    ends = np.array([near + gap * 1.5 * pixels / distance, anchor - gap * 4 * pixels / distance])
    x, y = ax.transData.inverted().transform(ends).T
    (line,) = ax.plot(x, y, color=muted(), linewidth=0.6, zorder=6, scalex=False, scaley=False)
    line.set_in_layout(False)
    line.set_label("_leader")


def _box(centre: FloatArray, extent: Bbox) -> Bbox:
    half = np.array([extent.width, extent.height]) / 2
    return Bbox([centre - half, centre + half])


def _dense(lines: Sequence[FloatArray], spacing: float) -> FloatArray:
    """Return points (n, 2) along polylines, about ``spacing`` apart."""
    points = [np.empty((0, 2))]
    for line in lines:
        line = line[np.isfinite(line).all(axis=1)]
        if len(line) == 1:
            points.append(line)
        if len(line) < 2:
            continue
        length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
        at = np.linspace(0, length[-1], max(2, int(length[-1] / spacing)))
        points.append(np.column_stack([np.interp(at, length, line[:, k]) for k in (0, 1)]))
    return np.vstack(points)
