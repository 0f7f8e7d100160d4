"""The figure, the table and the section of the report about outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import infoplane
from infoplane.cli.table import summary
from infoplane.data import ProbeSet
from infoplane.errors import NotFoundError
from infoplane.plots.figures import default_figures, draw
from infoplane.plots.report.page import render_report
from infoplane.plots.view import View
from infoplane.runs.writer import FolderWriter
from tests.plots.test_figures import outside, overlapping, ticks_that_touch, words

N, K = 120, 4
LABELS = np.arange(N) % K


def write(folder: Path, seed: int, splits: dict[str, int]) -> Path:
    """Write a run whose logits grow and follow the labels more and more."""
    path, rng = folder / f"net-s{seed}", np.random.default_rng(seed)
    probe = ProbeSet(np.arange(2.0 * N).reshape(N, 2), LABELS, splits=splits)
    with_noise = rng.normal(size=(N, K))
    writer = FolderWriter(path, probe, {"run": path.name, "group": "net", "seed": seed})
    for step, sharp in ((0, 0.0), (1, 1.0), (10, 3.0), (100, 5.0)):
        with writer.step(step) as out:
            out.write("fc", "fc", "Linear", 0, sharp * np.eye(K)[LABELS] + with_noise, "float32")
            out.layers["fc"].details = {"roles": ["logits"]}
    writer.close()
    return path


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = write(tmp_path_factory.mktemp("outputs"), 0, {"train": 70, "test": 50})
    return infoplane.analyze(path, "output", jobs=1).document


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("seeds")
    runs = [write(folder, seed, {}) for seed in range(3)]
    return infoplane.analyze(runs, ["binning", "output"], jobs=1).document


@pytest.mark.parametrize("size", ["single", "double"])
@pytest.mark.parametrize("of", ["document", "seeds"])
def test_nothing_is_cut_or_covered(of: str, size: str, request: pytest.FixtureRequest) -> None:
    figure = draw(request.getfixturevalue(of), "output", size=size)
    assert outside(figure) == []
    assert overlapping(figure) == []
    assert ticks_that_touch(figure) == []


def test_splits_are_drawn_together(document: Any) -> None:
    figure = draw(document, "output")
    information = figure.axes[0]
    drawn = {str(line.get_label()): line for line in information.lines}
    assert {"_net[train] ixy", "_net[test] ixy"} <= drawn.keys()
    train, test = (drawn[f"_net[{split}] ixy"].get_linestyle() for split in ("train", "test"))
    assert (train, test) == ("-", "--")
    assert {"train", "test"} <= set(words(figure))


def test_layers_that_are_not_wanted_are_left_out(seeds: Any) -> None:
    assert draw(seeds, "output", layers=["fc"]).axes
    with pytest.raises(NotFoundError):
        draw(seeds, "output", layers=["gone"])


def test_by_itself_each_measure_is_drawn_once(seeds: Any) -> None:
    files = {file: of for file, _, of in default_figures(View.of(seeds), {}, every=False)}
    assert "output" in files
    assert not any(files.values())  # no file of a single measure


def test_results_without_outputs_say_how_to_get_them(tmp_path: Path) -> None:
    found = infoplane.analyze(write(tmp_path, 0, {}), "binning", jobs=1).document
    with pytest.raises(NotFoundError, match="measures of outputs") as error:
        draw(found, "output")
    assert error.value.hint == "analyze with -e output"


def test_the_table_has_a_row_per_measure(
    document: Any, seeds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = summary(document)
    assert max(map(len, text.splitlines())) <= 80
    for group in ("net[train]", "net[test]"):
        assert f"\n{group}\noutputs of fc" in text
    rows = [line.split("  ")[0] for line in text.splitlines()]
    assert rows.count("H(Y) − CE") == 2
    both = summary(seeds)
    assert both.index("I(X;T)") < both.index("outputs of fc")  # beside the table of layers
    assert both.count("outputs of fc") == 1


def test_the_report_has_a_section_of_outputs(seeds: Any) -> None:
    page = render_report(View.of(seeds))
    assert "<h2" in page
    assert "Outputs" in page
    assert "I(X;Ŷ)" in page
