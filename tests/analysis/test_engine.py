import concurrent.futures
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from infoplane.analysis.engine import analyze
from infoplane.analysis.selection import select_cells
from infoplane.errors import EstimationError, InputError, NotFoundError, RunFileError
from infoplane.estimators.base import Estimator
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.registry import parse_estimator
from infoplane.runs.run import Run
from infoplane.runs.writer import FolderWriter
from tests.workers import Serial


@dataclass(frozen=True)
class Probed(Estimator):
    """Returns a random number, a sum of the data and how often the run was prepared."""

    name: ClassVar[str] = "probed"
    title: ClassVar[str] = "probed"
    quantities: ClassVar[tuple[str, ...]] = ("ixt", "ity")
    prepared: ClassVar[list] = []

    def prepare_run(self, run, rng):
        self.prepared.append(len(run.layers))
        return rng.random()

    def prepare_layer(self, shared, run, layer, rng):
        self.prepared.append(layer.name)
        return shared + rng.random()

    def estimate(self, prepared, activations, rng) -> Mapping[str, Estimate]:
        if activations[0, 0] == 99:
            raise EstimationError("expected no 99")
        if activations[0, 0] == 98:
            raise ZeroDivisionError("a bug")
        return {
            "ixt": Estimate(prepared + rng.random()),
            "ity": Estimate(float(activations.astype(float).sum())),
        }


@pytest.fixture
def runs(tmp_path, probe):
    found = []
    for seed in range(2):
        path = tmp_path / f"net-s{seed}"
        writer = FolderWriter(path, probe, {"run": path.name, "group": "net", "seed": seed})
        rng = np.random.default_rng(seed)
        for step in (0, 5, 20):
            with writer.step(step) as out:
                for index, name in enumerate(("fc1", "fc2", "out")):
                    values = np.tanh(rng.normal(size=(probe.n_samples, 4 - index)))
                    if (seed, step, name) == (1, 5, "fc2"):
                        values[3] = np.nan
                    out.write(index, name, "Tanh", 0, values.astype(np.float32), "float32")
        writer.close()
        found.append(Run(path))
    return found


def numbers(measurements):
    return {
        (m.run, m.step, m.layer.name, m.estimator): {k: e.bits for k, e in m.estimates.items()}
        for m in measurements
    }


def test_every_cell_once_and_prepared_once(runs):
    Probed.prepared.clear()
    cells = select_cells(runs)
    found = list(analyze(cells, [Probed()], Serial()))
    assert len(found) == len(numbers(found)) == 2 * 3 * 3
    assert sorted(map(str, Probed.prepared)) == sorted(["3", "3", *["fc1", "fc2", "out"] * 2])


def test_numbers_depend_on_neither_workers_nor_selection_nor_order(runs):
    estimators = [parse_estimator(text) for text in ("binning", "compressed", "dse")]
    serial = numbers(analyze(select_cells(runs), estimators, Serial()))
    backwards = numbers(analyze(select_cells(runs[::-1]), estimators[::-1], Serial()))
    assert backwards == serial
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert numbers(analyze(select_cells(runs), estimators, pool)) == serial

    # The noise that is fixed for a group depends on the runs in it, and on nothing else.
    def of_cells(found):
        of_group = ("ixt_fixed", "ixt_scale")
        return {k: {q: v for q, v in c.items() if q not in of_group} for k, c in found.items()}

    part = of_cells(numbers(analyze(select_cells(runs[:1], ["fc2"]), estimators, Serial())))
    assert part == {key: of_cells(serial)[key] for key in part}
    assert numbers(analyze(select_cells(runs), estimators, Serial(), seed=1)) != serial


def test_layer_with_nan_fails_alone_and_says_why(runs):
    found = list(analyze(select_cells(runs), [Probed()], Serial()))
    failed = [m for m in found if m.error]
    assert [(m.run, m.step, m.layer.name) for m in failed] == [("net-s1", 5, "fc2")]
    assert failed[0].error == "NaN or inf in 1 of 120 rows"
    for estimate in failed[0].estimates.values():
        assert estimate.bits is None
        assert set(estimate.flags) == {"failed", "nonfinite"}


@pytest.mark.parametrize(("value", "reason"), [(99, "expected no 99"), (98, "ZeroDivisionError")])
def test_failing_cell_does_not_stop_the_run(tmp_path, probe, value, reason):
    writer = FolderWriter(tmp_path / "r", probe, {"run": "r"})
    for step in (0, 1):
        with writer.step(step) as out:
            out.write(0, "fc", "ReLU", 0, np.full((120, 1), [[1.0, float(value)][step]]), "float64")
    writer.close()
    found = sorted(
        analyze(select_cells([Run(tmp_path / "r")]), [Probed()], Serial()), key=lambda m: m.step
    )
    assert found[0].error is None
    assert reason in found[1].error
    assert found[1].estimates["ixt"].flags == ("failed",)


def test_selection(runs):
    cells = select_cells(runs, ["fc*", "!fc2"], [0, -1])
    for layers, steps in cells.values():
        assert [layer.name for layer in layers] == ["fc1"]
        assert steps == [0, 20]
    with pytest.raises(NotFoundError, match=r"no layer matches 'conv\*'") as error:
        select_cells(runs, ["conv*"])
    assert "fc1 fc2 out" in error.value.hint
    with pytest.raises(NotFoundError, match="no step 3"):
        select_cells(runs, (), [3])


def test_damaged_step_is_found_before_the_work_begins(runs):
    path = runs[1].step_file(20)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RunFileError, match="step_000000000020.h5"):
        select_cells(runs)


@pytest.mark.parametrize(
    ("first", "second", "twice"),
    [
        ("binning:bins=15+30", "binning:bins=15", "binning:bins=15"),
        ("binning:bins=15+30", "binning", "binning"),
        ("binning:bins=15+30", "binning:bins=15+60", "binning:bins=15"),
        ("dse:t=1+2,n_clusters=5+10", "dse:t=2", "dse:t=2"),
    ],
)
def test_sweeps_that_meet_are_refused(runs, first, second, twice):
    estimators = [parse_estimator(first), parse_estimator(second)]
    with pytest.raises(InputError, match=f"got '{twice}' twice: in '{re.escape(first)}'"):
        list(analyze(select_cells(runs), estimators, Serial()))
    other = [parse_estimator("binning:bins=15+30"), parse_estimator("binning:bins=15,mode=fixed")]
    assert list(analyze(select_cells(runs), other, Serial()))


def test_same_estimator_twice_is_refused(runs):
    with pytest.raises(InputError, match="'probed' twice"):
        list(analyze(select_cells(runs), [Probed(), Probed()], Serial()))
