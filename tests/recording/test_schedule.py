import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from infoplane.errors import DataError, InputError
from infoplane.recording.recorder import Recorder
from infoplane.recording.schedule import as_schedule
from infoplane.runs.run import Run
from tests.conftest import small_net


def due(given, end):
    schedule = as_schedule(given)
    return [step for step in range(end) if schedule.due(step)]


def test_every_so_many_steps():
    assert due("every:4", 13) == [0, 4, 8, 12]


def test_steps_of_a_decade_are_spaced_evenly_in_their_logarithm():
    assert due("log:1", 20000) == [0, 1, 10, 100, 1000, 10000]
    assert due("log:4", 101) == [0, 1, 2, 3, 6, 10, 18, 32, 56, 100]
    expected = {0} | {round(10 ** (i / 10)) for i in range(41)}
    assert due("log:10", 10001) == sorted(expected)


def test_listed_steps():
    assert due([3, 1, 7], 9) == due(" 7,1, 3", 9) == [1, 3, 7]


@pytest.mark.parametrize(
    "given", ["every:1", "every:7", "log:1", "log:10", "log:1000000000", [0, 3, 40, 700]]
)
def test_steps_are_counted_as_they_are_due(given):
    schedule = as_schedule(given)
    for first in (0, 1, 3, 7, 50):
        for last in (0, 1, 6, 7, 50, 99, 100, 101, 1000):
            counted = sum(map(schedule.due, range(first, last + 1)))
            assert schedule.count(first, last) == counted, (first, last)
    without_end = schedule.count(3)
    assert without_end == (3 if isinstance(given, list) else 0)


@pytest.mark.parametrize(
    "bad", ["", "every:0", "log:", "every:-3", "daily", "1,,2", "log:1.5", 5, None]
)
def test_text_that_is_no_schedule(bad):
    with pytest.raises(InputError, match="expected a schedule such as"):
        as_schedule(bad)
    with pytest.raises(InputError, match="whole number"):
        as_schedule([1, -2])


def test_recorder_records_the_steps_of_its_schedule(tmp_path, probe):
    with Recorder(small_net(), probe, tmp_path / "r", schedule="every:3") as recorder:
        did = [recorder.step(step, metrics={"loss": step}) for step in (0, 1, 2, 3, 3, 4)]
        assert did == [True, False, False, True, False, False]
        assert recorder.step(4, last=True)
    assert recorder.step(6) is False  # closed: the loop may go on
    run = Run(tmp_path / "r")
    assert run.steps == (0, 3, 4)
    assert run.step_info(3).metrics == {"loss": 3.0}


def test_failure_of_a_step_ends_the_recording_and_not_the_training(tmp_path, probe, caplog):
    model = small_net()
    with Recorder(model, probe, tmp_path / "r", schedule="every:1") as recorder:
        assert recorder.step(0)
        model.fc1.weight.data = model.fc1.weight.data[:, :3]
        assert [recorder.step(step) for step in (1, 2)] == [False, False]
    assert len(caplog.records) == 1
    assert "recording ends at step 1, training goes on: the model failed" in caplog.text
    assert Run(tmp_path / "r").steps == (0,)
    with (
        Recorder(model, probe, tmp_path / "r2", on_error="raise") as recorder,
        pytest.raises(InputError, match="whole number"),
    ):
        recorder.step(0.5)
    with pytest.raises(InputError, match="expected 'warn' or 'raise', got 'ignore'"):
        Recorder(model, probe, tmp_path / "r3", on_error="ignore")


def test_training_too_long_for_the_disk_is_refused_before_its_first_step(
    tmp_path, probe, monkeypatch, caplog
):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100_000))
    model = small_net()
    values = model.fc1.weight.clone()
    with Recorder(model, probe, tmp_path / "r", schedule="every:10") as recorder:
        recorder.expect(1001)
        assert recorder.step(0) is False
    assert "training goes on: the run would take 102 steps x 120 samples" in caplog.text
    assert "more than the 100,000 bytes that the disk has free" in caplog.text
    assert not (tmp_path / "r").exists()
    assert model.fc1.weight.equal(values)
    listed = Recorder(model, probe, tmp_path / "r", schedule=range(99), on_error="raise")
    with listed as recorder, pytest.raises(DataError, match="would take 98 steps"):
        recorder.step(1)
    with Recorder(model, probe, tmp_path / "r", schedule=range(3)) as recorder:
        assert [recorder.step(step) for step in range(1, 4)] == [True, True, False]
    assert Run(tmp_path / "r").steps == (1, 2, 3)  # where the loop ended as well


def sgd(model):
    """One update of every parameter, as an optimizer makes it."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.99)


def by_data(model):
    for parameter in model.parameters():
        parameter.data = parameter.data * 0.99


def adamw(model):
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    adamw.of.setdefault(id(model), torch.optim.AdamW(model.parameters(), lr=0.01)).step()


adamw.of = {}


def looped(path, probe, n_steps, *, update=sgd, before=True, apart=1, schedule="log:1", **options):
    """Return run and model of a loop that calls ``step`` before or after its updates."""
    model = small_net()
    with Recorder(model, probe, path, schedule=schedule, **options) as recorder:
        for step in range(n_steps):
            if before and step % apart == 0:
                recorder.step(step)
            update(model)
            if not before and (step + 1) % apart == 0:
                recorder.step(step + 1)
    return Run(path), model


@pytest.mark.parametrize("update", [sgd, adamw, by_data])
@pytest.mark.parametrize(
    ("options", "end"),
    [
        ({}, 25),  # 24 was told of, and an update followed
        ({"before": False}, 25),  # 25 was told of
        ({"apart": 7}, 25),  # 21 was told of, and four updates followed
        ({"apart": 12, "before": False}, 25),
        ({"schedule": [0, 3]}, 25),
        ({"schedule": "every:24"}, 24),  # the last that was told of is recorded
    ],
)
def test_the_end_of_the_loop_is_recorded(tmp_path, probe, update, options, end, caplog):
    run, model = looped(tmp_path / "r", probe, 25, update=update, **options)
    if update is by_data and "apart" in options:  # nothing counts such updates
        assert "how many updates later cannot be told" in caplog.text
        return
    assert run.steps[-1] == end
    if end == 25:
        with torch.no_grad():
            expected = model.fc1(torch.from_numpy(probe.inputs)).numpy()
        np.testing.assert_array_equal(run.activations(25, "fc1"), expected)
    assert (update is by_data and end == 25 and options.get("before", True)) == bool(caplog.text)


def test_an_end_that_is_said_or_fails_or_is_not_wanted(tmp_path, probe, caplog):
    model = small_net()
    with Recorder(model, probe, tmp_path / "a", schedule="log:1") as recorder:
        recorder.step(0)
        recorder.step(2)
        recorder.snapshot(2)  # by hand: nothing is left to record
    assert Run(tmp_path / "a").steps == (0, 2)
    with pytest.raises(KeyError), Recorder(model, probe, tmp_path / "b") as recorder:
        recorder.step(0)
        recorder.step(11)
        raise KeyError
    assert Run(tmp_path / "b").steps == (0,)
    with Recorder(model, probe, tmp_path / "c") as recorder:
        recorder.step(0)
        recorder.step(11)
        recorder.close(last=False)
    assert Run(tmp_path / "c").steps == (0,)
    with Recorder(model, probe, tmp_path / "d") as recorder:
        recorder.step(0)
        recorder.step(11)
        model.fc1.weight.data = model.fc1.weight.data[:, :3]
    assert "recording ends at step" in caplog.text
    assert Run(tmp_path / "d").steps == (0,)


def test_by_epoch_every_whole_one_is_recorded_and_the_end(tmp_path, probe):
    def steps(path, told, schedule="epoch", n=4):
        model = small_net()
        with Recorder(model, probe, tmp_path / path, schedule=schedule) as recorder:
            for epoch in range(3):
                for batch in range(n):
                    recorder.step(epoch * n + batch, epoch=told(epoch, batch / n))
                    sgd(model)
        run = Run(tmp_path / path)
        return {step: run.step_info(step).epoch for step in run.steps}

    whole = {0: 0.0, 4: 1.0, 8: 2.0, 12: 3.0}
    assert steps("index", lambda epoch, part: epoch) == whole
    assert steps("fraction", lambda epoch, part: epoch + part) == whole
    assert steps("from1", lambda epoch, part: epoch + 1) == {0: 1.0, 4: 2.0, 8: 3.0, 12: 4.0}
    thirds = steps("thirds", lambda epoch, part: sum([1 / 3] * round(3 * (epoch + part))), n=3)
    assert [*thirds] == [0, 3, 6, 9]
    assert [*steps("second", lambda epoch, part: epoch, "epoch:2")] == [0, 8, 12]
    with (
        Recorder(small_net(), probe, tmp_path / "none", schedule="epoch") as recorder,
        pytest.raises(InputError, match="expected the epoch of every step") as error,
    ):
        recorder.step(0)
    assert "recorder.step(step, epoch=epoch)" in error.value.hint


def test_a_recording_that_begins_within_an_epoch_waits_for_its_end():
    schedule = as_schedule("epoch")
    assert [schedule.due(1, epoch) for epoch in (0, 0.5, 3.0, 3.25)] == [True, False, True, False]
    assert schedule.due(1, 4.0, before=3)
    assert not schedule.due(1, 3.75, before=3)
    assert schedule.count(0, 100) == 0  # not known before
