"""Self-consistency: what must hold between the estimates of related data, whatever the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np

from infoplane.data import Array, IntArray
from infoplane.validation.known_mi import normal_pair
from infoplane.validation.problems import Problem, Resolution, Trial
from infoplane.validation.traps import labelled_layer
from infoplane.validation.truths import label_information

_OF_LABELS = ("ity",)
_EVERY = ("ity", "dse", "dsmi_y")

_ROTATED = ("effective_rank", "rankme", "participation_ratio", "vne", "vne_centred", "nc1", "cdnv",
            "label_alignment", "intrinsic_dimension")  # fmt: skip
_ROWS = (*_ROTATED, "stable_rank", "nc1_quotient", "nc2_etf", "class_separation")

Parts: TypeAlias = tuple[tuple[float, Problem], ...]
"""Problems with the weights of their estimates in what is expected."""

Draw: TypeAlias = Callable[[int, np.random.Generator], tuple[Parts, Problem]]


@dataclass(frozen=True)
class Relation(Trial):
    """Problems whose estimates must agree: a weighted sum of some with that of another one.

    ``make`` returns the weighted problems and the one that is compared.

    Parameters
    ----------
    quantities : tuple of str
        Quantities that it is about.
    share : float
        Relative difference that passes, at least ``least`` bits.
    least : float
        Difference in bits that passes in any case.
    at_most : bool
        Whether the estimate may also fall.
    at_noise : bool
        Whether the truths of the problem hold after the change as well, so that an estimator that
        chooses its noise by the layer is asked for the difference that another noise makes.
    fine : bool
        Whether it is about the shape of the layer, and not asked where noise hides that.
    fewer : bool
        Whether samples are lost, so that a lower bound may fall.
    """

    quantities: tuple[str, ...] = _OF_LABELS
    share: float = 0.1
    least: float = 0.05
    at_most: bool = False
    at_noise: bool = False
    fine: bool = False
    fewer: bool = False

    def allowed(self, expected: float, spread: float) -> float:
        """Return the difference that passes between estimates of this joint half-width."""
        if self.least == 0:
            return 0.0
        return max(self.share * abs(expected), self.least, spread)


def _layer(n: int, rng: np.random.Generator) -> Problem:
    return labelled_layer(n, rng, classes=3, units=4, distance=2.0)


def _changed(
    n: int, rng: np.random.Generator, change: Callable[[Array, np.random.Generator], Array]
) -> tuple[Parts, Problem]:
    before = _layer(n, rng)
    return ((1.0, before),), replace(before, activations=change(before.activations, rng))


def _rows(problem: Problem, rows: IntArray) -> Problem:
    assert problem.labels is not None
    return replace(
        problem,
        inputs=problem.inputs[rows],
        activations=problem.activations[rows],
        labels=problem.labels[rows],
    )


def _turned(layer: Array, rng: np.random.Generator) -> Array:
    units = layer.shape[1]
    return np.asarray(layer @ np.linalg.qr(rng.standard_normal((units, units)))[0])


def _padded(layer: Array, rng: np.random.Generator) -> Array:
    return np.hstack([layer, rng.standard_normal((len(layer), 10))])


def _other_order(n: int, rng: np.random.Generator) -> tuple[Parts, Problem]:
    before = _layer(n, rng)
    order = rng.permutation(n)
    return ((1.0, before),), _rows(before, order)


def _merged_classes(n: int, rng: np.random.Generator) -> tuple[Parts, Problem]:
    before = labelled_layer(n, rng, classes=4, units=4, distance=2.0)
    assert before.labels is not None
    return ((1.0, before),), replace(before, labels=before.labels // 2)


def _renamed_classes(n: int, rng: np.random.Generator) -> tuple[Parts, Problem]:
    before = _layer(n, rng)
    assert before.labels is not None
    return ((1.0, before),), replace(before, labels=7 - 3 * before.labels)


def _half(n: int, rng: np.random.Generator) -> tuple[Parts, Problem]:
    before = _layer(n, rng)
    return ((1.0, before),), _rows(before, np.arange(n // 2))


def _repeated(n: int, rng: np.random.Generator) -> tuple[Parts, Problem]:
    before = _layer(n // 2, rng)
    return ((1.0, before),), _rows(before, np.repeat(np.arange(n // 2), 2))


def _two_copies(n: int, rng: np.random.Generator) -> tuple[Parts, Problem]:
    labels = rng.integers(0, 2, size=(n, 2))
    layer = 2.0 * labels + rng.standard_normal((n, 2))
    inputs = rng.standard_normal((n, 3))

    def twice(at: Resolution) -> float:
        spread = np.hypot(1.0, at.noise)
        return 2.0 * label_information(np.array([[0.0], [2.0]]) / spread, np.full(2, 0.5))

    one = Problem(inputs, layer[:, :1], labels[:, 0])
    both = 2 * labels[:, 0] + labels[:, 1]
    return ((2.0, one),), Problem(inputs, layer, both, truths={"ity": twice})


def _chain(n: int, rng: np.random.Generator) -> tuple[Parts, Problem]:
    """Draw four classes in two groups: I(T;Y) = I(T;group) + mean over groups of I(T;Y | group)."""
    whole = labelled_layer(n, rng, classes=4, units=2, distance=2.0)
    assert whole.labels is not None
    group = whole.labels // 2
    within = [np.flatnonzero(group == one) for one in (0, 1)]
    inside = tuple((len(rows) / n, _rows(whole, rows)) for rows in within)
    return ((1.0, replace(whole, labels=group)), *inside), whole


def _swapped(n: int, rng: np.random.Generator) -> tuple[Parts, Problem]:
    pair = normal_pair(n, rng)
    return ((1.0, Problem(pair.x, pair.y)),), Problem(pair.y, pair.x)


def _noisier(n: int, rng: np.random.Generator, noise: float) -> tuple[Parts, Problem]:
    x, draw = rng.standard_normal((n, 2)), rng.standard_normal((n, 2))
    before, after = (Problem(x, x + s * draw, noise=s) for s in (noise, 2 * noise))
    return ((1.0, before),), after


def _same(n: int, rng: np.random.Generator) -> tuple[Parts, Problem]:
    before = _layer(n, rng)
    return ((1.0, before),), before


def _by(change: Callable[[Array, np.random.Generator], Array]) -> Draw:
    return partial(_changed, change=change)


RELATIONS: tuple[Relation, ...] = (
    Relation("same data, same seed", _same, _EVERY, share=0.0, least=0.0, shannon=False),
    Relation("rows in another order", _other_order, _EVERY, shannon=False),
    Relation("classes renamed", _renamed_classes, share=0.02, shannon=False),
    Relation("units in another order", _by(lambda t, _: t[:, ::-1].copy()), share=0.02),
    Relation("units shifted", _by(lambda t, _: t + 3.0), share=0.02, at_noise=True),
    Relation("layer x1000", _by(lambda t, _: 1000.0 * t), _EVERY, shannon=False),
    Relation("layer rotated", _by(_turned)),
    Relation("geometry of a rotated layer", _by(_turned), _ROTATED, share=1e-3, shannon=False),
    Relation(
        "geometry of a layer x1000", _by(lambda t, _: 1000.0 * t), _ROWS, share=1e-3, shannon=False
    ),
    Relation("geometry of rows in another order", _other_order, _ROWS, shannon=False),
    Relation("units bent monotonously", _by(lambda t, _: np.sinh(t)), fine=True),
    Relation("units repeated, squared", _by(lambda t, _: np.hstack([t, t**2])), fine=True),
    Relation("10 units of noise added", _by(_padded), at_noise=True),
    Relation("layer rounded to 16 bits", _by(lambda t, _: t.astype(np.float16))),
    Relation("layer rounded to whole numbers", _by(lambda t, _: np.round(t)), at_most=True),
    Relation("classes merged", _merged_classes, at_most=True),
    Relation("half of the samples", _half, at_noise=True, fewer=True),
    Relation("every sample twice", _repeated),
    Relation("two independent copies", _two_copies, at_noise=True),
    Relation("classes group by group", _chain),
    Relation("noise doubled", partial(_noisier, noise=0.5), ("ixt",), at_most=True),
    Relation("inputs and layer swapped", _swapped, ("ixt",), pairs=True),
)
"""All tests of self-consistency."""
