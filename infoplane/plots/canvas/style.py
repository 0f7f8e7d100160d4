"""Styles of figures: settings, colours and number formats.

Everything is applied inside `context` and never globally. Text is drawn as it stands (no mathtext),
so that a layer called ``$x_1$`` is written like that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager, patheffects
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_hex, to_rgb
from matplotlib.ft2font import LoadFlags
from matplotlib.transforms import ScaledTranslation

from infoplane.data import FloatArray, IntArray
from infoplane.errors import InputError

ESTIMATOR_COLOURS = ("#0072B2", "#D55E00", "#007A59", "#8F4E8B", "#5A5A5A", "#A65628")
ESTIMATOR_MARKERS = ("o", "s", "D", "^", "v", "P")
LAYER_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
SATURATED = "#9A6700"
VERDICT_COLOURS = {
    "compresses": "#0550AE",
    "expands": "#953800",
    "first_step": "#0550AE",
    "mixed": "#6639BA",
    "no_change": "#59636E",
    "inconclusive": "#8F4E8B",
    "saturated": SATURATED,
}

_INK = {
    "paper": {"ink": "#1F2328", "muted": "#59636E", "hair": "#E6EAEE", "paper": "#FFFFFF"},
    "dark": {"ink": "#E6EDF3", "muted": "#9DA7B3", "hair": "#2B323B", "paper": "#0D1117"},
}
STYLES = ("paper", "talk", "dark")

"""Steps up to which all are shown where there is room."""

_HINTED = 1.05
"""Times the width of letters as designed: what hinting may add."""


def settings(style: str = "paper") -> dict[str, Any]:
    """Return the matplotlib settings of a style.

    Parameters
    ----------
    style : {"paper", "talk", "dark"}
        ``talk`` is ``paper`` with larger text and lines; ``dark`` has a dark ground.

    Raises
    ------
    InputError
        If there is no such style.
    """
    if style not in STYLES:
        raise InputError(f"expected a style of {', '.join(STYLES)}, got {style!r}")
    ink = _INK["dark" if style == "dark" else "paper"]
    scale = 1.3 if style == "talk" else 1.0
    return {
        "figure.constrained_layout.use": True,
        "figure.constrained_layout.h_pad": 0.05,
        "figure.constrained_layout.w_pad": 0.05,
        "figure.dpi": 200,  # as files have it: hinted text is up to 8 % narrower at 100
        "figure.facecolor": ink["paper"],
        "axes.facecolor": ink["paper"],
        "savefig.facecolor": ink["paper"],
        "savefig.bbox": None,
        "font.family": ["sans-serif"],
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 8.0 * scale,
        "text.parse_math": False,
        "text.usetex": False,
        "axes.titlesize": 9.0 * scale,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 6.0,
        "axes.labelsize": 8.5 * scale,
        "xtick.labelsize": 7.5 * scale,
        "ytick.labelsize": 7.5 * scale,
        "legend.fontsize": 7.5 * scale,
        "legend.frameon": False,
        "legend.handlelength": 1.8,
        "text.color": ink["ink"],
        "axes.labelcolor": ink["ink"],
        "axes.edgecolor": "#6E7781",
        "xtick.color": ink["muted"],
        "ytick.color": ink["muted"],
        "xtick.labelcolor": ink["ink"],
        "ytick.labelcolor": ink["ink"],
        "axes.linewidth": 0.7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "axes.grid.which": "major",
        "axes.unicode_minus": True,
        "grid.color": ink["hair"],
        "grid.linewidth": 0.6,
        "grid.linestyle": "-",
        "xtick.direction": "out",
        "ytick.direction": "out",
        "xtick.major.size": 3,
        "ytick.major.size": 3,
        "xtick.major.width": 0.7,
        "ytick.major.width": 0.7,
        "lines.linewidth": 1.3 * scale,
        "lines.markersize": 4.5 * scale,
        "lines.solid_capstyle": "round",
        "lines.solid_joinstyle": "round",
        "hatch.linewidth": 0.6,
        "hatch.color": ink["ink"],
        "image.cmap": "viridis",
        "svg.fonttype": "path",
        "svg.hashsalt": "infoplane",
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "path.simplify": True,
        "agg.path.chunksize": 0,
    }


@contextmanager
def context(style: str = "paper") -> Iterator[None]:
    """Apply a style for the duration of a ``with`` block, on top of matplotlib's defaults."""
    wanted = settings(style)
    with mpl.rc_context():
        keep = {k: v for k, v in mpl.rcParamsDefault.items() if "backend" not in k}
        mpl.rcParams.update(keep)
        mpl.rcParams.update(wanted)
        yield


def ink() -> str:
    """Return the colour of text and of reference lines in the style in force."""
    return str(mpl.rcParams["text.color"])


def muted() -> str:
    """Return the colour of secondary text in the style in force."""
    return str(mpl.rcParams["xtick.color"])


def hair() -> str:
    """Return the colour of grid lines in the style in force."""
    return str(mpl.rcParams["grid.color"])


def on_white() -> bool:
    """Return whether the ground of the style in force is white."""
    return paper() == _INK["paper"]["paper"]


def verdict_colour(verdict: str) -> str:
    """Return the colour of a verdict on the ground of the style; that of text for unknown ones."""
    return VERDICT_COLOURS.get(verdict, ink()) if on_white() else ink()


def paper() -> str:
    """Return the colour of the ground in the style in force."""
    return str(mpl.rcParams["figure.facecolor"])


def letters(width: float, size: float, *, bold: bool = False) -> int:
    """Return about how many letters of ``size`` points fit in ``width`` inches."""
    return max(8, int(width * 72 / size / (0.68 if bold else 0.6)))


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return how wide a line of letters of ``size`` points is, in inches."""
    return sum(_advance(letter, bold) for letter in text) * size / 72


@cache
def _advance(letter: str, bold: bool) -> float:
    """Return how far a letter moves the next one, in sizes of the font."""
    weight = "bold" if bold else "normal"
    of = font_manager.FontProperties(family="DejaVu Sans", weight=weight)
    font = font_manager.get_font(font_manager.findfont(of))
    font.set_size(100, 72)
    glyph = font.load_char(ord(letter), flags=LoadFlags.NO_HINTING)
    return float(glyph.linearHoriAdvance / 65536 / 100)


def fits(width: float, size: float, *, bold: bool = False) -> Callable[[str], bool]:
    """Return the test whether a line of letters of ``size`` points fits in ``width`` inches."""
    return lambda text: _HINTED * text_width(text, size, bold=bold) <= width


def legend_columns(handles: Sequence[Artist], width: float, most: int = 3) -> int:
    """Return how many columns of a legend fit in ``width`` inches, at most ``most``."""
    room = width * 72 / font_size("legend.fontsize")
    lengths = [len(str(handle.get_label())) for handle in handles]
    for columns in range(most, 1, -1):
        parts = np.array_split(lengths, columns)  # as matplotlib does
        if sum(0.6 * max(part, default=0) + 4.2 for part in parts) <= room:
            return columns
    return 1


def legend_below(ax: Axes, handles: Sequence[Artist], width: float) -> None:
    """Add a legend under the label of the horizontal axis, ``width`` inches at most."""
    drop = ScaledTranslation(0, -31 * font_size("font.size") / 8 / 72, ax.figure.dpi_scale_trans)
    ax.legend(
        handles=list(handles),
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=ax.transAxes + drop,
        ncols=legend_columns(handles, width),
        borderaxespad=0,
        borderpad=0,
        columnspacing=1.6,
        labelspacing=0.35,
    )


def halo(width: float = 2.2) -> list[patheffects.AbstractPathEffect]:
    """Return the effect that keeps text readable where it crosses a line."""
    return [patheffects.withStroke(linewidth=width, foreground=paper())]


def readable(colour: str) -> str:
    """Return a colour moved towards that of text until it stands out from the ground (3 to 1)."""

    def light(of: str) -> float:  # relative luminance, WCAG 2.2
        levels = np.array(to_rgb(of))
        linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    for share in np.linspace(0, 1, 11):
        mixed = to_hex((1 - share) * np.array(to_rgb(colour)) + share * np.array(to_rgb(ink())))
        dark, bright = sorted((light(mixed), light(paper())))
        if bright + 0.05 >= 3 * (dark + 0.05):
            return mixed
    return ink()


def font_size(name: str) -> float:
    """Return a font size of the style in force, in points."""
    return float(mpl.rcParams[name])


def time_colours() -> Colormap:
    """Return viridis without its brightest end, which vanishes on white."""
    base = mpl.colormaps["viridis"](np.linspace(0.0, 0.9, 256))
    return LinearSegmentedColormap.from_list("training step", base)


def drawable(text: str) -> str:
    r"""Return text with the characters that the font lacks written as ``\u5c64``."""
    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    return "".join(
        c
        if c.isprintable() and font.get_char_index(ord(c))
        else c.encode("unicode_escape").decode()
        for c in text
    )


def time_limits(steps: Sequence[int] | IntArray, share: float = 0.04) -> tuple[float, float]:
    """Return limits of an axis in ``log10(step + 1)`` for ascending steps."""
    return padded(float(np.log10(steps[0] + 1.0)), float(np.log10(steps[-1] + 1.0)), share)


def few_ticks(axis: Axis, most: int) -> None:
    """Give an axis ``most`` intervals between ticks; unlike its own, they stay in every layout."""
    axis.set_major_locator(mpl.ticker.MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))


def bits(value: float | None, places: int = 2, *, sign: bool = False) -> str:
    """Return a number with the minus sign of figures; None is a dash, ``-0.00`` has no sign."""
    if value is None or not math.isfinite(value):
        return "—"
    text = f"{value:+.{places}f}" if sign else f"{value:.{places}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def padded(low: float, high: float, share: float = 0.04) -> tuple[float, float]:
    """Return limits with a margin; a single value gets half a bit on either side."""
    if high - low < 1e-9:
        return low - 0.5, high + 0.5
    return low - share * (high - low), high + share * (high - low)


def finite(values: Sequence[float] | FloatArray) -> FloatArray:
    """Return the finite values, flat."""
    array = np.asarray(values, dtype=float).ravel()
    kept: FloatArray = array[np.isfinite(array)]
    return kept
