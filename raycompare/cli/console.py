"""What the commands print: results to standard output, everything else to standard error."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from raycompare.formatting import visible_json
from raycompare.terminal import SafeConsole
from raycompare.uris import hide_credentials

if TYPE_CHECKING:
    from raycompare.records.run_folder import RunFolder


def write_any_text() -> None:
    """Have standard output and error escape characters that their encoding doesn't have."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


FILE_COLUMNS = 160
"""Width of tables that are not printed to a terminal."""


def stdout() -> SafeConsole:
    """Return a console for results, wide enough for tables where there is no terminal."""
    console = SafeConsole()
    return console if console.is_terminal else SafeConsole(width=FILE_COLUMNS)


def say(*things: object) -> None:
    """Print results: lines of text, or tables."""
    console = stdout()
    for thing in things:
        console.print(thing, soft_wrap=True)


def say_json(value: object, *, indent: int | None = 2) -> None:
    """Print dataclasses and plain values as JSON, with null for numbers that are not finite."""
    from pydantic_core import to_json

    text = to_json(value, indent=indent, inf_nan_mode="null").decode()
    sys.stdout.write(f"{visible_json(text)}\n")
    sys.stdout.flush()


def say_report(folder: RunFolder) -> None:
    """Print the path of a run's report, or that the run has not ended yet."""
    from raycompare.records.layout import REPORT

    ended = folder.exists(REPORT)
    say(folder.child(REPORT) if ended else f"{folder.uri}: the run has not ended yet")


def warn(line: str) -> None:
    """Print an error or a notice to standard error."""
    SafeConsole(stderr=True).print(hide_credentials(line), soft_wrap=True)
