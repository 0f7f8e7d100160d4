import pytest

from infoplane.patterns import matches, split_address, written


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
        ("h.3[0]", "h.3[0]", True),
        ("h.3[0]", "h.30", False),  # not the set of one character
        ("h.*[0]", "h.3[0]", True),
        ("h.*[0]", "h.3[1]", False),
        ("h.*", "h.3[0]", True),
        ("enc['a'][12]", "enc['a'][12]", True),
        ("enc['a']", "enc", False),
        ("lstm#1[0]", "lstm#1[0]", True),
    ],
)
def test_globs(pattern, name, expected):
    assert matches(name, pattern) is expected


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a.b", ("a.b", ())),
        ("a[0]", ("a", (0,))),
        ("a[12]", ("a[12]", ())),  # a set
        ("a['x.y'][12][0]", ("a", ("x.y", 12, 0))),
        ("a[1]['']", ("a", (1, ""))),
        ("[0]", ("[0]", ())),
    ],
)
def test_addresses_are_split_off_and_written_alike(name, parts):
    assert split_address(name) == parts
    assert parts[0] + written(parts[1]) == name
