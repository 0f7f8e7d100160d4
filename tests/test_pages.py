"""The code blocks of the documentation: each is run by a test."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import infoplane
from tests.cli.analyses import rows_of, write_run
from tests.cli.test_executors import mpiexec
from tests.pages import MAY_FAIL, as_printed, in_bash
from tests.pages import blocks as of_page
from tests.similarity import made

ROOT = Path(__file__).parent.parent
ON_ARRAYS = {
    "neural.md",
    "python-api.md",
    *(f"estimators/{name}.md" for name in ("cauchy_schwarz", "compressed", "dse", "probe")),
}
HERE = ON_ARRAYS | {
    "ci.md", "quick-start.md", "validate.md", "scaling.md", "figures-and-report.md",
    "similarity.md",
}  # fmt: skip
OF_RECORDINGS = {"estimators/attention.md", "estimators/neural.md", "estimators/noisy.md"}
HERE |= OF_RECORDINGS
ELSEWHERE = {
    "arrays.md": "importing/test_docs.py",
    "artifacts-and-probes.md": "test_artifacts_page.py",
    "plugins.md": "test_plugins.py",
    "recording.md": "recording/test_docs.py",
    "regression.md": "test_regression_page.py",
}


def blocks(name):
    return of_page(ROOT / "docs" / name, "sh", "python")


def test_every_page_with_code_is_run():
    docs = ROOT / "docs"
    pages = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}
    assert {name for name in pages if blocks(name)} == HERE | ELSEWHERE.keys()
    for page, test in ELSEWHERE.items():
        assert Path(page).name in (ROOT / "tests" / test).read_text(), test


def test_links_of_all_pages_lead_somewhere():
    for path in (ROOT / "docs").rglob("*.md"):
        text = re.sub(r"```.*?```|`[^`]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            target = link.partition("#")[0]
            assert link.startswith("https://") or (path.parent / target).exists(), (path, link)


def test_quick_start_runs_as_printed(tmp_path, monkeypatch):
    [(_, program), (_, commands), (_, notebook)] = blocks("quick-start.md")
    (tmp_path / "train.py").write_text(program)
    in_bash(commands, tmp_path)  # in processes, as a user
    monkeypatch.chdir(tmp_path)
    exec(notebook, {})
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 1 + 5 * 2 * 3


def test_noisy_page_runs_as_printed(tmp_path):
    [(_, commands), (_, program)] = blocks("estimators/noisy.md")
    (tmp_path / "net.py").write_text(program)
    made: dict[str, Any] = {}
    exec(program, made)
    for epoch in range(2):
        torch.save(made["build"]().state_dict(), tmp_path / f"epoch_{epoch}.pt")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "probe.npz", inputs=rng.normal(size=(100, 12)), labels=np.arange(100) % 4)
    assert "noisy" in as_printed(commands, tmp_path)


def test_neural_page_runs_as_printed(tmp_path):
    """On few samples, and over one results file."""
    x = np.random.default_rng(0).normal(size=(210, 4)).astype(np.float32)
    with infoplane.RunWriter(tmp_path / "runs" / "s0", x, (x[:, 0] > 0).astype(int)) as writer:
        writer.add(0, {"fc1": np.tanh(x[:, :3]), "fc2": np.tanh(x[:, :2] - x[:, 2:])})
    [(_, commands)] = blocks("estimators/neural.md")
    commands = re.sub(r"(analyze [^#\n]*)", r"\1 --overwrite ", commands)
    as_printed(commands.replace("validate", "validate -n 100"), tmp_path)


def test_attention_page_runs_as_printed(tmp_path):
    transformers = pytest.importorskip("transformers")
    [(_, commands), (_, on_arrays)] = blocks("estimators/attention.md")
    exec(on_arrays, {})
    config = transformers.GPT2Config(
        vocab_size=20, n_positions=8, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    for step in range(2):
        transformers.GPT2Model(config).save_pretrained(tmp_path / f"checkpoint-{step}")
    tokens = np.random.default_rng(0).integers(20, size=(50, 8))
    np.savez(tmp_path / "probe.npz", input_ids=tokens)
    as_printed(commands, tmp_path)
    assert (tmp_path / "figures" / "attention.png").exists()


def test_similarity_page_runs_as_printed(tmp_path):
    for seed in range(2):
        made.write_run(tmp_path / "runs" / f"net-s{seed}", made.network(seed), seed=seed)
    said = ""
    for language, text in blocks("similarity.md"):
        if language == "python":
            (tmp_path / "train.py").write_text(text)
        else:
            said += as_printed(text, tmp_path)
    [failed] = [line for line in said.splitlines() if "is not >= 0.98" in line]
    assert failed.strip().startswith("block2 and baseline: cka ")
    assert "so procrustes" in failed
    assert (tmp_path / "figures" / "similarity.png").exists()
    assert (tmp_path / "drift.json").exists()


def test_what_to_expect_at_the_shape_of_a_run(tmp_path):
    [(_, draws), (_, commands)] = blocks("validate.md")
    assert as_printed(draws, tmp_path).startswith("known answers\n")
    write_run(tmp_path / "runs" / "disc-s0", n=120, steps=(0, 5), layers=("fc",))
    # Whatever the estimators are worth there: a SILENT-FAIL is exit code 1.
    table = as_printed(commands.strip() + MAY_FAIL, tmp_path, INFOPLANE_VALIDATE_DRAWS="2")
    assert table.startswith("synthetic layers like those of disc-s0, step 5\n")
    assert "compressed" in table


@pytest.fixture
def two_runs(tmp_path):
    """Two runs, and their rows."""
    for seed in (0, 1):
        write_run(tmp_path / "runs" / f"s{seed}", steps=(0, 5), seed=seed)
    as_printed("infoplane analyze runs/* --no-cache -e binning -o serial.json", tmp_path)
    return tmp_path


def test_ci_page_repeats_the_settings_of_a_baseline(two_runs):
    [(_, commands)] = blocks("ci.md")
    as_printed(
        "infoplane analyze runs/* -e compressed -e binning:bins=8 -o baseline.json", two_runs
    )
    as_printed(commands, two_runs)  # compare exits with 0: nothing differs
    here, there = (rows_of(two_runs / name) for name in ("results.json", "baseline.json"))
    assert [row | {"cached": False} for row in here] == there


def test_dask_command_but_for_the_address(two_runs):
    distributed = pytest.importorskip("distributed")
    [(_, commands)] = blocks("scaling.md")
    command, _ = commands.strip().splitlines()
    assert "tcp://head:8786" in command
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as cluster:
        here = command.replace("tcp://head:8786", cluster.scheduler_address)
        in_bash(f"{here} -e binning", two_runs)
    assert rows_of(two_runs / "results.json") == rows_of(two_runs / "serial.json")


def test_mpi_command_but_for_the_number_of_ranks(two_runs):
    [(_, commands)] = blocks("scaling.md")
    _, command = commands.strip().splitlines()
    assert command.startswith("mpiexec -n 33 ")
    here = command.replace("mpiexec -n 33", f"{mpiexec()} -n 2")
    in_bash(f"{here} -e binning", two_runs)
    assert rows_of(two_runs / "results.json") == rows_of(two_runs / "serial.json")


def test_figures_page_draws_what_it_prints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run("s0", layers=("fc1", "fc2", "fc3"))
    as_printed("infoplane analyze s0 -e binning -e compressed -o results.json -q", tmp_path)
    given = {"results": json.loads(Path("results.json").read_text())}
    for _, text in blocks("figures-and-report.md"):
        exec(text, given)
    assert Path("plane.png").stat().st_size > 10_000
    assert len(given["results"].to_rows()) == len(rows_of("results.json"))


@pytest.mark.parametrize("page", sorted(ON_ARRAYS))
def test_python_runs_as_printed(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    given = {
        "activations": labels[:, None] + rng.normal(size=(200, 4)),
        "labels": labels,
    }
    for _, text in blocks(page):
        exec(text, given)
