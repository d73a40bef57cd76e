"""The Ray cluster: its machines, the connection to it, and what must hold before a run."""
