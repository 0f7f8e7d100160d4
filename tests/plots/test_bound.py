"""The bottleneck curve in the plane."""

from __future__ import annotations

import numpy as np
import pytest

from infoplane.errors import NotFoundError
from infoplane.plots.bound import bound
from infoplane.plots.view import View


def test_the_curve_of_deterministic_labels_rises_to_the_label_entropy(five: View) -> None:
    ax = bound(five)
    (curve,) = [line for line in ax.lines if line.get_label() == "_bottleneck"]
    x, y = curve.get_data()
    h_y = five.label_entropy("tanh")
    assert h_y is not None
    np.testing.assert_allclose(y, np.minimum(x, h_y), atol=1e-12)
    assert ax.get_xlim()[0] == 0.0
    assert ax.get_xlim()[1] >= 12.0


def test_the_bound_is_refused_where_the_distribution_is_not_known(five: View) -> None:
    unknown = [{**r, "bottleneck": None} for r in five.results["recordings"]]
    with pytest.raises(NotFoundError, match=r"needs p\(y\|x\) of a discrete X") as caught:
        bound({**five.results, "recordings": unknown})
    assert "every combination" in str(caught.value.hint)
    first, *rest = five.results["recordings"]
    other = {**first, "bottleneck": {**first["bottleneck"], "mutual_information": 1.0}}
    with pytest.raises(NotFoundError, match="different bounds"):
        bound({**five.results, "recordings": [other, *rest]})


def test_the_label_of_the_label_entropy_keeps_off_its_line(five: View) -> None:
    ax = bound(five)
    notes = [note for note in ax.texts if note.get_text().startswith("H(Y)")]
    assert notes
    level = ax.transData.transform((0.0, five.label_entropy("tanh")))[1]
    for note in notes:
        box = note.get_window_extent()
        assert box.y0 > level or box.y1 < level
