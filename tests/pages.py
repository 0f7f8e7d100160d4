"""Shell commands of a page, as printed."""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from tests.conftest import as_in_a_new_process, infoplane_here

MAY_FAIL = " || test $? = 1"


def as_printed(script: str, folder: Path, **env: str) -> str:
    """Run commands one by one, those of infoplane and scripts in this process; return their stdout.

    Bash expands the words of all, globs and quotes too.
    """
    said = ""
    for line in script.replace("\\\n", "").splitlines():
        command, may_fail, _ = line.partition(MAY_FAIL)
        if not re.match(r"infoplane |python3? \w+\.py\b", command):
            said += in_bash(line, folder)
            continue
        program, *words = in_bash(f"printf '%s\\0' {command}", folder).split("\0")[:-1]
        if program != "infoplane":
            said += _of_script(words, folder)
            continue
        done = infoplane_here(*words, cwd=folder, **env)
        assert done.code in ((0, 1) if may_fail else (0,)), line + done.out + done.err
        said += done.out
    return said


def _of_script(words: list[str], folder: Path) -> str:
    """Return what a script prints, run as the main program of this process."""
    said = io.StringIO()
    with (
        as_in_a_new_process(folder, {}),
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(said),
    ):
        warnings.simplefilter("ignore")  # as of another process
        patch.setattr(sys, "argv", words)
        patch.syspath_prepend(folder)
        runpy.run_path(words[0], run_name="__main__")
    return said.getvalue()


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
