"""From recorded runs to measurements: planned, done in parallel, kept."""
