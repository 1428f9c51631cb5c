"""Searches for settings, in the report."""
