"""Which recorded layer is the model's output, and which one its head is given."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from infoplane.errors import InputError, NotFoundError
from infoplane.recording.recorder import Recorder
from infoplane.runs.pack import pack
from infoplane.runs.run import Run

X = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """A hidden layer and a head, in which the model does something to the scores."""

    def __init__(self, end, n_out=3):
        super().__init__()
        self.hidden, self.act, self.drop = nn.Linear(5, 8), nn.ReLU(), nn.Dropout()
        self.fc, self.end = nn.Linear(8, n_out), end

    def forward(self, x):
        return self.end(self.fc(self.drop(self.act(self.hidden(x)))))


def roles(model, path, x=X, **options):
    torch.manual_seed(0)
    with Recorder(model, (x, None), path / "run", overwrite=True, **options) as recorder:
        recorder.snapshot(0)
    layers = Run(path / "run").layers
    return {role: layer.name for layer in layers for role in layer.roles}


ENDS = {
    "the logits themselves": lambda z: z,
    "soft-max": lambda z: z.softmax(-1),
    "log-soft-max": lambda z: functional.log_softmax(z, 1),
    "log-soft-max by hand": lambda z: z - z.exp().sum(-1, keepdim=True).log(),
    "a soft-max module, recorded too": nn.Softmax(1),
    "a log-soft-max module, recorded too": nn.LogSoftmax(-1),
    "a mapping with logits": lambda z: {"hidden": z * 2, "logits": z},
    "a tuple with one floating tensor": lambda z: (z.argmax(1), z),
    "in half the digits": lambda z: z.softmax(-1).half(),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_the_head_holds_the_logits_and_is_given_the_features(end, tmp_path):
    assert roles(Net(end), tmp_path) == {"logits": "fc", "features": "act"}
    (features,) = (one for one in Run(tmp_path / "run").layers if "features" in one.roles)
    assert features.head == "fc"


@pytest.mark.parametrize("end", [torch.sigmoid, nn.Sigmoid(), lambda z: z.sigmoid().squeeze(-1)])
def test_one_logit_is_found_below_a_sigmoid(end, tmp_path):
    assert roles(Net(end, n_out=1), tmp_path)["logits"] == "fc"


NOT_THE_OUTPUT = {
    "scaled": lambda z: 2 * z,
    "several yes or no": torch.sigmoid,
    "two tensors": lambda z: (z, z + 1),
    "a scalar": lambda z: z.sum(),
    "no tensor": lambda z: None,
}


@pytest.mark.parametrize("end", NOT_THE_OUTPUT.values(), ids=NOT_THE_OUTPUT)
def test_an_output_of_no_recorded_layer_gives_no_role(end, tmp_path):
    assert roles(Net(end), tmp_path) == {"features": "act"}  # of the last linear layer


def test_names_are_no_reason_for_a_role(tmp_path):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.logits, self.features = nn.Linear(5, 4), nn.Linear(4, 3)

        def forward(self, x):
            return self.features(self.logits(x))

    assert roles(Named(), tmp_path) == {"logits": "features", "features": "logits"}


def test_values_before_a_reduction_tell(tmp_path):
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3), nn.LogSoftmax(1)
    )
    found = roles(model, tmp_path, torch.randn(20, 1, 8, 8), reduce={"1": "gap", "3": "sketch:2"})
    assert found == {"logits": "3", "features": "1"}


def test_an_in_place_function_changes_nothing(tmp_path):
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(inplace=True), nn.Linear(4, 3))
    assert roles(model, tmp_path) == {"logits": "2", "features": "1"}


def test_of_layers_that_are_equal_at_the_start_the_last_is_taken(tmp_path):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.branch, self.act = nn.Linear(4, 4), nn.ReLU()
            nn.init.zeros_(self.branch.weight)
            nn.init.zeros_(self.branch.bias)

        def forward(self, h):
            return self.act(h + self.branch(h))

    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), Block(), nn.Linear(4, 3))
    assert roles(model, tmp_path) == {"logits": "3", "features": "2.act"}


def test_of_several_calls_it_is_the_one_that_is_returned(tmp_path):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(5, 5)

        def forward(self, x):
            first = self.fc(x)
            self.fc(first)
            return first

    assert roles(Twice(), tmp_path) == {"logits": "fc#0"}


def test_a_convolution_is_no_head_nor_is_a_linear_layer_before_it(tmp_path):
    class Squeeze(nn.Module):
        def __init__(self):
            super().__init__()
            self.act, self.gate, self.out = nn.ReLU(), nn.Linear(2, 2), nn.Conv2d(2, 3, 1)

        def forward(self, x):
            scale = self.gate(self.act(x).mean((2, 3)))
            return self.out(x * scale[..., None, None])

    assert roles(Squeeze(), tmp_path, torch.randn(20, 2, 4, 4)) == {"logits": "out"}


def test_inputs_of_layers_have_roles_too(tmp_path):
    assert roles(Net(nn.LogSoftmax(1)), tmp_path, at="input") == {"logits": "end", "features": "fc"}


def test_language_models(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(n_layer=2, n_head=2, n_embd=8, vocab_size=11, n_positions=6)
    model = transformers.GPT2LMHeadModel(config)
    found = roles(model, tmp_path, torch.randint(0, 11, (12, 6)), layers=["**.ln_f", "lm_head"])
    assert found == {"logits": "lm_head", "features": "transformer.ln_f"}


def test_named_roles(tmp_path):
    model = Net(lambda z: 2 * z)
    found = roles(model, tmp_path, logits="fc", head="fc")
    assert found == {"logits": "fc", "features": "act"}
    assert roles(model, tmp_path, logits="hidden")["logits"] == "hidden"


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        ({"logits": "gone"}, "no recorded layer matches 'gone'", "hidden act fc"),
        ({"logits": "drop"}, "no recorded layer matches 'drop'", "hidden act fc"),  # not recorded
        ({"logits": "*"}, "expected one layer of logits, got 3", "hidden act fc"),
        ({"head": "gone"}, "no layer matches 'gone'", "linear: hidden fc"),
        ({"head": "*c*"}, "expected one head, got 2", "act fc"),
        (
            {"head": "act"},
            "expected a linear layer as head, got 'act', a ReLU",
            "linear: hidden fc",
        ),
    ],
)
def test_a_name_that_is_not_there_or_means_several_is_refused(given, message, hint, tmp_path):
    with pytest.raises((NotFoundError, InputError)) as found:
        roles(Net(lambda z: z), tmp_path, **given)
    assert message in str(found.value)
    assert hint in found.value.hint
    assert not (tmp_path / "run").exists()


def test_a_head_that_is_not_called_is_refused(tmp_path):
    model = Net(lambda z: z)
    model.unused = nn.Linear(3, 3)
    with pytest.raises(NotFoundError, match="the head 'unused' is not called"):
        roles(model, tmp_path, head="unused")


def test_roles_are_kept_in_packed_runs_and_equal_at_every_step(tmp_path):
    model = Net(nn.Softmax(1))
    with Recorder(model, (X, None), tmp_path / "run") as recorder:
        for step in range(3):
            recorder.snapshot(step)
            with torch.no_grad():
                model.fc.weight.mul_(-2)
    pack(Run(tmp_path / "run"), tmp_path / "run.h5")
    for run in (Run(tmp_path / "run"), Run(tmp_path / "run.h5")):
        for step in run.steps:
            found = {one.name: (one.roles, one.head) for one in run.step_info(step).layers}
            assert found["fc"] == (("logits",), None)
            assert found["act"] == (("features",), "fc")
            assert found["end"] == ((), None)
