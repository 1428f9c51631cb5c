"""Thermodynamic K-FAC on the device: relaxations under Kronecker factors, and their bill."""
