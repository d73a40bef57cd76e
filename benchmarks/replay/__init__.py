"""Recorded learning curves, replayed through the real schedulers with a simulated clock."""
