"""Which groups are compared: by name, by split, by hand."""

import copy
import math
import re

import numpy as np
import pytest

from infoplane.cli.gate_text import comparison_lines
from infoplane.errors import DataError, InputError, NotFoundError
from infoplane.gate.comparison import compare
from infoplane.gate.pairing import groups_apart, paired, read_pairs
from infoplane.gate.reports.comment import comment
from infoplane.gate.reports.documents import comparison_document
from infoplane.numerics.holm import holm
from tests.gate.made import document, row


def of(*groups, value=3.0, runs=1, **changed):
    """Results with these groups, ``name[split]`` or a name alone; a layer, two steps."""
    rows = [
        row(f"{group}-s{i}", step, "fc1", value + 0.01 * i, **changed)
        for group in groups for i in range(runs) for step in (0, 1)
    ]  # fmt: skip
    results = document(rows)
    for recording in results["recordings"]:
        whole = recording["run"].rpartition("-")[0]
        _, bracket, split = whole.partition("[")
        recording |= {"group": whole, "content_hash": f"sha256:{value}{whole}"}
        recording |= {"split": split.removesuffix("]") if bracket else "probe"}
    return results


def pairs_of(old, new, *by_hand):
    return {(p.baseline, p.candidate) for p in paired(of(*old), of(*new), by_hand)}


SPLIT = ("main[train]", "main[test]")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (["main"], ["pr"], {("main", "pr")}),
        (SPLIT, ["pr[train]", "pr[test]"], set(zip(SPLIT, ["pr[train]", "pr[test]"], strict=True))),
        (SPLIT, ["pr[test]", "pr[train]"], set(zip(SPLIT, ["pr[train]", "pr[test]"], strict=True))),
        (SPLIT, ["pr[train]"], {("main[train]", "pr[train]"), ("main[test]", None)}),
        # What has the same name is a pair; then the others are no pair, for all we know.
        (["net", "old"], ["net", "new"], {("net", "net"), ("old", None), (None, "new")}),
        (["a", "b"], ["c", "d"], {("a", None), ("b", None), (None, "c"), (None, "d")}),
        (["a[x]", "b[x]"], ["c[x]"], {("a[x]", None), ("b[x]", None), (None, "c[x]")}),
        (["main"], ["pr[train]", "pr[test]"],
         {("main", None), (None, "pr[train]"), (None, "pr[test]")}),
    ],
)  # fmt: skip
def test_groups_are_paired_by_name_or_by_split_where_there_is_one_name(old, new, expected):
    assert pairs_of(old, new) == expected


@pytest.mark.parametrize(
    ("by_hand", "expected"),
    [
        (("a", "c"), {("a[x]", "c[x]"), ("a[y]", "c[y]"), ("b[x]", None), (None, "d[x]")}),
        (("b", "c"), {("b[x]", "c[x]"), ("a[x]", None), ("a[y]", None), (None, "c[y]"),
                      (None, "d[x]")}),
        (("a[y]", "c[x]"), {("a[y]", "c[x]"), ("a[x]", None), ("b[x]", None), (None, "c[y]"),
                            (None, "d[x]")}),
    ],
)  # fmt: skip
def test_a_pair_by_hand_is_of_every_split_or_of_one(by_hand, expected):
    found = pairs_of(["a[x]", "a[y]", "b[x]"], ["c[x]", "c[y]", "d[x]"], by_hand)
    # What a pair by hand leaves over of its name is alone.
    assert found == expected


def test_two_groups_may_be_compared_with_one_of_the_baseline_but_not_the_other_way():
    assert pairs_of(["main"], ["pr1", "pr2"], ("main", "pr1"), ("main", "pr2")) == {
        ("main", "pr1"), ("main", "pr2"),
    }  # fmt: skip
    with pytest.raises(InputError, match="'pr' of the candidate is in two pairs"):
        paired(of("a", "b"), of("pr"), [("a", "pr"), ("b", "pr")])


@pytest.mark.parametrize(
    ("by_hand", "message"),
    [
        (("mian", "pr"), "pair 'mian=pr': the baseline has no group 'mian'; it has main"),
        (("main", "x"), "pair 'main=x': the candidate has no group 'x'; it has pr"),
    ],
)
def test_a_group_that_is_not_there_is_named(by_hand, message):
    with pytest.raises(NotFoundError, match=re.escape(message)):
        compare(of(*SPLIT), of("pr[train]"), pairs=[by_hand])


def test_groups_without_a_split_in_common_are_no_pair():
    with pytest.raises(NotFoundError, match="no split in common; the baseline has train test, the"):
        compare(of(*SPLIT), of("pr[val]", "x[val]"), pairs=[("main", "pr")])


@pytest.mark.parametrize("pairs", ["main=pr", [("a",)], {"main": "pr"}, [("a", 1)], ["ab"], 3])
def test_pairs_of_another_form_are_named(pairs):
    with pytest.raises(InputError, match="pairs: expected a list of pairs of names"):
        compare(of("main"), of("pr"), pairs=pairs)


def test_a_name_with_an_equals_sign_is_read_by_what_there_is():
    old, new = of("lr=0.1", "x"), of("lr=0.2", "y")
    assert read_pairs(["lr=0.1=lr=0.2"], old, [new]) == [[("lr=0.1", "lr=0.2")]]
    assert read_pairs(["x=y"], old, [of("z"), new]) == [[], [("x", "y")]]
    with pytest.raises(InputError, match="two ways to read it"):
        read_pairs(["a=b=c"], of("a", "a=b"), [of("c", "b=c")])
    for text in ("main", "=pr", "main=", ""):
        with pytest.raises(InputError, match="--pair: expected BASELINE=CANDIDATE"):
            read_pairs([text], old, [new])
    with pytest.raises(NotFoundError, match=r"one of the candidate \(lr=0.2 y\)"):
        read_pairs(["x=z"], old, [new])


def test_brackets_in_a_name_that_are_no_split_belong_to_it():
    results = of("net[tanh]", "[val]")
    for recording in results["recordings"]:
        recording["split"] = "val"
    assert groups_apart(results) == {"net[tanh]": ("net[tanh]", ""), "[val]": ("[val]", "")}


def test_names_apart_are_told_with_the_option_that_pairs_them():
    found = compare(of("main-a", "main-b"), of("pr-a", "pr-b"))
    assert found.suggestion == "main-a=pr-a"
    said = list(comparison_lines(found, wide=True))
    assert any("--pair main-a=pr-a" in line for line in said)
    assert "--pair main-a=pr-a" in comment([("c", found)], "b")
    assert compare(of("main-a", "main-b"), of("pr-a", "pr-b"),
                   pairs=[("main-a", "pr-a"), ("main-b", "pr-b")]).agrees  # fmt: skip
    # A split of another name is one that could be meant.
    assert compare(of("main[train]", "x"), of("main[val]", "x")).suggestion == (
        "main[train]=main[val]"
    )


def test_a_pair_of_other_names_is_told_and_its_splits_stand_in_the_table():
    found = compare(of(*SPLIT, runs=3), of("pr[train]", "pr[test]", value=4.0, runs=3))
    assert [d.split for d in found.differences] == ["train", "test"]
    assert found.renamed == "main[train] with pr[train], main[test] with pr[test]"
    text = list(comparison_lines(found, wide=True))
    assert text[0].split()[0] == "split"
    assert any(line.startswith("paired: main[train]") for line in text)
    table = [line for line in comment([("c", found)], "b").splitlines() if line[:1] == "|"]
    assert table[0].startswith("| split | layer |")
    assert len(set(table)) == len(table) == 4
    [candidate] = comparison_document("b", [("c", found)])["candidates"]
    assert [d["split"] for d in candidate["differences"]] == ["train", "test"]
    assert candidate["pairs"][0] == ["main[train]", "pr[train]"]


def test_groups_of_several_names_stand_whole_in_the_table():
    found = compare(of("a[x]", "b[x]"), of("a[x]", "b[x]"))
    assert found.places == ("group", ["a[x]", "b[x]"])
    assert compare(of("a"), of("b")).places == ("", [""])


def test_splits_of_two_names_are_refused_as_other_splits():
    with pytest.raises(DataError, match=r"split of pr\[test\] train in the baseline, test in the"):
        compare(of("main[train]"), of("pr[test]"))


# --- what counts once, and what is left to chance


def test_holm_is_what_it_is():
    # Holm 1979: the i-th smallest of m, from 0, times m - i, and never below one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.6, 0.9]) == [1.0, 1.0]


def many(shifts, spread):
    """Results of three runs with a layer per shift, about which they vary."""
    return document(
        [row(f"s{i}", step, f"fc{j}", 3 + shift + spread * (i - 1))
         for j, shift in enumerate(shifts) for i in range(3) for step in (0, 1)]
    )  # fmt: skip


def test_the_number_of_tests_and_what_their_correction_leaves_are_told():
    # Two means of three values with standard deviation s: t = difference / (s sqrt(2 / 3)).
    first, second = many([0] * 10, 0.1), many([0.3, 5.0, *[0] * 8], 0.1)
    found = compare(first, second)
    assert found.n_tests == 10
    assert [d.layer for d in found.of("different")] == ["fc0", "fc1"]
    assert found.tests == (
        "10 tests at 5 % each, at most about 0.5 false by chance; corrected for their number "
        "(Holm), 1 of 2 still differ"
    )
    p = 2 * (1 - _student4(0.3 / (0.1 * math.sqrt(2 / 3))))
    assert found.differences[0].p == pytest.approx(p)
    assert found.differences[0].p_holm == pytest.approx(9 * p)
    assert found.tests in comment([("c", found)], "b")
    strict = compare(first, second, test="holm")
    assert [d.layer for d in strict.of("different")] == ["fc1"]
    assert strict.differences[0].reason == "within chance of 10 tests (Holm)"
    assert compare(first, second, test="tolerance").tests == ""


def _student4(t):
    """Return Student's distribution of four degrees of freedom (Abramowitz, Stegun 26.7.4)."""
    angle = math.atan(t / 2)
    return 0.5 + 0.5 * math.sin(angle) * (1 + math.cos(angle) ** 2 / 2)


def test_an_interval_excludes_0_where_the_chance_is_below_5_percent():
    rng = np.random.default_rng(0)
    shifts = rng.normal(0, 0.4, 40)
    for d in compare(many([0] * 40, 0.1), many(shifts, 0.17), tolerance=0).differences:
        assert (d.p < 0.05) == (d.low > 0 or d.high < 0)


def test_values_without_spread_are_certain():
    same, other = many([0], 0), many([1], 0)
    assert compare(same, copy.deepcopy(same)).differences[0].p == 1
    assert compare(same, other).differences[0].p == 0


def _with_ht(noise=0.0):
    both = [row(f"s{i}", s, "fc1", 3.0 + i + noise * (q == "ht"), quantity=q)
            for i in range(3) for s in (0, 1) for q in ("ixt", "ht")]  # fmt: skip
    return document(both)


def test_an_entropy_that_is_the_information_counts_once():
    found = compare(_with_ht(), _with_ht())
    assert [d.quantity for d in found.differences] == ["ixt"]
    assert found.left_out == ("H(T) of binning, 1 value: the same number as I(X;T)",)
    # With noise of its own the network has another entropy: that is a value of its own.
    noisy = compare(_with_ht(noise=0.1), _with_ht())
    assert [d.quantity for d in noisy.differences] == ["ixt", "ht"]


# --- settings that differ, and what is told beside


def _layer(key, value):
    def change(results):
        for recording in results["recordings"]:
            recording["layers"][0][key] = value

    return change


def _estimator(identifier, **params):
    def change(results):
        [entry] = results["estimators"]
        entry |= {"id": identifier, "params": params}
        for r in results["rows"]:
            r["estimator"] = identifier

    return change


def _short(results):
    """One layer ends before the others."""
    results["rows"] += [{**r, "layer": "fc2"} for r in results["rows"] if r["step"] == 0]


def _two_layers(results):
    results["rows"] += [{**r, "layer": "fc2"} for r in results["rows"]]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (_estimator("binning:bins=15", bins=15), _estimator("binning:bins=30", bins=30),
         "params of estimator binning:bins=30: bins 15 in the baseline, 30 in the candidate"),
        (_estimator("kde:noise=0.1", noise=0.1), _estimator("kde", noise=None),
         "params of estimator kde: noise 0.1 in the baseline, None in the candidate"),
        (_layer("reduction", "gap"), _layer("reduction", "none"),
         "net: reduction of layer fc1: gap in the baseline, none in the candidate"),
        (_two_layers, _short, "last step 1 in the baseline, 0 in the candidate"),
    ],
)  # fmt: skip
def test_settings_that_differ_are_refused_by_name(before, after, message):
    old, new = of("net"), of("net")
    before(old)
    after(new)
    with pytest.raises(DataError, match=re.escape(message)):
        compare(old, new)


def test_bins_that_differ_are_compared_on_request_as_one_estimator():
    old, new = of("net", runs=3), of("net", value=4.0, runs=3)
    _estimator("binning:bins=15", bins=15)(old)
    _estimator("binning:bins=30", bins=30)(new)
    found = compare(old, new, allow_mismatch=True)
    assert [(d.difference, d.estimator) for d in found.differences] == [
        (pytest.approx(1.0), "binning:bins=30")
    ]
    assert found.mismatches == (
        "params of estimator binning:bins=30: bins 15 in the baseline, 30 in the candidate",
    )


def test_a_default_that_is_named_is_the_same_estimator():
    old, new = of("net", runs=3), of("net", runs=3)
    _estimator("binning", bins=30)(old)
    _estimator("binning:bins=30", bins=30)(new)
    assert compare(old, new).agrees
    for results in (old, new):
        results["estimators"][0]["params"] = {}  # nothing says that it is
    with pytest.raises(DataError, match="binning in the baseline, binning:bins=30 in the cand"):
        compare(old, new)


def test_several_settings_of_which_none_is_alike_are_named():
    old, new = of("net"), of("net")
    entries = [{**old["estimators"][0], "id": f"binning:bins={n}"} for n in (15, 30, 60, 90)]
    old["estimators"], new["estimators"] = entries[:2], entries[2:]
    with pytest.raises(DataError, match="settings of estimator binning: binning:bins=15, binning"):
        compare(old, new)


@pytest.mark.parametrize(
    ("key", "value", "note"),
    [
        ("units", 20, "net: units of layer fc1: 10 in the baseline, 20 in the candidate"),
        ("type", "ReLU", "net: type of layer fc1: Tanh in the baseline, ReLU in the candidate"),
        ("dtype", "float16",
         "net: dtype of layer fc1: float32 in the baseline, float16 in the candidate"),
    ],
)  # fmt: skip
def test_a_layer_that_is_another_is_told_and_compared(key, value, note):
    old, new = of("net", runs=3), of("net", runs=3)
    _layer(key, value)(new)
    new["recordings"][0]["content_hash"] = "sha256:other"
    assert compare(old, new).notes == (note,)


def test_a_copy_of_the_baseline_and_few_runs_are_told():
    few, three = of("net"), of("net", runs=3)
    assert compare(three, copy.deepcopy(three)).notes == (
        "net: the same runs on both sides, byte for byte",
    )
    notes = compare(few, of("net", value=4.0)).notes
    assert notes == (
        "net: fewer than three runs on a side: intervals are of the samples and say nothing about "
        "other seeds",
    )
    assert notes[0] in " ".join(comparison_lines(compare(few, of("net", value=4.0)), wide=False))
