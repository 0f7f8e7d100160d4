"""Networks that are random: noise that belongs to the sample, passes, declared noise."""

import logging
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  - as torch calls it

from infoplane import Recorder, Run
from infoplane.errors import DataError, InputError, NotFoundError
from infoplane.nn import GaussianNoise
from infoplane.recording.hooks.draws import SampleAxes, sample_numbers
from infoplane.runs.pack import pack

# Whole numbers and dropout of one half: no sum is rounded, so that all batches compute alike.
TOKENS = torch.from_numpy(np.random.default_rng(0).integers(-4, 5, (23, 8, 6))).float()
MAPS = torch.from_numpy(np.random.default_rng(1).integers(-4, 5, (23, 4, 5, 5))).float()


class Drawn(nn.Module):
    """A model whose last layer, an identity, returns what a function makes of the inputs."""

    def __init__(self, make, inner=None):
        super().__init__()
        self.make, self.inner, self.last = make, inner, nn.Identity()

    def forward(self, x):
        return self.last(self.make(self, x))


def recorded(model, inputs, path, **options):
    options = {"layers": ["last"], "keep_dropout": True, "passes": 2} | options
    with Recorder(model, (inputs.clone(), None), path, **options) as recorder:
        recorder.snapshot(0)
    return Run(path)


def attend(model, x):
    q = x[:, None]
    p = 0.5 if model.training else 0.0
    return F.scaled_dot_product_attention(q, q, q, dropout_p=p)[:, 0].sign()


def attend_multi_head(model, x):
    return model.inner(x, x, x, need_weights=False)[0].sign()


def multi_head(**options):
    torch.manual_seed(0)
    return nn.MultiheadAttention(6, 2, dropout=0.5, batch_first=True, **options)


RANDOM = {
    "Dropout": (Drawn(lambda m, x: m.inner(x), nn.Dropout(0.5)), TOKENS),
    "Dropout in place": (Drawn(lambda m, x: m.inner(x + 0), nn.Dropout(0.5, True)), TOKENS),
    "Dropout1d": (Drawn(lambda m, x: m.inner(x), nn.Dropout1d(0.5)), TOKENS),
    "Dropout2d": (Drawn(lambda m, x: m.inner(x), nn.Dropout2d(0.5)), MAPS),
    "Dropout3d": (Drawn(lambda m, x: m.inner(x), nn.Dropout3d(0.5)), MAPS[..., None]),
    "AlphaDropout": (Drawn(lambda m, x: m.inner(x), nn.AlphaDropout(0.5)), TOKENS),
    "FeatureAlphaDropout": (Drawn(lambda m, x: m.inner(x), nn.FeatureAlphaDropout(0.5)), MAPS),
    "GaussianNoise": (Drawn(lambda m, x: m.inner(x), GaussianNoise(0.5)), TOKENS),
    "functional": (Drawn(lambda m, x: F.dropout(x, 0.5, m.training)), TOKENS),
    "functional under if": (
        Drawn(lambda m, x: F.dropout(x, 0.5) if m.training else x),
        TOKENS,
    ),
    "samples on the second axis": (
        Drawn(lambda m, x: m.inner(x.transpose(0, 1)).transpose(0, 1), nn.Dropout(0.5)),
        TOKENS,
    ),
    "samples and tokens on one axis": (
        Drawn(lambda m, x: m.inner(x.flatten(0, 1)).view_as(x), nn.Dropout(0.5)),
        TOKENS,
    ),
    "scaled_dot_product_attention": (Drawn(attend), TOKENS),
    "MultiheadAttention": (Drawn(attend_multi_head, multi_head()), TOKENS),
    "randn_like": (Drawn(lambda m, x: x + torch.randn_like(x)), TOKENS),
    "randn": (Drawn(lambda m, x: x + torch.randn(x.shape)), TOKENS),
    "rand": (Drawn(lambda m, x: x + torch.rand(len(x), 8, 6)), TOKENS),
    "normal_": (Drawn(lambda m, x: x + torch.empty_like(x).normal_(1, 2)), TOKENS),
    "normal": (Drawn(lambda m, x: torch.normal(x, torch.ones_like(x))), TOKENS),
    "bernoulli": (Drawn(lambda m, x: torch.bernoulli(torch.full_like(x, 0.5))), TOKENS),
}


@pytest.mark.parametrize("name", RANDOM)
def test_noise_belongs_to_the_sample(name, tmp_path):
    model, inputs = RANDOM[name]
    model.eval()
    runs = [recorded(model, inputs, tmp_path / str(n), batch_size=n) for n in (1, 7, 512)]
    one, *others = [run.passes(0, "last") for run in runs]
    for other in others:
        np.testing.assert_array_equal(other, one)
    assert (one[:, 0] != one[:, 1]).any()
    assert (one[0] != one[1]).any()
    assert runs[0].layer("last").random
    assert not model.training


def test_step_is_recorded_alike_at_every_step_and_again(tmp_path):
    model, inputs = RANDOM["Dropout"]
    with Recorder(model, (inputs, None), tmp_path / "run", keep_dropout=True, layers="*") as one:
        one.snapshot(0)
        torch.manual_seed(77)
        one.snapshot(5)
    run = Run(tmp_path / "run")
    np.testing.assert_array_equal(run.activations(0, "last"), run.activations(5, "last"))


@pytest.mark.parametrize(
    ("module", "share", "mean", "spread"),
    [
        (nn.Dropout(0.25), 0.25, 1.0, math.sqrt(1 / 3)),
        (nn.Dropout2d(0.25), 0.25, 1.0, math.sqrt(1 / 3)),
        (GaussianNoise(0.5), 0.0, 1.0, 0.5),
    ],
)
def test_what_is_drawn_has_its_law(module, share, mean, spread, tmp_path):
    model = Drawn(lambda m, x: m.inner(x), module)
    run = recorded(model, torch.ones(400, 25, 2, 2), tmp_path / "run", reduce={"last": "flatten"})
    values = run.passes(0, "last")
    n = values.size if not isinstance(module, nn.Dropout2d) else values.size / 4
    assert np.mean(values == 0) == pytest.approx(share, abs=5 * 0.5 / math.sqrt(n))
    assert values.mean() == pytest.approx(mean, abs=5 * spread / math.sqrt(n))
    assert values.std() == pytest.approx(spread, rel=0.05)


def test_alpha_dropout_is_that_of_torch(tmp_path):
    """Two values are possible for each input; torch's own draws take the same two."""
    model = Drawn(lambda m, x: m.inner(x), nn.AlphaDropout(0.3))
    ours = np.unique(recorded(model, torch.ones(50, 40), tmp_path / "run").passes(0, "last"))
    theirs = torch.unique(nn.AlphaDropout(0.3)(torch.ones(2000))).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_attention_without_dropout_in_it_is_that_of_torch(tmp_path):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(6, 2, 12, dropout=0.0, batch_first=True)
    model = Drawn(lambda m, x: m.inner(x), layer).eval()
    kept = recorded(model, TOKENS, tmp_path / "kept")
    with torch.no_grad():
        np.testing.assert_allclose(kept.activations(0, "last"), model(TOKENS).flatten(1), atol=1e-6)


def test_normalisation_does_not_learn(tmp_path):
    model = Drawn(lambda m, x: m.inner(x), nn.Sequential(nn.BatchNorm1d(8), nn.Dropout(0.5)))
    before = model.inner[0].running_mean.clone()
    recorded(model, TOKENS, tmp_path / "run")
    assert torch.equal(model.inner[0].running_mean, before)


def test_recurrent_dropout_is_refused(tmp_path):
    model = Drawn(lambda m, x: m.inner(x)[0], nn.LSTM(6, 4, 2, dropout=0.5, batch_first=True))
    with pytest.raises(DataError, match=r"'inner' \(LSTM\).*inside its kernel") as error:
        recorded(model, TOKENS, tmp_path / "run")
    assert "--keep-dropout" in error.value.hint


def test_what_all_samples_share_is_said(tmp_path, caplog):
    model = Drawn(lambda m, x: x + m.inner(torch.ones(1, 8, 6)), nn.Dropout(0.5))
    runs = [recorded(model, TOKENS, tmp_path / str(n), batch_size=n) for n in (1, 7, 512)]
    assert "no axis of the samples where inner:dropout draws" in caplog.text
    one, *others = [run.passes(0, "last") for run in runs]
    for other in others:
        np.testing.assert_array_equal(other, one)


def test_more_than_dropout_in_training_is_said(tmp_path, caplog):
    model = Drawn(lambda m, x: m.inner(x) + 5 * m.training, nn.Dropout(0.5))
    run = recorded(model, TOKENS, tmp_path / "run")
    assert "does more in training than to draw" in caplog.text
    assert not (run.activations(0, "last") % 2).any()  # twice a whole number, or 0


def noisy_network():
    torch.manual_seed(0)
    layers = nn.Linear(3, 4), GaussianNoise(0.5), nn.Linear(4, 2), GaussianNoise(0.7)
    return nn.Sequential(*layers)


def test_noise_is_found_and_told_apart(tmp_path):
    run = recorded(noisy_network(), torch.randn(300, 3), tmp_path / "run", layers=(), passes=3)
    told = {one.name: (one.noise, one.noise_in, one.random) for one in run.layers}
    assert told == {
        "0": (None, None, False),
        "1": (0.5, "values", False),  # what it adds is all that is random
        "2": (None, None, True),
        "3": (0.7, "values", True),
    }
    assert run.passes(0, "1").shape == (300, 3, 4)
    for k in range(3):  # before the noise: what the layer before gives
        np.testing.assert_array_equal(run.passes(0, "3")[:, k], run.passes(0, "2")[:, k])
    added = run.activations(0, "3") - run.passes(0, "3")[:, 0]
    assert added.std() == pytest.approx(0.7, rel=0.1)


def test_noise_off_is_declared_and_said(tmp_path, caplog):
    run = recorded(noisy_network(), torch.randn(50, 3), tmp_path / "run", layers=(),
                   keep_dropout=False, passes=1)  # fmt: skip
    told = {one.name: (one.noise, one.noise_in, one.random) for one in run.layers}
    assert told["1"] == (0.5, "none", False)
    assert told["3"] == (0.7, "none", False)
    assert "1, 3: noise is declared, but nothing is added in evaluation mode" in caplog.text
    np.testing.assert_array_equal(run.activations(0, "0"), run.activations(0, "1"))


def test_noise_that_is_always_on_needs_no_option(tmp_path):
    model = nn.Sequential(nn.Linear(3, 4), GaussianNoise(0.5, always=True)).eval()
    run = recorded(model, torch.randn(50, 3), tmp_path / "run", layers=(), keep_dropout=False,
                   passes=1)  # fmt: skip
    assert run.layer("1").noise_in == "values"
    np.testing.assert_array_equal(run.passes(0, "1")[:, 0], run.activations(0, "0"))


OWN = Drawn(lambda m, x: x + 0.3 * torch.randn_like(x))


@pytest.mark.parametrize(
    ("sigma", "random"),
    [(0.3, False), (0.25, True), (None, True)],
    ids=["all of it", "less than there is", "nothing"],
)
def test_more_noise_than_is_declared_is_found(sigma, random, tmp_path, caplog):
    noise = None if sigma is None else {"la*": sigma}
    run = recorded(OWN, torch.randn(300, 9), tmp_path / "run", noise=noise, passes=1)
    layer = run.layer("last")
    assert (layer.noise, layer.random) == (sigma, random)
    assert layer.noise_in == (None if sigma is None else "all")
    assert ("by more than the noise that is declared" in caplog.text) is random


def test_more_noise_declared_than_there_is_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"noise of 7 is declared, .* differ as with noise of 0\.3"
    ):
        recorded(OWN, torch.randn(300, 9), tmp_path / "run", noise={"la*": 7.0}, passes=1)


def test_randomness_shows_without_any_option(tmp_path, caplog):
    run = recorded(OWN, torch.randn(30, 9), tmp_path / "run", keep_dropout=False, passes=1)
    assert run.layer("last").random
    assert "random in evaluation mode" in caplog.text


def test_deterministic_layers_are_not_random(tmp_path):
    model = Drawn(lambda m, x: 2 * x)
    run = recorded(model, TOKENS, tmp_path / "run", keep_dropout=False, passes=1)
    assert not run.layer("last").random


def test_equal_passes_are_said(tmp_path, caplog):
    recorded(Drawn(lambda m, x: m.inner(x), nn.Dropout(0.5)), TOKENS, tmp_path / "run",
             keep_dropout=False, passes=3)  # fmt: skip
    assert "the passes are all the same" in caplog.text
    assert "--keep-dropout" in caplog.text


def test_one_pass_is_a_plain_recording(tmp_path):
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    inputs = torch.randn(50, 3)
    kinds = {"keep_dropout": False, "layers": ()}
    one = recorded(model, inputs, tmp_path / "one", passes=1, **kinds)
    with Recorder(model, (inputs, None), tmp_path / "plain") as recorder:
        recorder.snapshot(0)
    plain = Run(tmp_path / "plain")
    assert one.step_file(0).read_bytes() == plain.step_file(0).read_bytes()
    assert one.manifest["settings"] == plain.manifest["settings"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"noise": {"last": 0}}, InputError, "standard deviation above 0, got 0"),
        ({"noise": {"last": -1.0}}, InputError, "standard deviation above 0"),
        ({"noise": {"last": "much"}}, InputError, "standard deviation above 0, got 'much'"),
        ({"noise": {"last": math.nan}}, InputError, "standard deviation above 0"),
        ({"noise": {"last": True}}, InputError, "standard deviation above 0"),
        ({"noise": {"fc*": 1.0}}, NotFoundError, "'fc\\*', whose noise is declared"),
        ({"noise": {"op:exp": 1.0}, "layers": ["op:add"]}, NotFoundError, "op:exp"),
        ({"passes": 0}, InputError, "passes of at least 1"),
        ({"passes": 2.5}, InputError, "passes as a whole number"),
    ],
)
def test_unfit_noise_is_refused(options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        recorded(OWN, torch.randn(30, 9), tmp_path / "run", **options)


@pytest.mark.parametrize("sigma", [0, -1, "1", None, math.inf, math.nan])
def test_gaussian_noise_needs_a_size(sigma):
    with pytest.raises(InputError, match="GaussianNoise: expected a standard deviation above 0"):
        GaussianNoise(sigma)


def test_contradicting_noise_is_refused(tmp_path):
    model = nn.Sequential(nn.Linear(3, 4), GaussianNoise(0.5))
    with pytest.raises(InputError, match=r"layer '1' adds noise of 0.5, but 0.4 is declared"):
        recorded(model, torch.randn(30, 3), tmp_path / "run", layers=(), noise={"1": 0.4})


def test_noise_of_mixed_units_is_refused(tmp_path):
    with pytest.raises(InputError, match="noise is declared of its units, but sketch:4 mixes them"):
        recorded(OWN, torch.randn(30, 9), tmp_path / "run", noise={"last": 0.3},
                 reduce={"last": "sketch:4"})  # fmt: skip


def test_operations_may_declare_noise(tmp_path):
    run = recorded(OWN, torch.randn(300, 9), tmp_path / "run", layers=["op:add"],
                   noise={"op:add": 0.3})  # fmt: skip
    assert (run.layers[0].noise, run.layers[0].random) == (0.3, False)


def test_gaussian_noise_in_training():
    noise = GaussianNoise(0.5)
    assert noise(torch.zeros(10_000)).std().item() == pytest.approx(0.5, rel=0.05)
    assert not noise.eval()(torch.zeros(5)).any()
    assert str(GaussianNoise(0.5, always=True)) == "GaussianNoise(sigma=0.5, always=True)"


def test_numbers_of_a_sample_do_not_depend_on_the_others():
    whole = sample_numbers("normal", range(10), 5, "float32", "place")
    np.testing.assert_array_equal(
        sample_numbers("normal", [7, 3], 5, "float32", "place"), whole[[7, 3]]
    )
    assert (
        np.corrcoef(whole.T[0], sample_numbers("normal", range(10), 5, "float32", "other").T[0])[
            0, 1
        ]
        < 0.99
    )


def test_streams_of_samples_are_independent():
    many = sample_numbers("normal", range(2000), 8, "float64", 0, "place")
    again = sample_numbers("normal", range(2000), 8, "float64", 1, "place")
    columns = np.hstack([many, again, [*many[1:].tolist(), many[0].tolist()]])
    correlations = np.corrcoef(columns.T) - np.eye(24)
    assert np.abs(correlations).max() < 5 / math.sqrt(2000)  # 276 pairs


@pytest.mark.parametrize(
    ("shapes", "found"),
    [
        ([((8, 8, 3), 8), ((9, 8, 3), 9)], (0, 1)),
        ([((8, 8, 3), 8), ((8, 9, 3), 9)], (1, 1)),
        ([((16, 3), 8), ((18, 3), 9)], (0, 2)),
        ([((1, 8, 3), 8), ((1, 8, 3), 9)], None),
        ([((16, 3), 8), ((16, 3), 9)], None),
    ],
)
def test_axis_of_the_samples(shapes, found):
    axes = SampleAxes()
    assert [axes.of("place", shape, n) for shape, n in shapes][-1] == found


def test_packed_verified_and_resumed(tmp_path):
    inputs = torch.randn(40, 3)
    recorded(noisy_network(), inputs, tmp_path / "run", layers=(), passes=3)
    run = Run(tmp_path / "run")
    pack(run, tmp_path / "run.h5")
    other = Run(tmp_path / "run.h5")
    np.testing.assert_array_equal(run.passes(0, "3"), other.passes(0, "3"))
    options = {"keep_dropout": True, "passes": 3, "resume": True}
    with Recorder(noisy_network(), (inputs, None), tmp_path / "run", **options) as recorder:
        recorder.snapshot(0)
        recorder.snapshot(1)
    assert recorder.kept == [0]
    np.testing.assert_array_equal(Run(tmp_path / "run").passes(1, "3"), other.passes(0, "3"))


def test_shards_draw_as_the_whole(tmp_path):
    inputs, options = torch.randn(31, 3), {"keep_dropout": True, "passes": 2}
    whole = recorded(noisy_network(), inputs, tmp_path / "whole", layers=())
    for index in range(3):
        with Recorder(noisy_network(), (inputs, None), tmp_path / "parts", shard=(index, 3),
                      **options) as recorder:  # fmt: skip
            recorder.snapshot(0)
    parts = Run(tmp_path / "parts")
    np.testing.assert_allclose(parts.passes(0, "3"), whole.passes(0, "3"), atol=1e-6)


@pytest.fixture(autouse=True)
def _warnings_are_seen(caplog):
    caplog.set_level(logging.WARNING, logger="infoplane")
