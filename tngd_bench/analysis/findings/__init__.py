"""Findings in sentences computed from the data: cost, convergence, noise."""
