import pytest

from infoplane.errors import NotFoundError
from infoplane.layer_patterns import About, check, chosen, meant

LAYERS = {
    "stem": About("Linear"),
    "h.0": About("Block", ["block"]),
    "h.0.act": About("Tanh"),
    "h.1": About("Block", ["block"]),
    "h.1.act": About("TanhLike"),
    "lstm[0]": About("LSTM"),
    "fc[12]": About("Linear"),
    "fc1": About("Linear", ["features"]),
    "out": About("Linear", ["logits"]),
}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("h.*", ["h.0", "h.1"]),
        ("**.act", ["h.0.act", "h.1.act"]),
        ("type:Tanh", ["h.0.act"]),
        ("type:Tanh*", ["h.0.act", "h.1.act"]),
        ("type:[BL]*", ["stem", "h.0", "h.1", "lstm[0]", "fc[12]", "fc1", "out"]),
        ("blocks", ["h.0", "h.1"]),
        ("head", ["out"]),
        ("fc[12]", ["fc[12]"]),  # a name means itself alone
        ("fc[1-3]", ["fc1"]),
        ("lstm", ["lstm[0]"]),  # without its address
        ("h*", []),  # no star crosses dots
        ("Tanh", []),
    ],
)
def test_one_pattern(pattern, names):
    assert meant(pattern, LAYERS) == names


def test_the_name_of_a_layer_is_stronger_than_a_word():
    for word in ("blocks", "head", "type:Linear"):
        assert meant(word, {**LAYERS, word: About("Sequential")}) == [word]


def test_patterns_together():
    assert chosen(["h.*", "head"], LAYERS) == ["h.0", "h.1", "out"]
    assert chosen(["!blocks", "!type:*n*"], LAYERS) == ["lstm[0]"]
    assert chosen(["**", "!head", "!**.act", "!type:L*"], LAYERS) == ["h.0", "h.1"]
    assert chosen([], LAYERS) == list(LAYERS)
    assert chosen(["gone"], LAYERS) == []


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("h*", "'*' does not cross dots: 'h**' matches h.0 and 3 more"),
        ("h*.act", "'*' does not cross dots: 'h**.act' matches h.0.act and 1 more"),
        ("act", "'**.act' matches h.0.act and 1 more"),
        ("*a[bc]t", "'*' does not cross dots: '**a[bc]t' matches h.0.act"),
        ("!Tanh", "'type:Tanh' means layers of this class: h.0.act"),
        ("stam", "did you mean 'stem'?"),
        ("type:ReLU", "their types are Linear Block Tanh TanhLike LSTM"),
        ("zzz", "there are stem h.0"),
    ],
)
def test_a_pattern_that_means_nothing_is_told_what_it_may_have_meant(pattern, hint):
    with pytest.raises(NotFoundError, match="no layer matches") as error:
        check([pattern], LAYERS)
    assert hint in error.value.hint


def test_words_that_mean_nothing():
    bare = {"a": About("Linear"), "b": About()}
    for word, what in (("blocks", "repeated block"), ("head", "layer of the logits")):
        with pytest.raises(NotFoundError) as error:
            check([word], bare)
        assert error.value.hint == f"none is known as a {what}; there are a b"
    with pytest.raises(NotFoundError) as error:
        check(["type:x"], {"b": About()})
    assert error.value.hint == "no types of layers are known"
