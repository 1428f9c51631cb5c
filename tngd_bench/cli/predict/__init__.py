"""`tngd-bench predict`: one iteration by formula, its options, sweeps and text."""
