"""Changes at fixed noise, split exactly into shape and scale."""

import pytest

from infoplane.results.curves import curves
from infoplane.results.shape_and_scale import splits
from tests.plots import synthetic


def test_shape_and_scale_add_up_and_step_0_stands_apart():
    document = synthetic.bracketed(n_layers=3, n_seeds=3)
    made = curves(document)
    (group,) = {key[0] for key in made}
    for parts in splits(made, group, "compressed"):
        assert [(part.start, part.end) for part in parts] == [(0, 1), (1, 9)]
        for part in parts:
            assert part.fixed == pytest.approx(part.shape + part.scale)
            assert part.scale == pytest.approx(part.octaves)  # as the rows were made
        ixt = made[group, parts[0].layer, "compressed", "ixt"].mean()
        assert sum(part.shape for part in parts) == pytest.approx(ixt[-1] - ixt[0])


def test_two_checkpoints_or_a_whole_training_are_one_change():
    document = synthetic.bracketed(n_layers=2, n_steps=2, last_step=1)
    assert [len(parts) for parts in splits(curves(document), "tanh", "compressed")] == [1, 1]
    whole = splits(curves(synthetic.bracketed(n_layers=2)), "tanh", "compressed", whole=True)
    assert [(part.start, part.end) for parts in whole for part in parts] == [(0, 9), (0, 9)]


def test_where_a_value_is_missing_nothing_is_split():
    document = synthetic.bracketed(n_layers=2, wide_layers=1)
    first, second = splits(curves(document), "tanh", "compressed")
    assert (first[0].fixed, first[0].shape, first[0].scale) == (None, None, None)
    assert second[0].scale is not None
    assert splits(curves(synthetic.results(n_layers=2)), "tanh", "compressed") == []


def test_all_layers_are_split_at_the_same_steps():
    document = synthetic.bracketed(n_layers=3)
    rows = [r for r in document["rows"] if r["layer"] != "fc1" or r["step"] < 4]  # constant from 4
    rows = [r for r in rows if r["layer"] != "fc3" or r["step"] >= 4]
    told = splits(curves({**document, "rows": rows}), "tanh", "compressed")
    assert [[(part.start, part.end) for part in parts] for parts in told] == [[(0, 1), (1, 9)]] * 3
    early, both, late = ([part.scale is not None for part in parts] for parts in told)
    assert (early, both, late) == ([True, False], [True, True], [False, False])
