"""What all runs of a group share is prepared once for the group."""

import concurrent.futures
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from infoplane.analysis.cache import CellCache
from infoplane.analysis.engine import analyze
from infoplane.analysis.executors import Processes
from infoplane.analysis.plan import CostModel, plan
from infoplane.analysis.selection import select_cells
from infoplane.data import ProbeSet
from infoplane.errors import EstimationError
from infoplane.estimators.base import Estimator
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.registry import parse_estimator
from infoplane.runs.run import Run
from infoplane.runs.writer import FolderWriter
from infoplane.validation.trials import estimate_problem
from tests.analysis.test_engine import numbers
from tests.workers import Serial

N = 40


@dataclass(frozen=True)
class Deviation(Estimator):
    """Mean of a layer less that of its group, and a random number of the group."""

    name: ClassVar[str] = "deviation"
    title: ClassVar[str] = "deviation"
    quantities: ClassVar[tuple[str, ...]] = ("ixt", "ity")
    calls: ClassVar[list] = []

    def prepare_group(self, runs, rng):
        self.calls.append([float(run.activations(run.steps[0], "fc").mean()) for run in runs])
        means = [
            run.activations(s, x.name).mean() for run in runs for s in run.steps for x in run.layers
        ]
        return np.full(1000, np.mean(means)), rng.random()  # large enough for a file

    def prepare_member(self, shared, run, rng):
        self.calls.append(run.layers[0].name)
        return shared

    def estimate(self, prepared, activations, rng):
        mean, drawn = prepared
        return {"ixt": Estimate(float(activations.mean() - mean[0])), "ity": Estimate(drawn)}


def write(path, value, group="net"):
    probe = ProbeSet(np.arange(N, dtype=float)[:, None], np.arange(N) % 2)
    writer = FolderWriter(path, probe, {"run": path.name, "group": group})
    for step in (0, 1):
        with writer.step(step) as out:
            for index, name in enumerate(("fc", "out")):
                values = np.full((N, 2), value + step, dtype=np.float32)
                out.write(index, name, "Tanh", 0, values, "float32")
    writer.close()
    return Run(path)


@pytest.fixture
def runs(tmp_path):
    Deviation.calls.clear()
    return [write(tmp_path / f"s{seed}", float(seed)) for seed in range(3)]


def found(runs, executor=None, **options):
    return list(analyze(select_cells(runs), [Deviation()], executor or Serial(), **options))


def test_group_is_prepared_once_and_every_run_gets_it(runs):
    cells = numbers(found(runs))
    assert Deviation.calls == [[0.0, 1.0, 2.0], "fc", "fc", "fc"]
    for (run, step, _, _), estimates in cells.items():
        assert estimates["ixt"] == int(run[1:]) + step - 1.5
    assert len({estimates["ity"] for estimates in cells.values()}) == 1


def test_numbers_depend_on_neither_workers_nor_order(runs):
    expected = numbers(found(runs))
    assert numbers(found(runs[::-1])) == expected
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert numbers(found(runs, pool)) == expected
    with Processes(2) as pool:
        assert numbers(found(runs, pool.executor, renew=pool.renew)) == expected
    assert numbers(found(runs, seed=1)) != expected


def test_groups_are_apart(runs, tmp_path):
    alone = [write(tmp_path / "a", 5.0, None), write(tmp_path / "b", 7.0, "other")]
    cells = numbers(found([*runs, *alone]))
    assert {e["ixt"] for (run, *_), e in cells.items() if run in "ab"} == {-0.5, 0.5}
    assert len({e["ity"] for e in cells.values()}) == 3
    assert {k: v for k, v in cells.items() if k[0] not in "ab"} == numbers(found(runs))


def test_runs_with_other_layers_are_no_group(runs):
    """As in the results, where they are groups of their own."""
    cells = {**select_cells(runs), runs[2]: (runs[2].layers[:1], [0])}
    got = numbers(analyze(cells, [Deviation()], Serial()))
    for run in ("s0", "s1", "s2"):  # less the mean of its own two steps
        assert got[run, 0, "fc", "deviation"]["ixt"] == -0.5


def test_cached_until_a_run_of_the_group_changes(runs, tmp_path):
    others = [Deviation(), parse_estimator("binning")]

    def cached(runs):
        with CellCache(tmp_path / "cache") as cache:
            work = plan(select_cells(runs), others, seed=0, model=CostModel(), cache=cache)
            cells = list(analyze(select_cells(runs), others, Serial(), cache=cache))
        told = {
            name: sum(cell.cached for cell in cells if cell.estimator == name)
            for name in ("deviation", "binning")
        }
        assert told == {item.estimator: item.cached for item in work}
        return told

    assert cached(runs[:2]) == {"deviation": 0, "binning": 0}
    Deviation.calls.clear()
    assert cached(runs[1::-1]) == {"deviation": 8, "binning": 8}
    assert Deviation.calls == []  # nothing is prepared for nothing
    assert cached(runs) == {"deviation": 0, "binning": 8}
    assert cached(runs) == {"deviation": 12, "binning": 12}
    assert cached(runs[:2]) == {"deviation": 8, "binning": 8}


def test_reason_why_a_group_cannot_be_prepared(tmp_path):
    run = write(tmp_path / "zero", 0.0)
    cells = {run: ([run.layers[0]], [0])}

    class Refusing(Deviation):
        def prepare_group(self, runs, rng):
            raise EstimationError("expected something in the group")

    (cell,) = analyze(cells, [Refusing()], Serial())
    assert cell.error == "expected something in the group"


def test_only_who_prepares_for_the_group_pools_it():
    assert Deviation().pools == "group"
    assert parse_estimator("compressed").pools == "group"
    others = ("binning", "compressed:mode=neighbors", "dse")
    assert {parse_estimator(name).pools for name in others} <= {
        "nothing", "layer", "run"
    }  # fmt: skip


def test_a_single_problem_is_a_group():
    from infoplane.validation.problems import Problem

    rng = np.random.default_rng(0)
    problem = Problem(rng.normal(size=(N, 2)), np.ones((N, 3)), np.arange(N) % 2)

    class OfProblem(Deviation):
        def prepare_group(self, runs, rng):
            return np.array([runs[0].activations(0, runs[0].layers[0].name).mean()]), 0.0

        def prepare_member(self, shared, run, rng):
            return shared

    assert estimate_problem(OfProblem(), problem, 0)["ixt"].bits == 0.0
