"""The same numbers from processes, a dask cluster and MPI, also when a worker is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.analyses import rows_of, start, wait_for_cells, write_run
from tests.conftest import infoplane
from tests.processes import LONG, children_of, start_process

ESTIMATORS = ("-e", "binning:bins=15+30", "-e", "compressed", "-e", "dse")


@pytest.fixture
def serial(runs):
    assert infoplane("analyze", "net-s0", *ESTIMATORS, "-j", "1", "-o", "serial.json").code == 0
    return rows_of("serial.json")


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
    options = ("--executor", "dask", "-j", "3", "--no-cache", "-o", "dask.json")
    done = infoplane("analyze", "net-s0", *ESTIMATORS, *options)
    assert done.code == 0, done.err
    assert rows_of("dask.json") == serial


def test_running_cluster_is_used_and_may_lose_a_worker(runs):
    distributed = pytest.importorskip("distributed")
    write_run("big", n=700, steps=range(16), units=20)
    assert infoplane("analyze", "big", "-e", "dse", "-o", "whole.json", "--no-cache").code == 0
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
    assert rows_of("r.json") == rows_of("whole.json")


def test_interrupt_of_a_cluster_started_here_keeps_the_finished_cells(runs):
    pytest.importorskip("distributed")
    write_run("big", n=700, steps=range(16), units=20)
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


def test_rank_that_dies_ends_the_job_and_a_second_one_goes_on(runs):
    write_run("big", n=700, steps=range(16), units=20)
    assert infoplane("analyze", "big", "-e", "dse", "-o", "whole.json", "--no-cache").code == 0
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
    assert rows_without_cached("r.json") == rows_without_cached("whole.json")
    assert any(row["cached"] for row in rows_of("r.json"))


def test_interrupt_of_an_mpi_job_keeps_the_finished_cells(runs):
    write_run("big", n=700, steps=range(16), units=20)
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


def rows_without_cached(path):
    return [{k: v for k, v in row.items() if k != "cached"} for row in rows_of(path)]


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("threads", 2, "expected processes, dask, dask=ADDRESS or mpi, got 'threads'"),
        ("dask=", 2, "expected processes, dask"),
        ("dask=tcp://127.0.0.1:9", 5, "no scheduler answers there"),
        ("mpi", 2, "expected an MPI job of at least 2 ranks"),
    ],
)
def test_wrong_executor_is_one_line(runs, text, code, words):
    if text == "mpi":
        mpiexec()
    done = infoplane("analyze", "net-s0", "-e", "binning", "--executor", text)
    assert done.code == code, done.err
    assert words in done.err
