"""Training runs, in the report."""
