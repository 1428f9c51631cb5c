"""The device as a design: an iteration as a function of its figures, solved for a target."""
