"""Layers by ``blocks``, ``head`` and ``type:``: by what they are, and not by their names."""

import numpy as np
import pytest
import torch
from torch import nn

from infoplane.errors import InfoplaneError, NotFoundError
from infoplane.recording.hooks.blocks import repeated_blocks
from infoplane.recording.hooks.layers import select_layers
from infoplane.recording.hooks.wrappers import named_layers
from infoplane.recording.recorder import Recorder
from infoplane.runs.run import Run


class Block(nn.Module):
    def __init__(self, width=4, out=None, bias=False):
        super().__init__()
        self.fc, self.act = nn.Linear(width, out or width), nn.Tanh()
        if (out or width) != width:
            self.short = nn.Linear(width, out)
        if bias:
            self.table = nn.Parameter(torch.zeros(3))
        self.heads = nn.ModuleList(nn.Sequential(nn.Linear(2, 2)) for _ in range(2))

    def forward(self, x):
        return self.act(self.fc(x))


class Stage(nn.Sequential):
    pass


class Expert(nn.Sequential):
    pass


def of(**members):
    model = nn.Module()
    for name, member in members.items():
        model.add_module(name, member)
    return model


def blocks(*widths):
    return nn.ModuleList(map(Block, widths))


def stages():
    """Two blocks in each of three stages, of which the width doubles, as in a ResNet."""
    widths = (4, 4, 8, 16)
    made = {
        f"layer{n}": Stage(Block(widths[n - 1], widths[n]), Block(widths[n])) for n in range(1, 4)
    }
    return of(stem=nn.Linear(2, 4), **made, fc=nn.Linear(16, 2))


NETWORKS = {
    "a list": (lambda: of(h=nn.ModuleList([Block(), Block(), Block()])), ["h.0", "h.1", "h.2"]),
    "numbered names": (lambda: of(block1=Block(), block2=Block()), ["block1", "block2"]),
    "one has more": (lambda: of(h=nn.ModuleList([Block(bias=True), Block()])), ["h.0", "h.1"]),
    "stages": (stages, [f"layer{n}.{i}" for n in (1, 2, 3) for i in (0, 1)]),
    "two towers": (
        lambda: of(
            text=nn.ModuleList([Block(), Block()]), image=nn.ModuleList([Block(8), Block(8)])
        ),
        ["text.0", "text.1", "image.0", "image.1"],
    ),
    "experts in blocks": (
        lambda: of(h=nn.Sequential(*(Expert(Block(), Block()) for _ in range(2)))),
        ["h.0", "h.1"],
    ),
    "growing": (
        lambda: of(
            h=nn.Sequential(*(nn.Sequential(nn.Linear(n, n + 1), nn.Tanh()) for n in (2, 3)))
        ),
        ["h.0", "h.1"],
    ),
    "of torch": (
        lambda: nn.Transformer(4, 2, 2, 1, 8, batch_first=True).encoder,
        ["layers.0", "layers.1"],
    ),
    "one module thrice": (lambda: of(h=nn.ModuleList([Block()] * 3)), ["h.0", "h.1", "h.2"]),
    "leaves": (lambda: nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), []),
    "twins": (lambda: of(left=Stage(nn.Linear(2, 2)), right=Stage(nn.Linear(2, 2))), []),
    "without parameters": (lambda: nn.Sequential(Stage(nn.Tanh()), Stage(nn.Tanh())), []),
    "one": (lambda: of(h=nn.ModuleList([nn.Sequential(nn.Linear(2, 2))])), []),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_repeated_blocks_are_found_by_structure(kind):
    make, names = NETWORKS[kind]
    model = make()
    assert repeated_blocks(named_layers(model)) == names
    if not names:
        with pytest.raises(NotFoundError, match="no layer matches 'blocks'") as error:
            select_layers(model, ["blocks"])
        assert "the model has no repeated blocks" in error.value.hint
    else:
        once = dict.fromkeys(names) if kind != "one module thrice" else [names[0]]
        assert list(select_layers(model, ["blocks"])) == list(once)


class Net(nn.Module):
    """Blocks, a head that is called like nothing, and a layer after it that is not called."""

    def __init__(self, then=lambda x: x):
        super().__init__()
        self.h = nn.ModuleList([Block(), Block()])
        self.norm, self.last = nn.LayerNorm(4), nn.Linear(4, 3)
        self.unused, self.then = nn.Linear(4, 4), then

    def forward(self, x):
        for block in self.h:
            x = block(x)
        return self.then(self.last(self.norm(x)))


def recorded(model, path, layers, **options):
    x = torch.randn(20, 4)
    with Recorder(model, (x, None), path, layers=layers, **options) as recorder:
        recorder.snapshot(0)
    return Run(path), x


@pytest.mark.parametrize("then", [lambda x: x, lambda x: x.softmax(1), lambda x: {"logits": x}])
def test_words_are_recorded_and_noted_in_the_run(tmp_path, then):
    model = Net(then)
    run, x = recorded(model, tmp_path / "r", ["blocks", "head", "type:LayerNorm"])
    roles = {layer.name: layer.roles for layer in run.layers}
    assert {name: one for name, one in roles.items() if one} == {
        "h.0": ("block",), "h.1": ("block",), "norm": ("features",), "last": ("logits",)
    }  # fmt: skip
    with torch.no_grad():
        np.testing.assert_array_equal(run.activations(0, "h.0"), model.h[0](x))
    for layers, names in (
        (["type:Tanh"], ["h.0.act", "h.1.act"]),
        (["!blocks", "!type:Linear", "!unused"], ["h.0.act", "h.1.act", "norm"]),
        (["head"], ["last"]),
        (["**", "!type:[!T]*"], ["h.0.act", "h.1.act"]),
    ):
        run, _ = recorded(model, tmp_path / "s", layers, overwrite=True)
        assert [layer.name for layer in run.layers] == names


def test_options_of_layers_take_the_same_patterns(tmp_path):
    reduce = {"blocks": "sketch:2", "type:LayerNorm": "sketch:3"}
    run, _ = recorded(Net(), tmp_path / "r", ["blocks", "norm", "head"], reduce=reduce)
    found = {layer.name: layer.reduction for layer in run.layers}
    assert found == {"h.0": "sketch:2", "h.1": "sketch:2", "norm": "sketch:3", "last": "none"}
    with pytest.raises(NotFoundError, match="no chosen layer matches 'h\\*'") as error:
        recorded(Net(), tmp_path / "s", ["blocks"], reduce={"h*": "gap"})
    assert "'*' does not cross dots: 'h**' matches h.0 and 1 more" in error.value.hint


def test_a_head_that_is_none_is_told(tmp_path):
    with pytest.raises(
        NotFoundError, match="no linear layer makes what the model returns"
    ) as error:
        recorded(Net(lambda x: x.square()), tmp_path / "r", ["head"])
    assert "--head NAME" in error.value.hint
    run, _ = recorded(Net(lambda x: x.square()), tmp_path / "r", ["head"], head="last")
    assert [layer.name for layer in run.layers] == ["last"]

    class Fails(Net):
        def forward(self, x):
            raise ValueError("no")

    with pytest.raises(InfoplaneError, match="the model failed on probe inputs"):
        recorded(Fails(), tmp_path / "f", ["head"])


def test_a_module_that_is_called_like_a_word_is_meant_by_its_name(tmp_path, caplog):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.Sequential(Block(), Block())
            self.head = nn.Sequential(nn.Linear(4, 3))

        def forward(self, x):
            return self.head(self.blocks(x))

    run, _ = recorded(Named(), tmp_path / "r", ["blocks", "head"])
    assert [layer.name for layer in run.layers] == ["blocks", "head"]
    assert "'blocks' is the name of a module, which is recorded alone" in caplog.text
    assert "the repeated blocks are --layers 'blocks.*'" in caplog.text
    listed = Named()
    listed.blocks = nn.ModuleList(listed.blocks)  # is never called, so it is not meant
    assert list(select_layers(listed, ["blocks"])) == ["blocks.0", "blocks.1"]
