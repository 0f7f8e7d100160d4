import copy
import re

import numpy as np
import pytest
from scipy import stats

from infoplane.cli.gate_text import comparison_lines
from infoplane.errors import DataError, InputError
from infoplane.gate.comparison import compare
from infoplane.gate.reports.comment import COMMENT_CHARACTERS, comment
from infoplane.gate.reports.documents import comparison_document
from tests.gate.made import compressing, document, row


def one(*values, **changed):
    """A document of one layer, a run per value."""
    return document(
        [row(f"s{i}", s, "fc1", v, **changed) for i, v in enumerate(values) for s in (0, 1)]
    )


def only(comparison):
    [difference] = comparison.differences
    return difference


def test_a_document_agrees_with_itself():
    results = compressing()
    comparison = compare(results, copy.deepcopy(results))
    assert comparison.agrees
    assert all(d.difference == 0 for d in comparison.differences)
    assert comparison.verdict == "0 of 2 differ, 2 same"


def test_interval_of_the_difference_is_welchs():
    first, second = np.array([1.0, 1.2, 1.1, 1.4]), np.array([3.0, 3.5, 3.1])
    found = only(compare(one(*first), one(*second)))
    expected = stats.ttest_ind(second, first, equal_var=False).confidence_interval(0.95)
    assert found.difference == pytest.approx(second.mean() - first.mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.result == "different"


def test_noise_is_no_difference_but_for_the_tolerance_alone():
    first, second = one(3.0, 5.0, 7.0), one(4.0, 6.0, 8.0)
    assert only(compare(first, second)).result == "same"
    assert only(compare(first, second, test="tolerance")).result == "different"
    assert only(compare(first, second, test="tolerance", tolerance=1.0)).result == "same"


def test_small_differences_are_none_however_certain():
    first, second = one(3.0, 3.0001, 2.9999), one(3.1, 3.1001, 3.0999)
    assert only(compare(first, second)).result == "same"
    assert only(compare(first, second, tolerance=0.05)).result == "different"


def test_default_tolerance_is_5_percent_of_a_small_bound():
    bound = {"quantity": "ity", "bound_high": 1.0, "bound_name": "h_y"}
    found = only(compare(one(0.8, **bound), one(0.9, **bound)))
    assert found.tolerance == pytest.approx(0.05)
    assert found.result == "different"
    assert found.reason == "no interval: tolerance alone"


def test_intervals_of_cells_serve_where_there_is_one_run():
    wide = {"ci_low": 2.0, "ci_high": 4.0, "ci_method": "analytic"}
    assert (
        only(
            compare(one(3.0, **wide), one(3.5, ci_low=2.5, ci_high=4.5, ci_method="analytic"))
        ).result
        == "same"
    )


def test_saturated_on_both_sides_says_nothing_but_a_fall_from_the_ceiling_does():
    ceiling = {"flags": ["saturated"]}
    assert only(compare(one(11.9, **ceiling), one(12.0, **ceiling))).result == "saturated"
    assert only(compare(one(12.0, **ceiling), one(7.0))).result == "different"


def test_what_is_on_one_side_only_is_unknown():
    first = document([row("s0", s, layer, 3.0) for layer in ("fc1", "fc2") for s in (0, 1)])
    second = document([row("s0", s, layer, 3.0) for layer in ("fc2", "fc3") for s in (0, 1)])
    comparison = compare(first, second)
    found = {d.layer: (d.result, d.reason) for d in comparison.differences}
    assert found["fc1"] == ("unknown", "only in the baseline")
    assert found["fc3"] == ("unknown", "only in the candidate")
    assert found["fc2"][0] == "same"
    assert not comparison.agrees


def test_a_failed_cell_is_unknown():
    failed = one(3.0)
    failed["rows"][1] |= {"value": None, "flags": ["failed"]}
    assert only(compare(one(3.0), failed)).reason == "no number in the candidate"


def _recording(key, value):
    return lambda results: results["recordings"][0].__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_recording("n", 2048), "samples of net 4096 in the baseline, 2048"),
        (_recording("split", "train"), "split of net probe in the baseline, train"),
        (_recording("h_y", 1.0), "H\\(Y\\) of net 3.3212 in the baseline, 1.0"),
        (_recording("steps", [0, 1, 7]), "last step of net 1 in the baseline, 7"),
        (
            lambda r: r["estimators"][0]["params"].__setitem__("bins", 15),
            "params of estimator binning: bins None in the baseline, 15",
        ),
        (
            lambda r: r["estimators"][0].__setitem__("version", "2"),
            "version of estimator binning: 1 in the baseline, 2",
        ),
        (
            lambda r: r["estimators"][0].__setitem__("id", "kde"),
            "estimators binning in the baseline, kde in the candidate",
        ),
    ],
)
def test_unlike_settings_are_refused_by_name(change, message):
    candidate = one(3.0)
    change(candidate)
    with pytest.raises(DataError, match=message) as raised:
        compare(one(3.0), candidate)
    assert raised.value.code == "IP318"
    assert compare(one(3.0), candidate, allow_mismatch=True).mismatches


def test_entropies_of_drawn_labels_may_differ_by_the_rounding_of_their_counts():
    def drawn(h_y, dropped):
        results = one(3.0)
        results["recordings"][0] |= {"n": 600, "n_classes": 4, "h_y": h_y, "n_dropped": dropped}
        return results

    base = drawn(1.994475, 0)  # 4 log2(4) / 600 = 0.0133
    assert compare(base, drawn(1.99859, 400)).agrees
    with pytest.raises(DataError, match="1.994475 in the baseline, 1.9805 in the candidate"):
        compare(base, drawn(1.9805, 400))
    with pytest.raises(DataError, match=r"H\(Y\) of net"):  # all were used: other labels
        compare(base, drawn(1.99859, 0))


def test_a_single_group_is_compared_whatever_its_name():
    assert compare(compressing(name="main"), compressing(name="pr")).agrees


def test_groups_are_paired_by_name():
    def two(*names):
        rows = [row(name, s, "fc1", 3.0) for name in names for s in (0, 1)]
        return document(rows, group=None)

    comparison = compare(two("a", "b"), two("b", "c"))
    assert {d.group: d.result for d in comparison.differences} == {
        "b": "same",
        "c": "unknown",
        "a": "unknown",
    }


def test_comment_is_short_and_only_text():
    names = [f"fc{i}<img src=x>|`@you` {'x' * 300}" for i in range(400)]
    rows = [row("s0", s, name, 3.0) for name in names for s in (0, 1)]
    other = [r | {"value": 9.0} for r in rows]
    text = comment([("pr.json", compare(document(rows), document(other)))], "main.json")
    assert len(text) <= COMMENT_CHARACTERS
    assert "400 of 400 differ" in text
    assert text.rstrip().endswith("cut here: the whole is in the artifact")
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    assert lines
    for line in lines:
        spans = line.replace("\\|", "").split("``")
        assert "<img" not in "".join(spans[0::2])  # nothing of a name outside its code span
    whole = comment([("pr.json", compare(compressing(), compressing()))], "main.json")
    assert whole.count("<details>") == whole.count("</details>") == 1


def test_entropies_differ_from_a_quarter_bit_on_whatever_their_bound():
    for name in ("ixt", "ht", "ht_x", "ht_y", "ixt_given_y"):
        found = only(compare(one(6.0, quantity=name), one(5.6, quantity=name)))
        assert (found.tolerance, found.result) == (0.25, "different"), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidate": 3}, "candidate: expected a Results or a results document, got 3"),
        ({"tolerance": "a"}, "tolerance: expected a number of at least 0, or None, got 'a'"),
        ({"test": "t"}, "test: expected 'ci' or 'holm' or 'tolerance', got 't'"),
    ],
)
def test_arguments_of_the_wrong_type_are_named(change, message):
    with pytest.raises(InputError, match=re.escape(message)):
        compare(**{"baseline": one(1.0), "candidate": one(1.0), **change})


def bracketed(c="c=0.25", sigma="σ=0.03", n=3000, **changed):
    """A document of two layers with the rows of ``compressed``."""
    settings = {"ixt": c, "ity": c, "ixt_fixed": sigma, "ixt_scale": sigma, "size": None}
    rows = [
        row("s0", s, f"fc{i}", 2.0, estimator="compressed", quantity=q, setting=setting, n=n,
            unit="octaves" if q == "size" else "bits", **changed)
        for i in (1, 2) for s in (0, 1) for q, setting in settings.items()
    ]  # fmt: skip
    return document(rows)


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        (bracketed("c=0.3"), "ixt, ity of compressed: c=0.25 in the baseline, c=0.3 in the cand"),
        (bracketed(n=1200), "of compressed: N = 3,000 in the baseline, 1,200 in the candidate"),
        (bracketed("c=0.3", n=1200), "c=0.3 in the candidate; N = 3,000 in the baseline, 1,200"),
    ],
)
def test_other_noise_or_n_is_refused_with_both_values(candidate, message):
    with pytest.raises(DataError, match=re.escape(message)) as raised:
        compare(bracketed(), candidate)
    assert raised.value.code == "IP318"
    assert "--settings-from BASELINE" in raised.value.hint
    anyway = compare(bracketed(), candidate, allow_mismatch=True)
    assert len(anyway.differences) == 10
    assert any(message in text for text in anyway.mismatches)


def test_noise_that_each_side_fixed_is_left_out_by_name():
    comparison = compare(bracketed(), bracketed(sigma="σ=0.04"))
    assert comparison.agrees
    assert {d.quantity for d in comparison.differences} == {"ixt", "ity", "size"}
    said = "ixt_fixed, ixt_scale of compressed: σ=0.03 in the baseline, σ=0.04 in the candidate"
    assert comparison.left_out == (said,)
    assert f"- not compared: `{said}`" in comment([("pr.json", comparison)], "main.json")
    [candidate] = comparison_document("main.json", [("pr.json", comparison)])["candidates"]
    assert candidate["left_out"] == [said]
    anyway = compare(bracketed(), bracketed(sigma="σ=0.04"), allow_mismatch=True)
    assert len(anyway.differences) == 10
    assert anyway.mismatches == (said,)


def test_at_equal_noise_everything_is_compared():
    comparison = compare(bracketed(), bracketed())
    assert not comparison.left_out
    assert len(comparison.differences) == 10


def test_an_estimator_of_which_nothing_else_is_alike_is_refused():
    def fixed(sigma):
        results = bracketed(sigma=sigma)
        results["rows"] = [r for r in results["rows"] if r["quantity"] == "ixt_fixed"]
        return results

    with pytest.raises(DataError, match="σ=0.03 in the baseline, σ=0.04 in the candidate"):
        compare(fixed("σ=0.03"), fixed("σ=0.04"))


def test_results_of_before_there_were_settings_are_compared():
    old = bracketed()
    for r in old["rows"]:
        del r["setting"]
    assert compare(old, copy.deepcopy(old)).agrees


def test_runs_that_differ_on_one_side_are_not_averaged_on_it():
    results = one(3.0, 4.0)
    for r in results["rows"]:
        r["setting"] = "c=0.25" if r["run"] == "s0" else "c=0.3"
    with pytest.raises(DataError, match="ixt of binning: c=0.25 in s0, c=0.3 in s1"):
        compare(results, copy.deepcopy(results))


def test_groups_of_one_side_take_one_line_each(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    comparison = compare(
        document([row(r, s, f"fc{i}", 3.0) for r in "ab" for i in range(9) for s in (0, 1)],
                 group=None),
        document([row(r, s, f"fc{i}", 3.0) for r in "cd" for i in range(9) for s in (0, 1)],
                 group=None),
    )  # fmt: skip
    *groups, how, verdict = comparison_lines(comparison, wide=False)
    assert groups == [
        f"group {name} is only in the {side}: 9 values not compared"
        for name, side in [("c", "candidate"), ("d", "candidate"), ("a", "baseline"),
                           ("b", "baseline")]
    ]  # fmt: skip
    assert how.startswith("groups are paired by their names")
    assert verdict == "0 of 36 differ, 36 unknown"
    assert "| `fc1` |" not in comment([("pr", comparison)], "main")


def test_both_values_stay_in_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    layers = [f"features.stage{i}.block.convolution" for i in (1, 2)]
    comparison = compare(*(compressing(last=x, layers=layers) for x in (4.5, 6.0)))
    (head, *_) = comparison_lines(comparison, wide=False)
    assert {"baseline", "candidate", "difference"} <= set(head.split())
