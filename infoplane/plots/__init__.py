"""The matplotlib side: figures and the report."""
