"""Figures and the report, drawn from a results document.

Nothing here imports pyplot, touches matplotlib's global settings, or opens a window.
"""

import os
import sys
from contextlib import suppress

if "matplotlib" not in sys.modules and (backend := os.environ.pop("MPLBACKEND", None)):
    # Imported with the name of no backend, matplotlib fails; none is needed here.
    import matplotlib as mpl

    os.environ["MPLBACKEND"] = backend
    with suppress(ValueError):
        mpl.rcParams["backend"] = backend

from infoplane.plots.canvas.picture import save
from infoplane.plots.figures import FIGURES, draw

__all__ = ["FIGURES", "draw", "save"]
