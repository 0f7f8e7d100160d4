"""The examples in the docstrings of what is public."""

import doctest
import inspect
import sys

import pytest

import infoplane

_STAGES = ("infoplane.numerics.", "infoplane.estimators.")
PUBLIC = [getattr(infoplane, name) for name in infoplane.__all__ if name != "__version__"]
MATHEMATICS = [found for found in PUBLIC if found.__module__.startswith(_STAGES)]


@pytest.mark.parametrize("found", MATHEMATICS, ids=lambda found: found.__name__)
def test_examples_give_what_they_say(found):
    names = dict(vars(sys.modules[found.__module__]))
    (test,) = doctest.DocTestFinder(recurse=False).find(found, found.__name__, globs=names)
    assert test.examples or not inspect.isfunction(found), "no example"
    report = []
    assert doctest.DocTestRunner().run(test, out=report.append).failed == 0, "".join(report)
