"""The same numbers from processes, a dask cluster and MPI, also when a worker is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infoplane.analysis import executors
from tests.cli.analyses import rows_of, start, wait_for_cells, write_run
from tests.conftest import infoplane, infoplane_here
from tests.processes import LONG, children_of, start_process

ESTIMATORS = ("-e", "binning:bins=15+30", "-e", "compressed", "-e", "dse")


@pytest.fixture
def serial(runs):
    done = infoplane_here("analyze", "net-s0", *ESTIMATORS, "--no-cache", "-o", "serial.json")
    assert done.code == 0, done.err
    return rows_of("serial.json")


@pytest.fixture(scope="module")
def of_dse(tmp_path_factory):
    """A run of many cells, and its rows."""
    folder = tmp_path_factory.mktemp("big")
    write_run(folder / "big", n=700, steps=range(16), units=20)
    command = ("analyze", "big", "-e", "dse", "-o", "whole.json", "--no-cache")
    assert infoplane_here(*command, cwd=folder).code == 0
    return folder / "big", rows_of(folder / "whole.json")


@pytest.fixture
def big(of_dse, runs):
    """Its rows, the run being in the working folder."""
    shutil.copytree(of_dse[0], "big")
    return of_dse[1]


def mpiexec():
    found = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which(
        "mpiexec"
    )
    if found is None:
        if os.environ.get("INFOPLANE_REQUIRE_MPI"):
            raise AssertionError("no mpiexec")
        pytest.skip("no mpiexec on this machine")
    pytest.importorskip("mpi4py", exc_type=ImportError)
    return found


def test_dask_gives_the_same_rows(serial):
    pytest.importorskip("distributed")
    options = ("--executor", "dask", "-j", "2", "--no-cache", "-o", "dask.json")
    done = infoplane("analyze", "net-s0", *ESTIMATORS, *options)
    assert done.code == 0, done.err
    assert rows_of("dask.json") == serial


def test_running_cluster_is_used_and_may_lose_a_worker(big):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=3, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as cluster:
        address = cluster.scheduler_address
        process = start("big", "-e", "dse", "--executor", f"dask={address}", "-o", "r.json")
        wait_for_cells(process, 4)
        os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
        _, err = process.communicate(timeout=LONG)
        assert process.returncode == 0, err
    assert "Traceback" not in err
    assert rows_of("r.json") == big


def test_interrupt_of_a_cluster_started_here_keeps_the_finished_cells(big):
    pytest.importorskip("distributed")
    process = start("big", "-e", "dse", "--executor", "dask", "-j", "2", "-o", "r.json")
    wait_for_cells(process, 4)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    _, err = process.communicate(timeout=LONG)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "interrupted: " in err
    assert json.loads(Path("r.json").read_text())["status"] == "interrupted"


def test_mpi_gives_the_same_rows(serial):
    command = [mpiexec(), "-n", "3", sys.executable, "-m", "mpi4py.futures", "-m", "infoplane"]
    command += ["analyze", "net-s0", *ESTIMATORS, "--executor", "mpi", "--no-cache"]
    done = subprocess.run(
        [*command, "-o", "mpi.json"], capture_output=True, text=True, timeout=LONG, check=False
    )
    assert done.returncode == 0, done.stderr
    assert rows_of("mpi.json") == serial


def test_rank_that_dies_ends_the_job_and_a_second_one_goes_on(big):
    command = [mpiexec(), "-n", "3", sys.executable, "-m", "mpi4py.futures", "-m", "infoplane"]
    command += ["analyze", "big", "-e", "dse", "--executor", "mpi", "-o", "r.json"]
    process = start_process(command, text=True)
    wait_for_cells(process, 4)
    os.kill(children_of(process.pid)[-1], signal.SIGKILL)
    process.communicate(timeout=LONG)
    assert process.returncode != 0
    assert not Path("r.json").exists()
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG, check=False)
    assert done.returncode == 0, done.stderr
    found = rows_of("r.json")
    assert any(row["cached"] for row in found)
    assert [row | {"cached": False} for row in found] == big


def test_interrupt_of_an_mpi_job_keeps_the_finished_cells(big):
    command = [mpiexec(), "-n", "3", sys.executable, "-m", "mpi4py.futures", "-m", "infoplane"]
    command += ["analyze", "big", "-e", "dse", "--executor", "mpi", "-o", "r.json"]
    process = start_process(command, text=True)
    wait_for_cells(process, 4)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=LONG)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert json.loads(Path("r.json").read_text())["status"] == "interrupted"
    assert not list(Path(".infoplane_cache").glob("infoplane-*"))  # what was handed to workers


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("threads", 2, "expected processes, dask, dask=ADDRESS or mpi, got 'threads'"),
        ("dask=", 2, "expected processes, dask"),
        ("dask=tcp://127.0.0.1:9", 5, "no scheduler answers there"),
        ("mpi", 2, "expected an MPI job of at least 2 ranks"),
    ],
)
def test_wrong_executor_is_one_line(runs, monkeypatch, text, code, words):
    monkeypatch.setattr(executors, "_CONNECT_SECONDS", 1)
    if text == "mpi":
        mpiexec()
    command = infoplane if text == "mpi" else infoplane_here  # it begins with MPI
    done = command("analyze", "net-s0", "-e", "binning", "--executor", text)
    assert done.code == code, done.err
    assert words in done.err
