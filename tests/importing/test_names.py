import pytest

from infoplane.errors import DataError, InputError
from infoplane.importing.names import Found, Layout, Place, found_by_words, series_layout


def place(text, folders=0):
    parts = text.split("/")
    file, dot, suffix = parts[folders].partition(".np")
    return Place(tuple(parts[:folders]), file, tuple(parts[folders + 1 :]), dot + suffix)


@pytest.mark.parametrize(
    ("text", "folders", "step", "layer"),
    [
        ("acts.npz/step_0/fc1", 0, 0, "fc1"),
        ("acts.npz/fc1", 0, None, "fc1"),
        ("step_100.npz/fc1", 0, 100, "fc1"),
        ("acts_step100.npz/fc1", 0, 100, "fc1"),
        ("Epoch=7.npz/fc1", 0, 7, "fc1"),
        ("acts.npz/step_10.fc1", 0, 10, "fc1"),
        ("acts.npz/fc1_step10", 0, 10, "fc1"),
        ("acts.npz/block.1/fc1", 0, None, "block.1/fc1"),
        ("acts.npz/layers/fc1", 0, None, "fc1"),
        ("acts.npz/activations", 0, None, "activations"),
        ("features.npy", 0, None, "features"),
        ("fc1.npy", 0, None, "fc1"),
        ("step_3/fc1.npy", 1, 3, "fc1"),
        ("fc1/step_3.npy", 1, 3, "fc1"),
        ("features.0/features.npy", 1, None, "features.0"),
        ("0/features.npy", 1, None, "0"),
        ("100.npz/fc1", 0, 100, "fc1"),
        ("acts.npz/step_5/0", 0, 5, "0"),
        ("epoch_2/step_100.npz/fc1", 1, 100, "fc1"),
        ("global_step_5/epoch_2.npz/fc1", 1, 5, "fc1"),
        ("resnet18.npz/layer4", 0, None, "layer4"),
        ("acts.npz/timestep3", 0, None, "timestep3"),
    ],
)
def test_words_tell_step_and_layer(text, folders, step, layer):
    assert found_by_words(place(text, folders)) == Found(step, layer)


@pytest.mark.parametrize(
    ("text", "folders", "layout"),
    [
        ("100/fc1.npy", 1, "{step}/{layer}"),
        ("acts.npz/0/fc1", 0, "acts/{step}/{layer}"),
        ("100.npy", 0, "{step}"),
    ],
)
def test_bare_number_is_not_guessed(text, folders, layout):
    with pytest.raises(DataError, match="could be a step or a layer") as error:
        found_by_words(place(text, folders))
    assert f"--layout '{layout}'" in error.value.hint
    found = Layout(layout).found(place(text, folders))
    assert found is not None
    assert str(found.step) in text


def test_two_steps_in_a_name_are_refused():
    with pytest.raises(DataError, match="could be 2 or 3"):
        found_by_words(place("epoch_2/epoch_3.npz/fc1", 1))


@pytest.mark.parametrize(
    ("layout", "text", "folders", "found"),
    [
        ("epoch_{step}/{layer}.npy", "epoch_3/fc1.npy", 1, Found(3, "fc1")),
        ("epoch_{step}/{layer}", "epoch_3/fc1.npy", 1, Found(3, "fc1")),
        ("acts_{step}/{layer}", "acts_007.npz/block/fc1", 0, Found(7, "block/fc1")),
        ("*_{step}", "fc1_20.npy", 0, Found(20, "fc1_20")),
        ("{layer}_{step}", "fc_1_20.npy", 0, Found(20, "fc_1")),
        ("**/{layer}", "a/b/fc1.npy", 2, Found(None, "fc1")),
        ("acts_{step}/{layer}", "other.npz/fc1", 0, None),
        ("acts_{step}/{layer}", "acts_x.npz/fc1", 0, None),
        ("a.ts_{step}/{layer}", "acts_1.npz/fc1", 0, None),
    ],
)
def test_layout(layout, text, folders, found):
    assert Layout(layout).found(place(text, folders)) == found


@pytest.mark.parametrize("text", ["", "acts", "{steps}/{layer}", "{step}_{step}", "{}"])
def test_layout_without_step_or_layer_is_refused(text):
    with pytest.raises(InputError, match="layout: expected"):
        Layout(text)


def test_series_is_told_by_the_number_in_which_names_differ():
    assert series_layout([place("a_0.npz/x"), place("a_10.npz/x")]) == "a_{step}/{layer}"
    assert series_layout([place("a_0.npz/x"), place("b_0.npz/x")]) is None
    assert series_layout([place("a_0_1.npz/x"), place("a_1_2.npz/x")]) is None
