"""What the records allow to be said: leaderboard, tests, cost, verdict. Pure functions."""
