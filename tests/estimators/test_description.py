"""What estimators say of themselves, as the command shows it."""

import dataclasses

import pytest

from infoplane.estimators.base import Estimator
from infoplane.estimators.description import SIZES, describe
from infoplane.estimators.registry import BUILT_IN, estimator_class, parse_estimator
from tests.conftest import infoplane_here as infoplane


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_estimator_says_everything(name):
    cls = estimator_class(name)
    about = describe(cls)
    assert [p.name for p in about.parameters] == [field.name for field in dataclasses.fields(cls)]
    for parameter in about.parameters:
        assert parameter.meaning, parameter.name
        assert parameter.type, parameter.name
        assert parameter.default == getattr(cls(), parameter.name)
    assert set(about.costs) == set(SIZES)
    assert all(cost.seconds > 0 and cost.bytes > 0 for cost in about.costs.values())
    for text in (about.summary, about.limits, about.source):
        assert len(text) > 30
        assert "``" not in text


@pytest.mark.parametrize("name", BUILT_IN)
def test_command_fits_80_columns_and_its_defaults_can_be_given_back(name):
    done = infoplane("estimators", name, COLUMNS="80")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    for title in ("Quantities", "Parameters", "Limits", "Source"):
        assert title in lines
    given = [line.strip() for line in lines if line[:3].strip() and line[2:3].isalpha()]
    defaults = [text for text in given if "=" in text and " " not in text]
    assert len(defaults) == len(dataclasses.fields(estimator_class(name)))
    assert parse_estimator(f"{name}:{','.join(defaults)}") == estimator_class(name)()


def test_an_estimator_that_says_nothing_is_shown_all_the_same():
    @dataclasses.dataclass(frozen=True)
    class Terse(Estimator):
        needed: int

        name, title, quantities = "terse", "terse", ("ity",)

        def estimate(self, prepared, activations, rng):
            return {}

    Terse.__doc__ = None
    about = describe(Terse)
    assert about.costs == {}
    assert (about.limits, about.source, about.parameters[0].meaning) == ("", "", "")
