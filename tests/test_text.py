"""Numbers as text."""

import pytest

from infoplane.text import decimal, some_of


@pytest.mark.parametrize(
    ("value", "plain", "signed"),
    [(-0.004, "0.00", "0.00"), (0.0, "0.00", "0.00"), (0.004, "0.00", "0.00"),
     (-0.006, "-0.01", "-0.01"), (1.234, "1.23", "+1.23"), (-12.0, "-12.00", "-12.00")],
)  # fmt: skip
def test_a_number_that_rounds_to_zero_has_no_sign(value, plain, signed):
    assert decimal(value) == plain
    assert decimal(value, sign=True) == signed


def test_many_names_are_cut_with_their_number():
    names = [f"dense_{i}" for i in range(60)]
    assert some_of(names[:20]) == " ".join(names[:20])
    assert some_of(names[:21]).endswith(" dense_19 and 1 more")
    assert some_of(names, 2, between=", ") == "dense_0, dense_1 and 58 more"
    assert some_of([]) == ""
