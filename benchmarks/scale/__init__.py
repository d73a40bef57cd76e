"""How busy the workers of a large cluster stay, and what the driver costs: `make bench-scale`."""
