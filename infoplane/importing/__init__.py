"""Runs of arrays that are there already: from files, or from a program of one's own."""
