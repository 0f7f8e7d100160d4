"""A snapshot in the midst of a training changes nothing that the model or its hooks keep."""

import array
import collections
import dataclasses
import hashlib
import importlib
import itertools
import pickle
import random
import types
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from infoplane.errors import DataError
from infoplane.recording.recorder import Recorder
from infoplane.runs.run import Run

FOUND = []
COUNT = 0


@dataclasses.dataclass
class Kept:
    total: object = 0
    seen: list = dataclasses.field(default_factory=list)


class Slotted:
    __slots__ = ("last",)

    def __init__(self):
        self.last = None


def keeps(start, change):
    """Return what makes a model whose attribute ``kept`` changes in every pass."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.act, self.inner = nn.Linear(3, 4), nn.Tanh(), nn.Identity()
            self.kept = start()

        def forward(self, x):
            h = self.act(self.fc(x))
            return h + change(self, h)

    return Net


def appended(m, h):
    m.kept.append(h.detach().mean())
    return sum(m.kept[-3:]) if isinstance(m.kept, list) else sum(m.kept)


def rebound(m, h):
    m.kept = h.detach().mean() if m.kept is None else 0.9 * m.kept + 0.1 * h.detach().mean()
    return m.kept


def in_place(m, h):
    m.kept.mul_(0.9).add_(0.1 * h.detach().mean(0))
    return m.kept


def through_data(m, h):
    m.kept.data.mul_(0.9).add_(0.1 * h.detach().mean(0))
    return m.kept.clone()


def through_numpy(m, h):
    m.kept.numpy()[:] = 0.9 * m.kept.numpy() + 0.1 * h.detach().mean(0).numpy()
    return m.kept.clone()


def of_bytes(m, h):
    m.kept[0] += 1
    return 0.1 * m.kept[0]


TOTAL = 0


def of_global(m, h):
    global TOTAL
    TOTAL += 1
    return 0.1 * TOTAL


def in_dict(m, h):
    m.kept["n"] = m.kept.get("n", 0) + 1
    m.kept.setdefault("all", []).append(h.detach().sum())
    return m.kept["n"] * 0.1 + sum(m.kept["all"]) * 0.01


def nested(m, h):
    m.kept[0]["a"][0].add_(h.detach().mean())
    return m.kept[0]["a"][0]


def counted(m, h):
    m.kept += 1
    return 0.1 * m.kept


def of_object(m, h):
    m.kept.total = m.kept.total + h.detach().mean()
    m.kept.seen = [*getattr(m.kept, "seen", []), 1]
    return m.kept.total + len(m.kept.seen)


def of_slots(m, h):
    m.kept.last = h.detach().mean() + (0 if m.kept.last is None else m.kept.last)
    return m.kept.last


def created(m, h):
    m.late = getattr(m, "late", 0) + 1
    m.inner.late = getattr(m.inner, "late", 0) + 2
    return 0.1 * m.late + 0.1 * m.inner.late


def deleted(m, h):
    if hasattr(m, "kept"):
        del m.kept
        return h * 0
    return h


def of_array(m, h):
    m.kept[:] = 0.5 * m.kept + h.detach().mean(0).numpy()
    return torch.from_numpy(m.kept.copy())


def built(m, h):
    if m.kept is None:
        m.kept = nn.Linear(4, 4)
    return m.kept(h)


DRAWS = {
    "numpy": (lambda: np.random.default_rng(0), lambda m, h: float(m.kept.normal())),
    "old numpy": (lambda: np.random.RandomState(0), lambda m, h: float(m.kept.normal())),
    "python": (lambda: random.Random(0), lambda m, h: m.kept.random()),
    "torch": (
        lambda: torch.Generator().manual_seed(0),
        lambda m, h: torch.rand(4, generator=m.kept),
    ),
}
STATE = {
    "hidden state": (lambda: None, rebound),
    "tensor in place": (lambda: torch.zeros(4), in_place),
    "tensor through data": (lambda: torch.zeros(4), through_data),
    "tensor through NumPy": (lambda: torch.zeros(4), through_numpy),
    "bytes": (lambda: bytearray(4), of_bytes),
    "array of Python": (lambda: array.array("d", [0.0]), of_bytes),
    "list": (list, appended),
    "bounded queue": (lambda: collections.deque(maxlen=3), appended),
    "dictionary": (dict, in_dict),
    "ordered dictionary": (collections.OrderedDict, in_dict),
    "default dictionary": (lambda: collections.defaultdict(int), in_dict),
    "nested": (lambda: ({"a": [torch.zeros(4)]},), nested),
    "counter": (lambda: 0, counted),
    "dataclass": (Kept, of_object),
    "namespace": (lambda: types.SimpleNamespace(total=0), of_object),
    "slots": (Slotted, of_slots),
    "created": (lambda: None, created),
    "deleted": (lambda: 1, deleted),
    "array": (lambda: np.zeros(4, np.float32), of_array),
    "layer that is built": (lambda: None, built),
    **DRAWS,
}


def hooked(register):
    def made():
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
        model.used = register(model)
        return model

    return made


def into_closure(model):
    found = []
    model[1].register_forward_hook(lambda m, i, o: found.append(o))
    return lambda: [found.pop() for _ in found[:]]


def into_global(model):
    FOUND.clear()
    model[0].register_forward_pre_hook(lambda m, i: FOUND.append(i[0]))
    return lambda: [FOUND.pop() for _ in FOUND[:]]


class Extractor:
    def __init__(self):
        self.found = {}

    def hook(self, module, inputs, output):
        self.found.setdefault("h", []).append(output)

    def __call__(self, module, inputs, output):
        self.hook(module, inputs, output)

    def take(self):
        return self.found.pop("h", [])


def into_method(model):
    kept = Extractor()
    model[1].register_forward_hook(kept.hook)
    return kept.take


def into_callable(model):
    kept = Extractor()
    model[1].register_forward_hook(kept)
    return kept.take


def through_function(model):
    FOUND.clear()
    model[1].register_forward_hook(lambda m, i, o: note(o))
    return lambda: [FOUND.pop() for _ in FOUND[:]]


def note(output):
    global COUNT
    COUNT += 1
    FOUND.append(output * COUNT)


HOOKS = (into_closure, into_global, into_method, into_callable, through_function)


def trained(make, path=None, fails=False):
    """Return a digest of the weights at the end."""
    global COUNT
    COUNT = 0
    torch.manual_seed(0)
    random.seed(0)
    model, x, y = make(), torch.randn(40, 3), torch.randn(40, 4)
    take = model.__dict__.get("used")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = path and Recorder(model, (torch.randn(20, 3), None), path, batch_size=7)
    torch.manual_seed(1)
    for step in range(6):
        loss = (model(x) - y).square().mean()
        if step % 2 == 0 and recorder:
            if fails:
                with pytest.raises(DataError):
                    recorder.snapshot(step, gradients=lambda *_: 1 / 0)
            else:
                recorder.snapshot(step)
        loss = loss + sum(one.square().mean() for one in (take() if take else ()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if recorder:
        recorder.close()
    state = {n: v for n, v in vars(model).items() if n in ("kept", "late")}
    values = [one.detach().numpy().tobytes() for one in model.parameters()]
    if isinstance(state.get("kept"), (nn.Module, torch.Generator)):
        state = {}
    return hashlib.sha256(b"".join(values)).hexdigest(), pickle.dumps(list(state))


@pytest.mark.parametrize("kind", STATE)
def test_a_training_goes_on_as_without_a_snapshot(tmp_path, kind):
    make = keeps(*STATE[kind])
    assert trained(make) == trained(make, tmp_path / "run")


class Global(nn.Sequential):
    """Counts its passes in a global variable, by a method of its own."""

    def forward(self, x):
        return self.counted(super().forward(x))

    def counted(self, h):
        return h + of_global(self, h)


def test_global_variables_of_a_forward_are_put_back(tmp_path):
    global TOTAL

    def make():
        return Global(nn.Linear(3, 4), nn.Tanh())

    TOTAL = 0
    before = trained(make)
    TOTAL = 0
    assert trained(make, tmp_path / "run") == before


@pytest.mark.parametrize("register", HOOKS)
def test_what_hooks_keep_is_put_back(tmp_path, register):
    make = hooked(register)
    assert trained(make) == trained(make, tmp_path / "run")


@pytest.mark.parametrize("kind", ["hidden state", "list", "tensor in place"])
def test_state_is_put_back_after_a_failure(tmp_path, kind):
    class Breaking(keeps(*STATE[kind])):
        def forward(self, x):
            h = super().forward(x)
            if len(x) == 7 and not self.training:
                raise RuntimeError("no")
            return h

    assert trained(Breaking) == trained(Breaking, tmp_path / "run", fails=True)


def test_values_do_not_depend_on_the_batches_before(tmp_path):
    x = torch.randn(24, 3)
    torch.manual_seed(0)
    named = [("net", keeps(*STATE["counter"])()), ("out", nn.Tanh())]
    model = nn.Sequential(collections.OrderedDict(named))
    values = []
    for size in (3, 8, 24):
        with Recorder(model, (x, None), tmp_path / f"{size}", batch_size=size) as recorder:
            recorder.snapshot(0)
        values.append(Run(tmp_path / f"{size}").activations(0, "out"))
    np.testing.assert_allclose(values[0], values[2], atol=1e-6)
    np.testing.assert_allclose(values[1], values[2], atol=1e-6)
    assert model[0].kept == 0


def test_a_hook_that_fails_is_named(tmp_path):
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    model[1].register_forward_hook(lambda m, i, o: o.register_hook(print))  # needs a gradient
    with (
        Recorder(model, (torch.randn(9, 3), None), tmp_path / "r") as recorder,
        pytest.raises(DataError, match=r"a hook of the model \(test_state\.py:\d+, <lambda>\) fa"),
    ):
        recorder.snapshot(0)


def test_what_is_too_large_to_copy_and_changes_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("infoplane.recording.hooks.state._MOST_BYTES", 8)
    model = keeps(*STATE["tensor in place"])()
    with (
        Recorder(model, (torch.randn(9, 3), None), tmp_path / "r") as recorder,
        pytest.raises(DataError, match="changed kept of the model in evaluation mode"),
    ):
        recorder.snapshot(0)


class Classy(nn.Module):
    """Keeps what it counts in its class."""

    count = 0
    seen: ClassVar[list[int]] = []
    table = torch.zeros(4)

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 4)

    def forward(self, x):
        h = self.fc(x)
        Classy.count += 1
        Classy.seen.append(len(x))
        Classy.table.add_(h.detach().mean(0))
        Classy.late = getattr(Classy, "late", 0) + 1
        return h + 0.1 * Classy.count + 0.1 * len(Classy.seen) + Classy.table + Classy.late


def test_attributes_of_classes_are_put_back(tmp_path):
    def make():
        Classy.count, Classy.seen, Classy.table = 0, [], torch.zeros(4)
        if hasattr(Classy, "late"):
            del Classy.late
        return Classy()

    assert trained(make) == trained(make, tmp_path / "run")
    assert (Classy.count, len(Classy.seen), Classy.late) == (6, 6, 6)


NOT_PUT_BACK = {
    "kept (count)": (itertools.count, lambda m, h: next(m.kept)),
    "kept (list_iterator)": (lambda: iter([0] * 99), lambda m, h: next(m.kept)),
    "kept (repeat)": (lambda: itertools.repeat(0.5, 99), lambda m, h: next(m.kept)),
    "kept (array of 0 MiB)": STATE["array"],
}


@pytest.mark.parametrize("what", NOT_PUT_BACK)
def test_what_cannot_be_put_back_is_told_once(tmp_path, monkeypatch, caplog, what):
    monkeypatch.setattr("infoplane.recording.hooks.state._MOST_BYTES", 8)
    start, change = NOT_PUT_BACK[what]
    with Recorder(keeps(start, change)(), (torch.randn(9, 3), None), tmp_path / "r") as recorder:
        recorder.snapshot(0)
        recorder.snapshot(1)
    told = [r.getMessage() for r in caplog.records if "cannot be put back" in r.getMessage()]
    assert len(told) == 1
    assert f"changed {what}, which" in told[0]


def test_nothing_is_told_of_iterators_that_rest(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("infoplane.recording.hooks.state._MOST_BYTES", 8)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    model.kept = [itertools.count(), iter([1, 2]), np.zeros((5, 4)), np.array(3.0)]
    with Recorder(model, (torch.randn(9, 3), None), tmp_path / "r") as recorder:
        recorder.snapshot(0)
    assert not [r for r in caplog.records if "put back" in r.getMessage()]


def test_an_entry_that_moves_to_another_module_comes_back(tmp_path):
    class Moving(keeps(lambda: None, lambda m, h: 0)):
        def forward(self, x):
            h = super().forward(x)
            if "late" in vars(self.act):
                self.inner.late = vars(self.act).pop("late")
            return h

    model = Moving()
    model.act.late = 0.5
    with Recorder(model, (torch.randn(9, 3), None), tmp_path / "r") as recorder:
        recorder.snapshot(0)
    assert "late" not in vars(model.inner)
    assert vars(model.act)["late"] == 0.5


def scaled(module):
    module.fc.weight.data.mul_(0.9)


def replaced(module):
    module.fc.weight.data = module.fc.weight.data * 0.9


def clamped(module):
    module.fc.weight.data.clamp_(-0.1, 0.1)


def filled(module):
    module.queue.data[0] += 1


def counted(module):
    module.queue.add_(1)


def swapped(module):
    module.queue = module.queue + 1


@pytest.mark.parametrize("change", [scaled, replaced, clamped, filled, counted, swapped])
@pytest.mark.parametrize("place", ["network", "hook"])
def test_weights_and_buffers_that_a_pass_changes_are_put_back_and_told(change, place, tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 4)
            self.register_buffer("queue", torch.tensor([0.5, torch.nan]))

        def forward(self, x):
            if place == "network":
                change(self)
            return self.fc(x)

    torch.manual_seed(0)
    net = Net()
    if place == "hook":
        net.fc.register_forward_hook(lambda module, given, output: change(net))
    before = [value.clone() for value in net.state_dict().values()]
    with (
        Recorder(net, (torch.randn(9, 3), None), tmp_path / "r", layers=["fc"]) as recorder,
        pytest.raises(DataError, match="the forward pass changed (fc.weight|queue)"),
    ):
        recorder.snapshot(0)
    for one, other in zip(before, net.state_dict().values(), strict=True):
        np.testing.assert_array_equal(one, other)


class Tally:
    """A hook that is an object."""

    def __init__(self):
        self.calls, self.seen = 0, []

    def __call__(self, module, given, output):
        self.calls += 1
        self.seen.append(output)


def test_a_hook_that_is_an_object_is_put_back(tmp_path):
    model, tally = nn.Sequential(nn.Linear(3, 4), nn.Tanh()), Tally()
    model[1].register_forward_hook(tally)
    with Recorder(model, (torch.randn(9, 3), None), tmp_path / "r") as recorder:
        recorder.snapshot(0)
    assert (tally.calls, tally.seen) == (0, [])


def test_an_object_of_another_file_of_the_user_is_put_back(tmp_path, monkeypatch):
    (tmp_path / "memory_bank.py").write_text(
        "class Bank:\n    def __init__(self): self.count, self.kept = 0, []\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    bank = importlib.import_module("memory_bank").Bank()

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.bank = nn.Linear(3, 4), bank

        def forward(self, x):
            self.bank.count += 1
            self.bank.kept.append(x)
            return self.fc(x)

    with Recorder(Net(), (torch.randn(9, 3), None), tmp_path / "r") as recorder:
        recorder.snapshot(0)
    assert (bank.count, bank.kept) == (0, [])
