"""Models that a plain hook records wrongly: each is recorded as computed by hand, or refused."""

import copy
import dataclasses
import gc
import re
import weakref
from collections import namedtuple
from queue import SimpleQueue

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from infoplane.errors import DataError, InputError, NotFoundError
from infoplane.recording.recorder import Recorder
from infoplane.runs.run import Run


def recorded(model, probe, path, **options):
    torch.manual_seed(0)
    with Recorder(model, probe, path, batch_size=200, **options) as recorder:
        recorder.snapshot(0)
    return Run(path)


def names(run):
    return [layer.name for layer in run.layers]


class Encoder(nn.Module):
    """Returns a dictionary that holds a tuple."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 4)

    def forward(self, x):
        h = self.fc(x)
        return {"ids": h.argmax(1, keepdim=True), "last": h, "all": (h * 2, h[:, :2])}


Pair = namedtuple("Pair", ["left", "right"])


@dataclasses.dataclass
class Output:
    scores: torch.Tensor
    hidden: tuple


def returning(function):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = Body()

        def forward(self, x):
            return self.body(x)

    class Body(nn.Module):
        def forward(self, x):
            return function(x)

    return Net()


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder()

    def forward(self, x):
        return self.encoder(x)["last"]


def test_a_tensor_inside_an_output_is_chosen_by_its_address(tmp_path, probe):
    model = Nested()
    run = recorded(
        model,
        probe,
        tmp_path / "r",
        layers=["encoder", "encoder['all'][1]", "encoder['all'][0]", "encoder['ids']"],
    )
    assert names(run) == ["encoder", "encoder['all'][1]", "encoder['all'][0]", "encoder['ids']"]
    with torch.no_grad():
        h = model.encoder.fc(torch.from_numpy(probe.inputs)).numpy()
    np.testing.assert_array_equal(run.activations(0, "encoder"), h)  # the first floating tensor
    np.testing.assert_array_equal(run.activations(0, "encoder['all'][0]"), 2 * h)
    np.testing.assert_array_equal(run.activations(0, "encoder['all'][1]"), h[:, :2])
    np.testing.assert_array_equal(run.activations(0, "encoder['ids']"), h.argmax(1)[:, None])


@pytest.mark.parametrize(
    ("function", "pattern", "scale"),
    [
        (lambda x: (None, [x, 3 * x]), "body[1][1]", 3),
        (lambda x: Pair(x, 2 * x), "body['right']", 2),
        (lambda x: Pair(x, 2 * x), "body[1]", 2),
        (lambda x: Output(x, (x, 5 * x)), "body['hidden'][1]", 5),
        (lambda x: {"a b": {"c": 4 * x}}, 'body["a b"]["c"]', 4),
    ],
)
def test_addresses_in_every_kind_of_structure(tmp_path, probe, function, pattern, scale):
    run = recorded(returning(function), probe, tmp_path / "r", layers=pattern)
    (name,) = names(run)
    assert name == pattern.replace('"', "'")
    np.testing.assert_array_equal(run.activations(0, name), probe.inputs * np.float32(scale))


def test_output_of_a_hugging_face_model(tmp_path, probe):
    modeling = pytest.importorskip("transformers.modeling_outputs")

    def output(x):
        return modeling.BaseModelOutput(last_hidden_state=x, hidden_states=(x, 2 * x))

    run = recorded(
        returning(output),
        probe,
        tmp_path / "r",
        layers=["body['hidden_states'][1]", "body['last_hidden_state']"],
    )
    np.testing.assert_array_equal(run.activations(0, names(run)[0]), 2 * probe.inputs)
    np.testing.assert_array_equal(run.activations(0, names(run)[1]), probe.inputs)


def test_address_that_is_not_there_says_what_is(tmp_path, probe):
    for pattern in ("encoder['nope']", "encoder[0]", "encoder['last'][0]['x']"):
        with pytest.raises(DataError) as error:
            recorded(Nested(), probe, tmp_path / "r", layers=pattern)
        assert "['last'] (120, 4), ['all'][0] (120, 4), ['all'][1] (120, 2)" in str(error.value)
    with pytest.raises(DataError, match=r"dict holds \['ids'\]"):
        recorded(Nested(), probe, tmp_path / "r", layers="encoder['all']")
    with pytest.raises(DataError, match="expected a tensor in its output; NoneType holds no ten"):
        recorded(returning(lambda x: None), probe, tmp_path / "r", layers="body")


def test_address_of_an_unknown_layer_is_not_found(tmp_path, probe):
    with pytest.raises(NotFoundError, match=r"no layer matches \"decoder\['last'\]\""):
        recorded(Nested(), probe, tmp_path / "r", layers="decoder['last']")


def test_input_of_a_layer(tmp_path, probe):
    class Scaled(nn.Module):
        def forward(self, x, other, *, scale):
            return x + other

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.relu, self.add = nn.Linear(5, 5), nn.ReLU(inplace=True), Scaled()

        def forward(self, x):
            h = self.fc(x)
            return self.add(x, self.relu(h), scale=2 * x)

    model = Net()
    chosen = ["relu", "add", "add[1]", "add['scale']"]
    run = recorded(model, probe, tmp_path / "r", layers=chosen, at="input")
    with torch.no_grad():
        h = model.fc(torch.from_numpy(probe.inputs)).numpy()
    np.testing.assert_array_equal(run.activations(0, "relu"), h)  # before it is overwritten
    np.testing.assert_array_equal(run.activations(0, "add"), probe.inputs)
    np.testing.assert_array_equal(run.activations(0, "add[1]"), np.maximum(h, 0))
    np.testing.assert_array_equal(run.activations(0, "add['scale']"), 2 * probe.inputs)
    assert run.manifest["at"] == "input"
    with pytest.raises(InputError, match="expected 'output' or 'input', got 'both'"):
        recorded(model, probe, tmp_path / "r2", at="both")


class Recurrent(nn.Module):
    """An LSTM over 5 time steps, the lengths of its sequences mixed."""

    def __init__(self, packed=False):
        super().__init__()
        self.packed = packed
        self.rnn = nn.LSTM(1, 3, batch_first=packed)

    def forward(self, x):
        if not self.packed:
            return self.rnn(x.T[:, :, None])[0]
        lengths = 1 + torch.arange(len(x)) % 5
        sequences = pack_padded_sequence(
            x[:, :, None], lengths, batch_first=True, enforce_sorted=False
        )
        return pad_packed_sequence(self.rnn(sequences)[0], batch_first=True)[0]


def test_packed_sequences_are_recorded_padded(tmp_path, probe):
    model = Recurrent(packed=True)
    run = recorded(model, probe, tmp_path / "r", layers=["rnn", "rnn[0][1]"])
    with torch.no_grad():
        expected = model(torch.from_numpy(probe.inputs)).numpy()
    assert run.layer("rnn").shape == (5, 3)
    np.testing.assert_array_equal(run.activations(0, "rnn"), expected.reshape(120, -1))
    np.testing.assert_array_equal(run.activations(0, "rnn[0][1]")[:, 0], 1 + np.arange(120) % 5)


def test_samples_that_are_not_on_the_first_axis_need_their_axis(tmp_path, probe):
    model = Recurrent()
    with pytest.raises(DataError, match=r"shape \(120, n_units\).*got \(5, 120, 3\)") as error:
        recorded(model, probe, tmp_path / "r", layers=["rnn"])
    assert "--batch-dim 'rnn=1'" in error.value.hint
    assert recorded(model, probe, tmp_path / "found").layer("rnn").shape == (5, 3)
    run = recorded(model, probe, tmp_path / "r", batch_dims={"r*": 1})
    with torch.no_grad():
        expected = model(torch.from_numpy(probe.inputs)).movedim(1, 0).flatten(1).numpy()
    np.testing.assert_array_equal(run.activations(0, "rnn"), expected)
    for bad in ({"fc": 1}, {"rnn": -1}):
        with pytest.raises((NotFoundError, InputError)):
            recorded(model, probe, tmp_path / "r2", batch_dims=bad)


def test_axis_of_the_samples_is_not_mistaken_where_lengths_agree(tmp_path, probe):
    """Five time steps of five samples: only another batch tells the two axes apart."""
    five = (probe.inputs[:5], probe.labels[:5])
    with pytest.raises(DataError, match=r"one row per sample of the batch, got \(5, \d, 3\)"):
        recorded(Recurrent(), five, tmp_path / "r", layers=["rnn"])
    assert recorded(Recurrent(), five, tmp_path / "found").layer("rnn").shape == (5, 3)
    run = recorded(Recurrent(), five, tmp_path / "r", batch_dims={"rnn": 1})
    assert run.layer("rnn").shape == (5, 3)


def test_model_of_one_batch_size_is_recorded(tmp_path, probe):
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.Tanh()

        def forward(self, x):
            return self.act(x.reshape(5, 5))

    run = recorded(Fixed(), (probe.inputs[:5], probe.labels[:5]), tmp_path / "r")
    assert run.layer("act").shape == (5,)


def test_shape_that_depends_on_the_batch_is_refused(tmp_path, probe):
    def longest(x):
        return x[:, : 1 + int((x[0, 0] > 0).item())]

    model = returning(longest)
    with (
        Recorder(model, probe, tmp_path / "r", layers="body", batch_size=1) as recorder,
        pytest.raises(
            DataError, match=r"shape \(\d,\) and dtype float32 in the batch from"
        ) as error,
    ):
        recorder.snapshot(0)
    assert "--batch-size 120" in error.value.hint


@pytest.mark.parametrize(
    ("then", "message"),
    [
        (lambda h: h.double(), r"shape \(4,\) and dtype float64 in the batch from row 60, shape"),
        (lambda h: h[:, :2], r"shape \(2,\) and dtype float32 in the batch from row 60, shape"),
        (None, r"absent in the batch from row 60, shape \(4,\) and dtype float32 in the first"),
    ],
)
@pytest.mark.parametrize("changed", [0, 60])
def test_layer_that_is_not_alike_in_all_batches_is_refused(tmp_path, probe, then, message, changed):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.act = nn.Linear(5, 4), nn.Tanh()

        def forward(self, x):
            h = self.fc(x)
            if x[0, 0] != probe.inputs[changed, 0]:
                return self.act(h)
            return h if then is None else self.act(then(h))

    with (
        Recorder(Net(), probe, tmp_path / "r", layers=["*"], batch_size=60) as recorder,
        pytest.raises(DataError, match="layer 'act': .* from row 60, .* in the first") as error,
    ):
        recorder.snapshot(0)
    if changed:
        assert re.search(message, str(error.value))
    assert not (tmp_path / "r").exists()


def test_what_has_as_many_rows_as_the_batch_by_chance_is_no_layer_of_samples(tmp_path, probe):
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.table = nn.Linear(5, 4), nn.Embedding(60, 4)

        def forward(self, x):
            return self.fc(x) + self.table(torch.arange(60)).mean(0)

    with (
        Recorder(Positions(), probe, tmp_path / "r", layers="table", batch_size=60) as recorder,
        pytest.raises(
            DataError, match=r"'table': expected an output of shape \(2, n_units\).* got \(60, 4\)"
        ),
    ):
        recorder.snapshot(0)


def test_model_that_fills_small_batches_up_is_recorded(tmp_path, probe):
    class Filled(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(5, 4)

        def forward(self, x):
            return self.fc(functional.pad(x, (0, 0, 0, -len(x) % 8)))[: len(x)]

    model = nn.Sequential(Filled())
    run = recorded(model, probe, tmp_path / "r", layers="0.fc")
    with torch.no_grad():
        expected = model(torch.from_numpy(probe.inputs)).numpy()
    np.testing.assert_array_equal(run.activations(0, "0.fc"), expected)


@pytest.mark.parametrize("n", [2, 3, 120])
@pytest.mark.parametrize("batch_size", [1, 2, 200])
def test_layers_of_one_unit_in_batches_of_any_size(tmp_path, probe, n, batch_size):
    model = nn.Linear(5, 1)
    x = probe.inputs[:n]
    with Recorder(
        nn.Sequential(model), (x, None), tmp_path / "r", batch_size=batch_size
    ) as recorder:
        recorder.snapshot(0)
    expected = [
        model(torch.from_numpy(x[i : i + batch_size])).detach() for i in range(0, n, batch_size)
    ]
    np.testing.assert_array_equal(Run(tmp_path / "r").activations(0, "0"), np.concatenate(expected))


def test_cells_shared_weights_and_tied_modules(tmp_path, probe):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.act = nn.GRUCell(1, 4), nn.ReLU()
            self.tied = self.act
            self.head = nn.Linear(4, 4)
            self.copy = nn.Linear(4, 4)
            self.copy.weight = self.head.weight

        def forward(self, x):
            h = torch.zeros(len(x), 4)
            for column in x.T:
                h = self.cell(column[:, None], h)
            return self.copy(self.tied(self.head(self.act(h))))

    model = Net()
    run = recorded(model, probe, tmp_path / "r")
    cells = [f"cell#{call}" for call in range(5)]
    assert names(run) == [*cells, "act#0", "head", "act#1", "copy"]
    h, x = torch.zeros(120, 4), torch.from_numpy(probe.inputs)
    with torch.no_grad():
        for name, column in zip(cells, x.T, strict=True):
            h = model.cell(column[:, None], h)
            np.testing.assert_array_equal(run.activations(0, name), h)
    run = recorded(model, probe, tmp_path / "alias", layers="tied")
    assert names(run) == ["tied#0", "tied#1"]


def test_output_that_aliases_the_input_keeps_its_value(tmp_path, probe):
    model = nn.Sequential(nn.Identity(), nn.Dropout(), nn.Flatten(), nn.ReLU(inplace=True))
    run = recorded(model, probe, tmp_path / "r", layers="*")
    for name in "012":
        np.testing.assert_array_equal(run.activations(0, name), probe.inputs)
    np.testing.assert_array_equal(run.activations(0, "3"), np.maximum(probe.inputs, 0))


def test_channels_last_is_recorded_in_the_order_of_the_axes(tmp_path, probe):
    images = probe.inputs.reshape(24, 5, 5)[:, None]
    model = nn.Sequential(nn.Conv2d(1, 3, 2)).to(memory_format=torch.channels_last)
    run = recorded(model, (images, np.arange(24) % 2), tmp_path / "r")
    with torch.no_grad():
        expected = model(torch.from_numpy(images)).flatten(1).numpy()
    np.testing.assert_array_equal(run.activations(0, "0"), expected)


def test_silent_modules_are_named_with_the_reason(tmp_path, probe, caplog):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stages = nn.ModuleList([nn.Sequential(nn.Linear(5, 5), nn.ReLU())])
            self.direct, self.unused = nn.Linear(5, 6), nn.Linear(5, 6)
            self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

        def forward(self, x):
            for layer in self.stages[0]:
                x = layer(x)
            x = self.direct.forward(x)[:, None]
            return self.attention(x, x, x)[0]

    run = recorded(Net(), probe, tmp_path / "r", layers="**")
    assert names(run) == ["stages.0.0", "stages.0.1", "attention"]
    (message,) = [record.getMessage() for record in caplog.records]
    for reason in (
        "stages (a container, which is never called; choose the layers inside it)",
        "stages.0 (only its sub-modules are called; choose those)",
        "direct (its forward() is called directly, which no hook sees; call the module itself)",
        "unused (not used on these inputs)",
        "attention.out_proj (MultiheadAttention uses its weights without calling it)",
    ):
        assert reason in message
    model = Net()
    with Recorder(model, probe, tmp_path / "none", layers="stages") as recorder:
        for step in (0, 1):
            with pytest.raises(DataError, match=r"none of the chosen .*: stages \(a container"):
                recorder.snapshot(step)
    assert all("forward" not in vars(module) for module in model.modules())


def test_transformer_encoder_calls_all_its_layers(tmp_path, probe):
    """Its fused path passes sub-modules by, and turns padded batches into nested tensors."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.embed, self.encoder = nn.Linear(1, 8), nn.TransformerEncoder(layer, 2)

        def forward(self, x):
            padding = torch.arange(5) >= 1 + torch.arange(len(x))[:, None] % 5
            return self.encoder(self.embed(x[:, :, None]), src_key_padding_mask=padding)

    torch.manual_seed(0)
    model = Net()
    both = recorded(model, probe, tmp_path / "all", layers=["encoder", "encoder.layers.*.linear2"])
    alone = recorded(model, probe, tmp_path / "one", layers="encoder")
    assert names(both) == ["encoder.layers.0.linear2", "encoder.layers.1.linear2", "encoder"]
    assert torch.backends.mha.get_fastpath_enabled()
    np.testing.assert_array_equal(both.activations(0, "encoder"), alone.activations(0, "encoder"))
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            expected = copy.deepcopy(model).eval()(torch.from_numpy(probe.inputs)).flatten(1)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    np.testing.assert_array_equal(both.activations(0, "encoder"), expected)


def test_wrapper_components_are_not_part_of_names(tmp_path, probe):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.DataParallel(nn.Sequential(nn.Linear(5, 3), nn.Tanh()))
            self.module = nn.Linear(3, 2)  # a layer that happens to be called so

        def forward(self, x):
            return self.module(self.body(x))

    model = torch.optim.swa_utils.AveragedModel(nn.DataParallel(Net()))
    run = recorded(model, probe, tmp_path / "r")
    assert names(run) == ["body.0", "body.1", "module"]


@pytest.mark.parametrize("wrong", ["script", "trace"])
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_is_refused(tmp_path, probe, wrong):
    inner = nn.Sequential(nn.Linear(5, 3))
    inputs = torch.from_numpy(probe.inputs)
    scripted = torch.jit.script(inner) if wrong == "script" else torch.jit.trace(inner, inputs)
    with pytest.raises(InputError, match="got TorchScript") as error:
        recorded(nn.Sequential(scripted), probe, tmp_path / "r")
    assert "before torch.jit" in error.value.hint


def test_layer_that_learns_in_evaluation_mode_is_told(tmp_path, probe):
    class Stubborn(nn.BatchNorm1d):
        def forward(self, x):
            self.train()
            return super().forward(x)

    model = nn.Sequential(nn.Linear(5, 3), Stubborn(3))
    with pytest.raises(DataError, match=r"changed 1\.running_mean, .* of the model"):
        recorded(model, probe, tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_weights_that_are_merged_for_evaluation_are_not_touched(tmp_path, probe):
    class LowRank(nn.Linear):
        def __init__(self):
            super().__init__(5, 5)
            self.more, self.merged = nn.Parameter(torch.randn(5, 5)), False

        def train(self, mode=True):
            if mode == self.merged:
                self.weight.data += self.more.data * (-1 if mode else 1)
                self.merged = not mode
            return super().train(mode)

        def forward(self, x):
            return super().forward(x) + (0 if self.merged else x @ self.more.T)

    torch.manual_seed(0)
    model = nn.Sequential(LowRank())
    before = copy.deepcopy(model)
    run = recorded(model, probe, tmp_path / "r")
    assert torch.equal(model[0].weight, before[0].weight)
    assert model[0].training
    assert not model[0].merged
    with torch.no_grad():
        expected = before(torch.from_numpy(probe.inputs)).numpy()
    np.testing.assert_array_equal(run.activations(0, "0"), expected)


def test_autocast_around_a_snapshot_is_off(tmp_path, probe):
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh())
    with torch.autocast("cpu", torch.bfloat16):
        run = recorded(model, probe, tmp_path / "r")
        assert torch.is_autocast_enabled("cpu")
    with torch.no_grad():
        expected = model(torch.from_numpy(probe.inputs)).numpy()
    np.testing.assert_array_equal(run.activations(0, "1"), expected)


def test_inputs_are_not_rounded_to_packed_weights(tmp_path, probe):
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            packed = torch.ones(5, 5).to(torch.float8_e4m3fn)
            self.weight = nn.Parameter(packed, requires_grad=False)
            self.scale, self.act = nn.Parameter(torch.ones(1)), nn.Identity()

        def forward(self, x):
            return self.act(x) @ self.weight.float() * self.scale

    run = recorded(Packed(), probe, tmp_path / "r", layers="act")
    np.testing.assert_array_equal(run.activations(0, "act"), probe.inputs)


def test_cache_that_grows_during_the_pass_is_no_change(tmp_path, probe):
    class Cached(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(5, 3)
            self.register_buffer("positions", torch.zeros(1), persistent=False)

        def forward(self, x):
            self.positions = torch.arange(len(x))
            return self.fc(x)

    assert names(recorded(Cached(), probe, tmp_path / "r")) == ["fc"]


def test_nothing_is_kept_alive(tmp_path, probe):
    outputs = SimpleQueue()  # a list would be put back

    class Seen(nn.Linear):
        def forward(self, x):
            outputs.put(weakref.ref(h := super().forward(x)))
            return h

    model = nn.Sequential(Seen(5, 3), nn.Tanh())
    with Recorder(model, probe, tmp_path / "r") as recorder:
        recorder.snapshot(0)
        gc.collect()
        assert not outputs.empty()
        while not outputs.empty():
            assert outputs.get()() is None
    kept = weakref.ref(model)
    del model, recorder
    gc.collect()
    assert kept() is None


VALUES = torch.tensor([[0.0, 1.5, -448.0, 0.001953125], [2.0, -0.0, 240.0, 0.25]])


@pytest.mark.parametrize(
    ("convert", "dtype", "expected"),
    [
        (lambda x: x.to(torch.float8_e4m3fn), "float8_e4m3fn", VALUES),
        (lambda x: x.to(torch.float8_e5m2), "float8_e5m2", VALUES.to(torch.float8_e5m2).float()),
        (lambda x: x.bfloat16(), "bfloat16", VALUES),
        (lambda x: x.half(), "float16", VALUES),
        (lambda x: x.to_sparse(), "float32", VALUES),
        (lambda x: x.to_sparse_csr(), "float32", VALUES),
        (lambda x: x > 0, "bool", VALUES > 0),
        (lambda x: x.to(torch.uint16), "uint16", torch.tensor([[0, 1, 65088, 0], [2, 0, 240, 0]])),
        (
            lambda x: torch.quantize_per_tensor(x, 0.5, 3, torch.qint32),
            "qint32",
            torch.tensor([[0.0, 1.5, -448.0, 0.0], [2.0, 0.0, 240.0, 0.5]]),
        ),
        (lambda x: torch.complex(x, 2 * x).conj().resolve_conj(), "complex64", "pairs"),
        (lambda x: torch.complex(x, 2 * x).conj(), "complex64", "pairs"),
    ],
)
@pytest.mark.filterwarnings("ignore:Sparse CSR:UserWarning")
@pytest.mark.filterwarnings("ignore:Sparse invariant:UserWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_values_of_every_dtype_and_layout_are_kept(tmp_path, convert, dtype, expected):
    model = returning(lambda x: convert(VALUES) if len(x) == 2 else None)
    run = recorded(model, (np.eye(2, dtype=np.float32), np.arange(2)), tmp_path / "r", layers="*")
    if isinstance(expected, str):
        expected = torch.stack([VALUES, -2 * VALUES], dim=-1).flatten(1)
    np.testing.assert_array_equal(run.activations(0, "body"), expected)


@pytest.mark.parametrize("kind", ["nested", "jagged", "meta", "MaskedTensor"])
@pytest.mark.filterwarnings("ignore:The PyTorch API of MaskedTensors:UserWarning")
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_tensors_without_plain_values_are_refused_by_name(tmp_path, probe, kind):
    def output(x):
        if kind == "meta":
            return x.to("meta")
        if kind == "MaskedTensor":
            return torch.masked.masked_tensor(x, x > 0)
        layout = torch.strided if kind == "nested" else torch.jagged
        return torch.nested.nested_tensor(
            [row[: 1 + i % 5] for i, row in enumerate(x)], layout=layout
        )

    word = "nested" if kind == "jagged" else kind
    with pytest.raises(DataError, match=rf"layer 'body': .*got a .*{word}"):
        recorded(returning(output), probe, tmp_path / "r", layers="body")


def test_model_on_meta_is_refused(tmp_path):
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(InputError, match=r"0\.weight on the device meta") as error:
        Recorder(model, (torch.ones(4, 3), None), tmp_path / "run")
    assert "to_empty" in error.value.hint


class Called(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.add_module("a#0", nn.Linear(3, 3))

    def forward(self, x):
        return self.a(self.get_submodule("a#0")(self.a(x)))


def test_module_named_as_a_call_of_another_is_refused(tmp_path):
    with (
        Recorder(Called(), (torch.ones(4, 3), None), tmp_path / "run") as recorder,
        pytest.raises(DataError, match="two layers would have the name 'a#0'") as error,
    ):
        recorder.snapshot(0)
    assert error.value.hint.endswith("--layers '!a#0'")


@pytest.mark.parametrize("model", [None, nn.Linear, {"weight": torch.ones(1)}])
def test_what_is_no_model_is_refused(tmp_path, model):
    with pytest.raises(InputError, match=r"expected a model, an instance of torch\.nn\.Module"):
        Recorder(model, (torch.ones(4, 3), None), tmp_path / "run")
    assert not (tmp_path / "run").exists()
