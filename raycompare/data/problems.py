"""What is wrong with data, in words that stay short however large the data is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from raycompare.errors import Problem, UserError, near

MOST_SHOWN, MOST_COLUMNS = 5, 20
LONGEST_SHOWN = 80
"""Characters of a name, a label or a path."""
LONGEST_CAUSE = 300
"""Characters of what a parser says."""
MOST_COMPARED = 2000
"""Names among which one like another is looked for."""


class DataProblems(UserError):  # noqa: N818 - named for what it carries
    """Data that can't be used; all that is wrong with it is in `problems`."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Keep `problems` in the order they were found in."""
        self.problems = list(problems)
        super().__init__("\n\n".join(str(problem) for problem in self.problems))


def mistake(where: str, found: str, allowed: str, hint: str | None = None) -> Problem:
    """Make a Problem from positional arguments."""
    return Problem(where=where, found=found, allowed=allowed, hint=hint)


def not_data(found: str, allowed: str, hint: str | None = None) -> DataProblems:
    """Make the error of a data set that is not there or can't be read."""
    return DataProblems([mistake("data.dataset", found, allowed, hint)])


def short(item: object, most: int = LONGEST_SHOWN) -> str:
    """Return an item in words, its middle left out if it is long."""
    text = str(item)
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} ... {text[-half:]}"


def few(items: Iterable[object], most: int = MOST_SHOWN) -> str:
    """Spell out the first items and say how many more there are."""
    items = list(items)
    shown = ", ".join(map(short, items[:most]))
    return f"{shown} and {len(items) - most} more" if len(items) > most else shown


def one_of_columns(columns: Iterable[str]) -> str:
    """Spell out the columns that a table has."""
    return f"one of: {few(columns, MOST_COLUMNS) or 'nothing, there are no columns'}"


def alike(word: str, known: Iterable[str]) -> str | None:
    """Return a hint that names the known word most like `word`; long ones are not compared."""
    if len(word) > LONGEST_SHOWN:
        return None
    return near(word, [name for name in islice(known, MOST_COMPARED) if len(name) <= LONGEST_SHOWN])


def rows_in_words(rows: Sequence[int]) -> str:
    """Name the first rows, by their number from 0, and say how many there are."""
    return f"{len(rows)} of its rows (number {few(rows)}, counted from 0)"


def cause_of(error: BaseException) -> str:
    """Return the error's type and message in one line."""
    return f"{type(error).__name__}: {short(' '.join(str(error).split()), LONGEST_CAUSE)}"
