"""The outcome of a gate, written for terminals, reviews and CI systems."""
