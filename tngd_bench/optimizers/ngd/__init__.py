"""Exact natural gradient descent with a digital solver."""
