"""The report as a single HTML file."""
