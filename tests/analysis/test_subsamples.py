"""Estimates on parts of the samples."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from infoplane.analysis.selection import select_cells
from infoplane.analysis.subsamples import PARTS, Sampling, sizes_of_parts, steps_of_cells
from infoplane.errors import NotFoundError
from infoplane.estimators.registry import parse_estimator
from infoplane.runs.run import Run
from tests.cli.analyses import write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sampling") / "net-s0"
    write_run(folder, n=300)
    return Run(folder)


def sampled(run, seed=0):
    cells = steps_of_cells(select_cells([run]), [-1])
    sampling = Sampling(cells, [parse_estimator("exact")], seed)
    with ThreadPoolExecutor(1) as executor:
        workers = SimpleNamespace(executor=executor, renew=lambda: executor, exchange=None)
        measured = list(sampling.measure(workers))
    assert len(measured) == sampling.n_cells
    return sampling.entries()


def test_exact_information_of_distinct_samples_is_log2_of_their_number(run):
    entries = [e for e in sampled(run) if e["quantity"] == "ixt"]
    sizes = sizes_of_parts(run.n_samples)
    layers = run.layers
    assert len(entries) == len(sizes) * len(layers)
    for entry in entries:
        states = run.activations(run.steps[-1], entry["layer"])
        if len(np.unique(states, axis=0)) == len(states):
            np.testing.assert_allclose(entry["values"], [np.log2(entry["n"])] * PARTS)
            assert entry["bound_high"] == pytest.approx(np.log2(entry["n"]))
    assert any(len(set(e["values"])) == 1 for e in entries)


def test_parts_follow_the_seed_alone(run):
    assert sampled(run) == sampled(run)
    ity = [[e["values"] for e in sampled(run, s) if e["quantity"] == "ity"] for s in (0, 1)]
    assert ity[0] != ity[1]


def test_parts_are_halves_of_halves_and_not_too_small():
    assert sizes_of_parts(4096) == [2048, 1024, 512, 256, 128]
    assert sizes_of_parts(300) == [150, 75]
    assert sizes_of_parts(100) == []


def test_a_step_that_is_not_analyzed_is_refused(run):
    with pytest.raises(NotFoundError, match="step 99 is not analyzed"):
        steps_of_cells(select_cells([run]), [99])
