"""A run from end to end: check, estimate, screen, tune, confirm, measure, report."""
