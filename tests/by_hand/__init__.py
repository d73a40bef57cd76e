"""Recomputes the committed example reports with NumPy and SciPy, and nothing of raycompare."""
