"""The information plane, one panel a group of runs or facets of it."""

from infoplane.plots.plane.figure import plane

__all__ = ["plane"]
