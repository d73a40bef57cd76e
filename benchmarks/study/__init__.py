"""The gain over plain Ray Tune and over a script, on one study: `make bench-study`."""
