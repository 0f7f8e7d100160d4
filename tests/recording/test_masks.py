"""Tokens are kept under the mask of the tokens that a layer holds, or the layer is refused."""

import numpy as np
import pytest
import torch
from torch import nn

from infoplane.errors import DataError, InputError, NotFoundError
from infoplane.recording.recorder import Recorder
from infoplane.runs.run import Run

N = 30
RNG = np.random.default_rng(0)


def ids(length=8):
    return RNG.integers(3, 50, (N, length))


def right(length=8, least=2):
    return (np.arange(length) < RNG.integers(least, length + 1, N)[:, None]).astype(np.int64)


def left(length=8):
    return right(length)[:, ::-1].copy()


def outputs(model, data, layer):
    """What each call of a layer returns, by hand."""
    got = []
    module = model.get_submodule(layer)
    handle = module.register_forward_hook(
        lambda m, i, o: got.append(o[0] if type(o) is tuple else o)
    )
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    with torch.no_grad():
        model.eval()(**{name: torch.tensor(value) for name, value in data.items()})
    torch.backends.mha.set_fastpath_enabled(fused)
    handle.remove()
    return [one.numpy() for one in got]


def mean(h, real):
    return (h * real[..., None]).sum(1) / real.sum(1, keepdims=True)


def last(h, real):
    return np.stack([row[np.flatnonzero(keep)[-1]] for row, keep in zip(h, real, strict=True)])


KINDS = {"mean": mean, "last": last}


def check(path, model, data, layer, real, options=None, call=None):
    """Compare what is recorded with the reduction by hand."""
    h = outputs(model, data, layer)[call or 0]
    real = np.ones(h.shape[:2], np.int64) if real is None else real
    for kind, by_hand in KINDS.items():
        with Recorder(
            model, (data, None), path / kind, layers=[layer], reduce={layer: kind}, batch_size=16,
            **(options or {}),
        ) as recorder:  # fmt: skip
            recorder.snapshot(0)
        name = layer if call is None else f"{layer}#{call}"
        values = Run(path / kind).activations(0, name)
        np.testing.assert_allclose(values, by_hand(h, real), atol=1e-5)


def refused(path, model, data, layer, message, options=None, offer=None):
    for kind in (*KINDS, "tokens:1"):
        with (
            Recorder(
                model, (data, None), path / kind, layers=[layer], reduce={layer: kind},
                **(options or {}),
            ) as recorder,
            pytest.raises(DataError, match=message) as error,
        ):  # fmt: skip
            recorder.snapshot(0)
        assert f"layer {layer!r}" in str(error.value)
        assert f"'{layer}=none'" in error.value.hint
        # A mask is offered where the layer has its places, another reduction where it has not.
        offered = [name for name in data if f"--mask '{layer}={name}'" in error.value.hint]
        assert offered == ([] if offer is None else [offer])
        assert (f"'{layer}=gap'" in error.value.hint) is (offer is None)


class Pair(nn.Module):
    """An encoder and a decoder of one embedding, as T5 shares it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.e, self.enc, self.key = nn.Embedding(50, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.dec = nn.Linear(4, 4)

    def forward(
        self, input_ids, attention_mask=None, decoder_input_ids=None, decoder_attention_mask=None
    ):
        h = self.enc(self.e(input_ids))
        real = torch.ones_like(input_ids) if attention_mask is None else attention_mask != 0
        h = (self.key(h) * real[..., None]).sum(1, keepdim=True)
        return self.dec(self.e(decoder_input_ids) + h)


@pytest.mark.parametrize("lengths", [(8, 8), (8, 5), (5, 8)])
@pytest.mark.parametrize("padded", [right, left])
def test_an_encoder_and_a_decoder(tmp_path, lengths, padded):
    data = {
        "input_ids": ids(lengths[0]),
        "attention_mask": padded(lengths[0]),
        "decoder_input_ids": ids(lengths[1]),
        "decoder_attention_mask": padded(lengths[1]),
    }
    model = Pair()
    for layer in ("enc", "key"):
        check(tmp_path / layer, model, data, layer, data["attention_mask"])
    check(tmp_path / "dec", model, data, "dec", data["decoder_attention_mask"])
    # One module, called for both: each call has the mask of its tokens.
    check(tmp_path / "e0", model, data, "e", data["attention_mask"], call=0)
    check(tmp_path / "e1", model, data, "e", data["decoder_attention_mask"], call=1)


def test_a_decoder_without_a_mask_keeps_all_its_tokens(tmp_path):
    data = {"input_ids": ids(), "attention_mask": right(), "decoder_input_ids": ids()}
    check(tmp_path / "dec", Pair(), data, "dec", None)
    check(tmp_path / "enc", Pair(), data, "enc", data["attention_mask"])
    data = {"input_ids": ids(), "decoder_input_ids": ids(), "decoder_attention_mask": right()}
    check(tmp_path / "a", Pair(), data, "enc", None)
    check(tmp_path / "b", Pair(), data, "dec", data["decoder_attention_mask"])


def test_positions_are_of_the_mask_of_the_layer(tmp_path):
    data = {"input_ids": ids(), "decoder_input_ids": ids()}
    data["attention_mask"], data["decoder_attention_mask"] = np.ones((2, N, 8), np.int64)
    data["attention_mask"][:, 4:] = 0
    data["decoder_attention_mask"][:, :4] = 0
    for layer, allowed in (("enc", range(4)), ("dec", range(4, 8))):
        with Recorder(
            Pair(), (data, None), tmp_path / layer, layers=[layer], reduce={layer: "tokens:3"}
        ) as recorder:
            recorder.snapshot(0)
        run = Run(tmp_path / layer)
        h = outputs(Pair(), data, layer)[0]
        values = run.activations(0, layer).reshape(N, 3, 4)
        at = [int(np.abs(h - values[:, [i]]).sum((0, 2)).argmin()) for i in range(3)]
        assert set(at) <= set(allowed)


class Single(nn.Module):
    """One sequence, which ``then`` makes another one of."""

    def __init__(self, then=None, fixed=False):
        super().__init__()
        torch.manual_seed(0)
        self.e, self.body = nn.Embedding(50, 6), nn.Linear(6, 6)
        self.place = nn.Parameter(torch.randn(8, 6)) if fixed else 0.0
        self.conv = nn.Conv1d(6, 6, 2, stride=2)
        self.near, self.channels = nn.Conv1d(6, 6, 3, padding=1), nn.Conv1d(6, 8, 3, padding=1)
        self.lstm = nn.LSTM(6, 6, batch_first=True)
        self.both = nn.LSTM(6, 3, batch_first=True, bidirectional=True)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.then = then

    def forward(self, input_ids, attention_mask=None, mask=None, key_padding_mask=None):
        h = self.e(input_ids) + self.place
        return self.body(h if self.then is None else self.then(self, h))


MADE = {
    "strides": lambda m, h: m.conv(h.transpose(1, 2)).transpose(1, 2),
    "a class token": lambda m, h: torch.cat([h[:, :1] * 0, h], 1),
    "a prefix": lambda m, h: torch.cat([h[:, :3] * 0, h], 1),
    "padded to a multiple": lambda m, h: nn.functional.pad(h, (0, 0, 0, -h.shape[1] % 16)),
    "queries that are learnt": lambda m, h: h.mean(1, keepdim=True).expand(-1, 8, -1),
    "first token cut": lambda m, h: h[:, 1:],
}


@pytest.mark.parametrize("kind", MADE)
def test_a_mask_that_does_not_fit_is_refused(tmp_path, kind):
    data = {"input_ids": ids(), "attention_mask": right()}
    model = Single(MADE[kind])
    refused(tmp_path, model, data, "body", r"it has \d+ tokens, .*'attention_mask' \(8 places\)")
    check(tmp_path / "all", model, data, "body", None, {"mask": {"body": "none"}})


def shifted(h):
    return torch.cat([h[:, :1] * 0 + 1, h[:, :-1]], 1)


ORDERED = {
    "as they are": lambda m, h: h,
    "recurrent": lambda m, h: m.lstm(h)[0],
    "recurrent both ways": lambda m, h: m.both(h)[0],
    "convolution": lambda m, h: m.near(h.transpose(1, 2)).transpose(1, 2),
    "attention without a mask": lambda m, h: m.attention(h, h, h)[0],
    "turned where nothing is kept": lambda m, h: h + h.flip(1).sum(1, keepdim=True),
}
DISORDERED = {
    "turned": lambda m, h: h.flip(1),
    "turned, then recurrent": lambda m, h: m.lstm(h.flip(1))[0],
    "turned, then recurrent both ways": lambda m, h: m.both(h.flip(1))[0],
    "a first token for the last": lambda m, h: shifted(h),
    "a first token for the last, then recurrent": lambda m, h: m.lstm(shifted(h))[0],
    "a first token for the last, then both ways": lambda m, h: m.both(shifted(h))[0],
    "a first token for the last, then attention": lambda m, h: m.attention(*[shifted(h)] * 3)[0],
    "a first token for the last, then convolution": lambda m, h: m.near(shifted(h).mT).mT,
    "rolled": lambda m, h: h.roll(2, 1),
    "queries that attend": lambda m, h: m.attention(torch.ones(len(h), 8, 6), h, h)[0],
    "channels as many as places": lambda m, h: m.channels(h.transpose(1, 2))[..., :6],
}


@pytest.mark.parametrize("kind", ORDERED)
def test_layers_that_keep_the_order_of_the_tokens(tmp_path, kind):
    data = {"input_ids": ids(), "attention_mask": right()}
    check(tmp_path, Single(ORDERED[kind]), data, "body", data["attention_mask"])


@pytest.mark.parametrize("kind", DISORDERED)
def test_tokens_in_another_order_are_refused(tmp_path, kind):
    data = {"input_ids": ids(), "attention_mask": right()}
    model = Single(DISORDERED[kind])
    refused(tmp_path, model, data, "body", r"it has 8 tokens, .*'attention_mask' \(8 places\)")
    check(tmp_path / "e", model, data, "e", data["attention_mask"])


NAMES = [
    ("x", "input_mask", None), ("input_ids", "input_mask", None), ("x", "valid_mask", None),
    ("x", "seq_mask", None), ("tokens", "attn_mask", None), ("tokens", "token_mask", None),
    ("x", "mask_x", None), ("x", "masks", None), ("x", "padmask", None), ("x", "attnMask", None),
    ("src", "src_mask", None), ("x", "attention_mask", True), ("x", "attentionMask", True),
    ("tokens", "text_attention_mask", True), ("x", "encoder_attention_mask", True),
    ("x", "src_key_padding_mask", False), ("x", "keyPaddingMask", False),
]  # fmt: skip


@pytest.mark.parametrize(("tokens", "mask", "marks"), NAMES)
def test_masks_of_any_name(tmp_path, tokens, mask, marks):
    class Named(Single):
        def forward(self, **given):
            return super().forward(given[tokens]) * given[mask][..., None]

    real = right()
    data = {tokens: ids(), mask: real if marks is not False else 1 - real}
    if marks is None:
        message = rf"cannot be told from the mask '{mask}' \(8 places\)"
        refused(tmp_path, Named(), data, "body", message, offer=mask)
    else:
        check(tmp_path, Named(), data, "body", real)


def test_a_decoder_of_the_tokens_before(tmp_path):
    class Shifting(Pair):
        def forward(self, input_ids, attention_mask):
            shifted = torch.cat([input_ids[:, :1] * 0, input_ids[:, :-1]], 1)
            return super().forward(input_ids, attention_mask, shifted)

    data = {"input_ids": ids(), "attention_mask": right()}
    check(tmp_path / "e", Shifting(), data, "enc", data["attention_mask"])
    refused(tmp_path / "d", Shifting(), data, "dec", "it has 8 tokens")
    model = transformer("Bart", SMALL)
    encoder, decoder, cross = OF_BART
    check(tmp_path / "be", model, data, encoder, data["attention_mask"])
    check(tmp_path / "bc", model, data, cross, data["attention_mask"])
    refused(tmp_path / "bd", model, data, decoder, "it has 8 tokens")


@pytest.mark.parametrize("kind", ["mean", "tokens:2", "gap"])
def test_a_glob_leaves_layers_without_such_axes_whole(tmp_path, caplog, kind):
    class Head(Single):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(6, 3)

        def forward(self, input_ids, attention_mask):
            return self.head(super().forward(input_ids).mean(1))

    data = {"input_ids": ids(), "attention_mask": np.ones((N, 8), np.int64)}
    options = {"layers": ["e", "body", "head"], "batch_size": 16}
    with Recorder(Head(), (data, None), tmp_path / "a", reduce={"**": kind}, **options) as one:
        one.snapshot(0)
    run = Run(tmp_path / "a")
    assert [layer.reduction for layer in run.layers] == [kind, kind, "none"]
    np.testing.assert_allclose(
        run.activations(0, "head"), outputs(Head(), data, "head")[0], atol=1e-6
    )
    assert [r.getMessage() for r in caplog.records if "kept whole" in r.getMessage()] == [
        "kept whole, as their outputs have no such axes: head; --reduce 'NAME=KIND' reduces a layer"
    ]
    reduce = {"**": kind, "head": kind}
    with (
        Recorder(Head(), (data, None), tmp_path / "b", reduce=reduce, **options) as two,
        pytest.raises(DataError, match=f"layer 'head': {kind} needs an output of shape"),
    ):
        two.snapshot(0)


def test_a_model_of_one_length_has_the_only_mask_there_is(tmp_path):
    data = {"input_ids": ids(), "attention_mask": left()}
    check(tmp_path, Single(fixed=True), data, "body", data["attention_mask"])


FORMS = {
    "bool": lambda m: m != 0,
    "float": lambda m: m.astype(np.float32),
    "of any value": lambda m: m * 2,
    "additive": lambda m: np.where(m, 0, -1e9).astype(np.float32),
    "lowest": lambda m: np.where(m, 0, np.finfo(np.float32).min).astype(np.float32),
    "of four axes": lambda m: m[:, None, None] != 0,
    "with queries": lambda m: np.tril(np.ones((8, 8), bool)) & (m[:, None, None] != 0),
    "additive with queries": lambda m: np.where(
        np.tril(np.ones((8, 8), bool)) & (m[:, None, None] != 0), 0, -1e9
    ).astype(np.float32),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_masks(tmp_path, form):
    real = right()
    real[:16] = 1  # a batch without padding
    data = {"input_ids": ids(), "attention_mask": FORMS[form](real)}
    check(tmp_path, Single(), data, "body", real)


def test_a_mask_that_marks_padding(tmp_path):
    real = right()
    data = {"input_ids": ids(), "key_padding_mask": real == 0}
    check(tmp_path, Single(), data, "body", real)


def test_a_mask_of_which_nothing_says_what_it_marks(tmp_path):
    real = right()
    model, data = Single(), {"input_ids": ids(), "mask": real}
    refused(
        tmp_path,
        model,
        data,
        "body",
        r"cannot be told from the mask 'mask' \(8 places\)",
        offer="mask",
    )
    check(tmp_path / "a", model, data, "body", real, {"mask": {"body": "mask"}})
    check(tmp_path / "b", model, data | {"mask": 1 - real}, "body", real, {"mask": {"*": "!mask"}})
    check(tmp_path / "c", model, data, "body", None, {"mask": {"body": "none"}})
    for mask, error in (({"body": "nope"}, InputError), ({"nope": "mask"}, NotFoundError)):
        with pytest.raises(error, match="nope"):
            Recorder(model, (data, None), tmp_path / "d", layers=["body"], mask=mask)


def test_a_mask_by_position(tmp_path):
    real, tokens = right(), ids()
    check_of = {"0": tokens, "1": real}
    model = Single()
    h = outputs(model, {"input_ids": tokens}, "body")[0]
    with Recorder(
        model, ((tokens, real), None), tmp_path / "r", layers=["body"], reduce={"body": "mean"}
    ) as recorder:
        recorder.snapshot(0)
    assert list(recorder.probe.arguments) == list(check_of)
    np.testing.assert_allclose(Run(tmp_path / "r").activations(0, "body"), mean(h, real), atol=1e-5)


def test_a_sample_without_a_token_is_refused(tmp_path):
    real = right()
    real[7] = 0
    with (
        Recorder(
            Single(), ({"input_ids": ids(), "attention_mask": real}, None), tmp_path / "r",
            layers=["body"], reduce={"body": "mean"},
        ) as recorder,
        pytest.raises(DataError, match="mask 'attention_mask': sample 7 has no token"),
    ):  # fmt: skip
        recorder.snapshot(0)


class Twins(nn.Module):
    """Two sequences, one mask."""

    def __init__(self):
        super().__init__()
        self.e, self.a, self.b = nn.Embedding(50, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, first, second, attention_mask):
        h = (self.a(self.e(first)) * attention_mask[..., None]).sum(1, keepdim=True)
        return self.b(self.e(second)) + h


def test_a_mask_of_one_of_two_sequences_of_one_length(tmp_path):
    data = {"first": ids(), "second": ids(), "attention_mask": right()}
    check(tmp_path / "a", Twins(), data, "a", data["attention_mask"])
    check(tmp_path / "b", Twins(), data, "b", None)


def test_source_and_target_of_torch(tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.e, self.t = nn.Embedding(50, 8), nn.Transformer(8, 2, 1, 1, 16, batch_first=True)

        def forward(
            self, src, tgt, src_key_padding_mask, tgt_key_padding_mask, memory_key_padding_mask
        ):
            return self.t(
                self.e(src), self.e(tgt), src_key_padding_mask=src_key_padding_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
            )  # fmt: skip

    src, tgt = right(), right()
    data = {"src": ids(), "tgt": ids(), "src_key_padding_mask": src == 0}
    data |= {"tgt_key_padding_mask": tgt == 0, "memory_key_padding_mask": src == 0}
    check(tmp_path / "e", Net(), data, "t.encoder.layers.0.linear2", src)
    check(tmp_path / "d", Net(), data, "t.decoder.layers.0.linear2", tgt)


SMALL = {
    "vocab_size": 64, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "pad_token_id": 0,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32, "max_position_embeddings": 32,
}  # fmt: skip
BODY = {
    "vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 32, "max_position_embeddings": 32,
}  # fmt: skip
T5 = {"vocab_size": 64, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
OF_T5 = (
    "encoder.block.0.layer.1.DenseReluDense.wo",
    "decoder.block.0.layer.2.DenseReluDense.wo",
    "decoder.block.0.layer.1.EncDecAttention.k",
)
OF_BART = ("encoder.layers.0.fc2", "decoder.layers.0.fc2", "decoder.layers.0.encoder_attn.v_proj")
BOTH = {"T5": (T5, OF_T5), **dict.fromkeys(("Bart", "MBart", "Marian"), (SMALL, OF_BART))}


def transformer(name, config):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    kind = getattr(transformers, f"{name}Model")
    return kind(kind.config_class(**config)).eval()


@pytest.mark.parametrize("name", BOTH)
def test_encoder_decoders_of_hugging_face(tmp_path, name):
    config, (encoder, decoder, cross) = BOTH[name]
    data = {"input_ids": ids(), "attention_mask": right()}
    data |= {"decoder_input_ids": ids(), "decoder_attention_mask": right()}
    model = transformer(name, config)
    check(tmp_path / "e", model, data, encoder, data["attention_mask"])
    check(tmp_path / "d", model, data, decoder, data["decoder_attention_mask"])
    check(tmp_path / "c", model, data, cross, data["attention_mask"])
    del data["decoder_attention_mask"]
    check(tmp_path / "n", model, data, decoder, None)


@pytest.mark.parametrize("padded", [right, left])
@pytest.mark.parametrize(
    ("name", "config", "layer"),
    [
        ("Bert", BODY, "encoder.layer.0.output.dense"),
        ("GPT2", {"vocab_size": 64, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32},
         "h.0.mlp.c_proj"),
        ("Llama", BODY, "layers.0.mlp.down_proj"),
        ("CLIPText", {**BODY, "eos_token_id": 2}, "encoder.layers.0.mlp.fc2"),
    ],
)  # fmt: skip
def test_encoders_and_decoders_of_hugging_face(tmp_path, name, config, layer, padded):
    model = transformer(name, config)
    if name == "CLIPText" and not hasattr(model, "encoder"):
        layer = f"text_model.{layer}"
    data = {"input_ids": ids(), "attention_mask": padded()}
    if name == "Bert":
        data["token_type_ids"] = np.zeros((N, 8), np.int64)
    check(tmp_path, model, data, layer, data["attention_mask"])


@pytest.mark.parametrize("name", ["Wav2Vec2", "Hubert"])
def test_strides_of_hugging_face_are_refused(tmp_path, name):
    config = {**BODY, "conv_dim": [8, 8], "conv_kernel": [5, 3], "conv_stride": [4, 2]}
    config |= {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}
    model = transformer(name, {**config, "num_feat_extract_layers": 2})
    data = {"input_values": RNG.normal(size=(N, 200)).astype(np.float32)}
    data["attention_mask"] = right(200, 100)
    layer = "encoder.layers.0.feed_forward.output_dense"
    refused(tmp_path, model, data, layer, r"it has 24 tokens, .* \(200 places\)")


def test_whisper(tmp_path):
    model = transformer(
        "Whisper",
        {**SMALL, "num_mel_bins": 8, "max_source_positions": 20, "max_target_positions": 32},
    )
    data = {"input_features": RNG.normal(size=(N, 8, 40)).astype(np.float32)}
    data |= {"attention_mask": right(40), "decoder_input_ids": ids()}
    data["decoder_attention_mask"] = right()
    check(tmp_path, model, data, "decoder.layers.0.fc2", data["decoder_attention_mask"])
    refused(tmp_path / "e", model, data, "encoder.layers.0.fc2", r"it has 20 tokens, .*\(40 places")
