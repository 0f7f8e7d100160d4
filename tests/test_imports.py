"""Import directions, and what the help pages may load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from infoplane.cli.main import _COMMANDS
from infoplane.estimators.registry import BUILT_IN

ROOT = Path(__file__).parent.parent

_BASE = {
    "data",
    "target_classes",
    "tokens",
    "step_record",
    "weights",
    "arrays",
    "seeding",
    "text",
    "errors",
    "system",
}
MAY_IMPORT = {
    "errors": set(),
    "error_codes": {"estimators"},
    "owners": set(),
    "system": set(),
    "seeding": set(),
    "text": set(),
    "calls": {"errors"},
    "patterns": set(),
    "layer_patterns": {"patterns", "errors", "text"},
    "arrays": set(),
    "schemas": set(),
    "templates": set(),
    "weights": set(),
    "data": {"arrays", "errors", "weights"},
    "target_classes": {"arrays", "data", "errors", "text"},
    "tokens": {"data"},
    "step_record": {"data"},
    "numerics": {"numerics", "calls", *_BASE},
    "estimators": {"estimators", "calls", "numerics", *_BASE},
    "records": {"estimators"},
    "exporting": {"results"},
    "runs": {"runs", "calls", "schemas", *_BASE},
    "nn": {"errors"},
    "recording": {
        "recording",
        "calls",
        "nn",
        "runs",
        "numerics",
        "patterns",
        "layer_patterns",
        *_BASE,
    },
    "importing": {
        "importing",
        "calls",
        "patterns",
        "recording",
        "runs",
        *_BASE,
    },
    "analysis": {
        "analysis",
        "calls",
        "numerics",
        "estimators",
        "runs",
        "owners",
        "results",  # what `session` returns
        "layer_patterns",
        *_BASE,
    },
    "similarity": {
        "similarity",
        "analysis",
        "calls",
        "numerics",
        "estimators",
        "runs",
        "results",
        *_BASE,
    },
    "results": {
        "results",
        "calls",
        "plots",  # by `Results.draw`, when it is called
        "estimators",
        "numerics",
        "runs",
        "schemas",
        "layer_patterns",
        *_BASE,
    },
    "gate": {"gate", "calls", "results", "estimators", "numerics", "layer_patterns", *_BASE},
    "plots": {
        "plots",
        "calls",
        "gate",
        "layer_patterns",
        "results",
        "estimators",
        "runs",  # how files are written whole
        "schemas",
        *_BASE,
    },
    "testing": {"validation", "estimators"},
    "validation": {"validation", "estimators", "numerics", *_BASE},
}
HEAVY = {
    "torch": {"nn", "recording", "importing", "sample_runs"},
    "h5py": {"runs", "recording"},
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


def test_no_module_imports_itself_round_about():
    """Lazy imports and those for types count as well."""
    homes = {
        "infoplane": "infoplane",
        "infoplane.cli": "cli",
        "infoplane.sample_runs": "sample_runs",
    }
    files = {}
    for package, folder in homes.items():
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            files[".".join([package, *parts]).removesuffix(".__init__")] = path
    graph = {name: set(_imports(path)) & files.keys() - {name} for name, path in files.items()}
    leaves = True
    while leaves:
        leaves = {name for name, into in graph.items() if not into & graph.keys()}
        graph = {name: into for name, into in graph.items() if name not in leaves}
    assert not graph


def test_mathematics_decides_no_flag():
    for path in (ROOT / "infoplane" / "numerics").rglob("*.py"):
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if hasattr(node, "id")}
        assert not names & {"flags", "Estimate"}, path


def test_estimators_do_not_import_one_another():
    homes = {home.partition(":")[0] for home in BUILT_IN.values()}
    for path in (ROOT / "infoplane" / "estimators" / "layers").rglob("*.py"):
        own = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        assert not set(_imports(path)) & homes - {own}, path


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
