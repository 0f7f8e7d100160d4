"""A quantity by depth."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from infoplane.errors import InputError, NotFoundError
from infoplane.plots.canvas import style as look
from infoplane.plots.depth import depth
from infoplane.plots.view import View
from tests.plots import synthetic


def test_a_line_per_checkpoint_over_the_layers_of_the_forward_pass(five: View) -> None:
    ax = depth(five, estimator="binning")
    lines = {str(line.get_label()): line for line in ax.lines}
    drawn = [label for label in lines if label.startswith("_step")]
    assert (drawn[0], drawn[-1]) == ("_step 0", "_step 20000")
    assert len(drawn) == 5
    found = [five.curves["tanh", f"fc{i}", "binning", "ixt"] for i in range(1, 6)]
    np.testing.assert_array_equal(lines["_step 0"].get_ydata(), [c.mean()[0] for c in found])
    np.testing.assert_array_equal(lines["_step 20000"].get_ydata(), [c.mean()[-1] for c in found])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["fc1", "fc2", "fc3", "fc4", "fc5"]
    assert ax.get_ylabel() == "I(X;T)  [bits]"
    low, high = found[2].spread() or pytest.fail("no spread")
    np.testing.assert_array_equal(lines["_bars 0"].get_ydata()[6:8], [low[0], high[0]])
    rings = lines["_saturated"].get_xdata()
    assert set(rings) == {0}  # fc1 throughout


def test_what_it_cannot_draw_is_refused(five: View) -> None:
    with pytest.raises(NotFoundError, match=r"needs I\(X;T\) of two layers; 'tanh' has 1"):
        depth(five, layers=["fc2"])
    with pytest.raises(InputError, match="expected a quantity, got 'volume'"):
        depth(five, quantity="volume")
    with pytest.raises(NotFoundError, match="needs an estimator with H"):
        depth(five, quantity="ht")


def test_bounds_are_drawn_where_they_are_near_and_told_where_not(five: View) -> None:
    def legend(view: View) -> tuple[list[str], str]:
        figure = depth(view).figure
        return [t.get_text() for t in figure.legends[0].get_texts()], figure.get_supxlabel()

    assert "log₂ N = 12.00 bits" in legend(five)[0]
    assert legend(five)[1].count("Further up") == 0
    near = View.of(synthetic.of_a_plugin(n_layers=9, n_seeds=3, n_steps=6))
    assert "bound = 8 … 1,024 dimensions" in legend(near)[0]
    assert any(type(patch).__name__ == "StepPatch" for patch in depth(near).patches)
    far = View.of(synthetic.of_a_plugin(n_layers=3, n_seeds=3, n_steps=6))
    assert "Further up: bound = 256 … 1,024 dimensions." in legend(far)[1]
    assert depth(far).get_ylim()[1] < 20


def test_names_of_many_layers_stand_upright_at_even_distances(views: dict[str, View]) -> None:
    ax = depth(views["sixty"])
    at = ax.get_xticks()
    assert set(np.diff(at)) == {at[1]}
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {90.0}
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert all(a.x1 <= b.x0 for a, b in pairwise(boxes))


def test_every_line_stands_out_from_its_ground(five: View) -> None:
    for style, ground in (("paper", "#FFFFFF"), ("dark", "#0D1117")):
        first = depth(five, style=style).lines[0]
        assert (
            np.abs(look.to_rgb(first.get_color()[:3]) - np.array(look.to_rgb(ground))).max() > 0.4
        )
