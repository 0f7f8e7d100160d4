"""Numbers as text."""

import pytest

from infoplane.text import decimal


@pytest.mark.parametrize(
    ("value", "plain", "signed"),
    [(-0.004, "0.00", "0.00"), (0.0, "0.00", "0.00"), (0.004, "0.00", "0.00"),
     (-0.006, "-0.01", "-0.01"), (1.234, "1.23", "+1.23"), (-12.0, "-12.00", "-12.00")],
)  # fmt: skip
def test_a_number_that_rounds_to_zero_has_no_sign(value, plain, signed):
    assert decimal(value) == plain
    assert decimal(value, sign=True) == signed
