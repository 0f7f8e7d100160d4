"""Activations of float16 are sorted as float32: NumPy 2 sorts float16 wrongly on some processors.

Those have AVX-512 but not its instructions for float16. On all others the results would be right
without any care, so the tests look at what reaches NumPy.
"""

from pathlib import Path

import numpy as np
import pytest

import infoplane
from infoplane.arrays import sortable, sorted_values
from infoplane.data import ProbeSet
from infoplane.estimators.registry import estimator_class, estimator_names, parse_estimator
from infoplane.numerics.discrete.bottleneck import recorded_distribution
from infoplane.numerics.discrete.partitions import MODES, partitioned
from infoplane.numerics.discrete.symbols import is_whole_population
from infoplane.numerics.neighbors.estimates import intrinsic_dimension
from infoplane.recording.probes.named import load_probe
from infoplane.results import inspection, recordings
from infoplane.runs.run import Run
from infoplane.runs.writer import FolderWriter

SORTING = (
    "sort", "argsort", "lexsort", "partition", "argpartition", "unique", "unique_all",
    "unique_counts", "unique_inverse", "unique_values", "median", "nanmedian", "quantile",
    "nanquantile", "percentile", "nanpercentile", "intersect1d", "union1d", "setdiff1d",
    "setxor1d", "isin",
)  # fmt: skip
N = 240
_ARRAYS = {("layer", reads) for reads in ("arrays", "passes", "consecutive")}


@pytest.fixture
def watched(monkeypatch):
    """No function of NumPy that sorts is given float16."""

    def refusing(name, function):
        def call(*args, **options):
            for given in (*args, *options.values()):
                assert getattr(given, "dtype", None) != np.float16, f"np.{name} of float16"
            return function(*args, **options)

        return call

    for name in filter(lambda name: hasattr(np, name), SORTING):  # some are of NumPy 2
        monkeypatch.setattr(np, name, refusing(name, getattr(np, name)))


def run_of(path, dtype):
    """A run of a whole population, every number of which float16 holds."""
    rng = np.random.default_rng(0)
    inputs = np.indices((4, 5, 12)).reshape(3, -1).T
    writer = FolderWriter(path, ProbeSet(inputs.astype(dtype), np.arange(N) % 3), {"run": "net"})
    for step in range(3):
        with writer.step(step) as out:
            hidden = np.tanh(rng.normal(size=(N, 5)) + (np.arange(N) % 3)[:, None] * step / 3)
            values = hidden.astype(np.float16).astype(dtype)
            out.write(0, "fc", "Tanh", 0, values, values.dtype.name)
    writer.close()
    return Run(path)


def bits(run, spec):
    estimator, layer = parse_estimator(spec), run.layers[0]
    shared = estimator.prepare_run(run, np.random.default_rng(0))
    prepared = estimator.prepare_layer(shared, run, layer, np.random.default_rng(1))
    found = estimator.estimate(prepared, run.activations(1, "fc"), np.random.default_rng(2))
    return {key: one.bits for key, one in found.items()}


OF_LAYERS = [
    name
    for name in estimator_names()
    if (estimator_class(name).subject, estimator_class(name).reads) in _ARRAYS
]
SPECS = (*OF_LAYERS, *(f"binning:mode={mode}" for mode in MODES if mode != "exact"))


@pytest.mark.parametrize("spec", SPECS)
def test_estimates_of_float16_are_those_of_float32(tmp_path, spec, watched):
    found = bits(run_of(tmp_path / "half", np.float16), spec)
    assert found
    assert found == bits(run_of(tmp_path / "single", np.float32), spec)


def test_descriptions_of_runs_sort_no_float16(tmp_path, watched):
    run = run_of(tmp_path / "half", np.float16)
    assert inspection.describe_run(run, every_step=True)
    (described,) = recordings.describe_recordings({run: (run.layers, run.steps)})
    assert described["bottleneck"] is not None


def test_float16_is_told_apart_as_float32(watched):
    rng = np.random.default_rng(0)
    half = np.tanh(rng.normal(size=(700, 6)) @ rng.normal(size=(6, 300))).astype(np.float16)
    single = half.astype(np.float32)
    np.testing.assert_array_equal(sorted_values(half), sorted_values(single))
    assert sortable(single) is single
    for mode in MODES:
        found, expected = (
            next(iter(partitioned(values, mode, (30,), low=-1.0, high=1.0)))
            for values in (half, single)
        )
        if mode != "width":  # its quotients are rounded in the dtype of the values
            assert found.symbols.entropy == expected.symbols.entropy
    assert intrinsic_dimension(half) == intrinsic_dimension(single)


def test_whole_population_of_float16_is_one(watched):
    cube = np.indices((30, 40)).reshape(2, -1).T.astype(np.float16) / 7
    assert is_whole_population(cube)
    assert not is_whole_population(cube[1:])
    assert recorded_distribution(cube, np.arange(1200) % 2).shape == (1200, 2)


def test_targets_of_float16_are_binned_as_float32(tmp_path, monkeypatch, watched):
    monkeypatch.chdir(tmp_path)
    targets = np.random.default_rng(0).normal(size=500).astype(np.float16)
    inputs = np.zeros((500, 2))
    found = []
    for kind in (np.float16, np.float32):
        np.savez(Path("probe.npz"), inputs=inputs, targets=targets.astype(kind))
        found.append(load_probe("probe.npz", label_bins=4).labels)
    np.testing.assert_array_equal(*found)
    assert np.bincount(found[0]).min() > 100


CALLS = {
    "adjacency_spectral_entropy": lambda x, y: (x,),
    "binned_information": lambda x, y: (x, y),
    "compressed_information": lambda x, y: (x, y),
    "coordinate_binned_entropy": lambda x, y: (x,),
    "diffusion_spectral_entropy": lambda x, y: (x,),
    "diffusion_spectral_mutual_information": lambda x, y: (x, y),
    "intrinsic_dimension": lambda x, y: (x,),
    "kde_information": lambda x, y: (x, y),
    "kozachenko_leonenko_entropy": lambda x, y: (x,),
    "ksg_information": lambda x, y: (x, x[:, :1] + y[:, None].astype(x.dtype)),
    "ksg_mutual_information": lambda x, y: (x, x[:, :1] + y[:, None].astype(x.dtype)),
    "matrix_entry_entropy": lambda x, y: (x,),
    "mixed_information": lambda x, y: (x, y),
    "mixed_mutual_information": lambda x, y: (x, y),
    "probe_information": lambda x, y: (x, y),
    "renyi_information": lambda x, y: (x, y),
    "shuffle_information": lambda x, y: (x, x),
}


@pytest.mark.parametrize("name", CALLS)
def test_functions_sort_no_float16(name, watched):
    rng = np.random.default_rng(0)
    layer = np.tanh(rng.normal(size=(150, 3))).astype(np.float16)
    getattr(infoplane, name)(*CALLS[name](layer, np.arange(150) % 3))
