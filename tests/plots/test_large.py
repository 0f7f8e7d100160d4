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
    return View.of(of_representations(names=block_names(n), n_steps=4))


def problems(name: str, view: View, **options: Any) -> list[Any]:
    figure = draw(view, name, **({"baseline": view} if name == "compare" else {}), **options)
    found = [*outside(figure), *overlapping(figure), *ticks_that_touch(figure)]
    height = figure.get_size_inches()[1]
    return [*found, *([f"{height:.1f} inches high"] if height > TALLEST else [])]


ABOUT = {**dict.fromkeys(OF_CURVES, network), **dict.fromkeys(OF_REPRESENTATIONS, representations)}
"""What each figure is drawn of."""

QUICK = ("compression", "agreement", "heat", "steps", "representation")
"""Figures whose form depends most on how many layers there are."""

CASES = [
    pytest.param(name, n, marks=[] if n == 12 or (n == 60 and name in QUICK) else pytest.mark.slow)
    for name in ABOUT
    for n in (3, 12, 60, 200)
]


@pytest.mark.parametrize(("name", "n"), CASES)
def test_nothing_is_cut_or_covered_at_any_depth(name: str, n: int) -> None:
    try:
        found = problems(name, ABOUT[name](n))
    except NotFoundError:
        assert name not in QUICK
        return
    assert found == []


@pytest.mark.slow
@pytest.mark.parametrize("n", [60, 200])
@pytest.mark.parametrize("name", ABOUT)
def test_nor_in_a_narrow_column(name: str, n: int) -> None:
    try:
        found = problems(name, ABOUT[name](n), size=3.5)
    except NotFoundError:
        assert name not in QUICK
        return
    assert found == []


@pytest.mark.parametrize("n", [12, 60])
def test_saturation_is_said_once(n: int) -> None:
    said = [text for text in words(draw(network(n), "compression")) if "saturated" in text]
    assert len(said) == 1
    assert str(n // 2) in said[0]


def test_compression_of_many_layers_shows_each_value_and_verdict() -> None:
    view = network(60)
    ranges, forest = compression(view).figure.axes
    (group,) = view.groups
    changes = {
        p.layer: p.change
        for p in view.phases.values()
        if (p.estimator, p.quantity) == ("compressed", "ixt")
    }
    drawn = [line.get_xdata().tolist() for line in forest.lines if len(line.get_xdata()) == 60]
    assert [changes[layer] for layer in view.layers(group)] in drawn
    assert len(ranges.get_yticks()) == 30
    assert ranges.get_yticklabels()[1].get_text() == "block 1"
    bars = [artist for artist in forest.patches if artist.get_width() == pytest.approx(0.035)]
    assert sum(bar.get_height() for bar in bars) == 60


def test_agreement_names_the_ends_and_the_furthest() -> None:
    figure = draw(network(60), "agreement")
    named = {text.get_text() for text in texts(figure)}
    assert {"0.attn", "29.mlp"} <= named


@pytest.mark.parametrize(
    ("layers", "most", "expected"),
    [
        (["a", "b", "c"], 8, ["a", "b", "c"]),
        (block_names(8), 4, [f"transformer.h.{i}.mlp" for i in range(4)]),
        (["wte", *block_names(8), "ln_f"], 4, ["wte", *block_names(8)[1::6], "ln_f"]),
        ([f"fc{i}" for i in range(9)], 3, ["fc0", "fc4", "fc8"]),
        ([*"abcdefghi"], 3, [*"aei"]),
        (block_names(9), 2, [block_names(9)[0], block_names(9)[-1]]),
    ],
)
def test_few_layers_are_the_same_of_each_block(
    layers: list[str], most: int, expected: list[str]
) -> None:
    assert by_block(layers, most) == expected


@pytest.mark.parametrize("layers", [block_names(58), [f"fc{i}" for i in range(200)], ["x"] * 90])
@pytest.mark.parametrize("most", [1, 5, 36])
def test_landmarks_fit(layers: list[str], most: int) -> None:
    assert 0 < len(landmarks({str(i): layer for i, layer in enumerate(layers)}, most)) <= most


def test_blocks_within_blocks_are_named_as_far_as_there_is_room() -> None:
    names = [f"layer{b}.{i}.conv{c}" for b in range(3) for i in range(4) for c in range(5)]
    of = dict(zip(names, names, strict=True))
    assert [*landmarks(of, 12).values()] == [f"layer{b}.{i}" for b in range(3) for i in range(4)]
    assert landmarks(of, 5) == {0: "layer0", 20: "layer1", 40: "layer2"}
