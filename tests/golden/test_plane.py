"""One trained network of the 12-bit task: layers 3 to 5 at epochs 0, 97 and 8000.

``plane.json``: what separate implementations of the estimators gave for ``plane_activations.npz``.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from infoplane.estimators.layers.binned_information import binned_information
from infoplane.estimators.layers.kde_information import kde_information
from infoplane.sample_runs.twelve_bit.task import toy12

FOLDER = Path(__file__).parent
VALUES = json.loads((FOLDER / "plane.json").read_text())["values"]
CELLS = list(VALUES)


@pytest.fixture(scope="module")
def activations():
    with np.load(FOLDER / "plane_activations.npz") as file:
        epochs = file["epochs"].tolist()
        return {
            cell: file[cell.split("_")[1]][epochs.index(int(cell.split("_")[0][5:]))]
            for cell in CELLS
        }


def pair(info):
    return [info.ixt, info.ity]


@pytest.mark.parametrize("cell", CELLS)
def test_binned_values(activations, cell):
    inputs, labels = toy12()
    t, expected = activations[cell], VALUES[cell]
    adaptive = binned_information(t, labels, inputs)
    assert pair(adaptive) == pytest.approx(expected["ebab30"], abs=1e-9)
    assert adaptive.singleton_fraction == pytest.approx(expected["ebab30_singleton_fraction"])
    # the null depends on the permutations; over 4096 labels it varies by thousandths of a bit
    assert adaptive.null_ity == pytest.approx(expected["ebab30_ity_shuffled_label_null"], abs=0.01)
    fixed = binned_information(t, labels, mode="fixed")
    assert pair(fixed) == pytest.approx(expected["fixed30"], abs=1e-9)
    floor = binned_information(t, labels, mode="width", width=0.07)
    assert pair(floor) == pytest.approx(expected["saxe_floor0.07"], abs=1e-9)
    sweep = [pair(binned_information(t, labels, bins=bins)) for bins in (15, 30, 60, 100)]
    mean = np.mean(sweep, axis=0).tolist()
    assert mean == pytest.approx(expected["ebab_mean_15_30_60_100"], abs=1e-9)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bits", [4, 8])
def test_quantised_values(activations, cell, bits):
    t = activations[cell].astype(float)
    codes = np.round((t - t.min()) * 2**bits / (t.max() - t.min()))
    info = binned_information(codes, toy12()[1], mode="exact")
    assert pair(info) == pytest.approx(VALUES[cell][f"quant_layer_{bits}b"], abs=1e-9)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    ("key", "noise"), [("kde_var1e-3", "fixed"), ("akde_var=1e-3*max", "akde-var")]
)
def test_pairwise_bounds(activations, cell, key, noise):
    expected = VALUES[cell][key]
    info = kde_information(activations[cell], toy12()[1], noise=noise)
    found = {
        "ixt_ub": info.ixt.upper,
        "ixt_lb": info.ixt.lower,
        "ity_kl": info.ity_kl,
        "ity_bd": info.ity_bd,
        "ity_hi": info.ity.upper,
        "ity_lo": info.ity.lower,
    }
    assert found == pytest.approx(expected, abs=1e-9)
