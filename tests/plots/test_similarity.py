"""Figures of similarity, of 3 and of 60 layers."""

import itertools

import numpy as np
import pytest
from matplotlib.text import Text

from infoplane.errors import NotFoundError
from infoplane.plots.figures import FIGURES, draw
from infoplane.results.similarities import settling
from tests.plots.test_figures import outside, overlapping, ticks_that_touch

NAMES = [name for name in FIGURES if name.startswith("similarity")]
STEPS = [0, 1, 10, 100, 1000]
PARTS = ("self_attn", "linear1", "linear2", "norm1", "norm2", "mlp.dense_4h_to_h")


def document(n_layers, unit="ratio"):
    """Two groups of two runs; layers next to one another are alike."""
    names = [f"encoder.layers.{i // 6}.{PARTS[i % 6]}" for i in range(n_layers)]
    layers = [{"name": name, "index": i, "units": 8} for i, name in enumerate(names)]
    recordings = [
        {"run": f"{group}{seed}", "group": group, "n": 2000, "steps": STEPS, "layers": layers}
        for group in "ab" for seed in range(2)
    ]  # fmt: skip
    distance = unit == "radians"
    rows = []

    def add(axis, a, b, value):
        of = {f"{key}_{side}": part for side, place in zip("ab", (a, b), strict=True)
              for key, part in zip(("run", "step", "layer"), place, strict=True)}  # fmt: skip
        value = 1.5 * (1 - value) if distance else value
        band = (0.1, 0.3) if distance else (0.85, 0.95)
        rows.append(
            {"axis": axis, "measure": "m", **of, "value": value, "ci_low": value - 0.02,
             "ci_high": value + 0.02, "null": 1.5 * distance, "null_sd": 0.01,
             "ceiling": None, "ceiling_low": band[0], "ceiling_high": band[1],
             "flags": ["at_chance"] if value < 0.01 else []}
        )  # fmt: skip

    for recording in recordings:
        run = recording["run"]
        for i, j in itertools.combinations(range(n_layers), 2):
            add("layers", (run, 1000, names[i]), (run, 1000, names[j]), float(np.exp(i - j) / 1.1))
        for name, (s, t) in itertools.product(names, itertools.combinations(range(5), 2)):
            add("steps", (run, STEPS[s], name), (run, STEPS[t], name), 1 - 0.2 * (t - s))
    for group, name, step in itertools.product("ab", names, STEPS):
        add("seeds", (f"{group}0", step, name), (f"{group}1", step, name), 0.9)
    for i, j in itertools.product(range(n_layers), repeat=2):
        add("models", ("a0", 1000, names[i]), ("b0", 1000, names[j]), float(np.exp(-abs(i - j))))
    measure = {"id": "m", "name": "Measure", "symbol": "M", "unit": unit, "family": "shape",
               "identical": 0.0 if distance else 1.0}  # fmt: skip
    member = {"measures": [measure], "rows": rows}
    member["settling"] = settling(member, recordings)
    return {"rows": [], "recordings": recordings, "similarities": member}


@pytest.fixture(scope="module", params=[(3, "ratio"), (60, "ratio"), (4, "radians")], ids=str)
def results(request):
    return document(*request.param)


@pytest.mark.parametrize("size", ["single", "double"])
@pytest.mark.parametrize("name", NAMES)
def test_no_text_is_cut_or_covers_another(name, size, results):
    figure = draw(results, name, size=size)
    assert outside(figure) == []
    assert overlapping(figure) == []
    if name in ("similarity-steps", "similarity-training"):  # rows of layers are as high as letters
        assert ticks_that_touch(figure) == []


@pytest.mark.parametrize("size", ["single", "double"])
@pytest.mark.parametrize("name", ["similarity-steps", "similarity-training"])
def test_titles_of_panels_differ_and_ticks_are_recorded_steps(name, size, results):
    panels = [ax for ax in draw(results, name, size=size).axes if ax.get_title(loc="left")]
    titles = {ax.get_title(loc="left") for ax in panels}
    assert len(panels) == len(titles) == min(12, len(results["recordings"][0]["layers"]))
    ticks = [text.get_text() for text in panels[-1].get_xticklabels()]
    assert (ticks[0], ticks[-1]) == ("0", "1k")
    assert set(ticks) <= {"0", "1", "10", "100", "1k"}


def test_every_layer_is_named_in_letters_that_fit(results):
    figure = draw(results, "similarity")
    figure.draw_without_rendering()
    ax = figure.axes[0]
    labels = ax.get_yticklabels()
    assert len(labels) == len(results["recordings"][0]["layers"])
    boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.y0)
    assert all(a.y1 <= b.y0 + 2 for a, b in itertools.pairwise(boxes))  # pixels


def test_layers_as_alike_as_two_seeds_are_outlined():
    found = document(3)
    for row in found["similarities"]["rows"]:
        if row["axis"] == "layers" and "linear2" not in row["layer_a"] + row["layer_b"]:
            row["value"] = 0.93
    ax = draw(found, "similarity").axes[0]
    boxes = {(box.get_x(), box.get_width()) for box in ax.patches}
    assert boxes == {(-0.5, 2)}


@pytest.mark.parametrize("state", ["never", "settled"])
def test_a_line_marks_where_a_layer_settles_and_nothing_where_it_does_not(state):
    found = document(1)
    for row in found["similarities"]["rows"] if state == "settled" else []:
        if row["axis"] == "steps" and row["step_a"] >= 10:
            row.update(value=0.95, ci_low=0.94, ci_high=0.96)
    member = found["similarities"]
    member["settling"] = settling(member, found["recordings"])
    figure = draw(found, "similarity-training")
    upright = [
        line.get_xdata()[0] for line in figure.axes[0].lines if len(set(line.get_xdata())) == 1
    ]
    assert upright == pytest.approx([np.log10(11)] * (state == "settled"))
    texts = " ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " ")
    assert ("not settled before the last step" in texts) == (state == "never")
    assert ("settles" in texts.split()) == (state == "settled")
    assert outside(figure) == []


def test_a_document_without_similarities_says_how_to_make_some():
    with pytest.raises(NotFoundError, match="no similarities") as caught:
        draw({"rows": [], "recordings": [], "similarities": None}, "similarity")
    assert "infoplane similarity" in caught.value.hint
