"""What happened: the messages of trials, the rows they become, and the run folder."""
