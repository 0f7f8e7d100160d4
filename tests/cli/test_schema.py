import json
import sys
from pathlib import Path

import h5py
import jsonschema
import pytest

from tests.cli.analyses import write_run
from tests.conftest import infoplane_here as infoplane

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]


def validator(name):
    return jsonschema.Draft202012Validator(json.loads(infoplane("schema", name).out))


@pytest.mark.parametrize("name", ["results", "checks", "config", "run"])
def test_schema_is_valid_and_names_its_format(name):
    done = infoplane("schema", name)
    assert (done.code, done.err) == (0, "")
    document = json.loads(done.out)
    jsonschema.Draft202012Validator.check_schema(document)
    assert {"run": "recording"}.get(name, name) in document["$id"]


def test_unknown_name_is_usage():
    assert infoplane("schema", "nonsense").code == 2


def test_schema_of_the_configuration_knows_what_the_commands_know():
    schema = validator("config")
    text = (ROOT / "infoplane" / "templates" / "infoplane.toml").read_text()
    schema.validate(tomllib.loads(text))
    schema.validate({"record": {"layers": ["fc*"], "max_size": "20G"}, "analyze": {"seed": 1}})
    for wrong in (
        {"analyse": {}},
        {"analyze": {"sed": 1}},
        {"analyze": {"seed": "one"}},
        {"check": [{"name": "no rule"}]},
        {"check": [{"rule": "last(ity) >= 1", "level": "fatal"}]},
        {"config": {}},
    ):
        assert not schema.is_valid(wrong), wrong


def test_schema_of_a_run_holds_for_written_and_archived_manifests(tmp_path):
    schema = validator("run")
    write_run(tmp_path / "run")
    for path in (tmp_path / "run", ROOT / "tests" / "data" / "run-v1"):
        manifest = json.loads((path / "manifest.json").read_text())
        schema.validate(manifest)
        assert not schema.is_valid({**manifest, "version": 2})
        assert not schema.is_valid({**manifest, "probe": {"sha256": "0"}})


def step_metadata(path):
    with h5py.File(path) as file:
        return json.loads(bytes(file["meta"][...]))


def step_validator():
    run = json.loads(infoplane("schema", "run").out)
    return jsonschema.Draft202012Validator({"$defs": run["$defs"], "$ref": "#/$defs/step"})


def test_schema_of_a_step_holds_for_written_and_archived_steps(tmp_path):
    schema = step_validator()
    write_run(tmp_path / "run")
    for folder in (tmp_path / "run", ROOT / "tests" / "data" / "run-v1"):
        paths = sorted((folder / "steps").glob("*.h5"))
        assert paths
        for path in paths:
            meta = step_metadata(path)
            schema.validate(meta)
            for wrong in (
                {"step": -1},
                {"n_samples": 0},
                {"layers": []},
                {"layers": [{**meta["layers"][0], "crc32": -1}]},
                {"layers": [{"name": "fc"}]},
                {"metrics": {"loss": "much"}},
                {"gradients": {"fc": 3}},
                {"version": 2},
            ):
                assert not schema.is_valid({**meta, **wrong}), wrong


def test_schema_of_a_step_holds_for_what_record_writes(project):
    """The metadata of a recorded network, with gradients and a reduced layer."""
    done = infoplane(
        "record", "--model", "net.py:build", "--checkpoints", "ckpt/*.pt", "--data", "probe.npz",
        "-o", "run", "--gradients", "--gradient-batch-size", "40", "--reduce", "fc1=sketch:2", "-q",
    )  # fmt: skip
    assert done.code == 0, done.err
    schema = step_validator()
    known = schema.schema["$defs"]
    paths = sorted(Path("run/steps").glob("*.h5"))
    assert len(paths) == 3
    for path in paths:
        meta = step_metadata(path)
        schema.validate(meta)
        assert set(meta) <= set(known["step"]["properties"])
        for layer in meta["layers"]:
            assert set(layer) <= set(known["layer"]["properties"]), layer
