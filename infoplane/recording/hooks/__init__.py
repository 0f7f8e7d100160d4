"""Capturing what layers compute during a forward pass."""
