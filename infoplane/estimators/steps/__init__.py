"""Estimators that read what was recorded with a step: the loss log, the curvature."""
