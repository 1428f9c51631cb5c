"""Kronecker factors of the layers, for K-FAC."""
