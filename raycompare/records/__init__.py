"""What happened: messages of trials, the rows they become, the run folder that keeps them."""
