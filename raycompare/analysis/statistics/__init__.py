"""How certain test scores are: intervals, tests, and the models that may be the best."""
