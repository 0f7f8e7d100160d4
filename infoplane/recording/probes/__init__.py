"""Probe sets: from arrays, files and data sets to batches."""
