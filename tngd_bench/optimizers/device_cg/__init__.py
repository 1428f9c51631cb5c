"""Natural gradient by conjugate gradients with a device as preconditioner."""
