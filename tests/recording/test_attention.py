"""Attention that is recorded: against the weights of the model, masks, padding, what is refused."""

import logging
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  - as torch calls it

import infoplane
from infoplane import InputError, NotFoundError, Recorder, Run
from infoplane.errors import DataError
from infoplane.plots.figures import draw
from infoplane.runs.pack import pack
from tests.plots.test_figures import outside, overlapping
from tests.workers import Serial

N, LENGTH, HEADS = 11, 7, 2
TOKENS = torch.randn(N, LENGTH, 8, generator=torch.Generator().manual_seed(0))


class Attending(nn.Module):
    """Causal or masked attention by torch's function, in heads; what it saw is kept."""

    def __init__(self, causal=False, mask=None, scale=None):
        super().__init__()
        torch.manual_seed(1)
        self.project, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.causal, self.mask, self.scale = causal, mask, scale

    def heads(self, x):
        q, k, v = self.project(3 * x).chunk(3, -1)
        return [one.view(*x.shape[:2], HEADS, 4).transpose(1, 2) for one in (q, k, v)]

    def forward(self, x):
        q, k, v = self.heads(x)
        made = F.scaled_dot_product_attention(
            q, k, v, attn_mask=self.mask, is_causal=self.causal, scale=self.scale
        )
        return self.out(made.transpose(1, 2).flatten(2))


def recorded(model, inputs, path, attention=True, **options):
    with Recorder(model, (inputs, None), path, attention=attention, **options) as recorder:
        recorder.snapshot(0)
    return Run(path)


def entropies(run, name=None):
    found = [slot for slot in run.slots if slot.kind == "attention"]
    [slot] = [one for one in found if name is None or one.name == name]
    return run.of_samples(0, slot)


def of_weights(weights, seen=None, counts=None):
    """Return entropy and share (n_samples, n_heads) of weights, queries that count alone."""
    weights = weights.double()
    seen = (
        torch.ones_like(weights, dtype=torch.bool) if seen is None else seen.expand(weights.shape)
    )
    counts = seen.any(-1) if counts is None else counts[:, None].expand(weights.shape[:-1])
    found = -torch.special.xlogy(weights, weights).sum(-1).nan_to_num() / math.log(2)
    number = seen.sum(-1)
    several = counts & (number > 1)
    share = found / number.clamp(min=2).log2()
    parts = [(v * c).sum(-1) / c.sum(-1) for v, c in ((found, counts), (share, several))]
    return torch.stack(parts, -1).detach().numpy()


@pytest.mark.parametrize("batch_size", [1, 4, 512])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_scaled_dot_product_attention(causal, scale, batch_size, tmp_path):
    model = Attending(causal, scale=scale)
    q, k, _ = model.heads(TOKENS)
    scores = q @ k.mT * (0.5 if scale is None else scale)
    seen = torch.ones(LENGTH, LENGTH, dtype=torch.bool)
    seen = seen.tril() if causal else seen
    expected = of_weights(scores.masked_fill(~seen, -math.inf).softmax(-1), seen)
    run = recorded(model, TOKENS, tmp_path / "run", batch_size=batch_size)
    np.testing.assert_allclose(entropies(run), expected, atol=1e-5)
    [slot] = [one for one in run.slots if one.kind == "attention"]
    assert (slot.type, slot.shape, slot.axes) == ("Attending", (HEADS, 2), ("head", "measure"))


@pytest.mark.parametrize("additive", [False, True])
def test_masked_keys_and_queries_do_not_count(additive, tmp_path):
    seen = torch.ones(LENGTH, LENGTH, dtype=torch.bool)
    seen[:, 5:] = False  # padding: nobody sees it, and it is no query
    mask = torch.zeros(seen.shape).masked_fill(~seen, -1e9) if additive else seen
    model = Attending(mask=mask)
    q, k, _ = model.heads(TOKENS)
    weights = (q @ k.mT * 0.5).masked_fill(~seen, -math.inf).softmax(-1)
    expected = of_weights(weights, seen, torch.arange(LENGTH).expand(N, -1) < 5)
    np.testing.assert_allclose(
        entropies(recorded(model, TOKENS, tmp_path / "run")), expected, atol=1e-5
    )


def test_values_of_the_model_stay_as_they_are(tmp_path):
    """Nor do its operations change: what watches attention is none of the model's."""
    model, layers = Attending(True), ["out", "op:*"]
    watched = recorded(model, TOKENS, tmp_path / "watched", layers=layers)
    plain = recorded(model, TOKENS, tmp_path / "plain", attention=False, layers=layers)
    assert [one.name for one in watched.layers] == [one.name for one in plain.layers]
    for one in plain.layers:
        expected = plain.activations(0, one.name)
        np.testing.assert_array_equal(watched.activations(0, one.name), expected)


class Encoder(nn.Module):
    def __init__(self, batch_first):
        super().__init__()
        torch.manual_seed(2)
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=batch_first)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.axis = 0 if batch_first else 1

    def forward(self, x, key_padding_mask):
        made = self.body(x.movedim(0, self.axis), src_key_padding_mask=key_padding_mask)
        return made.movedim(self.axis, 0)


@pytest.mark.parametrize("batch_first", [True, False])
def test_multi_head_attention_under_a_padding_mask(batch_first, tmp_path):
    model = Encoder(batch_first).eval()
    padding = torch.zeros(N, LENGTH, dtype=torch.bool)
    padding[:4, 5:] = True
    inputs = {"x": TOKENS, "key_padding_mask": padding}
    run = recorded(model, inputs, tmp_path / "run", layers=["body.layers.0.norm2"],
                   batch_dims={"body.layers.0.norm2": model.axis}, batch_size=3)  # fmt: skip
    first = model.body.layers[0].self_attn
    x = TOKENS.movedim(0, model.axis)
    with torch.no_grad():
        weights = first(x, x, x, key_padding_mask=padding, average_attn_weights=False)[1]
    expected = of_weights(weights, ~padding[:, None, None], ~padding)
    np.testing.assert_allclose(entropies(run, "body.layers.0.self_attn"), expected, atol=1e-5)
    assert sum(one.kind == "attention" for one in run.slots) == 2


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_hugging_face_models(implementation, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"n_layer": 2, "n_head": 2, "n_embd": 8, "vocab_size": 30, "n_positions": 16}
    config = transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)
    config._attn_implementation = implementation
    model = transformers.GPT2Model(config).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    ids = torch.randint(0, 30, (N, 9))
    mask = torch.ones_like(ids)
    mask[:5, 6:] = 0  # padding on the right
    mask[8:, :2] = 0  # and on the left
    run = recorded(model, {"input_ids": ids, "attention_mask": mask}, tmp_path / "run",
                   layers=["h.0.mlp.act"], batch_size=4)  # fmt: skip
    assert model.config._attn_implementation == implementation
    model.config._attn_implementation = "eager"
    with torch.no_grad():
        weights = model(ids, attention_mask=mask, output_attentions=True).attentions
    seen = torch.ones(9, 9, dtype=torch.bool).tril() & mask.bool()[:, None, None]
    for layer in (0, 1):
        expected = of_weights(weights[layer], seen, mask.bool())
        np.testing.assert_allclose(entropies(run, f"h.{layer}.attn"), expected, atol=1e-4)


def test_samples_that_are_masked_everywhere_are_left_out(tmp_path):
    mask = torch.ones(N, 1, LENGTH, LENGTH, dtype=torch.bool)
    mask[3] = False

    class Masked(Attending):
        def forward(self, x, seen):
            self.mask = seen
            return super().forward(x)

    inputs = {"x": TOKENS, "seen": mask}
    run = recorded(Masked(), inputs, tmp_path / "run", layers=["project"])
    found = entropies(run)
    assert np.isnan(found[3]).all()
    assert np.isfinite(np.delete(found, 3, 0)).all()
    rows = infoplane.analyze(run, "attention", executor=Serial())["rows"]
    assert {row["diag"]["left_out"] for row in rows} == {1}
    assert {row["n"] for row in rows} == {N - 1}
    mask[:] = False
    run = recorded(Masked(), inputs, tmp_path / "all", layers=["project"])
    [row, _] = infoplane.analyze(run, "attention", executor=Serial())["rows"]
    assert row["value"] is None
    assert "all are masked" in row["diag"]["reason"]


@pytest.fixture(scope="module")
def run_of_heads(tmp_path_factory):
    """A run of two heads: one looks at all tokens alike, the other at one."""
    model = Attending()
    with torch.no_grad():
        model.project.weight[:4] = 0.0  # queries of the first head
        model.project.bias[:4] = 0.0
        model.project.weight[4:8] *= 1e4
    return recorded(model, TOKENS, tmp_path_factory.mktemp("heads") / "run")


def test_estimates_of_heads(run_of_heads):
    entropy, share = infoplane.analyze(run_of_heads, "attention", executor=Serial())["rows"]
    assert (entropy["quantity"], share["quantity"]) == ("attention_entropy", "attention_share")
    assert entropy["subject"] == "attention model"
    assert entropy["diag"]["heads"] == pytest.approx([math.log2(7), 0.0], abs=1e-3)
    assert entropy["diag"]["shares"] == pytest.approx([1.0, 0.0], abs=1e-3)
    assert entropy["value"] == pytest.approx(math.log2(7) / 2, abs=1e-3)
    assert (entropy["diag"]["overloaded"], entropy["diag"]["collapsed"]) == ([0], [1])
    assert {"overloaded_heads", "collapsed_heads"} <= set(share["flags"])
    assert share["bound_high"] == 1.0


def test_figure_of_heads(run_of_heads):
    results = infoplane.analyze(run_of_heads, "attention", executor=Serial())
    first = draw(results, "attention").axes[0]
    assert first.images[0].get_array().shape == (1, HEADS)
    assert first.get_title(loc="left") == "step 0"


def many_modules(results, n_modules, n_steps):
    """Return results as of more modules and steps."""
    rows = [
        {**row, "step": step, "layer": name, "subject": name, "layer_index": index}
        for row in results["rows"]
        for index in range(n_modules)
        for step in range(n_steps)
        for name in [f"attention transformer.h.{index}.attn"]
    ]
    return {**results.document, "rows": rows}


@pytest.mark.parametrize(("n_modules", "n_steps"), [(1, 1), (2, 4), (48, 7)])
@pytest.mark.parametrize("size", ["double", 3.5, "slide"])
def test_figure_of_few_and_many_modules(n_modules, n_steps, size, run_of_heads):
    results = infoplane.analyze(run_of_heads, "attention", executor=Serial())
    figure = draw(many_modules(results, n_modules, n_steps), "attention", size=size)
    figure.draw_without_rendering()
    assert figure.axes[0].images[0].get_array().shape == (n_modules, HEADS)
    assert outside(figure) == []
    assert overlapping(figure) == []


def test_figure_needs_attention(tmp_path):
    run = recorded(nn.Sequential(nn.Linear(8, 3)), TOKENS[:, 0], tmp_path / "run", attention=False)
    results = infoplane.analyze(run, "binning:bins=4", executor=Serial())
    with pytest.raises(NotFoundError, match="needs the entropy of heads"):
        draw(results, "attention")
    with pytest.raises(NotFoundError, match="attention measures attention: none is recorded"):
        infoplane.analyze(run, "attention", executor=Serial())


def test_packed_resumed_and_sharded(tmp_path):
    run = recorded(Attending(True), TOKENS, tmp_path / "run")
    pack(run, tmp_path / "run.h5")
    np.testing.assert_array_equal(entropies(Run(tmp_path / "run.h5")), entropies(run))
    with Recorder(Attending(True), (TOKENS, None), tmp_path / "run", attention=True,
                  resume=True) as recorder:  # fmt: skip
        recorder.snapshot(0)
        recorder.snapshot(1)
    assert recorder.kept == [0]
    for index in range(2):
        recorded(Attending(True), TOKENS, tmp_path / "parts", shard=(index, 2))
    np.testing.assert_allclose(entropies(Run(tmp_path / "parts")), entropies(run), atol=1e-6)


def test_with_noisy_passes_the_first_counts(tmp_path):
    model = nn.Sequential(nn.Dropout(0.5), Attending())
    run = recorded(model, TOKENS, tmp_path / "run", keep_dropout=True, passes=3)
    assert entropies(run).shape == (N, HEADS, 2)
    one = recorded(model, TOKENS, tmp_path / "one", keep_dropout=True)
    np.testing.assert_array_equal(entropies(run), entropies(one))


@pytest.mark.parametrize(
    ("asked", "error", "text"),
    [
        ("h.*", DataError, r"no attention matches 'h.\*'"),
        (["*", 3], InputError, "expected True, False or globs"),
        (7, InputError, "expected True, False or globs"),
    ],
)
def test_what_is_not_there_is_told(asked, error, text, tmp_path):
    with pytest.raises(error, match=text):
        recorded(Attending(), TOKENS, tmp_path / "run", attention=asked)


def test_models_without_attention_are_told(tmp_path):
    with pytest.raises(DataError, match="attention: none was found in the model") as error:
        recorded(nn.Sequential(nn.Linear(8, 3)), TOKENS[:, 0], tmp_path / "run")
    assert "\n" not in str(error.value)


@pytest.fixture(autouse=True)
def _warnings_are_seen(caplog):
    caplog.set_level(logging.WARNING, logger="infoplane")
