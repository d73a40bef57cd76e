"""What `raycompare status`, `ls` and `diff` print."""
