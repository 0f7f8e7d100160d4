"""The loss log as an estimator: what it reads, flags and refuses."""

import json
import math
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from infoplane import Recorder, Run, analyze, prequential_excess_bits
from infoplane.analysis.keys import CellKeys
from infoplane.data import SUBJECTS
from infoplane.errors import EstimationError, InputError, NotFoundError
from infoplane.estimators.base import Estimator
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.registry import parse_estimator
from infoplane.estimators.steps.prequential import Prequential
from infoplane.step_record import LossLog, StepRecord
from tests.conftest import infoplane_here as command
from tests.conftest import small_net

RNG = np.random.default_rng(0)
STEPS = np.arange(400)
LOSSES = 1.0 + 0.5 * ((STEPS + 1) / 400) ** -0.5 + 0.02 * RNG.standard_normal(400)
LOG = LossLog(STEPS, LOSSES, 64.0 * (STEPS + 1))
FIRST_PASS = StepRecord(399, epoch=0.5, log=LOG)


def estimates(record, **parameters):
    return Prequential(**parameters).estimate(None, record, np.random.default_rng(0))


def test_the_area_is_that_of_the_public_function():
    found = estimates(FIRST_PASS, tail=0.0)["prequential_excess_bits"]
    assert found.bits == pytest.approx(prequential_excess_bits(LOSSES, LOG.tokens), rel=1e-12)
    found = estimates(FIRST_PASS)["prequential_excess_bits"]
    final = found.diagnostics["final"] * math.log(2)
    expected = prequential_excess_bits(LOSSES, LOG.tokens, final=final)
    assert found.bits == pytest.approx(expected, rel=1e-12)
    assert found.flags == ()
    assert found.setting == "per token"
    assert found.low < found.bits < found.high


def test_the_fit_is_in_bits_with_its_interval():
    found = estimates(FIRST_PASS)
    assert found["loss_exponent"].low < 0.5 < found["loss_exponent"].high
    assert found["loss_floor"].low < 1 / math.log(2) < found["loss_floor"].high
    assert found["loss_sharpness"].bits > 0.5


def only(log, rows):
    return LossLog(log.steps[rows], log.losses[rows], log.tokens[rows])


@pytest.mark.parametrize(
    ("record", "flag"),
    [
        (replace(FIRST_PASS, log=only(LOG, slice(20, None))), "partial_log"),
        (replace(FIRST_PASS, log=only(LOG, slice(0, None, 10))), "coarse_log"),
        (replace(FIRST_PASS, epoch=None), "passes_unknown"),
        (replace(FIRST_PASS, epoch=1.0), "passes_unknown"),
        (replace(FIRST_PASS, log=LossLog(STEPS, LOSSES, np.full(400, np.nan))), "no_tokens"),
        (
            replace(FIRST_PASS, log=LossLog(STEPS, 1 + RNG.standard_normal(400), LOG.tokens)),
            "final_dominates",
        ),
        (replace(FIRST_PASS, log=LossLog(STEPS, np.sort(LOSSES), LOG.tokens)), "negative"),
    ],
)
def test_what_changes_the_area_is_flagged(record, flag):
    assert flag in estimates(record)["prequential_excess_bits"].flags


@pytest.mark.parametrize(
    ("first", "last", "flagged"),
    [
        (3, 200, True),  # as after a resume, or a filter of the log
        (1, 20, True),
        (50, 390, True),
        (120, 220, True),
        (3, 4, True),  # the fall is steep
        (200, 202, False),
        (395, 399, False),
        (0, 0, False),
    ],
)
def test_a_gap_is_flagged_by_its_share_of_the_area(first, last, flagged):
    falling = replace(LOG, losses=1.0 + 0.5 * ((STEPS + 1) / 400) ** -0.5)
    log = only(falling, (first > STEPS) | (last <= STEPS))
    found = estimates(replace(FIRST_PASS, log=log), tail=0.0)
    for name in ("prequential_excess_bits", "loss_sharpness"):
        assert ("coarse_log" in found[name].flags) == flagged
        whole = prequential_excess_bits(falling.losses, falling.tokens)
    off = abs(found["prequential_excess_bits"].bits / whole - 1)
    assert flagged or off < 0.01


def test_a_coarse_log_reads_more_and_a_late_one_less():
    whole = estimates(FIRST_PASS)["prequential_excess_bits"]
    coarse = estimates(replace(FIRST_PASS, log=only(LOG, slice(0, None, 10))))
    late = estimates(replace(FIRST_PASS, log=only(LOG, slice(20, None))))
    assert coarse["prequential_excess_bits"].bits > 1.03 * whole.bits
    assert late["prequential_excess_bits"].bits < 0.9 * whole.bits
    assert whole.diagnostics["at_half"] == pytest.approx(whole.bits, rel=0.05)


def test_later_passes_have_no_area_but_a_shape():
    found = estimates(replace(FIRST_PASS, epoch=1.01))
    assert found["prequential_excess_bits"].bits is None
    assert "epoch 1.01" in found["prequential_excess_bits"].diagnostics["reason"]
    assert found["loss_exponent"].bits is not None


BROKEN = [
    (LossLog(STEPS, np.where(STEPS == 7, np.nan, LOSSES), LOG.tokens), "NaN or inf at 1 of 400"),
    (LossLog(STEPS, LOSSES, np.full(400, 64.0)), "do not rise at step 1: expected all"),
    (only(LOG, slice(0, 300)), "the log ends at step 299"),
]


@pytest.mark.parametrize(("log", "message"), BROKEN)
def test_logs_that_mean_nothing_fail(log, message):
    with pytest.raises(EstimationError, match=message):
        estimates(replace(FIRST_PASS, log=log))


def test_too_few_losses_are_no_row():
    assert estimates(replace(FIRST_PASS, step=8, log=LOG.up_to(8))) == {}


def test_a_loss_that_rises_has_no_fit():
    rising = LossLog(STEPS, np.linspace(1, 2, 400), LOG.tokens)
    found = estimates(replace(FIRST_PASS, log=rising))
    assert {found[name].bits for name in ("loss_exponent", "loss_floor", "loss_sharpness")} == {
        None
    }


def test_the_share_is_checked():
    for wrong in (-0.1, 1.0, math.nan):
        with pytest.raises(InputError, match="expected tail from 0 to below 1"):
            Prequential(tail=wrong)


@pytest.fixture
def run(tmp_path, probe):
    with Recorder(small_net(), probe, tmp_path / "r", layers=["act1"], schedule="every:100") as r:
        for step in range(301):
            r.log(step, train_loss=LOSSES[step], tokens=LOG.tokens[step])
            r.step(step, epoch=step / 400)
    return Run(tmp_path / "r")


def test_a_value_is_of_the_log_up_to_its_step(run, tmp_path):
    results = analyze(run, "prequential")
    rows = {
        row["step"]: row for row in results["rows"] if row["quantity"] == "prequential_excess_bits"
    }
    assert [*rows] == [100, 200, 300]
    assert {row["layer"] for row in rows.values()} == {"run"}
    for step, row in rows.items():
        record = StepRecord(step, epoch=step / 400, log=LOG.up_to(step))
        assert row["value"] == estimates(record)["prequential_excess_bits"].bits
    told = results["recordings"][0]["losses"]
    assert (told["unit"], told["n"], len(told["at"])) == ("tokens", 301, 301)
    json.dumps(results["rows"], allow_nan=False)


def test_the_key_follows_what_is_read(run):
    def key(step):
        return CellKeys(Run(run.path), parse_estimator("prequential"), 0).cell(run.layers, step)

    before = key(100), key(200)
    assert before[0] != before[1]
    lines = (run.path / "log.jsonl").read_bytes().splitlines(keepends=True)
    (run.path / "log.jsonl").write_bytes(b"".join(lines[:-1]))  # step 300 alone is of the last
    assert (key(100), key(200)) == before
    (run.path / "log.jsonl").write_bytes(lines[0] + lines[1])
    assert key(100) == before[0]
    assert key(200) != before[1]


def test_a_run_is_no_layer_of_a_warning(tmp_path, probe):
    with Recorder(small_net(), probe, tmp_path / "r", layers=["act1"]) as r:
        for step in range(20):
            r.log(step, train_loss=1.0 + step / 20, tokens=8 * (step + 1))
        r.snapshot(19)
    done = command("analyze", str(tmp_path / "r"), "-e", "prequential", "-o", str(tmp_path / "j"))
    warning = next(line for line in (done.out + done.err).splitlines() if "IP204" in line)
    assert "layer" not in warning


def test_a_run_without_a_log_says_what_to_do(tmp_path, probe):
    with Recorder(small_net(), probe, tmp_path / "r") as recorder:
        recorder.snapshot(0)
    with pytest.raises(NotFoundError, match="none were logged; Recorder.log or --log"):
        analyze(tmp_path / "r", "prequential")


def test_layers_with_nan_do_not_matter(tmp_path, probe):
    net = small_net()
    with Recorder(net, probe, tmp_path / "r", layers=["act1"], schedule=[50]) as r:
        for step in range(51):
            r.log(step, train_loss=LOSSES[step])
            if step == 50:
                net.fc1.weight.data.fill_(math.nan)
            r.step(step)
    rows = analyze(tmp_path / "r", "prequential")["rows"]
    assert all(row["value"] is not None for row in rows)


def test_estimators_that_read_the_step_declare_it():
    for subject in SUBJECTS:
        members = {"subject": subject, "reads": "step", "quantities": ("loss_floor",)}
        if subject in ("run", "layer"):
            assert type("Sound", (Estimator,), members).reads == "step"
        else:
            with pytest.raises(InputError, match="expected reads and subject"):
                type("Unsound", (Estimator,), members)
    with pytest.raises(InputError, match="expected reads"):
        type("Unsound", (Estimator,), {"reads": "files"})


class OfMetrics(Estimator):
    name: ClassVar[str] = "of-metrics"
    title: ClassVar[str] = "of metrics"
    subject = "layer"
    reads = "step"
    quantities = ("loss_floor",)

    def prepare_layer(self, shared, run, layer, rng):
        return layer.name

    def estimate(self, prepared, activations, rng):
        return {"loss_floor": Estimate(activations.metrics[prepared])}


def test_a_layer_is_told_by_what_is_prepared(tmp_path, probe):
    with Recorder(small_net(), probe, tmp_path / "r", layers=["act*"]) as recorder:
        recorder.snapshot(3, metrics={"act1": 1.0, "act2": 2.0})
    rows = analyze(tmp_path / "r", OfMetrics(), jobs=1)["rows"]
    assert {row["layer"]: row["value"] for row in rows} == {"act1": 1.0, "act2": 2.0}
