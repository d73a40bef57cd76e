"""The Ray cluster: its machines, the connection to it, and the checks before a run."""
