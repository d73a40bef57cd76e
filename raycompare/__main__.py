"""Run the `raycompare` command with `python -m raycompare`."""

from raycompare.cli import main

main()
