"""How the figures of the report are found, drawn and styled."""
