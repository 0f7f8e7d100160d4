"""The gate: rules on results, comparison with a baseline, and how both are reported."""
