from collections import OrderedDict

import pytest
import torch
from torch import nn

from infoplane.recording.hashes import model_hash, parameter_hash


def test_any_change_of_a_weight_changes_the_hash():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(300, 200), nn.BatchNorm1d(200))
    seen = {parameter_hash(model)}
    assert parameter_hash(model) in seen
    with torch.no_grad():
        weight = model[0].weight
        for change in (
            lambda: weight[17, 5].add_(1e-4),
            lambda: weight[-1, -1].neg_(),
            lambda: weight.copy_(weight.flip(0)),
            lambda: weight[:, [3, 4]].copy_(weight[:, [4, 3]]),
            lambda: weight.copy_(weight[:, torch.randperm(300)]),
            lambda: weight.view(-1)[:8192].copy_(weight.view(-1)[:8192].roll(2)),
            lambda: model[0].bias[0].add_(1),
            lambda: model[1].running_mean.add_(1),
        ):
            before = [value.clone() for value in model.state_dict().values()]
            change()
            after = list(model.state_dict().values())
            if all(map(torch.equal, before, after)):
                continue
            assert parameter_hash(model) not in seen
            seen.add(parameter_hash(model))
    assert len(seen) >= 8


class Stateful(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def get_extra_state(self):
        return self.value


def sparse(value):
    model = nn.Module()
    model.register_buffer("links", torch.eye(3).mul(value).to_sparse())
    return model


def quantised(value):
    model = nn.Sequential(nn.Linear(3, 2, bias=False))
    with torch.no_grad():
        model[0].weight.fill_(value)
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear})


@pytest.mark.parametrize("make", [sparse, quantised, Stateful])
@pytest.mark.filterwarnings("ignore:.*torch.ao.quantization:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_weights_that_are_no_plain_tensors_are_hashed(make):
    assert parameter_hash(make(1.0)) == parameter_hash(make(1.0))
    assert parameter_hash(make(1.0)) != parameter_hash(make(2.0))


def test_state_that_cannot_be_saved_is_passed_over():
    assert parameter_hash(Stateful(lambda: 1))


def test_structure_has_a_hash_of_its_own():
    def hash_of(*layers):
        return model_hash(nn.Sequential(*layers))

    torch.manual_seed(0)
    one = hash_of(nn.Linear(2, 2), nn.LeakyReLU(0.1))
    assert hash_of(nn.Linear(2, 2), nn.LeakyReLU(0.1)) == one  # the weights differ
    assert hash_of(nn.Linear(2, 2), nn.LeakyReLU(0.2)) != one
    assert hash_of(nn.Linear(2, 2), nn.ReLU()) != one

    class Odd(nn.Module):
        def extra_repr(self):
            return f"f={object()}"  # with an address, another each time

    class Same(Odd):
        pass

    assert "0x" in Odd().extra_repr()
    assert hash_of(Odd()) == hash_of(Odd())
    assert hash_of(Same()) != hash_of(Odd())


def test_names_that_are_no_unicode_have_a_hash():
    names = [nn.Sequential(OrderedDict([(name, nn.Linear(1, 1))])) for name in ("\udc80", "\udc81")]
    assert len({model_hash(model) for model in names}) == 2
    assert len({parameter_hash(model) for model in names}) == 2
