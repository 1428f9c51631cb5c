"""Training runs: curves, times to a target, tolerance of imperfections."""
