"""The analysis of recorded runs: selected, planned, run in parallel, cached."""
