"""Holm's correction of several tests."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values corrected for the number of tests.

    Rejecting those of at most a level, the chance that any of them is a false rejection is at most
    that level, however the tests depend on one another.

    Parameters
    ----------
    p : sequence of float
        A p-value per test.

    References
    ----------
    Holm: "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6, 1979.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, worst = [0.0] * len(p), 0.0
    for before, at in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        worst = max(worst, (len(p) - before) * p[at])
        corrected[at] = min(1.0, worst)
    return corrected
