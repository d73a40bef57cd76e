"""The `raycompare` command."""

from raycompare.cli.app import main

__all__ = ["main"]
