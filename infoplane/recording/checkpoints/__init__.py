"""Checkpoint files: finding, reading and loading them into a model."""
