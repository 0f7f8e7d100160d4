"""A cell that takes longer than its estimator allows is given up, and only that."""

import concurrent.futures
import time
from dataclasses import dataclass
from typing import ClassVar

import pytest

from infoplane.analysis.cache import CellCache
from infoplane.analysis.engine import analyze
from infoplane.analysis.limit import OutOfTime, at_most
from infoplane.analysis.selection import select_cells
from infoplane.estimators.base import Cost, Estimator
from infoplane.estimators.estimate import Estimate
from infoplane.runs.run import Run
from tests.cli.analyses import write_run
from tests.workers import Serial


@dataclass(frozen=True)
class Endless(Estimator):
    """Never ends at layer fc2, and takes every error for one of its own."""

    limit: float | None = None

    name: ClassVar[str] = "endless"
    title: ClassVar[str] = "endless"
    quantities: ClassVar[tuple[str, ...]] = ("ixt",)

    def cost(self, n_samples, n_units):
        return Cost(0.01, 0, limit=self.limit)

    def prepare_layer(self, shared, run, layer, rng):
        return layer.name

    def estimate(self, prepared, activations, rng):
        while prepared == "fc2":
            try:
                sum(range(1000))
            except Exception:  # noqa: BLE001
                continue
        return {"ixt": Estimate(1.0)}


@pytest.fixture
def run(tmp_path):
    write_run(tmp_path / "net", steps=(0, 1), layers=("fc1", "fc2"), units=3)
    return Run(tmp_path / "net")


@pytest.mark.parametrize("pool", [Serial, lambda: concurrent.futures.ThreadPoolExecutor(1)])
def test_cell_is_given_up_and_the_others_are_not(run, tmp_path, pool):
    with pool() as executor, CellCache(tmp_path / "cache") as cache:
        for again in (False, True):
            cells = analyze(select_cells([run]), [Endless(0.05)], executor, cache=cache)
            for cell in cells:
                found = cell.estimates["ixt"]
                if cell.layer.name == "fc1":
                    assert (found.bits, found.flags, cell.cached) == (1.0, (), again)
                else:  # and tried again
                    assert (found.bits, found.flags) == (None, ("failed", "timeout"))
                    assert found.diagnostics["reason"].startswith("given up after 0.05 s")
                    assert not cell.cached


def test_what_ends_in_time_is_left_alone():
    with at_most(Cost(0, 0, limit=60.0)):
        pass
    with at_most(Cost(0, 0)):
        pass
    with pytest.raises(ZeroDivisionError), at_most(Cost(0, 0, limit=60.0)):
        raise ZeroDivisionError


def test_nothing_arrives_when_the_time_is_over_at_the_end():
    for _ in range(200):
        try:
            with at_most(Cost(0, 0, limit=0.0)):
                pass
        except OutOfTime:
            pass
        end = time.process_time() + 1e-3
        while time.process_time() < end:
            pass
