"""The output of `raycompare status`, `ls` and `diff`."""
