"""The regression gate: what it measures, its baseline, and its verdict."""
