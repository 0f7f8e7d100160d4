"""Labels made from the inputs: which token comes next."""

import numpy as np
import pytest

from infoplane.errors import DataError, InputError
from infoplane.recording.probes.named import load_probe, load_splits
from infoplane.recording.probes.next_token import NextToken

IDS = np.array([[3, 3, 5, 3], [5, 3, 7, 3]])  # after a token: 3 5 3 | 3 7 3


def labels(most=10, inputs=None, mask=None, x=None):
    return NextToken(most).labels({"": IDS} if inputs is None else inputs, mask, x, "here")


def test_classes_are_ranks_of_the_next_tokens():
    np.testing.assert_array_equal(labels(), [[0, 1, 0, -100], [0, 2, 0, -100]])


def test_all_but_the_most_frequent_are_one_class():
    np.testing.assert_array_equal(labels(1), [[0, 1, 0, -100], [0, 1, 0, -100]])


@pytest.mark.parametrize("name", ["attention_mask", "key_padding_mask"])
def test_padding_neither_has_a_label_nor_is_one(name):
    mask = np.array([[1, 1, 1, 0], [0, 1, 1, 1]])  # on the right, on the left
    given = mask if name == "attention_mask" else 1 - mask
    expected = [[0, 1, -100, -100], [-100, 2, 0, -100]]
    np.testing.assert_array_equal(labels(inputs={"ids": IDS, name: given}), expected)
    np.testing.assert_array_equal(labels(mask=mask), expected)


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"": IDS.astype(float)}, "whole numbers"),
        ({"a": IDS, "b": IDS}, "2 such inputs"),
        ({"": IDS[:, :1]}, "0 such inputs"),
        ({"": IDS, "attention_mask": np.ones((2, 3))}, "a mask of shape"),
        ({"": IDS, "attention_mask": np.zeros((2, 4))}, "no token is followed"),
    ],
)
def test_other_inputs_are_refused(inputs, reason):
    with pytest.raises(InputError, match=reason):
        labels(inputs=inputs)


def test_of_several_inputs_one_is_named():
    np.testing.assert_array_equal(labels(inputs={"a": IDS, "b": IDS}, x="a"), labels())
    np.testing.assert_array_equal(labels(inputs={"input_ids": IDS, "kinds": IDS}), labels())


@pytest.mark.parametrize("text", ["next-token:0", "next-token:x", "next-token:-1"])
def test_a_number_of_classes_is_above_0(text):
    with pytest.raises(InputError, match="next-token:K"):
        NextToken.parse(text)


def test_they_are_an_option_of_a_probe_set(tmp_path, caplog):
    np.savez(tmp_path / "p.npz", inputs=IDS, mask=np.ones_like(IDS))
    probe = load_probe(str(tmp_path / "p.npz"), labels="next-token:1")
    np.testing.assert_array_equal(probe.token_labels, labels(1))
    assert probe.token_mask.all()
    assert "the rest (33 %) as one class" in caplog.text
    with pytest.raises((DataError, InputError), match="one probe set"):
        load_splits({"a": str(tmp_path / "p.npz")}, labels="next-token")


def test_a_configuration_file_may_ask_for_them(tmp_path):
    from infoplane.cli.settings import Location, _located

    kind = Location(word="next-token")
    assert _located("next-token:5", tmp_path, kind) == "next-token:5"
    assert _located("y.npy", tmp_path, kind).endswith("y.npy")
