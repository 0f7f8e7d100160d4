"""What a few samples tell before the first step: what is recorded, and of what it depends."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from infoplane.errors import DataError
from infoplane.recording.recorder import Recorder
from infoplane.runs.run import Run


def recorded(model, x, path, **options):
    with Recorder(model, (x, None), path, **options) as recorder:
        recorder.snapshot(0)
    return Run(path)


def names(run):
    return [layer.name for layer in run.layers]


class Beside(nn.Module):
    """A body, and beside it a layer that cannot be recorded."""

    def __init__(self, side, use):
        super().__init__()
        self.body, self.side, self.act = nn.Linear(5, 4), side, nn.Tanh()
        self.use = use

    def forward(self, x):
        h = self.body(x)
        return self.act(h + self.use(self.side, h))


class Structure(nn.Module):
    def __init__(self, made):
        super().__init__()
        self.weight, self.made = nn.Parameter(torch.ones(1)), made

    def forward(self, h):
        return self.made(h)


UNFIT = {
    "positions": (nn.Embedding(8, 4), lambda s, h: s(torch.arange(8)).mean(0)),
    "one row": (nn.Embedding(8, 4), lambda s, h: s(torch.arange(8)[None]).mean((0, 1))),
    "bias of positions": (nn.Embedding(8, 2), lambda s, h: s(torch.ones(8, 8).long()).mean()),
    "windows": (nn.Linear(2, 2), lambda s, h: s(h.view(-1, 2)).view(-1, 4)),
    "no units": (Structure(lambda h: h[:, :0]), lambda s, h: s(h).sum(1, keepdim=True)),
    "no tensor": (Structure(lambda h: {"n": len(h)}), lambda s, h: float(s(h)["n"] > 0)),
    "nested": (
        Structure(lambda h: torch.nested.nested_tensor(list(h))),
        lambda s, h: s(h).to_padded_tensor(0.0),
    ),
    "too many units": (nn.Linear(4, 20000), lambda s, h: s(h).mean(1, keepdim=True)),
    "a scalar": (Structure(lambda h: h.sum() * 0), lambda s, h: s(h)),
}


@pytest.mark.parametrize("kind", UNFIT)
@pytest.mark.parametrize("batch_size", [8, 512])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_what_nobody_named_and_cannot_be_recorded_is_left_out(tmp_path, caplog, kind, batch_size):
    model, x = Beside(*UNFIT[kind]), torch.randn(24, 5)
    run = recorded(model, x, tmp_path / "r", batch_size=batch_size)
    assert names(run) == ["body", "act"]
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("left out: side (")
    with torch.no_grad():
        np.testing.assert_allclose(run.activations(0, "body"), model.body(x), atol=1e-6)
    for asked in (["side"], ["*"]):
        with pytest.raises(DataError, match="layer 'side'"):
            recorded(model, x, tmp_path / "named", layers=asked)
    assert names(recorded(model, x, tmp_path / "not", layers=["!side"])) == ["body", "act"]


@pytest.mark.parametrize("n", [2, 3, 4, 8, 9])
def test_as_many_positions_as_samples(tmp_path, caplog, n):
    use = lambda side, h: side(torch.arange(n)).mean(0)  # noqa: E731
    model = Beside(nn.Embedding(n, 4), use)
    assert names(recorded(model, torch.randn(n, 5), tmp_path / "r")) == ["body", "act"]


def test_a_layer_that_was_named_needs_its_axis(tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.LSTM(1, 3)

        def forward(self, x):
            return self.rnn(x.T[:, :, None])[0]

    with pytest.raises(DataError, match="layer 'rnn'") as error:
        recorded(Net(), torch.randn(20, 6), tmp_path / "r", layers=["rnn"])
    assert "--batch-dim 'rnn=1'" in error.value.hint
    run = recorded(Net(), torch.randn(20, 6), tmp_path / "r", batch_dims={"rnn": 1})
    assert run.layer("rnn").shape == (6, 3)


OTHER_AXES = {
    "time first": (nn.LSTM(4, 4), lambda s, h: s(h[None].expand(6, -1, -1))[0][-1], 1),
    "as long as a batch": (nn.LSTM(4, 4), lambda s, h: s(h[None].expand(8, -1, -1))[0][-1], 1),
    "samples last": (Structure(lambda h: h.T.contiguous()), lambda s, h: s(h).T, 1),
    "in the middle": (
        Structure(lambda h: h[None, :, None].expand(2, -1, 3, -1)),
        lambda s, h: s(h).mean((0, 2)),
        1,
    ),
}


@pytest.mark.parametrize("kind", OTHER_AXES)
@pytest.mark.parametrize("n", [2, 7, 8, 9, 24])
def test_the_axis_of_the_samples_is_found_of_layers_that_nobody_named(tmp_path, caplog, kind, n):
    side, use, axis = OTHER_AXES[kind]
    model, x = Beside(side, use), torch.randn(n, 5)
    run = recorded(model, x, tmp_path / "r", batch_size=5)
    assert names(run) == ["body", "side", "act"]
    told = recorded(model, x, tmp_path / "t", batch_dims={"side": axis}, batch_size=5)
    np.testing.assert_array_equal(run.activations(0, "side"), told.activations(0, "side"))
    assert caplog.text.count("samples on axis 1, as batches of two lengths show: side") == 1


def test_an_axis_that_is_one_of_several_is_not_guessed(tmp_path, caplog):
    """Attention of samples to samples, by head: either axis may be that of the samples."""
    model = Beside(Structure(lambda h: (h @ h.T)[None].expand(3, -1, -1)),
                   lambda s, h: s(h).mean() * 0)  # fmt: skip
    assert names(recorded(model, torch.randn(24, 5), tmp_path / "r")) == ["body", "act"]
    assert "left out: side (no axis of the samples: (3, 2, 2) for 2" in caplog.text


def test_a_wrong_axis_that_was_given_is_an_error(tmp_path):
    model = Beside(*OTHER_AXES["time first"][:2])
    with pytest.raises(DataError, match=r"'side': .* samples on axis 2, got \(6, \d+, 4\)"):
        recorded(model, torch.randn(24, 5), tmp_path / "r", batch_dims={"side": 2})
    run = recorded(model, torch.randn(24, 5), tmp_path / "r", batch_dims={"side": 1})
    assert names(run) == ["body", "side", "act"]


class Free(nn.Module):
    """Reads nothing but the sample, in a way that looks as if it did."""

    def __init__(self, then):
        super().__init__()
        self.fc, self.then, self.act = nn.Linear(5, 4), then, nn.Tanh()
        self.norm, self.calls = nn.BatchNorm1d(4), 0

    def forward(self, x):
        self.calls += 1
        return self.act(self.then(self, self.fc(x)))


def cached(model, h):
    if not hasattr(model, "cache"):
        model.cache = torch.linspace(0.0, 1.0, 4)
    return h + model.cache


def running(model, h):
    mean = h.mean(0)
    before = getattr(model, "mean", None)
    model.mean = mean if before is None else 0.9 * before + 0.1 * mean
    return h - model.mean


def carried(model, h):
    before = getattr(model, "hidden", None)
    model.hidden = h if before is None else 0.5 * before + h
    return model.hidden


def counted(model, h):
    return h + model.calls


def queued(model, h):
    queue = model.__dict__.setdefault("queue", [])
    queue.append(h.mean())
    return h - sum(queue)


ALONE = {
    "nothing": lambda model, h: h,
    "dropout of torch": lambda model, h: functional.dropout(h, 0.5, model.training),
    "running statistics": lambda model, h: model.norm(h),
    "a cache": cached,
    "unused noise": lambda model, h: h + 0 * torch.randn(4),
    "large values": lambda model, h: 1e12 * h,
    "small values": lambda model, h: 1e-12 * h,
    "not a number": lambda model, h: h.clamp(min=0).log(),
    "half": lambda model, h: h.half().float(),
}
DEPENDENT = {
    "dropout": (lambda model, h: functional.dropout(h, 0.5), "random in evaluation mode"),
    "noise": (lambda model, h: h + torch.randn_like(h), "random in evaluation mode"),
    "noise of NumPy": (lambda model, h: h + np.random.rand(), "random in evaluation mode"),
    "carried state": (carried, "the model keeps state from pass to pass"),
    "a counter": (counted, "the model keeps state from pass to pass"),
    "a queue": (queued, "the model keeps state from pass to pass"),
    "a running mean": (running, "the model keeps state from pass to pass"),
    "mean of the batch": (lambda model, h: h - h.mean(0), "depends on the others of its batch"),
    "largest of the batch": (lambda model, h: h / h.abs().max(), "depends on the others of"),
    "similarity": (lambda model, h: (h @ h.T).softmax(1) @ h, "depends on the others of its"),
    "order in the batch": (
        lambda model, h: h + torch.arange(len(h))[:, None],
        "depends on the others of its batch",
    ),
    "statistics of the batch": (
        lambda model, h: functional.batch_norm(h, None, None, training=True),
        "depends on the others of its batch",
    ),
}


@pytest.mark.parametrize("n", [2, 3, 5, 40, 3000])
@pytest.mark.parametrize("kind", ALONE)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_layers_of_the_sample_alone_are_not_warned_of(tmp_path, caplog, kind, n):
    recorded(Free(ALONE[kind]), torch.randn(n, 5), tmp_path / "r", layers=["fc", "act"])
    assert not [r for r in caplog.records if "NaN" not in r.getMessage()]


@pytest.mark.parametrize("n", [4, 40, 3072])
@pytest.mark.parametrize("kind", DEPENDENT)
def test_layers_of_more_than_the_sample_are_named(tmp_path, caplog, kind, n):
    torch.manual_seed(0)
    then, message = DEPENDENT[kind]
    x = torch.randn(n, 5)
    with Recorder(Free(then), (x, None), tmp_path / "r", layers=["fc", "act"]) as recorder:
        for step in (0, 1):
            recorder.snapshot(step)
    found = [record.getMessage() for record in caplog.records]  # once in a recording
    assert len(found) == 1 + (kind in ("a running mean", "a queue"))
    assert all(one.startswith("act: ") for one in found)
    assert message in found[0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_rounding_of_batches_of_other_sizes_is_no_dependence(tmp_path, caplog, dtype):
    torch.manual_seed(0)
    wide = [
        nn.Linear(64, 512),
        nn.GELU(),
        nn.Linear(512, 512),
        nn.LayerNorm(512),
        nn.Linear(512, 9),
    ]
    recorded(nn.Sequential(*wide).to(dtype), torch.randn(2000, 64), tmp_path / "r")
    assert not caplog.records


def test_a_model_of_one_batch_size_is_tried_on_its_batch(tmp_path, caplog):
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.Tanh()

        def forward(self, x):
            return self.act(functional.dropout(x.view(20, 5)))

    recorded(Fixed(), torch.randn(20, 5), tmp_path / "r")
    assert "act: random in evaluation mode" in caplog.text


class Experts(nn.Module):
    """An expert is called on the rows that are sent to it, if there are any."""

    def __init__(self):
        super().__init__()
        self.body, self.all, self.some, self.act = (
            *(nn.Linear(3, 4) for _ in range(3)),
            nn.Tanh(),
        )

    def forward(self, x):
        h, sent = self.body(x) + self.all(x), x[:, 0] > 0
        if sent.any():
            h = h.index_add(0, sent.nonzero()[:, 0], self.some(x[sent]))
        return self.act(h)


EXPERTS = {  # the rows that are sent; the survey looks at 0 and 1, then at 1 to 3
    "first batch alone": [0, 1],
    "second batch alone": [2, 3, 20],
    "some of the first": [0, 8],
    "some of the second": [3, 12],
    "all of one, some of the other": [0, 1, 2],
    "all of both": [0, 1, 2, 3],
}


@pytest.mark.parametrize("kind", EXPERTS)
def test_experts_that_do_not_get_every_sample_are_left_out(tmp_path, caplog, kind):
    x = torch.randn(24, 3)
    x[:, 0] = -1
    x[EXPERTS[kind], 0] = 1
    if kind == "all of both":  # what the few samples cannot tell
        with pytest.raises(DataError, match="layer 'some'") as caught:
            recorded(Experts(), x, tmp_path / "r", batch_size=8)
        assert "--layers '!some'" in caught.value.hint
    else:
        assert names(recorded(Experts(), x, tmp_path / "r", batch_size=8)) == ["body", "all", "act"]
        assert "left out: some (" in caplog.text
    assert names(recorded(Experts(), x, tmp_path / "not", layers=["!some"]))[0] == "body"


def test_experts_that_later_get_none_are_an_error_that_names_them(tmp_path):
    x = torch.ones(24, 3)
    x[16:, 0] = -1
    with pytest.raises(DataError, match="layer 'some': absent in the batch from row 16") as caught:
        recorded(Experts(), x, tmp_path / "r", batch_size=8)
    assert "--layers '!some'" in caught.value.hint
