"""The test of the tests: how often the report calls equal models different, and finds a gap."""
