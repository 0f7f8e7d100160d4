"""Logarithmic axes with plain numbers: matplotlib's own write mathtext, which is switched off."""

from __future__ import annotations

import math

from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, NullLocator


def log_numbers(axis: Axis, most: int = 5) -> None:
    """Label a log axis with at most about ``most`` plain numbers."""
    low, high = (math.log10(end) for end in axis.get_view_interval())
    decades = math.floor(high) - math.ceil(low) + 1
    subs = (1.0,) if decades > 1 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=subs, numticks=most))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_locator(NullLocator())
