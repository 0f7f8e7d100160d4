"""Weights are loaded as the framework loads them, to the bit; the rest is refused in words."""

import copy
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from infoplane.errors import DataError
from infoplane.recording.checkpoints.fit import changed_kinds
from infoplane.recording.checkpoints.load import load_into
from infoplane.recording.checkpoints.read import load_weights
from infoplane.recording.recorder import Recorder
from infoplane.recording.session import record
from infoplane.runs.run import Run
from tests.conftest import small_net

pytestmark = pytest.mark.filterwarnings("ignore")  # torch says that old forms are old


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def drawn(make, seed):
    torch.manual_seed(seed)
    return make()


class Renaming(nn.Module):
    """Knows the names of an earlier release."""

    def __init__(self):
        super().__init__()
        self.new = nn.Linear(3, 3, bias=False)
        self.register_load_state_dict_pre_hook(self._rename)

    @staticmethod
    def _rename(module, state, prefix, *rest):
        if f"{prefix}old.weight" in state:
            state[f"{prefix}new.weight"] = state.pop(f"{prefix}old.weight")


class Versioned(nn.Module):
    """Before version 2 its scale was kept as a logarithm."""

    _version = 2

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.rand(4) + 1)

    def _load_from_state_dict(self, state, prefix, about, *rest):
        if about.get("version", 1) < 2:
            state[f"{prefix}scale"] = state[f"{prefix}scale"].exp()
        super()._load_from_state_dict(state, prefix, about, *rest)


class Stepped(nn.Module):
    """Keeps what is no tensor."""

    def __init__(self):
        super().__init__()
        self.weight, self.seen = nn.Parameter(torch.rand(3)), 0

    def get_extra_state(self):
        return {"seen": self.seen}

    def set_extra_state(self, state):
        self.seen = state["seen"]


class Resized(nn.Module):
    """Takes a buffer of any length."""

    def __init__(self, n=2):
        super().__init__()
        self.register_buffer("queue", torch.rand(n))

    def _load_from_state_dict(self, state, prefix, *rest):
        self.queue = torch.empty_like(state[f"{prefix}queue"])
        super()._load_from_state_dict(state, prefix, *rest)


class Owning(nn.Module):
    """Changes the names in a method of its own."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(2, 2)

    def load_state_dict(self, state, strict=True, assign=False):
        state = {f"body.{name.removeprefix('core.')}": value for name, value in state.items()}
        return super().load_state_dict(state, strict=strict, assign=assign)


def quantised():
    torch.manual_seed(0)
    model = nn.Sequential(
        torch.ao.quantization.QuantStub(), nn.Linear(6, 8), nn.ReLU(), nn.Conv1d(8, 2, 1)
    )
    model = nn.Sequential(model[0], model[1], model[2], torch.ao.quantization.DeQuantStub()).eval()
    model.qconfig = torch.ao.quantization.get_default_qconfig("fbgemm")
    torch.ao.quantization.prepare(model, inplace=True)
    model(torch.randn(64, 6))
    return torch.ao.quantization.convert(model)


def dynamic():
    body = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
    return torch.ao.quantization.quantize_dynamic(body, {nn.Linear}, dtype=torch.qint8)


def old_weight_norm(state):
    ends = {".parametrizations.weight.original0": "_g", ".parametrizations.weight.original1": "_v"}
    for name in list(state):
        for end, short in ends.items():
            if name.endswith(end):
                state[f"{name.removesuffix(end)}.weight{short}"] = state.pop(name)
    return state


def changed(change):
    """Return what saves a state dict after a change that keeps the versions of its modules."""

    def saved(model):
        state = model.state_dict()
        versions = state._metadata
        state = change(state)
        state._metadata = versions
        return state

    return saved


def renamed_old(state):
    return type(state)((name.replace("new", "old"), value) for name, value in state.items())


def aged(state):
    state["scale"] = state["scale"].log()
    return state


def saved_by_version_1(model):
    state = aged(model.state_dict())
    state._metadata[""]["version"] = 1
    return state


def without_counters(model):
    state = model.state_dict()
    del state["1.num_batches_tracked"]
    state._metadata["1"]["version"] = 1
    return state


def norm():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def weight_norm():
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), nn.Tanh())


def weight_norm_without_bias():
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 4, bias=False)))


def wrapped(save):
    return lambda model: changed(
        lambda state: type(state)((f"module.{name}", value) for name, value in state.items())
    )(type("Saved", (), {"state_dict": lambda self: save(model)})())


KINDS = {
    "plain": (small_net, lambda model: model.state_dict()),
    "hooks that rename": (Renaming, changed(renamed_old)),
    "an older version": (Versioned, saved_by_version_1),
    "this version": (Versioned, lambda model: model.state_dict()),
    "no versions": (Versioned, lambda model: dict(aged(model.state_dict()))),
    "weight_norm": (weight_norm, lambda model: model.state_dict()),
    "weight_norm, old names": (weight_norm, changed(old_weight_norm)),
    "counters absent": (norm, without_counters),
    "counters of floats": (
        norm,
        lambda model: {name: value.float() for name, value in model.state_dict().items()},
    ),
    "extra state": (Stepped, lambda model: model.state_dict()),
    "a length of its own": (lambda: Resized(5), lambda model: model.state_dict()),
    "a method of its own": (
        Owning,
        lambda model: {f"core.{n}": v for n, v in model.body.state_dict().items()},
    ),
    "spectral_norm": (
        lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4)),
        lambda model: model.state_dict(),
    ),
    "quantised": (quantised, lambda model: model.state_dict()),
    "quantised while it runs": (dynamic, lambda model: model.state_dict()),
    "lazy": (
        lambda: nn.Sequential(nn.LazyLinear(3)),
        lambda model: nn.Sequential(nn.Linear(5, 3)).state_dict(),
    ),
    "attention": (
        lambda: nn.MultiheadAttention(8, 2),
        lambda model: model.state_dict(),
    ),
}


def flat(model):
    """Return every value of a state dict, packed ones opened, as bytes that can be compared."""
    found = {}
    for name, value in model.state_dict().items():
        for index, part in enumerate(value if isinstance(value, tuple) else [value]):
            if isinstance(part, torch.Tensor):
                part = part.int_repr() if part.is_quantized else part
                part = part.detach().numpy().tobytes()
            found[f"{name}/{index}"] = repr(part)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_what_torch_accepts_is_loaded_to_the_bit(kind):
    make, save = KINDS[kind]
    torch.save(save(drawn(make, 1)), "c.pt")
    ours, theirs = drawn(make, 2), drawn(make, 2)
    theirs.load_state_dict(torch.load("c.pt", weights_only=False))
    assert not load_into(ours, load_weights(Path("c.pt")), Path("c.pt"))
    assert flat(ours) == flat(theirs)


@pytest.mark.parametrize(
    ("make", "save"),
    [
        (small_net, KINDS["plain"][1]),
        (weight_norm, changed(old_weight_norm)),
        (weight_norm_without_bias, changed(old_weight_norm)),
        (norm, without_counters),
    ],
)
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "net."])
def test_names_of_a_wrapper_come_off_with_their_versions(make, save, prefix):
    state = save(drawn(make, 1))
    named = type(state)((prefix + name, value) for name, value in state.items())
    named._metadata = {
        prefix.rstrip("."): state._metadata[""],
        **{prefix + module: about for module, about in state._metadata.items() if module},
    }
    torch.save(named, "c.pt")
    ours, theirs = drawn(make, 2), drawn(make, 2)
    theirs.load_state_dict(state)
    assert not load_into(ours, load_weights(Path("c.pt")), Path("c.pt"))
    assert flat(ours) == flat(theirs)


def fused(model):
    model.dec.weight = model.enc.weight
    return model


def transposed(model):
    model.dec.weight = nn.Parameter(model.enc.weight.T)
    return model


def parts(model):
    whole = torch.randn(8, 6)
    model.enc.weight, model.dec.weight = nn.Parameter(whole[:6]), nn.Parameter(whole[2:])
    return model


def pair():
    return nn.ModuleDict({"enc": nn.Linear(6, 6, bias=False), "dec": nn.Linear(6, 6, bias=False)})


def half_renamed():
    """Return a model whose first layer had another name in an earlier release."""
    model = nn.Sequential()
    model.add_module("first", Renaming())
    model.add_module("last", nn.Linear(3, 2))
    return model


OTHERS = [{}, {"loss.weight": torch.ones(2)}, {"loss.weight": torch.ones(2), "n": torch.ones(1)}]


@pytest.mark.parametrize("others", OTHERS)
@pytest.mark.parametrize("prefix", ["net.", "module.net.", "a.b."])
def test_part_of_a_file_is_found_by_any_of_its_names(prefix, others):
    source, model = drawn(half_renamed, 1), drawn(half_renamed, 2)
    state = renamed_old(source.state_dict())
    torch.save({**{prefix + name: value for name, value in state.items()}, **others}, "c.pt")
    left = load_into(model, load_weights(Path("c.pt")), Path("c.pt"))
    assert left.unexpected == tuple(others)
    assert flat(model) == flat(source)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("others", OTHERS[1:])
@pytest.mark.parametrize("prefix", ["net.", "module.net.", "a.b."])
def test_part_that_only_the_hooks_of_the_model_know_is_named(prefix, others, strict):
    source, model = drawn(Renaming, 1), drawn(Renaming, 2)
    torch.save({f"{prefix}old.weight": source.new.weight.data, **others}, "c.pt")
    with pytest.raises(DataError, match="the weights fit|not fit the model") as error:
        load_into(model, load_weights(Path("c.pt")), Path("c.pt"), strict=strict)
    key = error.value.hint.partition("--weights-key ")[2]
    assert key == prefix.rstrip(".")
    assert not load_into(model, load_weights(Path("c.pt"), key), Path("c.pt"))
    assert flat(model) == flat(source)


@pytest.mark.parametrize("tie", [fused, transposed, parts])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_two_tensors_for_what_is_one(tie, prefix):
    separate, tied = drawn(pair, 1), tie(drawn(pair, 2))
    torch.save({prefix + k: v for k, v in separate.state_dict().items()}, "c.pt")
    for strict in (True, False):
        with pytest.raises(DataError, match="one tensor in the model, two different") as error:
            load_into(tied, load_weights(Path("c.pt")), Path("c.pt"), strict=strict)
    assert "without tied weights" in error.value.hint
    other = tie(drawn(pair, 3))
    torch.save({prefix + k: v for k, v in other.state_dict().items()}, "c.pt")
    assert not load_into(tied, load_weights(Path("c.pt")), Path("c.pt"))
    assert flat(tied) == flat(other)


def test_tied_weights_with_what_is_no_number():
    model = fused(pair())
    with torch.no_grad():
        model.enc.weight[0, 0] = torch.nan
    torch.save(model.state_dict(), "c.pt")
    assert not load_into(fused(pair()), load_weights(Path("c.pt")), Path("c.pt"))


@pytest.mark.parametrize(
    ("file", "model", "said"),
    [
        (torch.float64, torch.float32, "float64 -> float32"),
        (torch.float32, torch.bfloat16, "float32 -> bfloat16"),
        (torch.float16, torch.bfloat16, "float16 -> bfloat16"),
        (torch.bfloat16, torch.float16, "bfloat16 -> float16"),
        (torch.int8, torch.float32, "int8 -> float32"),
        (torch.complex64, torch.float32, "complex64 -> float32"),
        (torch.bfloat16, torch.float32, None),
        (torch.float32, torch.float64, None),
        (torch.float32, torch.float32, None),
        (torch.float8_e4m3fn, torch.float32, None),
        (torch.float8_e5m2, torch.float32, None),
        (torch.float8_e4m3fn, torch.bfloat16, None),
        (torch.float8_e5m2, torch.bfloat16, None),
        (torch.float8_e4m3fn, torch.float16, None),
        (torch.float8_e5m2, torch.float16, None),
        (torch.uint16, torch.float32, "uint16 -> float32"),
    ],
)
def test_what_is_not_kept_is_said(file, model, said, caplog):
    x = np.random.default_rng(0).normal(size=(20, 5))
    for step in (1, 2):
        state = {name: value.to(file) for name, value in small_net().state_dict().items()}
        torch.save(state, f"step_{step}.pt")
    run = record(small_net().to(model), "step_*.pt", (x, None), "run")
    warned = [text for text in caplog.messages if "not kept as they are" in text]
    assert len(warned) == (said is not None)
    assert said is None or f"fc1.weight {said}, and 5 more" in warned[0]
    kept = run.step_info(2).provenance.get("changed")
    assert kept == (None if said is None else [said])


FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
FLOATS += [torch.float8_e4m3fn, torch.float8_e5m2]
WHOLE = [torch.int64, torch.int32, torch.int8, torch.uint8, torch.uint16, torch.bool]


@pytest.mark.parametrize("file", FLOATS)
@pytest.mark.parametrize("model", FLOATS)
def test_floats_that_a_model_does_not_hold_are_told(file, model):
    info = torch.finfo(file)
    extremes = [info.max, -info.max, 1 + info.eps, info.tiny * info.eps]
    given = torch.tensor(extremes, dtype=torch.float64).to(file)
    kept = torch.equal(given.to(model).double(), given.double())
    changed = changed_kinds({"w": torch.zeros(4, dtype=model)}, {"w": given})
    assert bool(changed) == (not kept)


@pytest.mark.parametrize("file", WHOLE)
@pytest.mark.parametrize("model", WHOLE)
def test_whole_numbers_that_a_model_does_not_hold_are_told(file, model):
    kept = np.can_cast(*(torch.ones(1, dtype=dtype).numpy().dtype for dtype in (file, model)))
    given = torch.ones(4, dtype=file)
    changed = changed_kinds({"w": torch.zeros(4, dtype=model)}, {"w": given})
    assert bool(changed) == (not kept)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.complex32])
def test_tied_weights_of_rare_dtypes(dtype):
    given = torch.ones(3, 3).to(dtype)
    model = nn.ModuleDict({name: nn.Linear(3, 3, bias=False) for name in "ab"}).to(torch.float32)
    model["a"].weight = model["b"].weight = nn.Parameter(given.clone(), requires_grad=False)
    torch.save({"a.weight": given, "b.weight": given}, "c.pt")
    assert not load_into(model, load_weights(Path("c.pt")), Path("c.pt"))
    torch.save({"a.weight": given, "b.weight": torch.zeros(3, 3).to(dtype)}, "c.pt")
    with pytest.raises(DataError, match="one tensor in the model, two different"):
        load_into(model, load_weights(Path("c.pt")), Path("c.pt"))


class Small(nn.Module):
    """Keeps its weights in 8-bit floats, and computes in single precision."""

    def __init__(self, dtype):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 5).to(dtype), requires_grad=False)
        self.act = nn.Tanh()

    def forward(self, x):
        return self.act(x @ self.weight.float().T)


@pytest.mark.parametrize("file", [torch.float8_e4m3fn, torch.float8_e5m2, torch.float32])
def test_model_of_8_bit_floats_is_recorded(file, caplog):
    given = torch.linspace(-2, 2, 20).reshape(4, 5).to(file)
    torch.save({"weight": given}, "step_1.pt")
    x = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    run = record(Small(torch.float8_e4m3fn), "step_1.pt", (x, None), "run")
    weight = given.to(torch.float8_e4m3fn).float()
    expected = torch.tanh(torch.from_numpy(x) @ weight.T).numpy()
    np.testing.assert_array_equal(run.activations(1, "act"), expected)
    said = any("not kept as they are" in text for text in caplog.messages)
    assert said == (file is not torch.float8_e4m3fn)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (lambda s: {**s, "fc1.weight": torch.zeros(2, 2)}, r"fc1.weight: expected shape"),
        (lambda s: {**s, "more": torch.zeros(2)}, "unexpected more"),
        (lambda s: {k: v for k, v in s.items() if k != "fc1.bias"}, "missing fc1.bias"),
    ],
)
def test_what_torch_refuses_is_refused_in_our_words(state, message):
    found = state(small_net().state_dict())
    with pytest.raises(RuntimeError):
        small_net().load_state_dict(found)
    torch.save(found, "c.pt")
    with pytest.raises(DataError, match=message):
        load_into(small_net(), load_weights(Path("c.pt")), Path("c.pt"))


def test_a_counter_of_floats_is_told_where_it_is_no_whole_number():
    state = {k: v.float() for k, v in norm().state_dict().items()}
    for extra, changed in ((3.0, ()), (0.5, (("1.num_batches_tracked", "float32 -> int64"),))):
        state["1.num_batches_tracked"] += extra
        torch.save(state, "c.pt")
        assert load_into(norm(), load_weights(Path("c.pt")), Path("c.pt")).changed == changed


def whole():
    """Return parts of one tensor that is a parameter, too, registered before them or after."""
    model, tensor = nn.Module(), torch.randn(12)
    for name, part in (("a", tensor), ("q", tensor[:4]), ("k", tensor[4:8]), ("v", tensor[8:])):
        model.register_parameter(name, nn.Parameter(part))
    return model


@pytest.mark.parametrize("other", ["q", "k", "v", "a"])
def test_a_part_of_a_tensor_that_differs(other):
    torch.save(drawn(whole, 1).state_dict(), "c.pt")
    assert not load_into(drawn(whole, 2), load_weights(Path("c.pt")), Path("c.pt"))
    state = drawn(whole, 1).state_dict()
    state[other] = state[other] + 1
    torch.save(state, "c.pt")
    with pytest.raises(DataError, match="one tensor in the model"):
        load_into(drawn(whole, 2), load_weights(Path("c.pt")), Path("c.pt"))


def test_quantised_network_is_recorded():
    x = np.random.default_rng(0).normal(size=(50, 6)).astype("f4")
    trained = quantised()
    torch.save(trained.state_dict(), "step_1.pt")
    run = record(quantised(), "step_1.pt", (x, None), "run")
    expected = trained(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(run.activations(1, "2"), expected)


def test_a_state_dict_in_other_places_keeps_its_versions():
    model = drawn(Versioned, 1)
    state = saved_by_version_1(copy.deepcopy(model))
    for content, key in (
        ({"model": state}, None),
        ({"ema": {"model": state}, "step": 3}, "ema.model"),
    ):
        torch.save(content, "c.pt")
        found = drawn(Versioned, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            load_into(found, load_weights(Path("c.pt"), key), Path("c.pt"))
        assert torch.allclose(found.scale, model.scale)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.out = nn.LSTM(4, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x):
        return self.out(self.rnn(x)[0])


def test_weights_that_only_code_unpacks_are_named():
    model = torch.ao.quantization.quantize_dynamic(Recurrent(), {nn.LSTM, nn.Linear})
    torch.save(model.state_dict(), "c.pt")
    with pytest.raises(DataError, match=r"an object under 'rnn\._all_weight_values") as error:
        load_weights(Path("c.pt"))
    assert "weights_only=False" in error.value.hint
    other = torch.ao.quantization.quantize_dynamic(Recurrent(), {nn.LSTM, nn.Linear})
    other.load_state_dict(torch.load("c.pt", weights_only=False))  # as the hint says
    x = torch.rand(5, 3, 4)
    with Recorder(other, (x, None), "run", layers=["out"]) as recorder:
        recorder.snapshot(0)
    expected = model(x).detach().numpy().reshape(5, -1)
    np.testing.assert_array_equal(Run("run").activations(0, "out"), expected)


def test_float_weights_of_a_quantised_model_are_named():
    torch.save(nn.Sequential(nn.Linear(6, 8)).state_dict(), "c.pt")
    with pytest.raises(DataError, match=r"missing 0\.scale.*unexpected 0\.weight"):
        load_into(dynamic()[:1], load_weights(Path("c.pt")), Path("c.pt"))


class Optional(nn.Module):
    """Takes a scale from the file if there is one, and keeps it as a plain attribute."""

    def __init__(self):
        super().__init__()
        self.body, self.act, self.scale = nn.Linear(3, 4), nn.Tanh(), 1.0

    def _load_from_state_dict(self, state, prefix, *rest):
        if f"{prefix}scale" in state:
            self.scale = float(state.pop(f"{prefix}scale"))
        super()._load_from_state_dict(state, prefix, *rest)

    def forward(self, x):
        return self.act(self.scale * self.body(x))


class Counting(Optional):
    """Counts in a hook how often weights were loaded."""

    def __init__(self):
        super().__init__()
        self.register_load_state_dict_post_hook(self._count)

    @staticmethod
    def _count(module, keys):
        module.scale += 1.0


@pytest.mark.parametrize("make", [Optional, Counting])
@pytest.mark.parametrize("prefix", ["", "module.", "net."])
def test_a_step_does_not_depend_on_what_was_loaded_before(make, prefix):
    x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    model = drawn(make, 0)
    state = {f"{prefix}{name}": value for name, value in model.state_dict().items()}
    torch.save({**state, f"{prefix}scale": torch.tensor(5.0)}, "step_1.pt")
    torch.save(state, "step_2.pt")
    run = record(lambda: drawn(make, 1), ["step_2.pt"], (x, None), "alone")
    alone = run.activations(2, "act")
    model.load_state_dict(model.state_dict())
    np.testing.assert_allclose(alone, model(torch.tensor(x)).detach().numpy(), rtol=1e-6)
    if make is Counting:
        torch.save(state, "step_1.pt")
    together = record(lambda: drawn(make, 1), "step_*.pt", (x, None), "together")
    np.testing.assert_array_equal(together.activations(2, "act"), alone)
    assert (together.activations(1, "act") == alone).all() == (make is Counting)
