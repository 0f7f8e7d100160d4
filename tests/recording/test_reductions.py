"""Reductions against what they are defined as."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from infoplane.errors import DataError, InputError, NotFoundError
from infoplane.recording.hooks.reductions import Reduction
from infoplane.recording.probes.from_arrays import as_probe
from infoplane.recording.recorder import Recorder
from infoplane.runs.run import Run
from tests.conftest import infoplane_here as infoplane

MAPS = torch.randn(6, 4, 8, 8, generator=torch.Generator().manual_seed(0))
TOKENS = torch.randn(6, 5, 3, generator=torch.Generator().manual_seed(1))
MASK = torch.tensor(
    [[1, 1, 1, 0, 0], [1] * 5, [0, 0, 1, 1, 1], [1, 1, 1, 1, 0], [1] * 5, [0, 0, 1, 1, 1]]
)


def reduced(text, tensor, mask=None, name="layer"):
    reduction = Reduction.parse(text)
    every = None if mask is None else mask.numpy()
    positions = reduction.positions(name, tensor.shape[1], every)
    return reduction.applied(tensor, name, mask, positions)


def test_maps():
    torch.testing.assert_close(reduced("gap", MAPS), MAPS.mean((2, 3)))
    parts = MAPS.reshape(6, 4, 2, 4, 2, 4).mean((3, 5))
    torch.testing.assert_close(reduced("grid:2", MAPS), parts)
    assert reduced("grid:2", MAPS[..., 0]).shape == (6, 4, 2)
    assert reduced("flatten", MAPS) is MAPS


@pytest.mark.parametrize("kind", ["gap", "mean", "tokens:2", "sketch:3"])
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_values_that_other_layouts_stand_for_are_reduced(kind):
    quantised = torch.quantize_per_tensor(TOKENS, 0.5, 0, torch.qint8)
    assert torch.equal(reduced(kind, quantised), reduced(kind, quantised.dequantize()))
    some = TOKENS.relu()
    assert torch.equal(reduced(kind, some.to_sparse()), reduced(kind, some))
    with pytest.raises(DataError, match=f"layer 'layer': {kind} needs real numbers"):
        reduced(kind, torch.complex(TOKENS, TOKENS))


def test_sums_of_whole_numbers_are_exact():
    large = torch.arange(6)[:, None] + 2**40 + torch.zeros(6, 1, 5, dtype=torch.int64)
    assert torch.equal(reduced("gap", large)[:, 0], torch.arange(6) + 2.0**40)


def test_tokens():
    assert torch.equal(reduced("last", TOKENS), TOKENS[:, -1])
    torch.testing.assert_close(reduced("mean", TOKENS), TOKENS.mean(1))
    chosen = reduced("tokens:2", TOKENS)
    assert chosen.shape == (6, 2, 3)
    assert torch.equal(chosen, reduced("tokens:2", TOKENS))


def test_masked_tokens_do_not_count():
    last = [2, 4, 4, 3, 4, 4]
    assert torch.equal(reduced("last", TOKENS, MASK), TOKENS[torch.arange(6), last])
    expected = torch.stack([t[m == 1].mean(0) for t, m in zip(TOKENS, MASK, strict=True)])
    torch.testing.assert_close(reduced("mean", TOKENS, MASK), expected)
    assert torch.equal(reduced("tokens:1", TOKENS, MASK), TOKENS[:, 2:3])  # the only one of all
    with pytest.raises(DataError, match="1 of 5 positions have a token in every sample"):
        reduced("tokens:2", TOKENS, MASK)


def test_nothing_grows_by_a_reduction():
    torch.testing.assert_close(reduced("grid:9", MAPS), MAPS)
    wide = torch.randn(6, 4, 2, 30)
    parts = reduced("grid:3", wide)
    assert parts.shape == (6, 4, 2, 3)
    torch.testing.assert_close(parts, wide.reshape(6, 4, 2, 3, 10).mean(-1))
    torch.testing.assert_close(reduced(f"sketch:{MAPS[0].numel()}", MAPS), MAPS.flatten(1))


def test_sketch_is_linear_keeps_inner_products_and_follows_the_name():
    x = torch.randn(60, 3000, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    one = reduced("sketch:512", x)
    torch.testing.assert_close(reduced("sketch:512", 2 * x[:30] - x[30:]), 2 * one[:30] - one[30:])
    # Each squared norm is unbiased with a relative standard error of at most sqrt(2 / 512) = 0.06.
    ratio = (one**2).sum(1) / (x**2).sum(1)
    assert abs(ratio.mean() - 1) < 4 * 0.0625 / 60**0.5
    assert not torch.equal(one, reduced("sketch:512", x, name="other"))
    assert torch.equal(one, reduced("sketch:512", x))


@pytest.mark.parametrize("text", ["", "median", "grid", "grid:", "grid:0", "gap:3", "sketch:x"])
def test_unknown_reductions(text):
    with pytest.raises(InputError, match="expected a"):
        Reduction.parse(text)


@pytest.mark.parametrize(("text", "tensor"), [("gap", TOKENS[0]), ("last", MAPS), ("mean", MAPS)])
def test_axes_that_do_not_fit(text, tensor):
    with pytest.raises(DataError, match="needs an output of shape") as error:
        reduced(text, tensor)
    assert "--reduce 'layer=sketch:1024'" in error.value.hint


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.act = nn.Conv2d(1, 20, 3, padding=1), nn.Tanh()
        self.out = nn.Linear(20, 2)

    def forward(self, x):
        return self.out(self.act(self.conv(x)).mean((2, 3)))


def test_a_large_layer_asks_for_a_choice(tmp_path):
    model, x = Convolutional(), torch.randn(12, 1, 30, 30)
    probe = as_probe(x, np.arange(12) % 2)
    message = r"20 x 30 x 30 = 18,000 units"
    with (
        Recorder(model, probe, tmp_path / "a", layers=["*"]) as one,
        pytest.raises(DataError, match=message) as error,
    ):
        one.snapshot(0)
    assert "--reduce 'conv=sketch:1024'" in error.value.hint
    reduce = {"*": "flatten", "act": "sketch:64"}
    with Recorder(model, probe, tmp_path / "b", reduce=reduce, batch_size=5) as recorder:
        recorder.snapshot(0)
    run = Run(tmp_path / "b")
    assert [layer.reduction for layer in run.layers] == ["none", "sketch:64", "none"]
    with torch.no_grad():
        h = model.conv(x)
        np.testing.assert_allclose(run.activations(0, "conv"), h.flatten(1), atol=1e-6)
        sketch = reduced("sketch:64", torch.tanh(h), name="act")
        np.testing.assert_allclose(run.activations(0, "act"), sketch, atol=1e-5)
    with pytest.raises(NotFoundError, match="no chosen layer matches 'fc'"):
        Recorder(model, probe, tmp_path / "c", reduce={"fc": "gap"})


def test_reductions_and_sizes_on_the_command_line(project):
    record = ("record", "--model", "net.py:build", "--data", "probe.npz", "-o", "run")
    record += ("--checkpoints", "ckpt/*.pt", "--layers", "fc1", "--layers", "fc2")
    done = infoplane(*record, "--max-size", "5K")
    assert done.code == 3
    # 3 steps, 120 samples, 4 + 3 units of 4 bytes
    assert "3 steps x 120 samples x 28 bytes = 10,080 bytes, more than the 5,000 bytes" in done.err
    assert "fc1 16 bytes, fc2 12 bytes" in done.err
    assert not Path("run").exists()
    assert infoplane(*record, "--max-size", "20K", "--reduce", "fc1=sketch:2").code == 0
    assert Run(Path("run")).layers[0].shape == (2,)
    for options in (["--max-size", "big"], ["--reduce", "fc1"], ["--reduce", "fc1=median"]):
        assert infoplane(*record, *options, "--overwrite").code == 2
