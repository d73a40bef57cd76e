"""What the records show: leaderboard, tests, cost and verdict, as pure functions."""
