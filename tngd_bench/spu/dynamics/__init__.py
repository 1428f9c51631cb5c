"""The Ornstein-Uhlenbeck dynamics of the device, its imperfections included."""
