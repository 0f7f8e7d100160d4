"""Runs of activations alone: what is said of the inputs is known, or not said."""

import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import infoplane
from infoplane.data import ProbeSet
from infoplane.errors import DataError, InputError
from infoplane.runs.pack import pack

N = 64
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)
T = np.tanh(X).round(1)


def write(path, inputs, labels=Y, layer=T):
    with infoplane.RunWriter(path, inputs, labels) as writer:
        writer.add(0, {"a": layer})
    return infoplane.Run(path)


def rows(run, spec):
    with ThreadPoolExecutor(1) as pool:
        found = infoplane.analyze(run, spec, executor=pool)
    return {row["quantity"]: row["value"] for row in found["rows"]}, found


@pytest.mark.parametrize("spec", ["binning", "exact", "compressed", "kde", "probe", "collapse"])
def test_what_a_layer_tells_alone_is_the_same_with_and_without_inputs(tmp_path, spec):
    known, _ = rows(write(tmp_path / "a" / "r", X), spec)
    alone, document = rows(write(tmp_path / "b" / "r", None), spec)
    assert alone == known
    assert document["recordings"][0]["inputs"] is False


def test_information_of_a_layer_is_what_it_holds(tmp_path):
    """No input is taken for equal to another, which would make I(X;T) smaller."""
    found, document = rows(write(tmp_path / "r", None), "exact")
    counts = np.unique(T, axis=0, return_counts=True)[1] / N
    assert found["ixt"] == pytest.approx(-(counts * np.log2(counts)).sum())
    assert not any(row["diag"]["whole_population"] for row in document["rows"])


@pytest.mark.parametrize(
    ("spec", "lacking", "kept"),
    [("dse:sigma=1", "dsmi_x", {"dse", "dsmi_y"}), ("renyi", "ixt", {"ity"})],
)
def test_what_compares_with_inputs_is_not_measured(tmp_path, spec, lacking, kept):
    known, _ = rows(write(tmp_path / "a" / "r", X), spec)
    alone, _ = rows(write(tmp_path / "b" / "r", None), spec)
    assert set(known) == kept | {lacking}
    assert set(alone) == kept
    if spec != "renyi":  # whose shuffles follow those of the inputs
        assert alone == {name: known[name] for name in kept}


def test_estimator_that_asks_for_inputs_refuses(tmp_path):
    with pytest.raises(InputError, match="mode=ksg compares layers with the inputs"):
        rows(write(tmp_path / "r", None), "compressed:mode=ksg")


def test_whole_discrete_inputs_are_not_made_up(tmp_path):
    """Row numbers would be all of a discrete X: no bottleneck curve, no zero-width interval."""
    bits = ((np.arange(N)[:, None] >> np.arange(6)) & 1).astype(np.float32)
    labels = bits[:, 0].astype(int)
    _, document = rows(write(tmp_path / "a" / "r", bits, labels, bits), "binning")
    assert document["recordings"][0]["bottleneck"] is not None
    _, document = rows(write(tmp_path / "b" / "r", None, labels, bits), "binning")
    assert document["recordings"][0]["bottleneck"] is None


def test_run_can_be_packed_inspected_and_resampled(tmp_path):
    run = write(tmp_path / "r", None)
    pack(run, tmp_path / "r.h5")
    packed = infoplane.Run(tmp_path / "r.h5")
    packed.check()
    assert (packed.n_samples, packed.probe.known_inputs) == (N, None)
    assert rows(packed, "exact")[0] == rows(run, "exact")[0]
    with ThreadPoolExecutor(1) as pool:
        infoplane.analyze(run, "exact", sampling=True, executor=pool)


def test_similarity_says_what_it_cannot_know(tmp_path, caplog):
    one, other = write(tmp_path / "a", None), write(tmp_path / "b", None, layer=T + 1)
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(1) as pool:
        infoplane.similarities([one, other], "cka", executor=pool)
    assert "are taken for the same samples in the same order" in caplog.text
    unlike = write(tmp_path / "c", None, labels=1 - Y)
    with pytest.raises(DataError, match="its labels are others"), ThreadPoolExecutor(1) as pool:
        infoplane.similarities([one, unlike], "cka", executor=pool)


def test_probe_set_numbers_its_rows():
    probe = ProbeSet(np.empty((4, 0)))
    assert probe.known_inputs is None
    np.testing.assert_array_equal(probe.take(np.array([1, 3])).ids, [1, 3])
