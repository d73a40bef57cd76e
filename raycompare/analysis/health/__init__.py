"""Warnings about a run, each with a suggestion."""
