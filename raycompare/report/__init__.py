"""What a person reads: Markdown, figures, HTML page, tables, terminal. No Ray, no torch."""
