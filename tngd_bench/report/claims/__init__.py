"""Claims and verdicts, in the report."""
