"""Results as files of other tools, read back with those tools."""

import csv
import json
import sys
from pathlib import Path

import pytest

from infoplane.errors import DataError, InputError
from infoplane.results.export import COLUMNS, write_csv, write_parquet, write_tensorboard
from infoplane.results.notebook import Results
from tests.conftest import infoplane_here as infoplane
from tests.gate.made import compressing, document, row


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Two runs with names that are hard to write, values of full precision and missing ones."""
    monkeypatch.chdir(tmp_path)
    rows = [
        row("net-s0", step, layer, value, flags=flags, diag={"why": ["a", 1.5]})
        for step, value, flags in ((0, 0.1 + 0.2, []), (7, -1e-17, ["negative", "small_n"]),
                                   (20, None, ["failed"]))
        for layer in ("fc1", "a,\"b\"\n=c")
    ]  # fmt: skip
    rows.append(row("../../up", 3, "fc1", 2 / 3))
    made = document(rows)
    Path("results.json").write_text(json.dumps(made))
    return made


def export(kind, path, *more):
    done = infoplane("export", "results.json", "--to", kind, "-o", path, *more)
    assert (done.code, done.out) == (0, ""), done.err
    return done


def test_csv_reads_back_as_the_rows_of_the_document(made):
    assert "wrote out.csv (7 rows)" in export("csv", "out.csv").err
    with Path("out.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == list(COLUMNS)
    assert {*made["rows"][0], "group"} == set(COLUMNS)
    for read, written in zip(found, made["rows"], strict=True):
        assert (read["run"], read["layer"]) == (written["run"], written["layer"])
        assert (float(read["value"]) if read["value"] else None) == written["value"]
        assert read["ci_low"] == ""
        assert read["flags"].split() == written["flags"]
        assert json.loads(read["diag"]) == written["diag"]
        assert int(read["step"]) == written["step"]


def test_csv_on_stdout_is_the_file_and_no_file_is_written(made):
    export("csv", "out.csv")
    before = sorted(Path().iterdir())
    done = infoplane("export", "results.json", "--to", "csv", "-o", "-")
    assert (done.code, done.err) == (0, "")
    assert done.out.encode() == Path("out.csv").read_bytes()
    for kind in ("parquet", "tensorboard"):
        done = infoplane("export", "results.json", "--to", kind, "-o", "-")
        assert (done.code, done.out) == (2, "")
        assert "stdout takes CSV alone" in done.err
    assert sorted(Path().iterdir()) == before


def test_parquet_keeps_values_types_and_origin(made):
    import pyarrow as pa
    import pyarrow.parquet as pq

    export("parquet", "out.parquet")
    table = pq.read_table("out.parquet")
    for read, written in zip(table.to_pylist(), made["rows"], strict=True):
        assert read.pop("group")
        assert {**read, "diag": json.loads(read["diag"])} == written
    assert table.schema.field("ci_low").type == pa.float64()  # although all are missing
    assert table.schema.metadata[b"infoplane.config_hash"].decode() == made["config_hash"]


def test_tensorboard_reads_every_point_and_stays_in_the_folder(made, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    assert "(5 points)" in export("tensorboard", "deep/board").err
    folders = sorted(path.name for path in Path("deep/board").iterdir())
    assert folders == ["%2E.%2F..%2Fup", "net-s0"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "results.json"]
    found = {}
    for name, run in (("%2E.%2F..%2Fup", "../../up"), ("net-s0", "net-s0")):
        events = EventAccumulator(f"deep/board/{name}").Reload()
        for tag in events.Tags()["tensors"]:
            assert events.SummaryMetadata(tag).plugin_data.plugin_name == "scalars"
            for event in events.Tensors(tag):
                bits = tensor_util.make_ndarray(event.tensor_proto).item()
                found[run, tag, event.step] = bits
    assert found == {
        (r["run"], f"ixt/{r['layer']}/binning", r["step"]): r["value"]
        for r in made["rows"]
        if r["value"] is not None
    }


def test_earlier_exports_are_kept_unless_told(made):
    for kind in ("csv", "parquet", "tensorboard"):
        export(kind, kind)
        again = infoplane("export", "results.json", "--to", kind, "-o", kind)
        assert again.code == 3
        assert again.err.startswith("error[IP302]")
    before = Path("tensorboard/net-s0/events.out.tfevents.0.infoplane").read_bytes()
    Path("tensorboard/net-s0/mine.txt").write_text("kept")
    export("tensorboard", "tensorboard", "--overwrite")
    assert Path("tensorboard/net-s0/events.out.tfevents.0.infoplane").read_bytes() == before
    assert Path("tensorboard/net-s0/mine.txt").read_text() == "kept"


def test_several_results_are_exported_as_one(made):
    Path("other.json").write_text(json.dumps(compressing(name="other")))
    done = infoplane("export", "results.json", "other.json", "--to", "csv", "-o", "all.csv")
    assert done.code == 0
    assert f"({7 + len(compressing()['rows'])} rows)" in done.err


@pytest.mark.parametrize(
    ("write", "module"), [(write_parquet, "pyarrow"), (write_tensorboard, "tensorboard")]
)
def test_a_missing_package_is_named(write, module, tmp_path, monkeypatch):
    for name in [n for n in sys.modules if n.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=f"needs {module}, which is not installed") as raised:
        write(Results(compressing()), tmp_path / "out")
    assert "python3 -m pip install " in str(raised.value.hint)


def test_what_a_format_cannot_hold_is_refused(tmp_path):
    late = compressing()
    late["rows"][0]["step"] = 2**70
    for write in (write_csv, write_parquet, write_tensorboard):
        with pytest.raises(DataError, match="64 bits"):
            write(Results(late), tmp_path / "out")
    with pytest.raises(DataError, match="expected a time"):
        write_tensorboard(Results({**compressing(), "created": "lately"}), tmp_path / "out")
