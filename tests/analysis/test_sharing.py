"""What a layer or a run needs once is done once, whatever the number of cells."""

import collections

import pytest

from infoplane.analysis.engine import analyze
from infoplane.analysis.selection import select_cells
from infoplane.estimators.layers import diffusion
from infoplane.estimators.layers.compressed import estimator as compressed
from infoplane.estimators.registry import parse_estimator
from infoplane.numerics.diffusion import space as spectra
from infoplane.numerics.discrete import partitions
from infoplane.runs.run import Run
from tests.cli.analyses import write_run
from tests.workers import Serial

STEPS, LAYERS = (0, 1, 10), ("fc1", "fc2")


@pytest.fixture
def cells(tmp_path):
    write_run(tmp_path / "net", steps=STEPS, layers=LAYERS, units=5)
    return select_cells([Run(tmp_path / "net")])


@pytest.fixture
def counted(monkeypatch):
    """Count the calls of functions by name."""
    calls = collections.Counter()

    def count(place, name):
        function = getattr(place, name)

        def counting(*args, **kwargs):
            calls[name] += 1
            return function(*args, **kwargs)

        monkeypatch.setattr(place, name, counting)
        return calls

    return count


def estimated(cells, spec):
    found = list(analyze(cells, [parse_estimator(spec)], Serial()))
    assert len(found) == len(STEPS) * len(LAYERS)
    assert not any(cell.error for cell in found)


def test_inputs_are_clustered_once_for_a_run(cells, counted):
    calls = counted(diffusion, "_clustered")
    estimated(cells, "dse:n_clusters=5+10")
    assert calls == {"_clustered": 2}  # for each number of clusters


def test_basis_is_fitted_once_for_a_layer(cells, counted):
    calls = counted(compressed, "streaming_basis")
    estimated(cells, "compressed:mode=neighbors")
    assert calls == {"streaming_basis": len(LAYERS)}


def test_inputs_are_encoded_once_for_a_run(cells, counted):
    calls = counted(compressed, "compressed_inputs")
    estimated(cells, "compressed:mode=joint")
    assert calls == {"compressed_inputs": 1}


def test_diffusion_times_share_distances_and_spectra(cells, counted):
    calls = counted(spectra, "gaussian_kernel")
    counted(spectra, "exact_entropies")
    estimated(cells, "dse")
    one = dict(calls)
    calls.clear()
    estimated(cells, "dse:t=1+2+4")
    assert calls == one


def test_bandwidths_share_distances(cells, counted):
    calls = counted(spectra, "half_squares")
    counted(spectra, "gaussian_kernel")
    estimated(cells, "dse:sigma=1+5+median")
    assert calls == {"half_squares": len(STEPS) * len(LAYERS)}


def test_numbers_of_bins_share_one_sort(cells, counted):
    calls = counted(partitions, "sorted_values")  # all activations of a cell
    estimated(cells, "binning:bins=10+30+60")
    assert calls == {"sorted_values": len(STEPS) * len(LAYERS)}
