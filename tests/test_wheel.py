"""The package as it is installed: everything in the tree is in the wheel, and it runs elsewhere."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOMES = {"infoplane": "infoplane", "cli": "infoplane/cli", "sample_runs": "infoplane/sample_runs"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of a copy of the tree: nothing of an earlier build gets in."""
    source = tmp_path_factory.mktemp("source")
    for name in HOMES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    subprocess.run(
        [*command, "--no-build-isolation", "-w", str(source / "dist"), str(source)],
        check=True,
        capture_output=True,
    )
    (found,) = (source / "dist").glob("*.whl")
    return found


def test_wheel_holds_every_file_of_the_tree_and_no_other(wheel):
    tree = {
        f"{home}/{path.relative_to(ROOT / name).as_posix()}"
        for name, home in HOMES.items()
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == tree


def test_installed_wheel_runs_outside_the_checkout(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    command = (
        "import infoplane, infoplane.cli.main as main; assert 'site' in infoplane.__file__;"
        "assert 'site' in main.__file__; raise SystemExit(main.run(['estimators', 'dse']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", command],
        capture_output=True, text=True, cwd=tmp_path, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Quantities" in done.stdout
