"""What to run: the types of an experiment file, and how it is read, checked and written."""
