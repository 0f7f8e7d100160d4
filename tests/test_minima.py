"""The least versions that are declared are those of what the code calls."""

import re
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

try:
    import tomllib
except ModuleNotFoundError:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
CODE = "\n".join(
    path.read_text(encoding="utf-8")
    for folder in ("infoplane", "cli", "sample_runs")
    for path in sorted((ROOT / folder).rglob("*.py"))
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DECLARED = {
    requirement.name: requirement for requirement in map(Requirement, PROJECT["dependencies"])
}

USED = [
    # package, version that brought it, how it is called
    ("torch", "2.0", r"torch\.vmap|_functorch\.is_batchedtensor"),
    ("torch", "2.1", r"always_call=True"),
    ("torch", "2.3", r"torch\.uint16"),
    ("torch", "2.4", r"torch\.is_autocast_enabled\(device\)"),
    ("torch", "2.4", r"clear_safe_globals\("),
    ("torch", "2.6", r"get_unsafe_globals_in_checkpoint\("),
    ("torch", "2.6", r"compiler\.set_stance\("),
    ("torch", "2.6", r"weights_only=True"),  # runs code before: CVE-2025-32434
    ("matplotlib", "3.10", r"get_figure\(root=True\)"),
    ("click", "8.1.8", r"is_eager=True"),  # before, -h comes after all other eager options
    ("scipy", "1.8", r"\bcoo_array\b"),
    ("h5py", "3.5", r"locking=False"),
]
"""Where a call gets older than the declared version, or goes, its line changes with it."""


def least(name):
    (bound,) = [one for one in DECLARED[name].specifier if one.operator == ">="]
    return Version(bound.version)


@pytest.mark.parametrize(("name", "version", "call"), USED)
def test_declared_versions_have_what_is_called(name, version, call):
    assert re.search(call, CODE), "no longer called"
    assert least(name) >= Version(version)


def test_torch_may_be_as_old_as_what_is_called():
    assert least("torch") == max(Version(version) for name, version, _ in USED if name == "torch")


def test_names_that_came_later_are_asked_for():
    """Types of numbers that torch 2.6 lacks are no attributes that the code relies on."""
    assert not re.search(r"torch\.(float8_e8m0fnu|float4_e2m1fn_x2)", CODE)


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_every_dependency_has_a_least_version_and_no_last_one(name):
    assert [one.operator for one in DECLARED[name].specifier] == [">="]
    if DECLARED[name].marker is None or DECLARED[name].marker.evaluate():
        assert Version(metadata.version(name)) >= least(name)


WORKFLOW = ROOT / ".github" / "workflows" / "tests.yml"
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]


def least_everywhere():
    """What the workflow installs for the least versions, read from its text."""
    return set(re.findall(r"([a-z0-9-]+)==([\d.]+)", WORKFLOW.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", sorted(WORKFLOW.parent.glob("*.yml")), ids=lambda path: path.name)
def test_workflows_are_as_github_takes_them(path):
    """What its schema asks for: https://json.schemastore.org/github-workflow.json."""
    document = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)
    assert {"name", "on", "jobs"} <= set(document) <= {"name", "on", "jobs", "permissions", "env"}
    for job in document["jobs"].values():
        assert set(job) <= {"runs-on", "strategy", "steps", "name", "env", "timeout-minutes"}
        assert job["runs-on"]
        named = set(re.findall(r"matrix\.(\w+)", str(job)))
        matrix = job.get("strategy", {}).get("matrix", {})
        given = {*matrix, *(key for row in matrix.get("include", ()) for key in row)}
        assert named <= given
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert set(step) <= {"name", "uses", "run", "with", "if", "env", "shell"}
            assert re.fullmatch(r"[\w.-]+/[\w./-]+@v\d+", step.get("uses", "a/b@v1"))


def test_the_workflow_has_every_system_and_python():
    assert [
        line.rpartition(" ")[2] for line in PROJECT["classifiers"] if "Python :: 3." in line
    ] == PYTHONS
    jobs = yaml.load(WORKFLOW.read_text(encoding="utf-8"), yaml.BaseLoader)["jobs"]
    matrix = jobs["tests"]["strategy"]["matrix"]
    assert matrix["python"] == PYTHONS
    assert {name.partition("-")[0] for name in matrix["system"]} == {"ubuntu", "macos", "windows"}


def test_the_workflow_installs_the_least_versions():
    marked = {name for name, one in DECLARED.items() if one.marker is not None}
    expected = {(name, str(least(name))) for name in DECLARED if name not in marked}
    assert {(name, str(Version(version))) for name, version in least_everywhere()} == expected
