"""A figure as a file: drawn once, and in few colours where it has to be small."""

from __future__ import annotations

import io
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from infoplane.errors import InputError, RunFileError
from infoplane.estimators.quantities import ITY, IXT, QUANTITIES
from infoplane.plots.canvas import style as look

FORMATS = ("png", "svg", "pdf")


_SHADES = (0.0, 0.35, 0.7)
"""Shares of white in the edges of letters and lines."""

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
    data = image(figure, kind, dpi=dpi)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise RunFileError(
            f"{path}: cannot be written ({error.strerror or error})", code="IP305"
        ) from error


def image(figure: Figure, kind: str, *, dpi: float = 200) -> bytes:
    """Return a figure as a file of ``kind`` png, svg or pdf, without date or version in it."""
    out = io.BytesIO()
    if kind == "png":
        pixels(figure, dpi).save(out, format="png", dpi=(dpi, dpi))
        return out.getvalue()
    undated: dict[str, dict[str, Any]] = {
        "svg": {"Date": None, "Creator": "infoplane"},
        "pdf": {"CreationDate": None, "Creator": "infoplane", "Producer": None},
    }
    with look.context():
        figure.savefig(out, format=kind, dpi=dpi, metadata=undated[kind], facecolor="auto")
    return out.getvalue()


def pixels(figure: Figure, dpi: float) -> Image.Image:
    """Return a figure as an image; it is drawn once, where ``savefig`` goes over it twice.

    The pixels of a figure that is final are kept, for the file and the report.
    """
    kept = figure.kept if isinstance(figure, Picture) and figure.final else {}
    if dpi not in kept:
        before, canvas_before = figure.dpi, figure.canvas
        figure.dpi = dpi
        try:
            with look.context():
                agg = FigureCanvasAgg(figure)
                agg.draw()
                kept[dpi] = Image.fromarray(np.asarray(agg.buffer_rgba())).convert("RGB")
        finally:
            figure.dpi = before
            figure.set_canvas(canvas_before)
    return kept[dpi]


def small_png(figure: Figure, dpi: float = 200) -> bytes:
    """Return a figure on white as PNG of at most 256 colours, a third as large as with all."""
    out = io.BytesIO()
    drawn = pixels(figure, dpi)
    if figure.get_figheight() > _TALL:
        drawn = drawn.reduce(2)
    drawn.quantize(palette=_palette(), dither=Image.Dither.NONE).save(out, format="png")
    return out.getvalue()


@cache
def _palette() -> Image.Image:
    """Return the colours that occur on white, as the palette of an image.

    A palette found per image is slower, and has no place for a colour that only a few letters have.
    """
    inks = [
        look.SATURATED,
        *(q.colour for q in QUANTITIES.values()),
        *look.VERDICT_COLOURS.values(),
    ]
    inks += ["#59636E", *look.ESTIMATOR_COLOURS]
    tints = [_mixed(look.SATURATED, 0.84), _mixed(IXT.colour, 0.94)]
    tints += [_mixed(ITY.colour, 0.92), _mixed("#59636E", 0.78)]
    tints += [to_rgb(colour) for colour in ("#E6EAEE", "#8C959F", "#6E7781", "#56B4E9")]
    shades = [_mixed("#1F2328", share) for share in np.linspace(0, 1, 12)]
    shades += [_mixed(ink, share) for share in _SHADES for ink in dict.fromkeys(inks)]
    times = look.time_colours()(np.linspace(0, 1, 96))[:, :3]
    found: dict[tuple[int, ...], list[int]] = {}
    for colour in np.round(255 * np.array([*tints, *shades, *times])).astype(int):
        # Pillow looks colours up in boxes of four levels: of two in one box it may take either.
        found.setdefault(tuple(colour // 4), colour.tolist())
    colours = list(found.values())[:256]
    image = Image.new("P", (1, 1))
    image.putpalette([level for colour in colours for level in colour])
    return image


def _mixed(colour: str, white: float) -> tuple[float, float, float]:
    red, green, blue = (level + (1 - level) * white for level in to_rgb(colour))
    return red, green, blue
