"""How often the intervals of a loss curve cover what is known.

Curves L = floor + A t^-b of known floor and exponent, with noise that is correlated from step to
step, are fitted; `docs/estimators/prequential.md` has the figures.

    python benchmarks/losses.py              200 curves of each kind, about 2 minutes
    python benchmarks/losses.py --quick      10 curves of each kind
"""

import argparse

import numpy as np

from infoplane.data import FloatArray
from infoplane.numerics.loss_curves import excess, fit_power_law

KINDS = (  # steps, floor, amplitude, exponent, noise, correlation
    (100, 1.0, 0.5, 0.5, 0.05, 0.0),
    (500, 1.0, 0.5, 0.5, 0.05, 0.0),
    (500, 1.0, 0.5, 0.5, 0.05, 0.7),
    (3000, 1.0, 0.5, 0.3, 0.1, 0.0),
    (3000, 1.0, 0.5, 0.3, 0.1, 0.8),
    (500, 2.0, 0.2, 1.2, 0.1, 0.0),
    (5000, 1.0, 0.05, 0.5, 0.2, 0.3),
)


def noise(n: int, correlation: float, rng: np.random.Generator) -> FloatArray:
    """Return noise of variance 1, each value correlated with the one before."""
    found = rng.standard_normal(n)
    for i in range(1, n):
        found[i] = correlation * found[i - 1] + np.sqrt(1 - correlation**2) * found[i]
    return found


def main() -> None:
    """Print the share of intervals that cover, by kind of curve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    curves = 10 if parser.parse_args().quick else 200
    rng = np.random.default_rng(0)
    print(f"{'steps':>6} {'exponent':>8} {'noise':>6} {'corr':>5}   covered: exponent floor area")
    for n, floor, amplitude, exponent, size, correlation in KINDS:
        t = np.arange(1.0, n + 1)
        mean = floor + amplitude * (t / n) ** -exponent
        truth = excess(mean, t, 0.05).area
        covered = np.zeros(3)
        for _ in range(curves):
            losses = mean + size * noise(n, correlation, rng)
            fit, area = fit_power_law(losses, t, 0.95), excess(losses, t, 0.05)
            assert fit is not None
            assert area.error is not None
            covered += [
                fit.exponent_low <= exponent <= fit.exponent_high,
                fit.floor_low <= floor <= fit.floor_high,
                abs(area.area - truth) < 1.96 * area.error,
            ]
        shares = "  ".join(f"{share:.3f}" for share in covered / curves)
        print(f"{n:>6} {exponent:>8} {size:>6} {correlation:>5}            {shares}")


if __name__ == "__main__":
    main()
