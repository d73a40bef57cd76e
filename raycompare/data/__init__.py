"""Labelled text: from files and hubs to splits, tokens and batches."""
