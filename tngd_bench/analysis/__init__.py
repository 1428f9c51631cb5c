"""Pure functions on the data frames of a study's records: scaling fits, convergence, tolerance, findings."""
