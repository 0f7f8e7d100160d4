"""The sample runs, as their pages say: by hand, in a copy of the folder."""

import shutil
from importlib import import_module
from pathlib import Path

import pytest

from tests.conftest import QUICK
from tests.pages import as_printed, blocks


@pytest.mark.parametrize("sample", ["twelve_bit", "digits"])
def test_sample_run_works_as_its_readme_prints(sample, tmp_path):
    there = Path(import_module(f"infoplane.sample_runs.{sample}.train").__file__).parent
    [(_, commands)] = blocks(there / "README.md", "sh")
    short = commands.replace("train.py --seed 0", "train.py --seed 0 --epochs 1")
    assert short != commands
    shutil.copytree(there, tmp_path / "copy")
    fewer = "[estimator.compressed]\nmax_samples = 1000\n"
    (tmp_path / "copy" / "infoplane.toml").write_text(QUICK + fewer)
    printed = as_printed(short, tmp_path / "copy")
    said = {"twelve_bit": "2 steps x 6 layers x 4,096 samples", "digits": "2 steps x 4 layers"}
    assert f"recorded {said[sample]}" in printed
    assert (tmp_path / "copy" / "report.html").stat().st_size > 50_000
