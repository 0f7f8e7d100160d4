"""The report: one HTML page of figures, tables and sentences."""
