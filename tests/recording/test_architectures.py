"""Small networks of many kinds are recorded as their libraries compute them."""

import importlib

import numpy as np
import pytest
import torch

from infoplane.patterns import split_address
from infoplane.recording.probes.from_arrays import as_probe
from infoplane.recording.session import record

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of the libraries
]

_SIZE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
_TEXT = {"vocab_size": 50, "max_position_embeddings": 40, "pad_token_id": 0, **_SIZE}
_DECODER = {**_TEXT, "num_key_value_heads": 1}
_EXPERTS = {
    **_DECODER,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 8,
    "shared_expert_intermediate_size": 8,
}
_IMAGE = {**_SIZE, "image_size": 32, "patch_size": 8}
_WINDOWS = {
    "image_size": 32,
    "patch_size": 4,
    "embed_dim": 8,
    "depths": [1, 1],
    "num_heads": [1, 2],
    "window_size": 4,
}
_BOTH = {
    "vocab_size": 50,
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
_T5 = {
    "vocab_size": 50,
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 16,
    "num_layers": 1,
    "num_heads": 2,
    "decoder_start_token_id": 0,
}
_SOUND = {
    **_SIZE,
    "conv_dim": (8, 8),
    "conv_stride": (5, 2),
    "conv_kernel": (10, 3),
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "num_feat_extract_layers": 2,
}

ids = {"input_ids": (8,)}
both = {"input_ids": (8,), "decoder_input_ids": (6,)}
image = {"pixel_values": (3, 32, 32)}
sound = {"input_values": (400,)}

KINDS = {
    "albert": (ids, {**_TEXT, "embedding_size": 8}),
    "bert": (ids, _TEXT),
    "big_bird": (ids, {**_TEXT, "attention_type": "original_full"}),
    "bloom": (ids, {"vocab_size": 50, "hidden_size": 16, "n_layer": 2, "n_head": 2}),
    "convbert": (ids, {**_TEXT, "embedding_size": 16}),
    "deberta": (ids, _TEXT),
    "deberta-v2": (ids, _TEXT),
    "distilbert": (
        ids,
        {"vocab_size": 50, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    ),
    "electra": (ids, {**_TEXT, "embedding_size": 8}),
    "ernie": (ids, _TEXT),
    "falcon": (ids, _TEXT),
    "gemma": (ids, {**_DECODER, "head_dim": 8}),
    "gpt2": (ids, {"vocab_size": 50, "n_embd": 16, "n_layer": 2, "n_head": 2}),
    "gpt_neo": (
        ids,
        {
            "vocab_size": 50,
            "hidden_size": 16,
            "num_layers": 2,
            "num_heads": 2,
            "attention_types": [[["global", "local"], 1]],
            "max_position_embeddings": 40,
        },
    ),
    "gpt_neox": (ids, _TEXT),
    "gptj": (
        ids,
        {"vocab_size": 50, "n_embd": 16, "n_layer": 2, "n_head": 2, "rotary_dim": 4},
    ),
    "llama": (ids, _DECODER),
    "mamba": (ids, {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4}),
    "mistral": (ids, _DECODER),
    "mixtral": (ids, {**_DECODER, "num_local_experts": 4}),
    "mobilebert": (ids, {**_TEXT, "embedding_size": 16, "intra_bottleneck_size": 16}),
    "mpnet": (ids, _TEXT),
    "olmoe": (ids, _EXPERTS),
    "opt": (
        ids,
        {**_TEXT, "ffn_dim": 32, "word_embed_proj_dim": 16},
    ),
    "phi": (ids, _DECODER),
    "qwen2": (ids, _DECODER),
    "qwen2_moe": (ids, _EXPERTS),
    "roberta": (ids, _TEXT),
    "xlm-roberta": (ids, _TEXT),
    "xlnet": (ids, {"vocab_size": 50, "d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 32}),
    "bart": (both, _BOTH),
    "marian": (both, {**_BOTH, "decoder_start_token_id": 1}),
    "mbart": (both, _BOTH),
    "pegasus": (both, _BOTH),
    "t5": (both, _T5),
    "clip": (
        {**ids, **image},
        {
            "text_config": {**_TEXT, "eos_token_id": 49, "projection_dim": 8},
            "vision_config": {**_IMAGE, "projection_dim": 8},
            "projection_dim": 8,
        },
    ),
    "whisper": (
        {"input_features": (4, 16), "decoder_input_ids": (6,)},
        {**_BOTH, "num_mel_bins": 4, "max_source_positions": 8, "max_target_positions": 8},
    ),
    "hubert": (sound, _SOUND),
    "wav2vec2": (sound, _SOUND),
    "beit": (image, _IMAGE),
    "convnext": (image, {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2}),
    "deit": (image, _IMAGE),
    "dinov2": (image, _IMAGE),
    "mobilenet_v2": (image, {"image_size": 32, "depth_multiplier": 0.25}),
    "resnet": (image, {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}),
    "segformer": (
        image,
        {
            "num_encoder_blocks": 2,
            "depths": [1, 1],
            "sr_ratios": [2, 1],
            "hidden_sizes": [8, 16],
            "patch_sizes": [7, 3],
            "strides": [4, 2],
            "num_attention_heads": [1, 2],
            "mlp_ratios": [2, 2],
        },
    ),
    "swin": (image, _WINDOWS),
    "vit": (image, _IMAGE),
    "vit_mae": (
        image,
        {**_IMAGE, "decoder_hidden_size": 16, "decoder_num_attention_heads": 2, "mask_ratio": 0.0},
    ),
}


def by_hand(model, names, given):
    """Return what each layer gives in its first call, from hooks of the test's own."""
    found = {}

    def keep(name):
        def hook(module, inputs, output):
            first = output if isinstance(output, torch.Tensor) else output[0]
            found.setdefault(name, first.clone())  # a later layer may change it in place

        return hook

    for name in names:
        model.get_submodule(name).register_forward_hook(keep(name))
    with torch.no_grad():
        model.eval()(*given.values()) if "" in given else model.eval()(**given)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_recorded_as_from_pretrained_computes(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    transformers = pytest.importorskip("transformers")
    shapes, sizes = KINDS[kind]
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **sizes)
    model = transformers.AutoModel.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    model.save_pretrained("out/checkpoint-10")
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.integers(1, 49, (12, *shape))
        if name.endswith("ids")
        else rng.normal(size=(12, *shape)).astype("f4")
        for name, shape in shapes.items()
    }
    run = record("hf:AutoModel", "out", as_probe(arrays), "run")
    axis = 1 if kind == "xlnet" else 0  # it computes time first, which is found
    original = transformers.AutoModel.from_pretrained("out/checkpoint-10")
    names = [slot.name for slot in run.layers if "#" not in slot.name]
    assert len(names) >= 5
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    bases = {name: split_address(name)[0] for name in names}
    found = by_hand(original, set(bases.values()), tensors)
    for name in names:
        expected = found[bases[name]].movedim(axis, 0).numpy().reshape(12, -1)
        np.testing.assert_array_equal(run.activations(10, name), expected, err_msg=name)


LAYOUTS = {
    "torchvision": {
        "resnet18": {},
        "vgg11_bn": {},
        "mobilenet_v3_small": {},
        "squeezenet1_1": {},
        "shufflenet_v2_x0_5": {},
        "densenet121": {},
        "vit_b_16": {"image_size": 32, "num_layers": 2, "hidden_dim": 24, "num_heads": 2}
        | {"mlp_dim": 32},
    },
    "timm": {
        "vit_tiny_patch16_224": {"img_size": 32, "depth": 2},
        "convnext_atto": {},
        "mixer_s32_224": {"img_size": 64},
        "efficientnet_lite0": {},
        "mobilenetv3_small_050": {},
        "resnet10t": {},
        "regnetx_002": {},
    },
}


@pytest.mark.parametrize(
    ("library", "kind"), [(library, kind) for library, kinds in LAYOUTS.items() for kind in kinds]
)
def test_networks_for_images(library, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        module = importlib.import_module(library)
    except (ImportError, RuntimeError) as error:  # beside another torch
        pytest.skip(str(error))
    sizes = LAYOUTS[library][kind]

    def build():
        if library == "timm":
            return module.create_model(kind, pretrained=False, **sizes)
        if "vit" in kind:
            return module.models.VisionTransformer(patch_size=8, **sizes)
        return getattr(module.models, kind)(weights=None, **sizes)

    torch.manual_seed(0)
    original = build()
    monkeypatch.setattr(torch.backends.mha, "get_fastpath_enabled", lambda: False)  # as recorded
    torch.save({"state_dict": torch.nn.DataParallel(original).state_dict()}, "step_7.pth")
    side = sizes.get("image_size", sizes.get("img_size", 64))
    pixels = np.random.default_rng(0).normal(size=(6, 3, side, side)).astype("f4")
    run = record(build(), "step_7.pth", (pixels, None), "run", reduce={"**": "flatten"})
    names = [slot.name for slot in run.layers if "#" not in slot.name]
    assert len(names) >= 5
    found = by_hand(original, names, {"": torch.from_numpy(pixels)})
    for name in names:
        expected = found[name].numpy().reshape(6, -1)
        np.testing.assert_array_equal(run.activations(7, name), expected, err_msg=name)
