"""Searches for the settings of optimizers."""
