"""Thermodynamic K-FAC."""
