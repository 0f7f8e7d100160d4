"""Tables that fit: columns go, and long names lose their middle."""

import pytest

from infoplane.cli.table_columns import Column, render

KINDS = {
    "dotted": lambda i, n: f"encoder.layers.{i}.".ljust(n - 6, "x") + ".dense",
    "all but the end alike": lambda i, n: "x" * (n - 2) + f"{i:02d}",
    "all but the beginning alike": lambda i, n: f"{i:02d}" + "x" * (n - 2),
    "all but the middle alike": lambda i, n: "x" * (n // 2) + f"{i:02d}" + "x" * (n - n // 2 - 2),
    "at places of their own": lambda i, n: "x" * (i % n) + "y" + "x" * (n - i % n - 1),
}


def table(names, *, twice=False):
    columns = [Column("layer", names, names=True)]
    if twice:
        columns.append(Column("most like, in " + names[0], names[::-1], names=True))
    columns += [
        Column(head, [cell] * len(names), drop=drop)
        for head, cell, drop in (("next layer", "0.98", 0), ("95% CI", "0.97 .. 0.99", 3),
                                 ("other seeds", "0.97 .. 0.99", 0), ("settles at", "100", 0))
    ]  # fmt: skip
    return columns


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("length", [34, 60, 100, 300])
@pytest.mark.parametrize("kind", KINDS)
def test_long_names_are_cut_to_fit_and_stay_different(kind, length, twice):
    names = [KINDS[kind](i, length) for i in range(30)]
    assert len(set(names)) == 30
    lines = render(table(names, twice=twice), limit=80)
    assert max(map(len, lines)) <= 80
    shown = [line.split()[0] for line in lines[2:32]]
    assert len(set(shown)) == 30
    whole = render(table(names, twice=twice), limit=None)
    assert [line.split()[0] for line in whole[2:]] == names


def test_equal_names_are_cut_alike():
    names = ["a" * 90, "b" * 90, "a" * 90]
    shown = [line.split()[0] for line in render(table(names), limit=80)[2:5]]
    assert shown[0] == shown[2] != shown[1]


def test_names_that_fit_are_left_alone_and_columns_go_before_short_names_are_cut():
    names = ["block.attention.dense", "block.mlp.dense"]
    lines = render(table(names), limit=60)
    assert "95% CI hidden" in lines[-1]
    assert [line.split()[0] for line in lines[2:4]] == names


def test_no_columns_are_no_lines():
    assert render([], limit=80) == []
