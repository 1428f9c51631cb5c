"""Running trials: worker processes, engines, scheduling."""
