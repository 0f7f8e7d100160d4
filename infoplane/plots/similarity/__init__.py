"""Figures of how alike layers are."""
