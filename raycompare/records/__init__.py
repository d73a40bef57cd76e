"""The records of a run: messages of trials, the rows made of them, and the run folder."""
