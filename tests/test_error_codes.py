import ast
import re
from pathlib import Path

from infoplane import errors
from infoplane.error_codes import CATALOGUE, SECTIONS, page
from infoplane.errors import InfoplaneError

ROOT = Path(__file__).parent.parent


def _codes_in_the_source():
    for folder in ("infoplane", "cli"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name == "error_codes.py":
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield from re.findall(r"\bIP[0-9]{3}\b", node.value)


def test_every_code_of_the_source_is_in_the_table_and_vice_versa():
    assert set(_codes_in_the_source()) == {entry.code for entry in CATALOGUE}


def test_codes_are_in_order_and_said_in_full():
    codes = [entry.code for entry in CATALOGUE]
    assert codes == sorted(set(codes))
    assert {code[2] for code in codes} == set(SECTIONS)
    assert all(all(entry) for entry in CATALOGUE)


def test_every_error_class_has_a_code_of_the_table():
    kinds = [
        k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, InfoplaneError)
    ]
    assert {kind.code for kind in kinds} <= {entry.code for entry in CATALOGUE}


def test_the_page_is_current():
    found = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert found == page(), "python -m infoplane.error_codes > docs/errors.md"
