import json

import jsonschema
import pytest

from tests.conftest import infoplane


@pytest.mark.parametrize("name", ["results", "checks"])
def test_schema_is_valid_and_names_its_format(name):
    done = infoplane("schema", name)
    assert (done.code, done.err) == (0, "")
    document = json.loads(done.out)
    jsonschema.Draft202012Validator.check_schema(document)
    assert name in document["$id"]


def test_unknown_name_is_usage():
    assert infoplane("schema", "nonsense").code == 2
