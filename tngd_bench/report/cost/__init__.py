"""Cost per iteration, in the report."""
