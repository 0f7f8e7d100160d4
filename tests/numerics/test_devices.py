"""Where estimators compute. There need be no GPU: tensors on the processor take the same path."""

import concurrent.futures
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch

from infoplane.analysis.engine import analyze
from infoplane.analysis.selection import select_cells
from infoplane.errors import InputError
from infoplane.estimators.layers import diffusion_entropy, diffusion_information
from infoplane.estimators.layers.diffusion_entropy import diffusion_spectral_entropy
from infoplane.estimators.layers.diffusion_information import diffusion_spectral_mutual_information
from infoplane.estimators.registry import parse_estimator
from infoplane.numerics import devices
from infoplane.numerics.neighbors.search import neighbor_distances
from infoplane.numerics.projection import principal_basis
from infoplane.runs.run import Run
from tests.cli.analyses import write_run
from tests.conftest import infoplane_here as infoplane
from tests.workers import Serial


def test_workers_take_the_gpus_in_turn_and_a_named_one_is_kept():
    assert [devices.assigned("cuda", 2, worker) for worker in range(5)] == [
        "cuda:0", "cuda:1", "cuda:0", "cuda:1", "cuda:0",
    ]  # fmt: skip
    assert {devices.assigned("cuda:1", 2, worker) for worker in range(5)} == {"cuda:1"}


@pytest.mark.parametrize(
    ("wanted", "count", "found"),
    [("cuda", 0, "no GPU"), ("cuda:0", 0, "no GPU"), ("cuda:2", 2, "cuda:0, cuda:1")],
)
def test_gpu_that_is_not_there_is_an_error_that_names_what_is(wanted, count, found):
    with pytest.raises(InputError, match=f"device {wanted}: .*found {found}$"):
        devices.assigned(wanted, count, 0)


def test_worker_processes_have_different_numbers():
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(3, mp_context=spawn) as pool:
        first = pool.submit(devices.worker_number).result()
    with concurrent.futures.ProcessPoolExecutor(3, mp_context=spawn) as pool:
        second = pool.submit(devices.worker_number).result()
    assert second > first > 0


def test_local_rank_tells_the_processes_of_an_mpi_job_apart(monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_RANK", "3")
    monkeypatch.setattr(multiprocessing.current_process(), "_identity", ())
    assert devices.worker_number() == 3


def test_auto_uses_a_gpu_only_where_one_is_there_and_was_measured_to_pay(monkeypatch):
    monkeypatch.setattr(devices, "count_gpus", lambda: 1)
    assert devices.device_for("auto", "dse", 10**6) is None
    monkeypatch.setattr(devices, "FASTER_FROM", {"dse": 5000})
    assert devices.device_for("auto", "dse", 4999) is None
    assert devices.device_for("auto", "dse", 5000) == "cuda"
    assert devices.device_for("auto", "kde", 10**6) is None
    assert devices.device_for("cpu", "dse", 10**6) is None
    assert devices.device_for("cuda:1", "dse", 10) == "cuda:1"
    monkeypatch.setattr(devices, "count_gpus", lambda: 0)
    assert devices.device_for("auto", "dse", 5000) is None


@pytest.mark.parametrize("units", [40, 1600])
def test_principal_basis_of_a_tensor_is_that_of_the_array(units):
    rng = np.random.default_rng(0)
    array = rng.normal(size=(300, 6)) @ rng.normal(size=(6, units)) * 3 + 50
    array = (array + 0.01 * rng.normal(size=array.shape)).astype(np.float32)
    tensor = torch.tensor(array)
    numpy, moved = principal_basis(array, 6), principal_basis(tensor, 6)
    np.testing.assert_allclose(moved.variances, numpy.variances, rtol=1e-9)
    np.testing.assert_allclose(moved.mean, numpy.mean, rtol=1e-12)
    np.testing.assert_allclose(np.abs(moved.components.T @ numpy.components), np.eye(6), atol=1e-6)
    (scores, rest), (expected, left) = numpy.project(tensor), numpy.project(array)
    np.testing.assert_allclose(scores, expected, atol=1e-9)
    # A difference of two sums of n squares, each with a rounding error of up to log2(n) eps of the
    # whole variance where they are added in pairs (Higham, 1993); the rest itself is 1e6 smaller.
    rounding = 2 * np.log2(array.size) * np.finfo(float).eps
    assert rest == pytest.approx(left, rel=0, abs=rounding * numpy.total_variance)


@pytest.mark.parametrize("n_dims", [2, 9])
def test_blocked_neighbours_are_exact_in_any_dimension(n_dims):
    points = np.random.default_rng(0).normal(size=(700, n_dims))
    np.testing.assert_allclose(
        neighbor_distances(points, 7, "cpu"), neighbor_distances(points, 7), rtol=1e-12
    )


@pytest.mark.parametrize(("n", "method"), [(300, "exact"), (1100, "exact"), (300, "slq")], ids=str)
def test_diffusion_spectra_of_tensors_are_those_of_arrays(n, method, monkeypatch):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    x = rng.normal(size=(n, 12)) + labels[:, None]

    def measured(points):
        entropy = diffusion_spectral_entropy(points, method=method, t=(1, 3))
        info = diffusion_spectral_mutual_information(points, labels, method=method)
        return [*entropy.bits, entropy.sigma, info.bits]

    expected = measured(x)
    for module in (diffusion_entropy, diffusion_information):  # keeps the tensor
        monkeypatch.setattr(module, "checked_points", lambda points: points)
    # Exact ones differ by rounding; the quadrature draws the same probes, in float32.
    tolerance = 1e-9 if method == "exact" else 1e-3
    np.testing.assert_allclose(measured(torch.tensor(x)), expected, atol=tolerance)


class Kept(dict):
    put = dict.__setitem__


def test_engine_hands_tensors_to_estimators_that_take_them_and_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(devices, "own_gpu", lambda wanted: "cpu")
    write_run("net", n=200, units=12, steps=(0, 5))
    cells = select_cells([Run(Path("net"))])
    estimators = [parse_estimator(name) for name in ("binning", "compressed")]
    cache = Kept()
    plain = list(analyze(cells, estimators, Serial(), cache=cache))
    moved = list(analyze(cells, estimators, Serial(), cache=cache, device="cuda"))
    assert all(cell.cached == (cell.estimator == "binning") for cell in moved)
    expected = {(cell.estimator, cell.layer.name, cell.step): cell.estimates for cell in plain}
    for cell in moved:
        for name, estimate in cell.estimates.items():
            before = expected[cell.estimator, cell.layer.name, cell.step][name]
            assert estimate.bits == pytest.approx(before.bits, abs=1e-6)
            assert estimate.diagnostics.get("device") == (None if cell.cached else "cpu")


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("gpu", "expected auto, cpu, cuda or cuda:K, got 'gpu'"),
        ("cuda:99", "--device cuda:99: expected a GPU that torch can use"),
    ],
)
def test_wrong_device_is_one_line_on_the_command_line(project, device, words):
    write_run("net", steps=(0,))
    for command in (
        ["analyze", "net"],
        ["record", "--model", "net.py:build", "--checkpoints", "ckpt/*.pt", "--data", "probe.npz",
         "-o", "recorded"],
    ):  # fmt: skip
        done = infoplane(*command, "--device", device)
        assert (done.code, done.out) == (2, ""), done.err
        assert words in done.err
        assert not Path("recorded").exists()


def test_device_of_a_recording_is_in_its_provenance(project):
    command = ["record", "--model", "net.py:build", "--checkpoints", "ckpt/*.pt"]
    done = infoplane(*command, "--data", "probe.npz", "-o", "run", "--device", "cpu")
    assert done.code == 0, done.err
    assert '"device": "cpu"' in Path("run/manifest.json").read_text()
    done = infoplane("record", "-o", "other", "--device", "cpu", "--", "python", "train.py")
    assert done.code == 2
    assert "--device is for --checkpoints" in done.err
