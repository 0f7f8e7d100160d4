"""Logarithmic axes with plain numbers: matplotlib's own write mathtext, which is switched off."""

from __future__ import annotations

import math

from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator


def log_numbers(axis: Axis, most: int = 5) -> None:
    """Label a log axis with at most about ``most`` plain numbers, and with two at least.

    They are powers of ten; where two of those do not fit, 2 and 5 as well, or any.
    """
    low, high = axis.get_view_interval()
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for subs in ((1.0,), (1.0, 2.0, 5.0)):
        if sum(low <= m * 10.0**d <= high for d in decades for m in subs) > 1:
            axis.set_major_locator(LogLocator(subs=subs, numticks=most))
            break
    else:
        axis.set_major_locator(MaxNLocator(most - 1))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_locator(NullLocator())
