import pytest

from infoplane.errors import InputError
from infoplane.estimators.quantities import Quantity
from infoplane.estimators.registry import (
    BUILT_IN,
    DEFAULT,
    estimator_class,
    estimator_id,
    parse_estimator,
)


@pytest.mark.parametrize("name", BUILT_IN)
def test_contract(name):
    cls = estimator_class(name)
    assert cls.name == name
    assert cls.__doc__
    assert cls.title
    assert all(isinstance(quantity, Quantity) for quantity in cls.quantities)
    assert estimator_id(cls()) == name


def test_default_estimators_exist():
    assert set(DEFAULT) <= BUILT_IN.keys()


def test_parameters_are_converted_by_their_type():
    assert parse_estimator("binning:bins=15").bins == (15,)
    assert parse_estimator("binning:bins=15+30,mode=fixed").bins == (15, 30)
    assert parse_estimator("dse:max-samples=100").max_samples == 100
    assert parse_estimator("dse:sigma=2.5").sigma == 2.5
    assert parse_estimator("dse:sigma=rms").sigma == "rms"
    assert parse_estimator("kde:variance=1e-2").variance == 0.01


def test_id_names_what_differs_from_the_default():
    assert estimator_id(parse_estimator("binning:bins=30")) == "binning"
    assert estimator_id(parse_estimator("binning:bins=15+60")) == "binning:bins=15+60"
    assert parse_estimator(estimator_id(parse_estimator("dse:sigma=2.5"))).sigma == 2.5


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("bining", "did you mean 'binning'"),
        ("", "expected the name of an estimator"),
        ("binning:bin=3", "binning: it has no parameter 'bin'; did you mean 'bins'"),
        ("kde:foo=1", "kde: it has no parameter 'foo'"),
        ("binning:bins", "expected K=V, got 'bins'$"),
        ("binning:bins=15,bins=30", "bins is given twice"),
        ("binning:bins=many", "bins: expected a whole number, got 'many'"),
        ("binning:bins=0", "bins"),
        ("binning:mode=nonsense", "nonsense"),
        ("dse:sigma=-1", "sigma"),
        ("dse:t=0", "t"),
        ("compressed:mode=nonsense", "nonsense"),
    ],
)
def test_unusable_spec_is_told(spec, message):
    with pytest.raises(InputError, match=message) as error:
        parse_estimator(spec)
    assert "\n" not in str(error.value)
