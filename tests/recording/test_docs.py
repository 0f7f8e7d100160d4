"""The blocks of docs/recording.md, as printed."""

import re
from pathlib import Path

from infoplane.runs.run import Run
from tests.pages import as_printed, blocks, in_bash

BLOCKS = blocks(Path(__file__).parents[2] / "docs" / "recording.md")


def test_blocks_run_in_the_order_of_the_page(tmp_path):
    scripts = []
    for language, text in BLOCKS:
        if language == "python":
            scripts.append(re.match(r"# (\w+\.py)\n", text)[1])
            (tmp_path / scripts[-1]).write_text(text)
    assert scripts == ["parts.py", "loop.py", "shards.py", "train.py"]
    ran = "; ".join(f"import {name.removesuffix('.py')}" for name in scripts[:-1])
    in_bash(f"python3 -c '{ran}'", tmp_path)
    as_printed("".join(text for language, text in BLOCKS if language == "sh"), tmp_path)
    assert Run(tmp_path / "runs" / "script").steps == (0, 5, 20)
