"""Rows of the factor B = Sᵀ J, layer by layer."""
