"""`python -m raycompare` is the `raycompare` command."""

from raycompare.cli import main

main()
