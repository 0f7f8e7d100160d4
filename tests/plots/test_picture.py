"""Figures as pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from PIL import Image

from infoplane.estimators.quantities import QUANTITIES
from infoplane.plots.canvas import style as look
from infoplane.plots.canvas.picture import Picture, pixels, small_png

COLOURS = [
    look.SATURATED,
    *(q.colour for q in QUANTITIES.values()),
    *look.VERDICT_COLOURS.values(),
    *look.ESTIMATOR_COLOURS,
    *(f"#{r:02x}{g:02x}{b:02x}" for r, g, b in (255 * look.time_colours()([0.0, 0.3, 0.7, 1.0])
      [:, :3]).round().astype(int)),
]  # fmt: skip


def stripes(height: float = 2.0) -> Picture:
    """Return a figure with an upright stripe of each colour."""
    figure = Picture(figsize=(len(COLOURS) / 4, height))
    for i, colour in enumerate(COLOURS):
        share = 1 / len(COLOURS)
        figure.add_artist(Rectangle((i * share, 0), share, 1, color=colour))
    return figure


def test_few_colours_are_those_that_are_drawn() -> None:
    small = Image.open(io.BytesIO(small_png(stripes())))
    assert small.mode == "P"
    across = np.asarray(small.convert("RGB"))[small.height // 2]
    middles = across[(np.arange(len(COLOURS)) * 2 + 1) * len(across) // (2 * len(COLOURS))]
    expected = [[255 * level for level in to_rgb(colour)] for colour in COLOURS]
    np.testing.assert_allclose(middles, expected, atol=6)  # 4 levels of a box, and rounding


def test_white_and_a_few_letters_keep_their_colour() -> None:
    figure = stripes()
    figure.add_artist(Rectangle((0, 0.4), 1, 1, color="white"))
    figure.add_artist(Rectangle((0.5, 0.8), 0.02, 0.02, color="#12E0F0"))
    small = np.asarray(Image.open(io.BytesIO(small_png(figure))).convert("RGB"))
    assert small[1, 1].tolist() == [255, 255, 255]
    letters = small[int(0.19 * len(small)), int(0.51 * small.shape[1])]
    np.testing.assert_allclose(letters, [0x12, 0xE0, 0xF0], atol=8)


def test_tall_figures_have_half_the_resolution() -> None:
    assert Image.open(io.BytesIO(small_png(stripes(4.0)))).height == 800
    assert Image.open(io.BytesIO(small_png(stripes(12.0)))).height == 1200


@pytest.mark.parametrize("final", [False, True])
def test_only_a_figure_that_is_final_keeps_its_pixels(final: bool) -> None:
    figure = stripes()
    figure.final = final
    before = pixels(figure, 60)
    figure.add_artist(Rectangle((-1, -1), 3, 3, color="black", zorder=9))
    assert (np.asarray(pixels(figure, 60)) == 0).all() == (not final)
    assert pixels(figure, 60).size == before.size
