import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from infoplane.data import LayerInfo
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.layers.binning import Binning
from infoplane.results.document import build_results, result_rows
from infoplane.results.recordings import label_entropy
from infoplane.results.vocabulary import Vocabulary

LAYER = LayerInfo("fc", 2, "Tanh", (3,), "float32")


def rows(**estimates):
    return result_rows(
        "r", 5, LAYER, "binning", estimates, 0.1, 100, epoch=1.0, vocabulary=Vocabulary.declared([])
    )


def test_value_that_is_not_finite_becomes_null_and_is_flagged():
    for bits in (None, float("nan"), float("inf")):
        (row,) = rows(ixt=Estimate(bits))
        assert row["value"] is None
        assert row["flags"] == ["failed"]


def test_numbers_are_kept_to_the_last_digit():
    (row,) = rows(ixt=Estimate(-0.1 + 1e-17, low=-1 / 3, flags=("negative", "negative")))
    assert (row["value"], row["ci_low"], row["flags"]) == (-0.1 + 1e-17, -1 / 3, ["negative"])


def test_diagnostics_become_plain_json():
    value = {
        "a": np.float32(0.5),
        "b": np.array([1, 2]),
        "c": float("nan"),
        "d": {"e": (True, None)},
    }
    (row,) = rows(ixt=Estimate(1.0, diagnostics=value))
    assert row["diag"] == {"a": 0.5, "b": [1, 2], "c": None, "d": {"e": [True, None]}}


@pytest.mark.parametrize("reasons", [("too few",), ("too few", "too few", "too flat"), (None,)])
def test_cells_without_a_number_are_told_with_their_reason(reasons):
    found = [
        rows(ixt=Estimate(None, diagnostics={} if reason is None else {"reason": reason}))[0]
        for reason in reasons
    ]
    about = [{"run": "r", "group": "r", "steps": [5], "layers": []}]
    results = build_results(
        found, about, [Binning()], {}, status="complete", wall_seconds=0.0, jobs=1
    )
    (warning,) = results["warnings"]
    assert (warning["code"], warning["count"]) == ("IP204", len(reasons))
    rest = "in diag of each row"
    expected = {1: "too few", 3: f"too few; others {rest}"}[len(reasons)]
    assert warning["hint"] == (expected if reasons[0] else f"the reason is {rest}")


def test_label_entropy():
    assert label_entropy(None) is None
    assert label_entropy(np.zeros(5, np.int64)) == 0
    assert label_entropy(np.arange(8)) == 3
    assert label_entropy(np.array([0, 0, 0, 1])) == pytest.approx(2 - 0.75 * np.log2(3))


def test_gradient_statistics_reach_the_document(tmp_path, probe):
    from infoplane.recording.recorder import Recorder
    from infoplane.results.recordings import describe_recordings
    from infoplane.runs.run import Run
    from tests.conftest import small_net

    torch.manual_seed(0)
    model = small_net()
    with Recorder(model, probe, tmp_path / "r") as recorder:
        for step in (0, 1, 3, 9, 20):
            recorder.snapshot(step, gradients=cross_entropy, gradient_batch_size=30)
    run = Run(tmp_path / "r")
    recordings = describe_recordings({run: (run.layers, run.steps)})
    results = build_results([], recordings, [], {}, status="complete", wall_seconds=0.0, jobs=1)
    found = results["recordings"][0]["gradients"]["fc1"]
    assert found["steps"] == [0, 1, 3, 9, 20]
    info = run.step_info(3).gradients["fc1"]
    assert found["snr"][2] == pytest.approx(info["mean_norm"] / info["spread"])
    assert found["relative_mean"][2] == pytest.approx(info["mean_norm"] / info["weight_norm"])
    assert set(found["transition"]) == {"epoch", "before", "after", "first_below_one"}
