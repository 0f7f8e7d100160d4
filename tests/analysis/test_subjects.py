"""Measures of pairs of layers, of weights and of runs, from recorded arrays to exported rows."""

import csv
import io
import itertools
import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import infoplane
from infoplane.analysis.cache import CellCache
from infoplane.analysis.engine import analyze
from infoplane.analysis.executors import Processes
from infoplane.analysis.plan import CostModel, plan
from infoplane.analysis.selection import count_cells, select_cells
from infoplane.analysis.subsamples import Sampling
from infoplane.cli.table import summary
from infoplane.data import ProbeSet, Subject
from infoplane.errors import InputError, NotFoundError
from infoplane.estimators.base import Estimator
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.quantities import Quantity
from infoplane.estimators.registry import parse_estimator
from infoplane.results.document import Document
from infoplane.results.export import csv_text
from infoplane.results.file import write_results
from infoplane.results.recordings import describe_recordings
from infoplane.runs.run import Run
from infoplane.runs.writer import FolderWriter
from infoplane.validation.trials import names_of_trials
from tests.runs.weights import with_weights
from tests.workers import Serial

N, STEPS = 80, (0, 1, 5)


@dataclass(frozen=True)
class LinearCka(Estimator):
    """Linear CKA of two layers (Kornblith et al., 2019)."""

    name: ClassVar[str] = "cka"
    title: ClassVar[str] = "linear CKA"
    quantities = (Quantity(name="cka", symbol="CKA", unit="share"),)
    subject: ClassVar[str] = "pair"

    def estimate(self, prepared, activations, rng):
        x, y = (np.asarray(one, dtype=float) - np.mean(one, axis=0) for one in activations)
        norms = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
        return {"cka": Estimate(float(np.linalg.norm(y.T @ x) ** 2 / norms))}


@dataclass(frozen=True)
class SpectralEntropy(Estimator):
    """Entropy of the singular values of a weight, in bits."""

    name: ClassVar[str] = "spectral"
    title: ClassVar[str] = "spectral entropy"
    quantities = (Quantity(name="svd_entropy", symbol="H(W)", unit="bits"),)
    subject: ClassVar[str] = "weights"

    def estimate(self, prepared, activations, rng):
        values = np.linalg.svd(np.atleast_2d(activations), compute_uv=False)
        p = values[values > 0] / values.sum()
        return {"svd_entropy": Estimate(float(-(p * np.log2(p)).sum()))}


@dataclass(frozen=True)
class Units(Estimator):
    """How many units all chosen layers have together."""

    name: ClassVar[str] = "units"
    title: ClassVar[str] = "units"
    quantities = (Quantity(name="n_units", symbol="units", unit="dimensions"),)
    subject: ClassVar[str] = "run"

    def estimate(self, prepared, activations, rng):
        assert list(activations) == ["fc1", "turned", "own layer"]
        return {"n_units": Estimate(float(sum(layer.shape[1] for layer in activations.values())))}


def weights_at(step):
    return {"fc1.weight": np.eye(4, dtype=np.float32), "fc1.bias": np.ones(4)}


@pytest.fixture
def run(tmp_path):
    """The second layer is the first one turned and scaled; the third has NaN at step 5."""
    rng = np.random.default_rng(0)
    probe = ProbeSet(rng.normal(size=(N, 3)), np.arange(N) % 2)
    writer = FolderWriter(tmp_path / "plain", probe, {"run": "net"})
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    for step in STEPS:
        first, third = rng.normal(size=(N, 4)), rng.normal(size=(N, 2))
        if step == 5:
            third[3] = np.nan
        layers = {"fc1": first, "turned": 3 * first @ turn, "own layer": third}
        with writer.step(step) as out:
            for index, (name, values) in enumerate(layers.items()):
                out.write(index, name, "Tanh", 0, values, "float64")
    writer.close()
    return with_weights(Run(tmp_path / "plain"), tmp_path / "net", weights_at)


PAIRS = {"pair fc1 ~ turned", 'pair fc1 ~ "own layer"', 'pair turned ~ "own layer"'}


def values(measurements):
    return {
        (m.label, m.step, m.estimator): next(iter(m.estimates.values())).bits for m in measurements
    }


def test_pairs_of_layers_at_each_step(run):
    found = values(analyze(select_cells([run]), [LinearCka()], Serial()))
    assert found.keys() == set(itertools.product(PAIRS, STEPS, ["cka"]))
    for (label, step, _), value in found.items():
        if label == "pair fc1 ~ turned":
            assert value == pytest.approx(1.0, abs=1e-12)
        elif step == 5:
            assert value is None  # NaN in one of the two
        else:
            assert 0 <= value < 0.5
    chosen = select_cells([run], ["fc1", "turned"], [1])
    assert values(analyze(chosen, [LinearCka()], Serial())).keys() == {
        ("pair fc1 ~ turned", 1, "cka")
    }


def test_weights_and_runs_at_each_step(run):
    found = values(analyze(select_cells([run]), [SpectralEntropy(), Units()], Serial()))
    assert found == {
        **{("weights fc1.weight", step, "spectral"): 2.0 for step in STEPS},
        **{("weights fc1.bias", step, "spectral"): 0.0 for step in STEPS},
        **{("run", step, "units"): None if step == 5 else 10.0 for step in STEPS},
    }


def test_same_numbers_from_workers_and_from_the_cache(run, tmp_path):
    estimators = [LinearCka(), SpectralEntropy(), Units(), parse_estimator("binning")]
    cells = select_cells([run])
    serial = values(analyze(cells, estimators, Serial(), seed=2))
    assert len(serial) == count_cells(cells, estimators) == (3 + 2 + 1 + 3) * len(STEPS)
    with CellCache(tmp_path / "cache") as cache, Processes(2) as pool:
        for again in (False, True):
            work = plan(cells, estimators, seed=2, model=CostModel(), cache=cache)
            assert [one.cells for one in work] == [9, 6, 3, 9]
            assert all(one.cached == one.cells * again for one in work)
            found = list(
                analyze(cells, estimators, pool.executor, seed=2, cache=cache, renew=pool.renew)
            )
            assert values(found) == serial
            assert all(one.cached is again for one in found)


def test_rows_reach_every_reader(run, tmp_path):
    estimators = [LinearCka(), SpectralEntropy(), parse_estimator("binning")]
    cells = select_cells([run], steps=[0, 1])
    document = Document(describe_recordings(cells), estimators, {}, 1, 0)
    for measured in analyze(cells, estimators, Serial()):
        document.add(measured)
    write_results(tmp_path / "results.json", document.results("complete"))
    loaded = infoplane.load(tmp_path / "results.json")
    about = {row["layer"]: row.get("subject") for row in loaded.to_rows()}
    others = {*PAIRS, "weights fc1.weight", "weights fc1.bias"}
    layers = {"fc1", "turned", "own layer"}
    assert about == {**{name: name for name in others}, **dict.fromkeys(layers)}
    for text in others:
        assert str(Subject.parse(text)) == text
    table = list(csv.DictReader(io.StringIO(csv_text(loaded))))
    assert {row["layer"] for row in table} == others | layers
    cka = [row for row in table if row["layer"] == "pair fc1 ~ turned"]
    assert [float(row["value"]) for row in cka] == pytest.approx([1.0, 1.0])
    assert {row["unit"] for row in cka} == {"share"}
    shown = summary(loaded, wide=True)
    for text in [*others, *layers, "CKA", "H(W)"]:
        assert text in shown
    again = json.loads((tmp_path / "results.json").read_text())
    assert [row["layer"] for row in again["rows"]] == [row["layer"] for row in loaded["rows"]]


def test_no_pair_is_deeper_than_another(run):
    """A rise from pair to pair is none of the data-processing inequality."""
    cells = select_cells([run], steps=[0])
    document = Document(describe_recordings(cells), [LinearCka()], {}, 1, 0)
    for measured in analyze(cells, [LinearCka()], Serial()):
        document.add(measured)
    assert {tuple(row["flags"]) for row in document.results("complete")["rows"]} == {()}


def test_what_there_is_not_is_said_in_one_line(run):
    plain = select_cells([Run(run.path.with_name("plain"))])
    with pytest.raises(NotFoundError, match="spectral measures weights: no weights are recorded"):
        next(analyze(plain, [SpectralEntropy()], Serial()))
    with pytest.raises(NotFoundError, match="cka measures pair: expected two layers or more"):
        next(analyze(select_cells([run], ["fc1"]), [LinearCka()], Serial()))

    with pytest.raises(InputError, match="Lost: expected a subject of layer, .*, got 'layers'"):
        type("Lost", (LinearCka,), {"subject": "layers"})


def test_weights_have_no_samples_to_take_parts_of(run):
    sampling = Sampling(select_cells([run]), [SpectralEntropy(), LinearCka()])
    assert [one.name for one in sampling.estimators] == ["cka"]


def test_known_answers_are_about_layers():
    assert names_of_trials(LinearCka(), full=True) == []


names = st.text(min_size=1, max_size=8)


@given(names, names)
def test_text_of_a_subject_reads_back(one, other):
    for subject in (
        Subject("pair", (one, other)), Subject("layer", (one,)),
        Subject("weights", (other,)), Subject("run"),
    ):  # fmt: skip
        assert Subject.parse(str(subject)) == subject


@pytest.mark.parametrize(
    "text",
    ["", "layer", "pair fc1", "run fc1", "pair a ~ b ~ c", "cell a", 'layer "a', "layer a b"],
)
def test_text_that_is_no_subject(text):
    with pytest.raises(InputError, match="expected a subject such as"):
        Subject.parse(text)
