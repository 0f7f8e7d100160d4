"""The commands of docs/artifacts-and-probes.md, as printed."""

import re
from pathlib import Path

from infoplane.runs.run import Run
from tests.pages import as_printed, blocks

BLOCKS = blocks(Path(__file__).parent.parent / "docs" / "artifacts-and-probes.md")


def test_commands_run_in_the_order_of_the_page(tmp_path):
    for language, text in BLOCKS:
        if language == "python":
            (tmp_path / re.match(r"# (\w+\.py)\n", text)[1]).write_text(text)
    as_printed("".join(text for language, text in BLOCKS if language == "sh"), tmp_path)
    runs = {
        name: Run(tmp_path / "runs" / name) for name in ("s0", "s1", "s2", "s3", "s4", "s5", "s6")
    }
    assert all(run.steps == (0, 100, 200) for run in runs.values())
    assert runs["s2"].probe.n_samples == 100
    assert len(set(runs["s4"].probe.labels.tolist())) == 4
    assert runs["s6"].splits == {"train": 400, "test": 100}
    assert runs["s5"].layers[0].reduction == "sketch:4"
