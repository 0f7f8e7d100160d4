import matplotlib.pyplot as plt
import pytest

from infoplane.plots.canvas import clock


def recording(steps, epochs):
    return {"steps": steps, "epochs": epochs}


@pytest.mark.parametrize(
    ("recordings", "epochs"),
    [
        ([recording([0, 391, 782], [0, 1, 2])], {0: 0, 391: 1, 782: 2}),
        ([recording([1, 2], [1.0, 2.0]), recording([2, 3], [2, 3])], {1: 1, 2: 2, 3: 3}),
        ([recording([0, 391], [0, 1]), recording([0, 196], [0, 1])], None),  # of other lengths
        ([recording([0, 391], [0, 1]), recording([0, 391], [0, 2])], None),
        ([recording([0, 391], [0, None])], None),
        ([recording([0, 391], [0, 0.7])], None),
        ([recording([0, 391, 500], [0, 1, 1])], None),  # steps within an epoch
        ([recording([0, 391], [1, 0])], None),
        ([{"steps": [0, 1]}], None),
        ([recording([0, 391], [])], None),
    ],
)
def test_epochs_count_where_every_checkpoint_ends_one(recordings, epochs):
    assert clock.whole_epochs(recordings) == epochs


@pytest.mark.parametrize("n", [1, 2, 5, 9, 12, 60, 500])
@pytest.mark.parametrize("per_epoch", [1, 391])
@pytest.mark.parametrize("n_ticks", [2, 4, 6])
def test_the_first_and_the_last_epoch_are_at_the_axis(n, per_epoch, n_ticks):
    steps = [epoch * per_epoch for epoch in range(n)]
    ax = plt.figure().add_subplot()
    with clock.counting({step: step // per_epoch for step in steps}):
        clock.step_axis(ax.xaxis, steps, n_ticks=n_ticks)
        assert clock.time_name() == "epoch"
    texts = [text.get_text() for text in ax.get_xticklabels()]
    assert (texts[0], texts[-1]) == ("0", str(n - 1))
    assert all(int(text) in range(n) for text in texts)
    assert clock.time_name() == "training step"
    plt.close("all")


def test_between_epochs_time_is_a_share():
    with clock.counting({0: 0, 100: 1, 200: 2}):
        assert [clock.time_of(step) for step in (0, 100, 150, 200)] == [0, 1, 1.5, 2]
    assert clock.time_of(150) == 150
