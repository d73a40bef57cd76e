"""The rules by which trials go on, wait or end; one file each."""
