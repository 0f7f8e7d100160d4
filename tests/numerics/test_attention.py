"""Entropy of attention: closed forms, an implementation by others, bad input."""

import math

import numpy as np
import pytest
import torch

from infoplane import attention_entropy
from infoplane.errors import InputError

# attention_entropy.mean_over_batch_query of entropy-guided-attention-llm 728944d, in nats and with
# 1e-9 in the logarithm: seed, batch, heads and length of causal weights, and the mean of each head.
CASES = [
    ((150, 2, 3, 8), [0.6768338671758387, 0.7663612884878818, 0.7636916016090552]),
    ((151, 1, 2, 16), [1.1232634101403516, 1.2286400199698846]),
    (
        (152, 1, 4, 5),
        [0.8234708284196381, 0.4715129901591747, 0.46115133779769985, 0.5932296260935054],
    ),
    ((153, 2, 1, 32), [1.5679808081274478]),
]


def causal(seed, batch, heads, length):
    scores = 2.0 * np.random.default_rng(seed).standard_normal((batch, heads, length, length))
    scores = np.where(np.tril(np.ones((length, length), bool)), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


@pytest.mark.parametrize(("shape", "nats"), CASES)
def test_values_of_others(shape, nats):
    found = attention_entropy(causal(*shape)) * math.log(2)
    assert found == pytest.approx(nats, rel=1e-9, abs=shape[3] * 1e-9)  # 1e-9 for each key


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("graph", [False, True])
def test_tensors_of_any_kind(dtype, graph):
    weights = torch.full((2, 3, 4, 8), 1 / 8, dtype=dtype, requires_grad=graph)
    np.testing.assert_allclose(attention_entropy(weights), [3.0] * 3)


@pytest.mark.parametrize(
    ("weights", "number", "hint"),
    [
        ([[1.2, -0.2], [0.5, 0.5]], 1, "soft-max"),
        ([[3.0, -1.0], [0.5, -0.5]], 2, "soft-max"),
        ([[0.0, 0.0], [0.5, 0.5]], 1, "see no key"),
        ([[np.nan, np.nan], [0.5, 0.5]], 1, "see no key"),
    ],
)
def test_the_refusal_counts_the_queries(weights, number, hint):
    with pytest.raises(InputError, match=f"in {number} of 2 queries") as raised:
        attention_entropy(np.array([weights]))
    assert hint in raised.value.hint


def test_closed_forms():
    one_key = np.eye(5)[None]
    np.testing.assert_array_equal(attention_entropy(one_key), [0.0])
    np.testing.assert_allclose(attention_entropy(np.full((2, 3, 4, 8), 1 / 8)), [3.0] * 3)
    uniform = np.tril(np.ones((64, 64))) / np.arange(1, 65)[:, None]
    expected = np.log2(np.arange(1, 65)).mean()
    assert attention_entropy(uniform[None])[0] == pytest.approx(expected)
    assert expected / 6 == pytest.approx(0.79, abs=0.02)  # far below log2 of the length


def test_heads_are_apart_and_batches_averaged():
    uniform, single = np.full((2, 4, 4), 0.25), np.eye(4)[None].repeat(2, 0)
    found = attention_entropy(np.stack([uniform, single], axis=1))
    np.testing.assert_allclose(found, [2.0, 0.0])


@pytest.mark.parametrize(
    "weights",
    [
        np.full((1, 2, 2), 0.4),
        np.full((1, 2, 2), np.nan),
        np.zeros((1, 2, 2)),
        np.array([[[1.5, -0.5]]]),
        np.ones((2, 2)),
        np.ones((1, 0, 2)),
        np.full((1, 1, 2), 0.5j),
        np.array([[["a"]]]),
        np.array([[[np.inf, -np.inf]]]),
        torch.full((1, 2, 2), 0.4).bfloat16(),
        torch.full((1, 1, 2), 0.5 + 0j),
    ],
)
def test_what_is_no_attention_is_refused(weights):
    with pytest.raises(InputError, match="expected .*weights"):
        attention_entropy(weights)
