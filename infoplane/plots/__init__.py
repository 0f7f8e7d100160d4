"""Figures and the report, drawn from a results document.

Nothing here imports pyplot, touches matplotlib's global settings, or opens a window.
"""

from infoplane.plots.canvas.picture import save
from infoplane.plots.figures import FIGURES, draw

__all__ = ["FIGURES", "draw", "save"]
