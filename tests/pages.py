"""Shell commands of a page, as printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import infoplane_here

MAY_FAIL = " || test $? = 1"


def as_printed(script: str, folder: Path, **env: str) -> str:
    """Run commands one by one, those of infoplane in this process; return what they print.

    Bash expands the words of both, globs and quotes too.
    """
    said = ""
    for line in script.replace("\\\n", "").splitlines():
        command, may_fail, _ = line.partition(MAY_FAIL)
        if command.startswith("infoplane "):
            words = in_bash(command.replace("infoplane", r"printf '%s\0'", 1), folder)
            done = infoplane_here(*words.split("\0")[:-1], cwd=folder, **env)
            assert done.code in ((0, 1) if may_fail else (0,)), line + done.out + done.err
            said += done.out
        else:
            said += in_bash(line, folder)
    return said


def in_bash(script: str, folder: Path) -> str:
    """Run a script in processes of its own, with the commands of this interpreter."""
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, script + done.stdout + done.stderr
    return done.stdout


def blocks(page: Path, *languages: str) -> list[tuple[str, str]]:
    """Return the code blocks of a page with their languages; all unless some are named."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(name, code) for name, code in found if not languages or name in languages]
