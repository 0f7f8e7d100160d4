"""Layers larger than memory: the same numbers, without a copy of the layer in memory."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import infoplane.numerics.compression as compression
from infoplane import arrays as blocks
from infoplane.analysis.selection import parts_of
from infoplane.analysis.worker import FinitePart as Part
from infoplane.analysis.worker import measure, prepare_layer, prepare_run
from infoplane.arrays import converted, count_nonfinite_rows, rows_of, sorted_values
from infoplane.data import ProbeSet
from infoplane.estimators.layers.diffusion_entropy import diffusion_spectral_entropy
from infoplane.estimators.registry import parse_estimator
from infoplane.numerics.diffusion import points as point_cloud
from infoplane.numerics.discrete import partitions
from infoplane.numerics.discrete import symbols as discrete
from infoplane.runs.run import Run
from infoplane.runs.writer import FolderWriter

UNITS, N = 4000, 3000


@pytest.fixture
def small(monkeypatch):
    """Take arrays of more than 65,536 values for large."""
    for module in (blocks, discrete, partitions, point_cloud):
        if hasattr(module, "LARGE"):
            monkeypatch.setattr(module, "LARGE", 1 << 16)
    monkeypatch.setattr(blocks, "_BLOCK", 1 << 14)
    for name in ("_HELD_VALUES", "_CHUNK_VALUES", "_CHOSEN_VALUES"):
        monkeypatch.setattr(compression, name, 1 << 16)


def layer(kind):
    rng = np.random.default_rng(0)
    values = np.tanh(rng.normal(size=(700, 6)) @ rng.normal(size=(6, 300))).astype(np.float32)
    if kind == "relu":
        values = np.maximum(values, 0)
    elif kind == "few":
        values = np.round(values, 1) + np.float32(0)
    elif kind == "repeated":
        values = values[rng.integers(20, size=700)]
    elif kind == "float16":
        values = values.astype(np.float16)
    elif kind == "constant":
        values[:] = 0.25
    return values


KINDS = ("tanh", "relu", "few", "repeated", "float16", "constant")


@pytest.mark.parametrize("kind", KINDS)
def test_values_of_large_arrays_are_sorted(kind, small):
    values = layer(kind)
    found = sorted_values(values)
    assert found.dtype == values.dtype
    # Not float16: NumPy sorts it wrongly on some processors.
    expected = np.sort(values.astype(np.float64), axis=None)
    np.testing.assert_array_equal(found.astype(np.float64), expected)


def test_rows_and_other_dtypes_of_large_arrays_are_files(small):
    values = layer("tanh")
    rows = np.arange(0, 700, 2)
    assert rows_of(values, np.arange(700)) is values
    for made, expected in (
        (rows_of(values, rows), values[rows]),
        (converted(values, np.float64), values.astype(np.float64)),
    ):
        assert isinstance(made, np.memmap)
        np.testing.assert_array_equal(made, expected)
    values[[3, 5], 7] = np.nan, np.inf
    assert count_nonfinite_rows(values) == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "mode", ["ebab", "quantile", "ebab-neuron", "neuron", "layer", "fixed", "width", "exact"]
)
def test_binning_of_a_large_layer_is_that_of_a_small_one(kind, mode, request):
    values = layer(kind).astype(np.float32)
    labels = np.arange(700) % 3
    estimators = [parse_estimator(f"binning:mode={mode},bins=2+30") if mode != "exact"
                  else parse_estimator("exact")]  # fmt: skip

    def bits():
        probe = ProbeSet(np.arange(700.0)[:, None], labels)
        run = _Memory(values, probe)
        found = {}
        for estimator in estimators:
            shared = estimator.prepare_run(run, np.random.default_rng(0))
            prepared = estimator.prepare_layer(shared, run, run.layers[0], None)
            found |= estimator.estimate(prepared, values, np.random.default_rng(1))
        return {key: (one.bits, one.flags) for key, one in found.items()}

    whole = bits()
    request.getfixturevalue("small")
    streamed = bits()
    assert streamed.keys() == whole.keys()
    for key, (value, flags) in streamed.items():
        assert value == pytest.approx(whole[key][0], abs=1e-12)
        assert flags == whole[key][1]


class _Memory:
    steps = (0,)

    def __init__(self, values, probe):
        from infoplane.data import LayerInfo

        self.values, self.probe = values, probe
        self.layers = (LayerInfo("fc", 0, "Tanh", values.shape[1:], "float32"),)

    def activations(self, step, layer):
        return self.values


@pytest.mark.parametrize("sigma", ["median", "sqrtd", "l2"])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_diffusion_entropy_of_a_large_layer_is_that_of_a_small_one(sigma, offset, request):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 5)) @ rng.normal(size=(5, 900)) + offset
    x[100:] = x[:20]
    x[7] = 0 if offset == 0 else x[7]

    def found():
        result = diffusion_spectral_entropy(x, sigma=sigma)
        return [result.bits, result.sigma, result.diagnostics["n_units"], *result.flags]

    whole = found()
    request.getfixturevalue("small")
    reduced = found()
    assert reduced[2:] == whole[2:]
    np.testing.assert_allclose(reduced[:2], whole[:2], rtol=1e-9)


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A layer of 46 MiB."""
    rng = np.random.default_rng(0)
    labels = (np.arange(N) % 4).astype(np.int64)
    path = tmp_path_factory.mktemp("wide") / "net"
    writer = FolderWriter(path, ProbeSet(rng.normal(size=(N, 3)), labels), {"run": "net"})
    hidden = rng.normal(size=(N, 8)) + labels[:, None]
    with writer.step(0) as out:
        values = np.tanh(hidden @ rng.normal(size=(8, UNITS)) / 3).astype(np.float32)
        out.write(0, "fc", "Tanh", 0, values, "float32")
    writer.close()
    return Path(path)


@pytest.mark.parametrize(
    "spec",
    [
        "binning",
        "binning:bins=10+30",
        "binning:mode=neuron",
        "exact",
        "kde",
        "kde:precision=mixed,max_samples=2000",
        "compressed:max_samples=500",  # of all samples the distances alone are as many numbers
        "compressed:mode=neighbors",
        "dse:max_samples=500",
    ],
)
def test_no_copy_of_a_layer_stands_in_memory(wide, spec, small):
    estimator, run = parse_estimator(spec), Run(wide)

    def cell():
        part = Part.of_run(run)
        prepared = prepare_layer(part, estimator, 0, run.layers[0], prepare_run(part, estimator, 0))
        (layer,) = parts_of(estimator, run, run.layers)
        return measure(run, estimator, 0, layer, prepared, (0,))[0]

    cell()  # imports
    tracemalloc.start()
    try:
        found = cell()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.error is None
    assert peak < 0.9 * 4 * N * UNITS
