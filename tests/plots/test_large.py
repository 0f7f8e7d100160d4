"""Every figure of small and large networks of repeated blocks, by the geometry of its texts."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from infoplane.errors import NotFoundError
from infoplane.plots.compression import compression
from infoplane.plots.figures import draw
from infoplane.plots.many_layers import by_block, landmarks
from infoplane.plots.view import View
from tests.plots.synthetic import of_representations, results
from tests.plots.test_figures import (
    OF_CURVES,
    OF_REPRESENTATIONS,
    outside,
    overlapping,
    texts,
    ticks_that_touch,
    words,
)

TALLEST = 11.8
"""Inches: a figure fits a page."""


def block_names(n: int) -> list[str]:
    """Return names as those of GPT-2, attention and network of each block."""
    return [f"transformer.h.{i // 2}.{('attn', 'mlp')[i % 2]}" for i in range(n)]


@cache
def network(n: int) -> View:
    return View.of(results(names=block_names(n), n_seeds=1, n_steps=4, saturated_layers=n // 2))


@cache
def representations(n: int) -> View:
    document = of_representations(n_layers=n, n_steps=4)
    for old, new in zip([*dict.fromkeys(r["layer"] for r in document["rows"])], block_names(n)):
        for row in document["rows"]:
            row["layer"] = new if row["layer"] == old else row["layer"]
    return View.of(document)


def problems(name: str, view: View, **options: Any) -> list[Any]:
    figure = draw(view, name, **({"baseline": view} if name == "compare" else {}), **options)
    found = [*outside(figure), *overlapping(figure), *ticks_that_touch(figure)]
    height = figure.get_size_inches()[1]
    return [*found, *([f"{height:.1f} inches high"] if height > TALLEST else [])]
