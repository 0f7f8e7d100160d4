"""The loss log: taken at every step, written with the steps, read from files, never in the way."""

import json
import os
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from infoplane import Recorder, Run, record
from infoplane.errors import DataError, InfoplaneError, InputError, RunFileError
from infoplane.recording.log_files import read_loss_log
from infoplane.runs import loss_log
from infoplane.runs.pack import pack
from infoplane.runs.verify import rescue, verify
from infoplane.step_record import LossLog
from tests.conftest import infoplane_here as command
from tests.conftest import small_net


def train(path, probe, steps, *, schedule="every:5", tokens=True, **options):
    torch.manual_seed(0)
    with Recorder(small_net(), probe, path, schedule=schedule, layers=["act1"], **options) as r:
        for step in steps:
            r.log(step, train_loss=1 / (step + 1), tokens=8 * (step + 1) if tokens else None)
            r.step(step)
    return Run(path)


def test_every_loss_is_in_the_run(tmp_path, probe):
    run = train(tmp_path / "r", probe, range(13))
    log = run.losses
    assert log.steps.tolist() == list(range(13))
    np.testing.assert_array_equal(log.losses, 1 / np.arange(1, 14))
    np.testing.assert_array_equal(log.tokens, 8 * np.arange(1, 14))
    assert log.has_tokens
    assert len((tmp_path / "r" / "log.jsonl").read_bytes().splitlines()) == 4  # 0, 5, 10, close
    assert run.record_of(5).log.steps.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_run_without_losses_is_as_before(tmp_path, probe):
    with Recorder(small_net(), probe, tmp_path / "r") as recorder:
        recorder.snapshot(0)
    run = Run(tmp_path / "r")
    assert len(run.losses) == 0
    assert not (tmp_path / "r" / "log.jsonl").exists()
    assert "curvature" not in run.datasets(0)["meta"].tobytes().decode()


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (0.5, 0.5),
        (np.float32(0.5), 0.5),
        (torch.tensor(0.5), 0.5),
        (torch.tensor([0.5], dtype=torch.bfloat16), 0.5),
        (torch.tensor(0.5, requires_grad=True) * 1, 0.5),
        (2, 2.0),
        (float("nan"), float("nan")),
        (torch.tensor(float("inf")), float("inf")),
        (-np.inf, -np.inf),
    ],
)
def test_losses_of_any_kind_are_kept_as_they_are(value, kept, tmp_path, probe):
    with Recorder(small_net(), probe, tmp_path / "r") as recorder:
        recorder.log(0, train_loss=value)
        recorder.snapshot(0)
    np.testing.assert_array_equal(Run(tmp_path / "r").losses.losses, [kept])


def test_a_loss_that_changes_later_was_read_before(tmp_path, probe):
    running = torch.zeros(())
    with Recorder(small_net(), probe, tmp_path / "r", schedule=[2]) as recorder:
        for step in range(3):
            running += 1
            recorder.log(step, train_loss=running)
            recorder.step(step)
    assert Run(tmp_path / "r").losses.losses.tolist() == [1, 2, 3]


BAD = [
    ({"step": 1, "train_loss": 1.0}, "expected a step above 1"),
    ({"step": 0, "train_loss": 1.0}, "expected a step above 1"),
    ({"step": 2.5, "train_loss": 1.0}, "expected a step that is a whole number"),
    ({"step": 2, "train_loss": "low"}, "train_loss: expected a number"),
    ({"step": 2, "train_loss": torch.ones(3)}, "train_loss: expected a number"),
    ({"step": 2, "train_loss": 1.0, "tokens": 5}, "expected the tokens of all steps so far"),
    ({"step": 2, "train_loss": 1.0, "tokens": float("nan")}, "expected the tokens of all steps"),
]


@pytest.mark.parametrize(("wrong", "message"), BAD)
def test_what_cannot_be_logged_ends_the_log_or_raises(wrong, message, tmp_path, probe, caplog):
    for on_error in ("warn", "raise"):
        path = tmp_path / on_error
        with Recorder(small_net(), probe, path, on_error=on_error, schedule="every:2") as r:
            r.log(0, train_loss=3.0, tokens=8)
            r.step(0)
            r.log(1, train_loss=2.0, tokens=16)
            if on_error == "raise":
                with pytest.raises(InputError, match=message):
                    r.log(wrong["step"], **{k: v for k, v in wrong.items() if k != "step"})
            else:
                r.log(wrong["step"], **{k: v for k, v in wrong.items() if k != "step"})
                assert message in caplog.text
                assert "the recording goes on" in caplog.text
                r.log(7, train_loss=1.0)  # nothing more is taken
            r.step(2)
        assert Run(path).steps == (0, 2)
        assert Run(path).losses.steps.tolist() == [0, 1]


def test_after_close_nothing_is_taken(tmp_path, probe):
    run = train(tmp_path / "r", probe, range(3))
    recorder = Recorder(small_net(), probe, tmp_path / "r", layers=["act1"], resume=True)
    recorder.close()
    recorder.log(9, train_loss=1.0)
    recorder.close()
    assert Run(run.path).losses.steps.tolist() == [0, 1, 2]


def test_a_training_that_goes_on_replaces_what_follows(tmp_path, probe):
    train(tmp_path / "r", probe, range(13), tokens=False)
    run = train(tmp_path / "r", probe, range(6, 16), resume=True, tokens=False)
    assert run.losses.steps.tolist() == list(range(16))
    assert not verify(run)
    again = train(tmp_path / "r", probe, range(3), overwrite=True)
    assert again.losses.steps.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("again", "told"),
    [(range(5), True), (range(1, 6), True), (range(11, 40), False), (range(30, 35), False)],
)
def test_a_training_that_counts_anew_is_told(again, told, tmp_path, probe, caplog):
    train(tmp_path / "r", probe, range(30))
    train(tmp_path / "r", probe, again, resume=True)
    assert ("begins anew at step" in caplog.text) == told
    assert ("replaces the 30 losses of steps 0..29" in caplog.text) == told


@pytest.mark.parametrize("steps", [0, 1, 20])
def test_losses_without_a_snapshot_are_told(steps, tmp_path, probe, caplog):
    with Recorder(small_net(), probe, tmp_path / "r") as recorder:
        for step in range(steps):
            recorder.log(step, train_loss=1.0)
    assert (f"{steps} losses of steps 0..{steps - 1} are not kept" in caplog.text) == (steps > 0)
    assert not (tmp_path / "r").exists()


def test_a_torn_last_line_is_dropped_and_cut(tmp_path, probe):
    train(tmp_path / "r", probe, range(11))
    file = tmp_path / "r" / "log.jsonl"
    whole = file.read_bytes()
    for cut in range(1, 60):
        file.write_bytes(whole[:-cut])
        assert Run(tmp_path / "r").losses.steps.tolist() == list(range(6))
    assert not verify(Run(tmp_path / "r"))
    run = train(tmp_path / "r", probe, range(6, 13), resume=True)
    assert run.losses.steps.tolist() == list(range(13))


DAMAGED = {
    "a digit": lambda text: text.replace(b"0.5", b"0.6", 1),
    "no checksum": lambda text: text.replace(b'"crc32"', b'"crc33"', 1),
    "no JSON": lambda text: b"{" + text,
    "a list": lambda text: b"[1]\n" + text,
    "an empty line": lambda text: b"\n" + text,
    "no UTF-8": lambda text: b"\xff\n" + text,
    "nested": lambda text: b"[" * 100_000 + b"\n" + text,
}


@pytest.mark.parametrize("how", DAMAGED)
def test_damage_is_told_and_the_steps_are_saved(how, tmp_path, probe):
    run = train(tmp_path / "r", probe, range(11))
    file = run.path / "log.jsonl"
    file.write_bytes(DAMAGED[how](file.read_bytes()))
    with pytest.raises(RunFileError, match=r"log.jsonl: line"):
        _ = Run(run.path).losses
    found = verify(Run(run.path))
    assert [(one.step, one.layer) for one in found] == [(None, "loss log")]
    assert rescue(Run(run.path), tmp_path / "out") == (0, 5, 10)
    assert command("inspect", str(run.path)).out.count("loss log cannot be read") == 1
    assert command("inspect", "--verify", str(run.path)).code == 3
    with pytest.raises(RunFileError):
        pack(Run(run.path), tmp_path / "p.h5")


@pytest.mark.parametrize(
    "columns",
    [
        {"step": [0, 0], "train_loss": [1, 1], "tokens": [None, None]},
        {"step": [1, 0], "train_loss": [1, 1], "tokens": [None, None]},
        {"step": [0], "train_loss": [1, 1], "tokens": [None, None]},
        {"step": [], "train_loss": [], "tokens": []},
        {"step": [-1], "train_loss": [1], "tokens": [None]},
        {"step": [2**63], "train_loss": [1], "tokens": [None]},
        {"step": [0], "train_loss": ["low"], "tokens": [None]},
        {"step": [0], "train_loss": [None], "tokens": [None]},
        {"step": 0, "train_loss": 1, "tokens": None},
        {"step": [0], "train_loss": [1]},
    ],
)
def test_blocks_that_make_no_sense_are_damage(columns):
    text = json.dumps(columns).encode()[:-1]
    line = text + b', "crc32": %d}\n' % loss_log.crc32(text)
    with pytest.raises(RunFileError, match="line 1"):
        loss_log.read_log(line, "log.jsonl")


def test_packed_and_rescued_runs_keep_the_log(tmp_path, probe):
    run = train(tmp_path / "r", probe, range(13))
    pack(run, tmp_path / "p.h5")
    packed = Run(tmp_path / "p.h5")
    assert packed.losses.digest == run.losses.digest
    assert packed.content_hash() == run.content_hash()
    assert not verify(packed)
    rescue(packed, tmp_path / "saved")
    assert Run(tmp_path / "saved").losses.digest == run.losses.digest
    with Recorder(small_net(), probe, tmp_path / "none", name="r") as recorder:
        recorder.snapshot(0)
    assert Run(tmp_path / "none").content_hash() != run.content_hash()


def test_the_first_of_several_processes_logs(tmp_path, probe):
    for index in (1, 0):
        train(tmp_path / "r", probe, range(6), shard=(index, 2))
    run = Run(tmp_path / "r")
    assert run.losses.steps.tolist() == list(range(6))
    assert [file.parent.name for file in run.path.rglob("log.jsonl")] == ["shard-0001-of-0002"]
    pack(run, tmp_path / "p.h5")
    assert Run(tmp_path / "p.h5").losses.digest == run.losses.digest
    (tmp_path / "r" / "shard-0001-of-0002" / "log.jsonl").write_bytes(b"{}\n")
    assert [one.layer for one in verify(Run(tmp_path / "r"))] == ["loss log"]


def test_a_full_disk_costs_neither_steps_nor_the_training(tmp_path, probe, monkeypatch, caplog):
    written = loss_log.append_file
    train(tmp_path / "r", probe, range(6))

    def full(path, data):
        raise RunFileError(f"{path}: cannot be written (No space left on device)")

    monkeypatch.setattr(loss_log, "append_file", full)
    run = train(tmp_path / "r", probe, range(6, 13), resume=True)
    assert "recording ends at step 10, training goes on" in caplog.text
    assert run.steps == (0, 5)  # a step that is seen has its log
    assert run.losses.steps.tolist() == list(range(6))
    monkeypatch.setattr(loss_log, "append_file", written)
    assert train(tmp_path / "r", probe, range(6, 13), resume=True).steps == (0, 5, 10, 12)


def test_logging_is_cheap(tmp_path, probe):
    """A microsecond or few a step; 40 us is what a slow machine would take for ten."""
    with Recorder(small_net(), probe, tmp_path / "r", schedule=[0]) as recorder:
        recorder.step(0)
        loss = torch.tensor(1.0)
        start = time.process_time()
        for step in range(1, 5001):
            recorder.log(step, train_loss=loss, tokens=step)
        assert (time.process_time() - start) / 5000 < 40e-6


def test_losses_elsewhere_are_read_together(tmp_path, monkeypatch):
    """As on a GPU: nothing is read before the log is written, and a copy is kept."""
    from infoplane.recording import losses as module

    monkeypatch.setattr(module, "_elsewhere", lambda loss: True)
    monkeypatch.setattr(module, "_MOST_WAITING", 4)
    kept, loss = module.Losses(), torch.zeros((), requires_grad=True)
    for step in range(6):
        loss = loss + 1
        kept.add(step, loss.double() if step == 5 else loss)
        with torch.no_grad():
            loss.mul_(1.0)
    assert kept.taken().losses.tolist() == [1, 2, 3, 4, 5, 6]
    assert len(kept.taken()) == 0


# files


def test_files_of_every_kind_say_the_same(tmp_path):
    steps = range(12)
    losses = (np.float32(1) / np.arange(1, 13, dtype=np.float32)).astype(float)
    expected = LossLog(np.arange(12), losses, 32.0 * np.arange(1, 13))
    rows = [(s, float(expected.losses[s]), float(expected.tokens[s])) for s in steps]
    (tmp_path / "a.csv").write_text(
        "\ufeffepoch,step,val_loss,train_loss,tokens\n"
        + "".join(f"0,{s},,{loss!r},{t}\n0,{s},1.0,,\n" for s, loss, t in rows)
    )
    (tmp_path / "a.jsonl").write_text(
        "".join(
            json.dumps({"loss": loss, "global_step": s, "num_input_tokens_seen": t})
            + "\n\n"
            + json.dumps({"eval_loss": 3, "global_step": s})
            + "\n"
            for s, loss, t in rows
        )
    )
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    with tensorboard.SummaryWriter(tmp_path / "tb") as writer:
        for s, loss, t in rows:
            writer.add_scalar("Loss/val", 3.0, s)
            writer.add_scalar("Loss/train", loss, s)
            writer.add_scalar("tokens", t, s)
            writer.add_histogram("weights", np.arange(5.0), s)
    event_file = str(next((tmp_path / "tb").iterdir()))
    for file in (str(tmp_path / "a.csv"), str(tmp_path / "a.jsonl"), event_file):
        assert read_loss_log(file).digest == expected.digest, file
    other = read_loss_log(f"{event_file}:Loss/val,")
    assert set(other.losses) == {3.0}
    assert not other.has_tokens
    named = read_loss_log(f"{tmp_path / 'a.csv'}:val_loss,,step")
    assert set(named.losses) == {1.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a column train_loss"),
        ("loss\n1\n", "line 2: expected a column of steps"),
        ("step,loss\n1,low\n", "line 2: expected a number as loss, got 'low'"),
        ("step,loss\n1,1\n1,1\n", "line 3: expected a step above 1, got 1: the log restarts"),
        ("step,loss\n0,1\n1,1\n0,1\n", "line 4: expected a step above 1, got 0"),
        ("step,loss,tokens\n1,1,9\n2,1,8\n", "line 3: expected more than 9 tokens, got 8"),
        ("step,loss,tokens\n1,1,9\n2,1,9\n", "line 3: expected more than 9 tokens, got 9"),
        ("step;loss\n1;2,5\n", "separated by commas, found ';' in line 1"),
        ("step\tloss\n1\t2\n", "separated by commas, found"),
        (
            '{"step": 1, "loss": 3}\n{"step": 2, "loss": 2, "train_loss": 2}\n'
            '{"step": 3, "train_loss": 1}\n',
            r"several names: loss \(2\), train_loss \(2\)",
        ),
        (
            '{"step": 1, "loss": 1}\n{"step": 1, "tokens": 1}\n{"step": 1, "tokens": 2}\n',
            "line 3: expected 1 tokens at step 1, as before, got 2",
        ),
        ("step,loss\n9007199254740993,1\n9007199254740992,1\n", "above 9007199254740993"),
        ("step,loss\n1\n", "line 2: expected 2 values, got 1"),
        (
            "step,loss\n1.5,1\n",
            "line 2: expected a step that is a whole number of at least 0, got 1.5",
        ),
        (
            "step,loss\n-1,1\n",
            "line 2: expected a step that is a whole number of at least 0, got -1$",
        ),
        (
            "step,loss\nnan,1\n",
            "line 2: expected a step that is a whole number of at least 0, got nan",
        ),
        (
            "step,loss\n1e400,1\n",
            "line 2: expected a step that is a whole number of at least 0, got inf",
        ),
        ("step,loss,loss\n1,1,1\n", "columns of different names"),
        ("step,accuracy\n1,1\n", "expected a column train_loss"),
        ('{"step": 1, "loss": 1}\n[2]\n', "line 2: expected a JSON object, got list"),
        ('{"step": 1, "loss": 1}\n{"step"\n', "line 2: not readable as JSON"),
        ('{"step": 1, "loss": true}\n', "line 1: expected a number as loss, got True"),
        ('{"step": 1, "loss": [1]}\n', "line 1: expected a number as loss"),
        ("step,loss\n1,\0\n", "."),
        ("step,loss\n1," + "9" * 200_000 + "\n", "."),
    ],
)
def test_files_that_are_no_log_are_refused_in_a_line(text, message, tmp_path):
    file = tmp_path / "log.csv"
    file.write_text(text)
    with pytest.raises(InfoplaneError, match=message) as raised:
        read_loss_log(str(file))
    assert "\n" not in str(raised.value)


NAMES = {
    "loss, last train_loss": (["loss", "loss", "loss", "train_loss"], [0, 1, 2]),  # Hugging Face
    "first loss, then both": (["loss", "loss+train_loss", "loss+train_loss"], [0, 1, 2]),
    "all both": (["loss+train_loss"] * 3, [0, 1, 2]),
    "train_loss seldom": (["loss", "loss+train_loss", "loss", "loss+train_loss"], [0, 1, 2, 3]),
    "only loss": (["loss", "loss"], [0, 1]),
}


@pytest.mark.parametrize("case", NAMES)
def test_a_name_is_chosen_that_has_the_losses_of_all_steps(case, tmp_path):
    rows, steps = NAMES[case]
    lines = [dict.fromkeys(row.split("+"), 1.0) | {"step": at} for at, row in enumerate(rows)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_loss_log(str(tmp_path / "a.jsonl")).steps.tolist() == steps


def test_steps_are_read_without_rounding(tmp_path):
    (tmp_path / "a.csv").write_text("step,loss\n9007199254740992,1\n9007199254740993,1\n")
    assert read_loss_log(str(tmp_path / "a.csv")).steps.tolist() == [2**53, 2**53 + 1]


@pytest.mark.parametrize("order", ["each", "after", "before"])
@pytest.mark.parametrize("asked", ["", ":loss,tokens"])
@pytest.mark.parametrize("kind", ["events", "jsonl"])
def test_tokens_of_other_rows_are_those_of_their_steps(order, asked, kind, tmp_path):
    one = [(step, {"loss": 1 / (step + 1)}) for step in range(12)]
    other = [(step, {"tokens": 64.0 * (step + 1)}) for step in range(12)]
    pairs = [row for both in zip(one, other, strict=True) for row in both]
    rows = {"each": pairs, "after": one + other, "before": other + one}[order]
    if kind == "events":
        tensorboard = pytest.importorskip("torch.utils.tensorboard")
        with tensorboard.SummaryWriter(tmp_path / "tb") as writer:
            for step, row in rows:
                for tag, value in row.items():
                    writer.add_scalar(tag, value, step)
        file = next((tmp_path / "tb").iterdir())
    else:
        file = tmp_path / "a.jsonl"
        file.write_text("".join(json.dumps({"step": s, **row}) + "\n" for s, row in rows))
    found = read_loss_log(f"{file}{asked}")
    assert found.has_tokens
    np.testing.assert_array_equal(found.tokens, 64.0 * np.arange(1, 13))


@pytest.mark.parametrize("steps", [[0, 1, 1, 2], [0, 1, 2, 2], [None] * 4, [0, 1, 0, 1]])
def test_events_of_several_losses_at_a_step_are_refused(steps, tmp_path):
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    with tensorboard.SummaryWriter(tmp_path) as writer:
        for at, step in enumerate(steps):
            writer.add_scalar("loss", 1.0 + at, step)
    with pytest.raises(DataError, match="expected a step above") as raised:
        read_loss_log(str(next(tmp_path.iterdir())))
    again = steps != [0, 1, 0, 1]
    assert ("add_scalar(tag, loss, step)" in raised.value.hint) == again


def test_rows_without_tokens_are_told(tmp_path, caplog):
    lines = "".join(f"{s},1,{s if s % 2 else ''}\n" for s in range(10))
    (tmp_path / "a.csv").write_text("step,loss,tokens\n" + lines)
    assert not read_loss_log(str(tmp_path / "a.csv")).has_tokens
    assert "5 of 10 losses have no tokens, at step 0 first" in caplog.text
    caplog.clear()
    read_loss_log(f"{tmp_path / 'a.csv'}:loss,")
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("text", "losses", "told"),
    [
        ("step,loss\n1,1.5\n2,1.67\n", [1.5, 1.67], False),
        ("step,loss\r\n1,1.5\r\n2,1.67\r\n", [1.5, 1.67], False),
        ("step,loss\r1,1.5\r2,1.67\r", [1.5, 1.67], False),
        ("step,loss\n1,1.5\n2,1", [1.5], True),
        ("step,loss\n1,1.5\n2", [1.5], True),
        ("step,loss\r\n1,1.5\r\n2,1.", [1.5], True),
        ('{"step": 1, "loss": 1.5}\n{"step": 2, "loss": 1.67}', [1.5, 1.67], False),
        ('{"step": 1, "loss": 1.5}\n{"step": 2, "lo', [1.5], True),
    ],
)
def test_a_last_line_that_may_be_cut_short_is_left_out(text, losses, told, tmp_path, caplog):
    (tmp_path / "log").write_bytes(text.encode())
    assert read_loss_log(str(tmp_path / "log")).losses.tolist() == losses
    assert ("the last line does not end and is left out" in caplog.text) == told


def test_a_log_that_is_not_there_says_what_to_name(tmp_path):
    with pytest.raises(RunFileError, match="no such file") as raised:
        read_loss_log(str(tmp_path / "none.csv"))
    assert "FILE:LOSS,TOKENS,STEP" in raised.value.hint
    with pytest.raises(RunFileError, match="found a folder") as raised:
        read_loss_log(str(tmp_path))
    assert "events.out.tfevents" in raised.value.hint


def test_bytes_of_events_that_are_changed_or_cut_never_mislead(tmp_path):
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    with tensorboard.SummaryWriter(tmp_path) as writer:
        for step in range(4):
            writer.add_scalar("loss", 0.5 + step, step)
    data = next(tmp_path.iterdir()).read_bytes()
    file = tmp_path / "changed"
    for at in range(0, len(data), 3):
        file.write_bytes(data[:at] + bytes([data[at] ^ 8]) + data[at + 1 :])
        with pytest.raises((DataError, RunFileError)):
            read_loss_log(str(file))
    for length in range(len(data)):
        file.write_bytes(data[:length])
        try:
            found = read_loss_log(str(file)).losses.tolist()
        except (DataError, RunFileError):
            continue
        assert found == [0.5, 1.5, 2.5, 3.5][: len(found)]
    file.write_bytes(struct.pack("<Q", 1 << 60) + bytes(4))
    with pytest.raises((DataError, RunFileError)):
        read_loss_log(str(file))


def test_places_that_are_no_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for wrong in ("none.csv", ".", "pipe", "none.csv:loss"):
        with pytest.raises(InfoplaneError):
            read_loss_log(str(tmp_path / wrong))
    (tmp_path / "a.csv").write_text("step,loss\n1,1\n")
    with pytest.raises(DataError, match="expected a column top, found step, loss"):
        read_loss_log(f"{tmp_path / 'a.csv'}:top")
    with pytest.raises(DataError, match="expected FILE:LOSS,TOKENS,STEP"):
        read_loss_log(f"{tmp_path / 'a.csv'}:a,b,c,d")


def test_checkpoints_take_the_log_of_their_training(project):
    Path("log.csv").write_text("step,loss\n" + "".join(f"{s},{9 - s / 2}\n" for s in range(12)))
    options = ["record", "--model", "net.py:build", "--checkpoints", "ckpt/*.pt",
               "--data", "probe.npz", "--log", "log.csv:loss"]  # fmt: skip
    done = command(*options, "-o", "cli")
    assert done.code == 0, done.err
    named = {"model": "net.py:build", "checkpoints": "ckpt/*.pt", "data": "probe.npz"}
    run = record(**named, output="py", log=Path("log.csv"))
    assert Run(Path("cli")).losses.digest == run.losses.digest
    assert len(run.losses) == 12
    size = Path("cli/log.jsonl").stat().st_size
    assert command(*options, "-o", "cli", "--resume").code == 0
    assert Path("cli/log.jsonl").stat().st_size == size  # it is there already
    assert "12 losses of steps 0..11" in command("inspect", "cli").out
    Path("log.csv").write_text("step,loss\n1,1\n0,1\n")
    done = command(*options, "-o", "other")
    assert (done.code, Path("other").exists()) == (3, False)
    assert "line 3: expected a step above 1" in done.err
    done = command("record", "--log", "log.csv", "-o", "s", "--", "python", "train.py")
    assert done.code == 2
    assert "--log is for --checkpoints" in done.err


def test_non_finite_losses_are_told(tmp_path, probe):
    with Recorder(small_net(), probe, tmp_path / "r") as recorder:
        for step in range(4):
            recorder.log(step, train_loss=float("nan") if step > 1 else 1.0)
        recorder.snapshot(4)
    out = command("inspect", str(tmp_path / "r")).out
    assert "4 losses of steps 0..3; NaN or inf at 2 steps, at step 2 first" in out


def test_the_loss_does_not_keep_its_graph(tmp_path, probe):
    net = nn.Linear(5, 2)
    with Recorder(small_net(), probe, tmp_path / "r", schedule=[9]) as recorder:
        loss = net(torch.ones(3, 5)).sum()
        recorder.log(0, train_loss=loss)
        loss.backward()  # the graph is as it was
        assert net.weight.grad is not None
