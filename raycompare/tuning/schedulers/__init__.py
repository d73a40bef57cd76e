"""The rules that let a trial continue, wait or stop, one per file; no Ray."""
