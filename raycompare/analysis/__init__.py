"""Pure functions from records to results: leaderboard, tests, cost and verdict."""
