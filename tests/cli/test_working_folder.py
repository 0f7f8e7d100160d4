"""A file beside a run that is called like a module is never executed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import LONG

NAMES = ("multiprocessing", "pickle", "struct", "signal", "select", "selectors", "socket", "queue",
         "threading", "random", "secrets", "pathlib", "json", "logging", "numpy", "scipy", "h5py",
         "click", "utils", "distributed", "mpi4py", "site", "sitecustomize")  # fmt: skip
# `python -m` itself imports these before any line of ours.
OF_RUNPY = {"site", "sitecustomize", "threading", "mpi4py"}
INFOPLANE = [str(Path(sys.executable).with_name("infoplane"))]
ANALYZE = ["analyze", "net-s0", "-e", "binning", "-o", "r.json", "--overwrite", "--no-cache"]


def executed(command, names):
    """Return the names of the planted modules that a command executes."""
    marks = Path("marks").absolute()
    marks.mkdir()
    for name in names:
        text = f"open({str(marks / name)!r}, 'w')\nraise SystemExit(9)\n"
        Path(f"{name}.py").write_text(text)
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG, check=False)
    ran = [path.name for path in marks.iterdir()]
    assert (ran, done.returncode) == ([], 0), done.stderr


@pytest.mark.parametrize("arguments", [ANALYZE, [*ANALYZE, "-j", "2"],
    ["validate", "--like", "net-s0", "-e", "binning", "--draws", "2"]])  # fmt: skip
def test_workers_of_a_command(runs, arguments):
    executed([*INFOPLANE, *arguments], NAMES)


@pytest.mark.parametrize(
    "flags", [["-m", "infoplane"], ["-Bm", "infoplane"], ["-I", "-m", "infoplane"]]
)
def test_the_module(runs, flags):
    executed([sys.executable, *flags, *ANALYZE], sorted({*NAMES} - OF_RUNPY))


def test_dask(runs):
    pytest.importorskip("distributed")
    executed([*INFOPLANE, *ANALYZE, "--executor", "dask", "-j", "1"], NAMES)


def test_mpi(runs):
    pytest.importorskip("mpi4py", exc_type=ImportError)
    here = str(Path(sys.executable).parent)
    found = shutil.which("mpiexec", path=here) or shutil.which("mpiexec")
    if found is None:
        pytest.skip("no mpiexec on this machine")
    ranks = [found, "-n", "2", sys.executable, "-I", "-m", "mpi4py.futures", "-m", "infoplane"]
    executed([*ranks, *ANALYZE, "--executor", "mpi"], NAMES)
