"""Sections of the report: functions from a Comparison to Markdown."""
