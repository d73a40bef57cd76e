"""What is compared: raycompare, and what its users would write instead."""
