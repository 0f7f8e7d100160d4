"""A figure as a file: drawn once, and in few colours where it has to be small."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from PIL import Image

from infoplane.errors import InputError
from infoplane.plots.canvas import style as look
from infoplane.runs.atomic import replace_file

FORMATS = ("png", "svg", "pdf")


_COLOURS = 128
"""Of a small picture: with 256 it is a tenth larger, with 64 a light area may get another tint."""

_TALL = 8.0
"""Inches; a figure that is higher is embedded at half the resolution."""


class Picture(Figure):
    """A figure of ours: its layout is run once, and a notebook shows it as it is saved."""

    final = False
    """Whether nothing in it will change, so that what was drawn of it can be kept."""

    @cached_property
    def kept(self) -> dict[float, Image.Image]:
        """Pixels by dots per inch, of a figure that is final."""
        return {}

    def _repr_png_(self) -> bytes:
        return image(self, "png", dpi=120)


def save(figure: Figure, path: str | Path, *, dpi: float = 200) -> None:
    """Write a figure as PNG, SVG or PDF, by its suffix; the same figure gives the same bytes.

    Raises
    ------
    InputError
        If the suffix is none of the three.
    RunFileError
        If the file cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lstrip(".").lower()
    if kind not in FORMATS:
        raise InputError(f"expected a file name ending in .png, .svg or .pdf, got {path.name!r}")
    replace_file(path, image(figure, kind, dpi=dpi))


def image(figure: Figure, kind: str, *, dpi: float = 200) -> bytes:
    """Return a figure as a file of ``kind`` png, svg or pdf, without date or version in it."""
    out = io.BytesIO()
    if kind == "png":
        pixels(figure, dpi).save(out, format="png", dpi=(dpi, dpi))
    elif kind == "svg":
        with _drawn_at(figure, dpi):
            FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None, "Creator": "infoplane"})
    else:
        undated: dict[str, Any] = {"CreationDate": None, "Creator": "infoplane", "Producer": None}
        with look.context():
            figure.savefig(out, format=kind, dpi=dpi, metadata=undated, facecolor="auto")
    return out.getvalue()


def pixels(figure: Figure, dpi: float) -> Image.Image:
    """Return a figure as an image.

    The pixels of a figure that is final are kept, for the file and the report.
    """
    kept = figure.kept if isinstance(figure, Picture) and figure.final else {}
    if dpi not in kept:
        with _drawn_at(figure, dpi):
            agg = FigureCanvasAgg(figure)
            agg.draw()
            kept[dpi] = Image.fromarray(np.asarray(agg.buffer_rgba())).convert("RGB")
    return kept[dpi]


@contextmanager
def _drawn_at(figure: Figure, dpi: float) -> Iterator[None]:
    """Let a figure be drawn by a canvas, once, where ``savefig`` goes over it twice."""
    before, canvas_before = figure.dpi, figure.canvas
    figure.dpi = dpi
    try:
        with look.context():
            yield
    finally:
        figure.dpi = before
        figure.set_canvas(canvas_before)


def small_png(figure: Figure, dpi: float = 200) -> bytes:
    """Return a figure as PNG of few colours, a third as large as with all.

    Maximum coverage keeps white, and colours that only a few letters have; median cut and octrees
    do not.
    """
    out = io.BytesIO()
    drawn = pixels(figure, dpi)
    if figure.get_figheight() > _TALL:
        drawn = drawn.reduce(2)
    few = drawn.quantize(_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(out, format="png")
    return out.getvalue()
