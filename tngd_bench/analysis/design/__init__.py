"""What a device must be to pay: its design as a function of its figures, solved for a target."""
