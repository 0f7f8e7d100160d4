"""Estimators of one layer at one checkpoint."""
