"""What people read: Markdown, figures, HTML page, tables and terminal; no Ray, no torch."""
