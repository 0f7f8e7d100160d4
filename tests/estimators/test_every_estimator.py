"""What holds for every registered estimator."""

import json
import math
import pickle

import numpy as np
import pytest

from infoplane.analysis import worker
from infoplane.analysis.keys import CellKeys
from infoplane.analysis.selection import Part
from infoplane.analysis.worker import FinitePart
from infoplane.data import LayerInfo, ProbeSet
from infoplane.estimators.registry import BUILT_IN, estimator_class, parse_estimator
from infoplane.results.document import result_rows
from infoplane.results.vocabulary import Vocabulary
from infoplane.runs.run import Run
from infoplane.testing import CONTRACT
from tests.cli.analyses import write_run

N = 300
KINDS = {name: estimator_class(name) for name in BUILT_IN}
NAMES = [n for n, k in KINDS.items() if k.subject == "layer" and k.reads not in ("step", "weight")]


class Memory:
    """A run in memory."""

    device = None

    def __init__(self, activations, labels, inputs=None):
        rng = np.random.default_rng(5)
        self.probe = ProbeSet(
            rng.normal(size=(len(activations), 6)) if inputs is None else inputs, labels
        )
        self.steps = (0,)
        shape = activations.shape[1:]
        self.layers = (LayerInfo("fc", 0, "Tanh", shape, str(activations.dtype)),)
        self._activations = activations

    def activations(self, step, layer):
        return self._activations


def estimates(name, activations, labels, inputs=None, seed=0):
    run = Memory(activations, labels, inputs)
    estimator = parse_estimator(name)
    rng = lambda: np.random.default_rng(seed)  # noqa: E731
    shared = estimator.prepare_run(run, rng())
    prepared = estimator.prepare_layer(shared, run, run.layers[0], rng())
    return estimator.estimate(pickle.loads(pickle.dumps(prepared)), activations, rng())


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    labels = np.arange(N) % 3
    activations = np.tanh(rng.normal(size=(N, 4)) + labels[:, None])
    return activations.astype(np.float32), labels.astype(np.int64)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_contract(check, name):
    check(estimator_class(name)())


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_json(name, data):
    found = estimates(name, *data)
    rows = result_rows(
        "r",
        0,
        LayerInfo("fc", 0, "Tanh", (4,), "float32"),
        name,
        found,
        0.0,
        N,
        vocabulary=Vocabulary.declared([estimator_class(name)]),
    )
    json.dumps(rows, allow_nan=False)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (name, quantity.name)
        for name in NAMES
        for quantity in estimator_class(name).quantities
        if quantity.family == "labels"
    ],
)
def test_label_information_of_a_copied_and_of_an_unrelated_label(name, key):
    rng = np.random.default_rng(1)
    labels = np.arange(N) % 3
    copied = labels[:, None] * np.ones((1, 2)) + 1e-3 * rng.normal(size=(N, 2))
    # Beside the median distance noise of a quarter of it hides a good part of three labels, and a
    # kernel as wide as that a quarter.
    narrower = {"compressed": "compressed:c=0.1", "renyi": "renyi:width=silverman"}
    name = narrower.get(name, name)
    informed = estimates(name, copied, labels)[key]
    unrelated = estimates(name, copied, rng.permutation(labels))[key]
    if name == "exact" or {"sparse", "null_dominates"} & set(informed.flags):
        # Every row is a state of its own: both are H(Y), and the flag says that it is trivial.
        assert {"sparse", "null_dominates"} & set(unrelated.flags)
        return
    if informed.bits is not None:
        assert informed.bits > 0.8 * math.log2(3)
        assert unrelated.bits < 0.2 or "null_dominates" in unrelated.flags


@pytest.mark.parametrize("name", NAMES)
def test_float64_copy_of_float32_data_gives_the_same(name, data):
    activations, labels = data
    one, two = (estimates(name, activations.astype(t), labels) for t in (np.float32, np.float64))
    for key, estimate in one.items():
        if estimate.bits is not None:
            assert estimate.bits == pytest.approx(two[key].bits, abs=2e-3), key


@pytest.mark.parametrize(
    "spec", [*NAMES, "binning:mode=global", "compressed:noise=0.1", "compressed:mode=ksg"]
)
def test_pools_names_all_activations_that_preparing_reads(spec, data):
    """What the cache key leaves out must not have been read."""
    activations, labels = data
    read = []

    class Traced(Memory):
        def activations(self, step, layer):
            read.append((step, layer))
            return super().activations(step, layer)

    estimator = parse_estimator(spec)
    run = Traced(activations, labels)
    run.layers = tuple(LayerInfo(name, i, "Tanh", (4,), "float32") for i, name in enumerate("ab"))
    run.steps = (0, 5)
    shared = estimator.prepare_run(run, np.random.default_rng(0))
    of_run = list(read)
    estimator.prepare_layer(shared, run, run.layers[1], np.random.default_rng(0))
    of_layer = read[len(of_run) :]
    if estimator.pools not in ("run", "group"):
        assert not of_run
        assert {layer for _, layer in of_layer} <= {"b"}
    if estimator.pools == "nothing":
        assert not of_layer
    if estimator.pools != "nothing" and estimator.name != "noisy":  # it reads what layers declare
        assert read


DRAWING = {
    "binning": "binning",  # labels are permuted for its null
    "cauchy_schwarz": "cauchy_schwarz:max_samples=100",
    "collapse": "collapse:max_samples=100",
    "compressed": "compressed:max_samples=100",
    "dimension": "dimension:max_samples=100",
    "dse": "dse:max_samples=100",
    "exact": "exact",
    "kde": "kde:max_samples=100",
    "ksg": "ksg:max_samples=100",
    "neural": "neural:critic=gauss,max_samples=200",
    "noisy": "noisy:std=0.3,max_samples=100",
    "output": "output:max_samples=100",
    "probe": "probe:max_samples=100",
    "renyi": "renyi:max_samples=100",
    "spectrum": "spectrum:max_samples=100",
}
"""An estimator of every kind with parameters at which it draws."""


def test_all_built_in_estimators_are_asked_for_their_draws():
    assert sorted(DRAWING) == sorted(NAMES)  # others draw nothing


def measured(spec, seed, path):
    """What a worker finds in the cells of a run, the time that it took left out."""
    run, estimator = Run(path), parse_estimator(spec)
    found = []
    shared = worker.prepare_run(FinitePart.of_run(run), estimator, seed)
    for layer in run.layers:
        part = FinitePart.of_layer(run, layer)
        prepared = worker.prepare_layer(part, estimator, seed, layer, shared)
        cells = worker.measure(run, estimator, seed, Part(None, (layer,)), prepared, run.steps)
        found += [cell.content()["estimates"] for cell in cells]
    return found


@pytest.mark.parametrize("name", DRAWING)
def test_the_seed_of_an_analysis_reaches_every_draw(name, tmp_path):
    # Of few states, where chance tells permutations of the labels apart.
    sharper = 1e6 if name in ("binning", "exact") else 1
    write_run(tmp_path / "run", n=N, steps=(0, 5), layers=("fc",), units=4, sharper=sharper)
    spec = DRAWING[name]
    first = measured(spec, 0, tmp_path / "run")
    assert measured(spec, 0, tmp_path / "run") == first
    other = measured(spec, 1, tmp_path / "run")
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_a_seed_of_its_own_comes_before_that_of_the_analysis(tmp_path):
    path = tmp_path / "run"
    write_run(path, n=N, steps=(0,), layers=("fc",), units=4)
    spec = DRAWING["dse"]
    of_three = measured(f"{spec},seed=3", 0, path)
    assert measured(f"{spec},seed=3", 1, path) == of_three == measured(spec, 3, path)
    assert measured(f"{spec},seed=0", 7, path) == measured(spec, 0, path)


def test_the_cache_tells_seeds_apart(tmp_path):
    path = tmp_path / "run"
    write_run(path, n=N, steps=(0,), layers=("fc",), units=4)
    run = Run(path)
    key = {
        (spec, seed): CellKeys(run, parse_estimator(spec), seed).cell(run.layers[:1], 0)
        for spec in ("dse", "dse:seed=0", "dse:seed=3")
        for seed in (0, 3)
    }
    assert key["dse", 0] == key["dse:seed=0", 0] != key["dse", 3] == key["dse:seed=3", 3]
    assert key["dse:seed=3", 0] != key["dse", 0]
    assert len(set(key.values())) == 4
