"""Shapes of results, made once."""

from __future__ import annotations

from typing import Any

import pytest

from infoplane.plots.view import View
from tests.plots import synthetic

SHAPES = (
    "five", "single", "one_checkpoint", pytest.param("three", marks=pytest.mark.slow), "sixty",
    "saturated", "missing", "one_point", "binning_only", "odd_names", "bracketed",
)  # fmt: skip
"""Three runs lie between one and five."""


@pytest.fixture(scope="session")
def shapes() -> dict[str, dict[str, Any]]:
    return synthetic.shapes()


@pytest.fixture(scope="session")
def views(shapes: dict[str, dict[str, Any]]) -> dict[str, View]:
    return {name: View.of(document) for name, document in shapes.items()}


@pytest.fixture(params=SHAPES)
def view(request: pytest.FixtureRequest, views: dict[str, View]) -> View:
    return views[request.param]


@pytest.fixture
def five(views: dict[str, View]) -> View:
    return views["five"]
