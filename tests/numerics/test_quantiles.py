import pytest
from scipy import special

from infoplane.numerics.quantiles import normal_quantile, student_quantile


@pytest.mark.parametrize("probability", [0.5, 0.6, 0.95, 0.975, 0.9995])
def test_quantiles_are_those_of_scipy(probability):
    for freedom in [*range(1, 60), 97, 98, 999, 1000, 5000]:
        expected = special.stdtrit(freedom, probability)
        assert student_quantile(freedom, probability) == pytest.approx(expected, rel=1e-11)
    assert normal_quantile(probability) == pytest.approx(special.ndtri(probability), rel=1e-13)


def test_few_degrees_of_freedom_have_closed_forms():
    # The quantile at p is tan(pi (p - 1/2)) for 1, and (2p - 1) / sqrt(2 p (1 - p)) for 2.
    assert student_quantile(1, 0.75) == pytest.approx(1.0, rel=1e-14)
    assert student_quantile(2, 0.9) == pytest.approx(0.8 / (2 * 0.09) ** 0.5, rel=1e-14)
