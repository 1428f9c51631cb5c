"""Data: downloaded, verified, cached, and split into training and test samples."""

from typing import Literal

DType = Literal["float32", "float64"]
"""Floating-point types that data and models may have."""
