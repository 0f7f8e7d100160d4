"""Models that cannot be recorded as they are: what the hint says leads to a recording."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from infoplane.errors import DataError
from infoplane.recording.probes.named import load_probe
from infoplane.recording.session import record

X = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
EDGES = np.random.default_rng(1).integers(0, 200, (2, 600))


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def recorded(model, data=(X, None), **options):
    torch.save(model.state_dict(), "step_1.pt")
    return record(model, "step_1.pt", data, "run", overwrite=True, **options)


class Mapped(nn.Module):
    def __init__(self, way=torch.vmap):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 4), nn.Tanh())
        self.way = way

    def forward(self, x):
        return self.way(self.body)(x)


@pytest.mark.parametrize("way", [torch.vmap, torch.func.vmap, lambda f: torch.vmap(torch.vmap(f))])
def test_module_under_vmap_is_told_and_the_one_around_it_recorded(way):
    data = (X, None) if way in (torch.vmap, torch.func.vmap) else (X[:, None], None)
    model = Mapped(way)
    with pytest.raises(DataError, match=r"layer 'body\.0'") as error:
        recorded(model, data)
    assert "modules under torch.vmap see one sample at a time" in error.value.hint
    run = recorded(nn.Sequential(model), data, layers="0")
    expected = model.body(torch.tensor(data[0])).detach().numpy().reshape(200, 4)
    np.testing.assert_allclose(run.activations(1, "0"), expected, rtol=1e-5, atol=1e-6)


def test_module_under_vmap_of_as_many_units_as_samples_is_told_as_well():
    with pytest.raises(DataError, match=r"layer 'body\.0'") as error:
        recorded(Mapped(), (X[:4], None))
    assert "one sample at a time" in error.value.hint


class Derived(nn.Module):
    def __init__(self, way):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 4), nn.Tanh())
        self.way = way

    def forward(self, x):
        return self.way(self.body, x)


def slope(body, x):
    return torch.func.grad(lambda z: body(z).sum())(x)


TRANSFORMS = {
    "jacrev": lambda f, x: torch.func.jacrev(lambda z: f(z).sum(0))(x).movedim(1, 0),
    "grad": slope,
    "vjp": lambda f, x: torch.func.vjp(f, x)[1](torch.ones(len(x), 4))[0],
    "grads of samples": lambda f, x: torch.vmap(lambda z: slope(f, z))(x),
    "vmap of rows": lambda f, x: torch.vmap(lambda z: slope(f, z[None])[0])(x),
}


@pytest.mark.parametrize("way", TRANSFORMS)
def test_module_under_a_transform_is_told_and_the_one_around_it_recorded(way):
    model = Derived(TRANSFORMS[way])
    with pytest.raises(DataError, match=r"layer 'body\.0': .* within torch\.(func|vmap)") as error:
        recorded(model)
    assert "build nn.Sequential(model), --layers 0" in error.value.hint
    run = recorded(nn.Sequential(model), layers="0")
    with torch.enable_grad():
        expected = model(torch.tensor(X)).detach().numpy().reshape(len(X), -1)
    np.testing.assert_allclose(run.activations(1, "0"), expected, rtol=1e-5, atol=1e-6)


class Apart(nn.Module):
    """A network whose layers hold something else than samples."""

    def __init__(self):
        super().__init__()
        self.table, self.map = nn.Embedding(20, 6), nn.Linear(6, 6)

    def forward(self, x):
        return x + self.map(self.table(torch.arange(5))).mean(0)


def test_model_of_layers_without_samples_is_told_once_and_its_output_recorded():
    model = Apart()
    with pytest.raises(DataError, match=r"no layer can be recorded: table \(.*\), map \(") as error:
        recorded(model)
    assert "build nn.Sequential(model), --layers 0" in error.value.hint
    run = recorded(nn.Sequential(model), layers="0")
    expected = model(torch.tensor(X)).detach().numpy()
    np.testing.assert_allclose(run.activations(1, "0"), expected, rtol=1e-5, atol=1e-6)


class Field(nn.Module):
    """The gradient of a network by its input, as of physics-informed networks."""

    def __init__(self, enabled):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))
        self.enabled = enabled

    def forward(self, x):
        if self.enabled:
            with torch.enable_grad():
                return self.gradient(x)
        return self.gradient(x)

    def gradient(self, x):
        x = x.requires_grad_(True)
        return torch.autograd.grad(self.net(x).sum(), x, create_graph=True)[0]


class Backward(Field):
    def gradient(self, x):
        x = x.requires_grad_(True)
        self.net(x).sum().backward(inputs=[x])
        return x.grad


@pytest.mark.parametrize("kind", [Field, Backward])
def test_gradients_within_forward_need_a_block_of_their_own(kind):
    with pytest.raises(DataError, match="does not require grad") as error:
        recorded(kind(enabled=False))
    assert "with torch.enable_grad():" in error.value.hint
    model = kind(enabled=True)
    run = recorded(model)
    expected = model.net[0](torch.tensor(X)).detach().numpy()
    np.testing.assert_allclose(run.activations(1, "net.0"), expected, rtol=1e-5, atol=1e-6)
    assert all(parameter.grad is None for parameter in model.parameters())


class Graph(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Linear(6, 4)
        self.register_buffer("edges", torch.tensor(EDGES), persistent=False)

    def forward(self, x):
        h = self.w(x)
        return h.index_add(0, self.edges[1], h[self.edges[0]])


def test_input_without_a_row_for_each_sample_belongs_into_the_model():
    np.savez("graph.npz", x=X, edge_index=EDGES)
    Path("g.py").write_text(
        "import numpy as np\n"
        "def data():\n"
        "    with np.load('graph.npz') as z: return {'x': z['x'], 'edge_index': z['edge_index']}\n"
    )
    for reference in ("graph.npz", "g.py:data"):
        with pytest.raises(DataError, match="edge_index 2") as error:
            load_probe(reference)
        assert "belongs into the model" in error.value.hint
    assert "--batch-size" in error.value.hint
    model = Graph()
    run = recorded(nn.Sequential(model), layers=["0", "0.w"], batch_size=200)
    expected = model(torch.tensor(X)).detach().numpy()
    np.testing.assert_allclose(run.activations(1, "0"), expected, rtol=1e-5, atol=1e-5)


def test_weights_that_are_shortened_as_they_are_read():
    words = np.random.default_rng(0).integers(0, 9, (40, 5))
    model = nn.Sequential(nn.Embedding(9, 4, max_norm=0.5), nn.Flatten(), nn.Linear(20, 2))
    with pytest.raises(DataError, match=r"changed 0\.weight") as error:
        recorded(model, (words, None))
    assert "max_norm=None" in error.value.hint
    assert "torch.renorm" in error.value.hint
    weight = torch.renorm(model[0].weight.data, 2, 0, 0.5)
    expected = model(torch.tensor(words)).detach().numpy()
    model[0].max_norm, model[0].weight.data = None, weight
    run = recorded(model, (words, None), layers=["2"])
    np.testing.assert_allclose(run.activations(1, "2"), expected, rtol=1e-5, atol=1e-6)
