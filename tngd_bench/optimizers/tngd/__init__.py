"""Thermodynamic natural gradient descent."""
