"""A finalist in use: predict, export, serve."""
