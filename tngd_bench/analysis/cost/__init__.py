"""Cost per iteration: summaries, calibration, scaling, break-even."""
