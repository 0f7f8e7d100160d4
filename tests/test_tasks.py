"""The 12-bit task: symmetries and published statistics."""

import itertools

import numpy as np
import pytest

from infoplane.sample_runs.twelve_bit.task import _NEIGHBOURS, toy12


def icosahedron():
    golden = (1 + 5**0.5) / 2
    corners = []
    for a, b in itertools.product((-1, 1), (-golden, golden)):
        corners += [(0, a, b), (a, b, 0), (b, 0, a)]
    return np.array(corners)


def test_patterns_count_from_zero_with_the_first_bit_most_significant():
    inputs, labels = toy12()
    assert inputs.shape == (4096, 12)
    assert labels.shape == (4096,)
    np.testing.assert_array_equal(inputs @ 2.0 ** np.arange(11, -1, -1), np.arange(4096))


def test_published_label_statistics():
    _, labels = toy12()
    assert labels.sum() == 2118  # P(y = 1) = 0.5171
    p = labels.mean()
    h_y = -p * np.log2(p) - (1 - p) * np.log2(1 - p)
    assert h_y == pytest.approx(0.9991571208502705, abs=1e-12)


def test_neighbours_are_those_of_an_icosahedron():
    adjacent = np.zeros((12, 12), dtype=int)
    for bit, others in enumerate(_NEIGHBOURS):
        adjacent[bit, list(others)] = 1
    np.testing.assert_array_equal(adjacent, adjacent.T)
    corners = icosahedron()
    distances = np.linalg.norm(corners[:, None] - corners[None], axis=2)
    solid = (np.abs(distances - 2) < 1e-9).astype(int)
    assert (solid.sum(axis=1) == 5).all()
    expected, found = (np.sort(np.linalg.eigvalsh(a)) for a in (solid, adjacent))
    np.testing.assert_allclose(found, expected, atol=1e-9)  # the graph is fixed by its spectrum


def test_label_is_the_threshold_of_the_spherical_power_rule():
    """y = 1 if k + |sum of the active vertices| > 7.632, on any labelling of the solid."""
    inputs, labels = toy12()
    corners = icosahedron()
    corners = corners / np.linalg.norm(corners[0])
    distances = np.linalg.norm(corners[:, None] - corners[None], axis=2)
    solid = np.abs(distances - distances[distances > 1e-9].min()) < 1e-9
    place = _isomorphism([set(others) for others in _NEIGHBOURS], solid)
    score = inputs.sum(axis=1) + np.linalg.norm(inputs @ corners[place], axis=1)
    np.testing.assert_array_equal(score > 7.632, labels)


def _isomorphism(neighbours, solid):
    """Return for each bit a vertex, such that neighbouring bits are neighbouring vertices."""

    def extend(place):
        bit = len(place)
        if bit == 12:
            return place
        for vertex in set(range(12)) - set(place):
            if all(
                (other in neighbours[bit]) == solid[vertex, place[other]] for other in range(bit)
            ):
                found = extend([*place, vertex])
                if found:
                    return found
        return None

    return extend([])
