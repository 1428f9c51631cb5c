"""SGD and Adam."""
