"""The blocks of docs/recording.md, as printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

from infoplane.runs.run import Run

PAGE = Path(__file__).parents[2] / "docs" / "recording.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.DOTALL)


def test_blocks_run_in_the_order_of_the_page(tmp_path):
    scripts = []
    for language, text in BLOCKS:
        if language == "python":
            scripts.append(re.match(r"# (\w+\.py)\n", text)[1])
            (tmp_path / scripts[-1]).write_text(text)
    assert scripts == ["parts.py", "loop.py", "shards.py", "train.py"]
    ran = "\n".join(f"import {name.removesuffix('.py')}" for name in scripts[:-1])
    commands = [text for language, text in BLOCKS if language == "sh"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in (
        [sys.executable, "-c", ran],
        *(["bash", "-e", "-c", text] for text in commands),
    ):
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert Run(tmp_path / "runs" / "script").steps == (0, 5, 20)
