import pytest
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from torch.nn.utils.parametrize import register_parametrization

from infoplane.errors import NotFoundError
from infoplane.recording.hooks.layers import Layer, select_layers


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.act = nn.ReLU()
        self.drop = nn.Dropout()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer1 = Block()
        self.layer10 = Block()
        self.head = nn.Linear(2, 2)


def chosen(*patterns):
    return list(select_layers(Net(), patterns))


def test_default_is_leaves_with_parameters_or_activation():
    assert chosen() == ["layer1.fc", "layer1.act", "layer10.fc", "layer10.act", "head"]


def test_default_holds_layers_whose_weights_are_made_by_others():
    low_rank = nn.Linear(2, 2)
    model = nn.Sequential(weight_norm(nn.Linear(2, 2)), nn.Tanh(), spectral_norm(low_rank))
    register_parametrization(low_rank, "bias", nn.Linear(2, 2))  # has parameters, but no samples
    assert list(select_layers(model)) == ["0", "1", "2"]


def test_default_holds_quantised_layers():
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self._packed_params = nn.Identity()  # as torch.ao.nn.quantized.Linear has it

    assert list(select_layers(nn.Sequential(Packed(), nn.ReLU()))) == ["0", "1"]


def test_time_grows_with_the_number_of_layers_alone(monkeypatch):
    model, compared = nn.Sequential(*(nn.ReLU() for _ in range(300))), []
    monkeypatch.setattr(Layer, "__eq__", lambda one, other: compared.append(one) or one is other)
    assert len(select_layers(model)) == 300
    assert len(compared) < 300


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["layer1.*"], ["layer1.fc", "layer1.act", "layer1.drop"]),
        (["*"], ["layer1", "layer10", "head"]),
        (["**.fc"], ["layer1.fc", "layer10.fc"]),
        (["layer?.act"], ["layer1.act"]),
        (["layer1*.act"], ["layer1.act", "layer10.act"]),
        (["**.[fa]*", "!layer10.**"], ["layer1.fc", "layer1.act"]),
        (["!layer1.**"], ["layer10.fc", "layer10.act", "head"]),
        (["head", "layer1.fc"], ["layer1.fc", "head"]),  # the order of the model
    ],
)
def test_patterns(patterns, names):
    assert chosen(*patterns) == names


@pytest.mark.parametrize("patterns", [["conv*"], ["head", "conv*"], ["!conv*"]])
def test_pattern_without_match_lists_what_exists(patterns):
    with pytest.raises(NotFoundError, match=r"no layer matches 'conv\*'") as error:
        chosen(*patterns)
    assert "layer10.act (ReLU)" in error.value.hint


@pytest.mark.parametrize(
    ("pattern", "near"),
    [("layer7.fc3", "layer7.fc1"), ("*.layer7.act2", "layer7.act"), ("!haed", "head")],
)
def test_of_many_modules_the_nearest_are_named_and_all_with_more_detail(pattern, near, caplog):
    model = Net()
    for number in range(2, 10):
        model.add_module(f"layer{number}", Block())
        model.get_submodule(f"layer{number}").add_module("fc1", nn.Linear(2, 2))
    caplog.set_level("INFO", "infoplane")
    with pytest.raises(NotFoundError) as error:
        select_layers(model, [pattern])
    assert f"{near} (" in error.value.hint
    assert "of the 49 modules (-v lists all)" in error.value.hint
    assert len(error.value.hint) < 300
    assert all(f"layer{n}.drop (Dropout)" in caplog.text for n in range(1, 11))


def test_nothing_left_is_an_error():
    with pytest.raises(NotFoundError, match="no layer is left"):
        chosen("head", "!head")
    with pytest.raises(NotFoundError, match="no layer is left"):
        select_layers(nn.Sequential(nn.Flatten()))


def test_names_with_regex_characters_are_literal():
    net = nn.Module()
    net.add_module("a+b", nn.ReLU())
    net.add_module("aab", nn.ReLU())
    assert list(select_layers(net, ["a+b"])) == ["a+b"]
