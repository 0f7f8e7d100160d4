"""Curvature of the loss: against known Hessians, on networks of all kinds, and in a run."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from infoplane import Recorder, Run, analyze
from infoplane.data import ProbeSet
from infoplane.errors import DataError, InputError, NotFoundError
from infoplane.recording.curvature import curvature_of, hutchinson, largest_eigenvalue, limit_of
from infoplane.recording.gradients import gradient_statistics
from infoplane.recording.hooks.modes import evaluation_mode
from infoplane.recording.probes.from_arrays import as_probe_set
from infoplane.runs.pack import pack
from tests.conftest import infoplane_here as command
from tests.conftest import small_net

ce = nn.functional.cross_entropy


def generator():
    return torch.Generator().manual_seed(0)


class Quadratic(nn.Module):
    """Half of w A w, whatever the input."""

    def __init__(self, matrix):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(len(matrix), dtype=matrix.dtype))
        self.register_buffer("matrix", matrix)

    def forward(self, x):
        return (0.5 * self.weight @ self.matrix @ self.weight).expand(len(x))


def measured(model, probe, loss=ce, **options):
    with evaluation_mode(model):
        return curvature_of(model, probe, loss, **options)


@pytest.mark.parametrize("size", [1, 2, 3, 10, 30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_quadratic(size, dtype, probe):
    """The Hessian is the matrix, at any weights; the trace within 5 standard errors."""
    torch.manual_seed(size)
    matrix = torch.randn(size, size, dtype=dtype)
    matrix = matrix + matrix.T
    found = measured(Quadratic(matrix), probe, lambda out, labels: out.mean())
    exact = torch.linalg.eigvalsh(matrix.double())
    assert found["converged"]
    assert found["hessian_top"] == pytest.approx(float(exact[-1]), rel=1e-3, abs=1e-5)
    assert abs(found["hessian_top"] - float(exact[-1])) <= found["hessian_top_error"] + 1e-5
    error = 5 * found["hessian_trace_error"] + 1e-4
    assert found["hessian_trace"] == pytest.approx(float(matrix.trace()), abs=error)


@pytest.mark.parametrize(
    "diagonal",
    [[3.0, 1.0, -5.0], [-1.0, -2.0, -3.0], [0.0, 0.0, 0.0], [2.0, 2.0, 2.0]],
)
def test_diagonal_matrices(diagonal, probe):
    """Random signs give the trace of a diagonal matrix without error."""
    matrix = torch.diag(torch.tensor(diagonal))
    found = measured(Quadratic(matrix), probe, lambda out, labels: out.mean())
    assert found["hessian_top"] == pytest.approx(max(diagonal), abs=1e-4)
    assert found["hessian_trace"] == pytest.approx(sum(diagonal), abs=1e-5)
    assert found["hessian_trace_error"] == pytest.approx(0.0, abs=1e-5)


def test_vectors_that_are_not_kept_give_the_same(monkeypatch):
    torch.manual_seed(0)
    matrix = torch.randn(60, 60, dtype=torch.float64)
    matrix = matrix @ matrix.T
    one = largest_eigenvalue(lambda v: matrix @ v, 60, generator(), like=matrix)
    monkeypatch.setattr("infoplane.recording.curvature._MOST_KEPT", 0)
    two = largest_eigenvalue(lambda v: matrix @ v, 60, generator(), like=matrix)
    exact = float(torch.linalg.eigvalsh(matrix)[-1])
    for found in (one, two):
        assert found.value == pytest.approx(exact, rel=1e-5)
        assert found.converged


def test_too_few_iterations_are_told():
    matrix = torch.diag(torch.linspace(0.9, 1.0, 400, dtype=torch.float64))
    found = largest_eigenvalue(lambda v: matrix @ v, 400, generator(), like=matrix, iterations=3)
    assert (found.iterations, found.converged) == (3, False)
    assert found.value < 1.0 < found.value + 3 * found.residual


def test_standard_error_of_the_trace_is_that_of_its_estimates():
    torch.manual_seed(1)
    matrix = torch.randn(40, 40)
    matrix = matrix + matrix.T
    draw = generator()
    found = [hutchinson(lambda v: matrix @ v, 40, draw, like=matrix) for _ in range(200)]
    values, errors = np.array(found).T
    assert values.mean() == pytest.approx(float(matrix.trace()), abs=4 * values.std() / 200**0.5)
    assert errors.mean() == pytest.approx(values.std(), rel=0.15)


def full_hessian(model, probe, loss):
    """The Hessian by torch itself, of a small model."""
    names = [name for name, _ in model.named_parameters()]
    given = probe.targets if probe.labels is None else probe.labels
    x, y = torch.from_numpy(probe.inputs), torch.from_numpy(given)

    def of(*weights):
        out = torch.func.functional_call(model, dict(zip(names, weights, strict=True)), (x,))
        return loss(out, y)

    blocks = torch.autograd.functional.hessian(of, tuple(p.detach() for p in model.parameters()))
    sizes = [p.numel() for p in model.parameters()]
    rows = [
        torch.cat([block.reshape(size, other) for block, other in zip(line, sizes, strict=True)], 1)
        for line, size in zip(blocks, sizes, strict=True)
    ]
    return torch.cat(rows)


def test_small_network_against_its_whole_hessian(probe):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(5, 4), nn.Tanh(), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2)
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = measured(model, probe, batch_size=50, learning_rate=0.1)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    exact = full_hessian(model.eval(), probe, ce)
    top = float(torch.linalg.eigvalsh(exact)[-1])
    assert found["hessian_top"] == pytest.approx(top, abs=found["hessian_top_error"] + 1e-4)
    error = 5 * found["hessian_trace_error"]
    assert found["hessian_trace"] == pytest.approx(float(exact.trace()), abs=error)
    assert found["stability_limit"] == pytest.approx(20.0)


def test_fisher_trace_is_the_mean_square_of_single_gradients(probe):
    torch.manual_seed(0)
    model = small_net()
    found = measured(model, probe)["fisher"]
    expected = {"fc1": [], "fc2": [], "out": []}
    for x, y in zip(torch.from_numpy(probe.inputs), torch.from_numpy(probe.labels), strict=True):
        model.zero_grad()
        ce(model(x[None]), y[None]).backward()
        for name, squares in expected.items():
            layer = getattr(model, name)
            squares.append(float(sum(p.grad.square().sum() for p in layer.parameters())))
    for name, squares in expected.items():
        assert found[name]["trace"] == pytest.approx(np.mean(squares), rel=1e-4)
        error = np.std(squares, ddof=1) / math.sqrt(len(squares))
        assert found[name]["error"] == pytest.approx(error, rel=1e-4)


class Tokens(nn.Module):
    def __init__(self, *, sparse):
        super().__init__()
        self.table, self.out = nn.Embedding(9, 4, sparse=sparse), nn.Linear(4, 2)

    def forward(self, x):
        return self.out(self.table(x).mean(1))


def test_sparse_gradients_are_made_dense_for_the_time(probe):
    tokens = ProbeSet(np.random.default_rng(0).integers(0, 9, (120, 3)), probe.labels)
    found = []
    for sparse in (False, True):
        torch.manual_seed(0)
        model = Tokens(sparse=sparse)
        found.append(measured(model, tokens))
        assert model.table.sparse is sparse
    assert found[0] == found[1]


def test_half_precision_is_computed_in_float32(probe):
    torch.manual_seed(0)
    model = small_net().bfloat16()
    half = measured(model, probe)
    whole = measured(model.float(), probe)
    # The same weights; the inputs are rounded to bfloat16.
    assert half["hessian_top"] == pytest.approx(whole["hessian_top"], rel=0.02)
    assert half["fisher"]["fc1"]["trace"] == pytest.approx(whole["fisher"]["fc1"]["trace"], rel=0.1)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(5, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.out = nn.Linear(8, 2)

    def forward(self, x):
        h = self.inner(x)[:, None].expand(-1, 3, -1)
        return self.out(self.attention(h, h, h, need_weights=False)[0].mean(1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.LSTM(5, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x):
        return self.out(self.cell(x[:, None].expand(-1, 3, -1))[0][:, -1])


def tied():
    layer = nn.Linear(5, 5)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.ReLU(), nn.Linear(5, 2))


def frozen():
    model = small_net()
    model.fc1.requires_grad_(False)
    return model


@pytest.mark.parametrize("make", [Attention, Recurrent, tied, frozen])
def test_networks_of_other_kinds(make, probe):
    torch.manual_seed(0)
    model = make()
    found = measured(model, probe)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert found["n_parameters"] == sum(p.numel() for p in trained)
    assert found["converged"]
    assert found["own_derivatives"] == []
    if make is frozen:
        exact = full_hessian(model, probe, ce)[24:, 24:]
        assert found["hessian_top"] == pytest.approx(
            float(torch.linalg.eigvalsh(exact)[-1]), rel=1e-3
        )
        assert "fc1" not in found["fisher"]


def test_a_model_without_trained_parameters_has_no_curvature(tmp_path, probe):
    model = small_net().requires_grad_(False)
    assert measured(model, probe) == {"n_samples": 120, "n_parameters": 0}
    with Recorder(model, probe, tmp_path / "r", curvature=ce, layers=["act2"]) as recorder:
        recorder.snapshot(0)
    for name in ("curvature", "fisher"):
        with pytest.raises(NotFoundError, match="no parameter is trained"):
            analyze(tmp_path / "r", name)


mse = nn.functional.mse_loss


@pytest.mark.parametrize(
    "loss",
    [
        mse,
        nn.MSELoss(),
        lambda out, targets: ((out - targets) ** 2).mean(),
        lambda out, targets: mse(out[:, 0], targets.reshape(-1)),
        lambda out, targets: mse(out.reshape(-1), targets.reshape(-1)),
    ],
)
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("batch_size", [512, 7])
def test_outputs_meet_the_targets_of_their_own_samples(loss, whole, batch_size):
    torch.manual_seed(0)
    x = torch.randn(50, 5)
    y = (3 * torch.randn(50, 1)).round() if whole else 3 * torch.randn(50, 1)
    model = nn.Sequential(nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 1))
    exact = full_hessian(model, ProbeSet(x.numpy(), None, y.numpy()), mse)
    found = measured(model, as_probe_set((x, y)), loss, batch_size=batch_size)
    top = float(torch.linalg.eigvalsh(exact)[-1])
    assert found["hessian_top"] == pytest.approx(top, rel=1e-3)
    assert not found["batch_loss"]


def test_gradients_of_outputs_with_the_targets_of_their_own_samples():
    torch.manual_seed(0)
    x, y = torch.randn(40, 5), torch.arange(40.0)[:, None] % 4
    model = nn.Sequential(nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 1))
    with evaluation_mode(model):
        found = gradient_statistics(model, as_probe_set((x, y)), mse, 20)
    exact = torch.autograd.grad(mse(model(x), y), model[0].weight)[0]
    assert found["0"]["mean_norm"] == pytest.approx(float(exact.norm()), rel=1e-5)


def weighted(out, labels):
    return ce(out, labels, weight=torch.tensor([0.2, 1.0]))


@pytest.mark.parametrize(
    ("loss", "refused"),
    [
        (lambda out, labels: ce(out, labels, reduction="sum"), True),
        (lambda out, labels: ce(out, labels, reduction="sum") / 512, True),
        (lambda out, labels: mse(out[:, :1], labels.float(), reduction="sum"), False),
        (lambda out, labels: mse(out[:, :1], labels.float()), False),
        (weighted, False),
        (lambda out, labels: ce(out, labels) ** 2, False),
    ],
)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_losses_that_are_no_mean_are_refused_or_flagged(loss, refused, tmp_path, probe):
    torch.manual_seed(0)
    if refused:
        with pytest.raises(DataError, match="grows with their number"):
            measured(small_net(), probe, loss)
        return
    with Recorder(
        small_net(), probe, tmp_path / "r", curvature=loss, layers=["act2"], on_error="raise"
    ) as recorder:
        recorder.snapshot(0)
    rows = analyze(tmp_path / "r", ["curvature", "fisher"])["rows"]
    assert rows
    assert all("batch_loss" in row["flags"] for row in rows if row["value"] is not None)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "make", [lambda out, bad: (out * bad).mean(), lambda out, bad: out.mean() + bad]
)
def test_losses_that_are_not_finite_have_no_curvature(value, make, probe):
    def loss(out, labels):
        return make(out, value)

    found = measured(nn.Linear(5, 1), probe, loss)
    assert found["hessian_top"] is None
    assert found["hessian_trace"] is None
    assert found["fisher"][""]["trace"] is None
    with evaluation_mode(model := nn.Linear(5, 1)):
        assert np.isnan(gradient_statistics(model, probe, loss, 40)[""]["mean_norm"])


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_error_holds_what_is_rounded(sign, scale, probe):
    torch.manual_seed(0)
    found = measured(nn.Linear(5, 1), probe, lambda out, labels: sign * scale * (out**2).mean())
    design = np.c_[probe.inputs, np.ones(120)]
    exact = np.linalg.eigvalsh(sign * 2 * scale * design.T @ design / 120)
    assert np.abs(exact - found["hessian_top"]).min() <= found["hessian_top_error"]


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.tanh()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return gradient * (1 - ctx.saved_tensors[0].tanh() ** 2)


class Twice(Once):
    @staticmethod
    def backward(ctx, gradient):
        return gradient * (1 - ctx.saved_tensors[0].tanh() ** 2)


class Custom(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function, self.inner, self.out = function, nn.Linear(5, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.out(self.function.apply(self.inner(x)))


def test_functions_with_derivatives_of_their_own(probe):
    torch.manual_seed(0)
    model = Custom(Twice)
    found = measured(model, probe)
    assert found["own_derivatives"] == ["Twice"]
    plain = nn.Sequential(model.inner, nn.Tanh(), model.out)
    assert found["hessian_top"] == pytest.approx(measured(plain, probe)["hessian_top"], rel=1e-5)
    with pytest.raises(DataError, match="contradict each other"):
        measured(Custom(Once), probe)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda out, labels: out, "expected a loss that is a scalar"),
        (lambda out, labels: 1.0, "expected a loss that is a scalar"),
        (lambda out, labels: out.detach().mean(), "does not require grad"),
        (lambda out, labels: 1 / 0, "ZeroDivisionError"),
        (lambda out: out, "takes 1 positional argument"),
    ],
)
def test_losses_that_fail_are_told_in_a_line(loss, message, probe):
    with pytest.raises(DataError, match=message) as raised:
        measured(small_net(), probe, loss)
    assert "\n" not in str(raised.value)


def test_losses_without_curvature_and_without_labels(probe):
    linear = measured(nn.Linear(5, 1), probe, lambda out, labels: out.mean())
    assert (linear["hessian_top"], linear["hessian_trace"]) == (0.0, 0.0)
    unlabelled = ProbeSet(probe.inputs, None)
    square = measured(nn.Linear(5, 1), unlabelled, lambda out, labels: (out**2).mean())
    design = np.c_[probe.inputs, np.ones(120)]
    exact = np.linalg.eigvalsh(2 * design.T @ design / 120)
    assert square["hessian_top"] == pytest.approx(exact[-1], rel=1e-4)


def test_weights_that_are_nan_are_no_number(tmp_path, probe):
    model = small_net()
    model.fc1.weight.data.fill_(math.nan)
    assert measured(model, probe)["hessian_top"] is None
    with Recorder(model, probe, tmp_path / "r", curvature=ce, layers=["act2"]) as recorder:
        recorder.snapshot(0)
    rows = analyze(tmp_path / "r", "curvature")["rows"]
    assert [row["quantity"] for row in rows] == ["hessian_top", "hessian_trace"]
    for row in rows:
        assert row["value"] is None
        assert "nonfinite" in row["flags"]


def sgd(**options):
    return torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.5, **options)


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        (None, None),
        (0.5, 4.0),
        (sgd(), 4.0),
        (sgd(momentum=0.9), 7.6),
        (sgd(momentum=0.9, nesterov=True), 3.8 / (0.5 * 2.8)),
        (sgd(weight_decay=0.1), 3.9),
        (sgd(momentum=0.9, dampening=0.5), None),
        (torch.optim.Adam(nn.Linear(2, 2).parameters(), lr=0.5), None),
        (
            torch.optim.SGD(
                [{"params": [p], "lr": 1 + p.ndim} for p in nn.Linear(2, 2).parameters()]
            ),
            None,
        ),
    ],
)
def test_limit_of_stability(given, limit):
    assert limit_of(given)["stability_limit"] == (limit if limit is None else pytest.approx(limit))


def test_the_limit_is_where_descent_on_a_quadratic_diverges():
    for options in ({}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True},
                    {"weight_decay": 0.3}):  # fmt: skip
        for factor in (0.98, 1.02):
            weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
            optimizer = torch.optim.SGD([weight], lr=0.5, **options)
            steepness = factor * limit_of(optimizer)["stability_limit"]
            for _ in range(2000):
                optimizer.zero_grad()
                (0.5 * steepness * weight**2).backward()
                optimizer.step()
            assert (abs(float(weight.detach())) < 1) is (factor < 1), (options, factor)


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf, "fast"])
def test_learning_rates_that_are_none_are_refused(wrong, tmp_path, probe):
    with pytest.raises(InputError, match="learning_rate: expected a number"):
        Recorder(small_net(), probe, tmp_path / "r", curvature=ce, learning_rate=wrong)
    assert not (tmp_path / "r").exists()


@pytest.fixture
def run(tmp_path, probe):
    torch.manual_seed(0)
    model = small_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    options = {"curvature": ce, "learning_rate": optimizer, "curvature_samples": 50}
    x, y = torch.from_numpy(probe.inputs), torch.from_numpy(probe.labels)
    with Recorder(model, probe, tmp_path / "r", schedule="every:2", **options) as recorder:
        for step in range(5):
            recorder.step(step)
            optimizer.zero_grad()
            ce(model(x), y).backward()
            optimizer.step()
            optimizer.param_groups[0]["lr"] /= 2
    return Run(tmp_path / "r")


def test_a_run_keeps_the_curvature_of_every_step(run, tmp_path):
    kept = [run.step_info(step).curvature for step in run.steps]
    assert [one["learning_rate"] for one in kept] == [0.5, 0.125, 0.03125]
    assert {one["n_samples"] for one in kept} == {50}
    assert "; curvature" in command("inspect", str(run.path)).out
    pack(run, tmp_path / "p.h5")
    assert Run(tmp_path / "p.h5").record_of(2).curvature == kept[1]
    results = analyze(run, ["curvature", "fisher"])
    rows = {(r["step"], r["layer"], r["quantity"]): r for r in results["rows"]}
    for step, one in zip(run.steps, kept, strict=True):
        assert rows[step, "run", "hessian_top"]["value"] == one["hessian_top"]
        assert rows[step, "run", "stability_limit"]["value"] == 2 / one["learning_rate"]
        assert rows[step, "fc1", "fisher_trace"]["value"] == one["fisher"]["fc1"]["trace"]
        assert (step, "act1", "fisher_trace") not in rows
    assert rows[0, "run", "hessian_trace"]["unit"] == "curvature"


def test_recording_does_not_disturb_what_is_drawn(tmp_path, probe):
    state = torch.get_rng_state()
    with Recorder(small_net(), probe, tmp_path / "r", curvature=ce) as recorder:
        state = torch.get_rng_state()
        recorder.snapshot(0)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_intervals_are_those_of_student(run):
    told = run.step_info(0).curvature
    rows = analyze(run, ["curvature", "fisher"])["rows"]
    trace = next(r for r in rows if (r["step"], r["quantity"]) == (0, "hessian_trace"))
    half = 2.13145 * told["hessian_trace_error"]  # of 15 degrees of freedom, from tables
    assert trace["ci_high"] - trace["value"] == pytest.approx(half, rel=1e-5)
    fisher = next(r for r in rows if (r["step"], r["layer"]) == (0, "fc1"))
    half = 2.00958 * told["fisher"]["fc1"]["error"]  # of 49
    assert fisher["ci_high"] - fisher["value"] == pytest.approx(half, rel=1e-5)


def test_the_table_tells_bounds_from_intervals(run, tmp_path):
    out = command("analyze", str(run.path), "-e", "curvature", "-o", str(tmp_path / "c.json")).out
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "95% CI [or bounds]" in lines["training"]
    named = [line for line in lines.values() if " .. " in line]
    assert len(named) == 2
    assert ["[" in line for line in sorted(named, key=lambda one: "tr" in one)] == [True, False]


def test_a_run_without_curvature_says_what_to_do(tmp_path, probe):
    with Recorder(small_net(), probe, tmp_path / "r") as recorder:
        recorder.snapshot(0)
    for name in ("curvature", "fisher"):
        with pytest.raises(NotFoundError, match=r"Recorder\(..., curvature=loss\) keeps it"):
            analyze(tmp_path / "r", name)


def test_a_loss_that_fails_ends_the_recording_not_the_training(tmp_path, probe, caplog):
    def broken(out, labels):
        raise ValueError("no")

    with Recorder(small_net(), probe, tmp_path / "r", curvature=broken) as recorder:
        assert not recorder.step(0)
    assert "training goes on: curvature: the loss failed: ValueError: no" in caplog.text
