"""Import directions, and what the help pages may load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from infoplane.cli.main import _COMMANDS

ROOT = Path(__file__).parent.parent

_NUMERIC = {"numerics", "records", "blocks", "seeding", "errors"}
MAY_IMPORT = {
    "errors": set(),
    "seeding": set(),
    "blocks": set(),
    "records": {"blocks", "errors"},
    "patterns": set(),
    "tasks": {"records", "errors"},
    "numerics": _NUMERIC,
    "estimators": {"estimators", *_NUMERIC},
    "store": {"schemas", "store", "records", "blocks", "errors"},
    "recording": {
        "blocks",
        "patterns",
        "recording",
        "store",
        "numerics",
        "records",
        "seeding",
        "errors",
    },
    "validation": {"validation", "estimators", *_NUMERIC},
    "selection": {"store", "patterns", "records", "errors"},
    "cell_keys": {"store", "estimators", "records"},
    "devices": {"records", "errors"},
    "handover": {"errors"},
    "cells": {
        "blocks",
        "devices",
        "handover",
        "store",
        "estimators",
        "records",
        "seeding",
        "errors",
    },
    "analysis": {
        "cells",
        "cell_keys",
        "devices",
        "handover",
        "store",
        "estimators",
        "records",
        "errors",
    },
    "sampling": {"analysis", "cells", "estimators", "store", "records", "seeding", "errors"},
    "planning": {"analysis", "cells", "cell_keys", "estimators"},
    "ordering": set(),
    "document": {"cells", "ordering", "phases", "store", "estimators", "records"},
    "recordings": {"merging", "store", "numerics", "records"},
    "inspection": {"store", "numerics", "records", "errors"},
    "quantiles": set(),
    "curves": {"quantiles", "records", "errors"},
    "phases": {"curves", "quantiles", "records", "seeding", "errors"},
    "merging": {"numerics", "phases", "text", "errors"},
    "results": {"merging", "plots", "store", "text", "records", "errors"},
    "starting": {"store", "templates", "errors"},
    "templates": set(),
    "exporting": {"results", "store", "errors"},
    "plots": {"plots", "gate", "phases", "curves", "records", "errors", "schemas"},
    "text": set(),
    "catalogue": set(),
    "configuration": {"text", "errors"},
    "gate": {
        "gate",
        "configuration",
        "curves",
        "merging",
        "phases",
        "quantiles",
        "store",
        "patterns",
        "records",
        "text",
        "errors",
    },
    "schemas": set(),
}
HEAVY = {
    "torch": {"recording", "sample_runs"},
    "h5py": {"store"},
    "matplotlib": {"plots"},
    "click": {"cli"},
    "rich": {"cli"},
}


def _modules():
    return list(_found())


def _found():
    for path in sorted((ROOT / "infoplane").rglob("*.py")):
        parts = path.relative_to(ROOT / "infoplane").with_suffix("").parts
        if parts[0] not in ("__init__", "__main__"):
            yield pytest.param(path, parts[0], id="/".join(parts))


def _imports(path: Path, *, top_level: bool = False):
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(("path", "package"), _modules())
def test_imports_point_down(path, package):
    ours = {name.split(".")[1] for name in _imports(path) if name.startswith("infoplane.")}
    assert ours <= MAY_IMPORT[package], f"{path} imports {sorted(ours - MAY_IMPORT[package])}"


@pytest.mark.parametrize(("path", "package"), _modules())
def test_heavy_libraries_stay_in_their_package(path, package):
    loaded = {name.split(".")[0] for name in _imports(path, top_level=True)}
    for library, homes in HEAVY.items():
        assert library not in loaded or package in homes, f"{path} imports {library}"


def test_estimators_do_not_import_one_another():
    for path in (ROOT / "infoplane" / "estimators").glob("*.py"):
        if path.stem not in ("__init__", "base"):
            ours = {name for name in _imports(path) if name.startswith("infoplane.estimators.")}
            assert {name.split(".")[2] for name in ours} <= {"base"}, path


HELP = [
    [],
    ["--help"],
    *([name, "--help"] for section in _COMMANDS.values() for name in section),
]


@pytest.mark.parametrize("arguments", HELP, ids=" ".join)
def test_help_loads_no_heavy_library(arguments):
    code = (
        "import sys; from infoplane.cli.main import run\n"
        f"status = run({arguments!r})\n"
        "heavy = {'torch', 'matplotlib', 'h5py', 'numpy', 'scipy', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 2), done.stderr
    assert "Usage: infoplane" in done.stdout + done.stderr
    assert "loaded" not in done.stderr
