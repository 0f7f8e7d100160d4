import pytest

from infoplane.patterns import matches


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("fc*", "fc12", True),
        ("fc*", "fc1.act", False),
        ("**", "a.b.c", True),
        ("a.**.c", "a.b.x.c", True),
        ("*", "a.b", False),
        ("layer1*", "layer10", True),
        ("layer1", "layer10", False),
        ("fc[12]", "fc2", True),
        ("fc[!12]", "fc2", False),
        ("fc[1-3]", "fc2", True),
        ("fc[^]", "fc^", True),
        ("a+b", "aab", False),
        ("a?c", "a.c", False),
        ("name#0", "name#0", True),
        ("", "", True),
    ],
)
def test_globs(pattern, name, expected):
    assert matches(name, pattern) is expected
