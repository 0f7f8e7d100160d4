"""The commands of docs/artifacts-and-probes.md, as printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

from infoplane.runs.run import Run

PAGE = Path(__file__).parent.parent / "docs" / "artifacts-and-probes.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_commands_run_in_the_order_of_the_page(tmp_path):
    for language, text in BLOCKS:
        if language == "python":
            (tmp_path / re.match(r"# (\w+\.py)\n", text)[1]).write_text(text)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    script = "".join(text for language, text in BLOCKS if language == "sh")
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    runs = {
        name: Run(tmp_path / "runs" / name) for name in ("s0", "s1", "s2", "s3", "s4", "s5", "s6")
    }
    assert all(run.steps == (0, 100, 200) for run in runs.values())
    assert runs["s2"].probe.n_samples == 100
    assert len(set(runs["s4"].probe.labels.tolist())) == 4
    assert runs["s6"].splits == {"train": 400, "test": 100}
    assert runs["s5"].layers[0].reduction == "sketch:4"
