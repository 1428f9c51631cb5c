"""Maps, in the report."""
