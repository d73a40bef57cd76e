"""What to run: the types of an experiment file; reading, checking and writing it."""
