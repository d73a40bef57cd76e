"""Errors about data, with messages that stay short for data of any size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from raycompare.errors import Problem, UserError, near

MOST_SHOWN, MOST_COLUMNS = 5, 20
LONGEST_SHOWN = 80
"""Longest name, label or path in a message, in characters."""
LONGEST_CAUSE = 300
"""Longest message of a parser, in characters."""
MOST_COMPARED = 2000
"""Most names that are searched for a similar one."""


class DataProblems(UserError):  # noqa: N818 - named for what it carries
    """Data that can't be used; `problems` has all mistakes."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Keep `problems` in their order."""
        self.problems = list(problems)
        super().__init__("\n\n".join(str(problem) for problem in self.problems))


def mistake(where: str, found: str, allowed: str, hint: str | None = None) -> Problem:
    """Return a Problem, made from positional arguments."""
    return Problem(where=where, found=found, allowed=allowed, hint=hint)


def not_data(found: str, allowed: str, hint: str | None = None) -> DataProblems:
    """Return the error for a data set that doesn't exist or can't be read."""
    return DataProblems([mistake("data.dataset", found, allowed, hint)])


def short(item: object, most: int = LONGEST_SHOWN) -> str:
    """Return an item as text, without its middle if it is long."""
    text = str(item)
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} ... {text[-half:]}"


def few(items: Iterable[object], most: int = MOST_SHOWN) -> str:
    """List the first items and the number of further ones."""
    items = list(items)
    shown = ", ".join(map(short, items[:most]))
    return f"{shown} and {len(items) - most} more" if len(items) > most else shown


def one_of_columns(columns: Iterable[str]) -> str:
    """List the columns of a table."""
    return f"one of: {few(columns, MOST_COLUMNS) or 'nothing, there are no columns'}"


def alike(word: str, names: Iterable[str]) -> str | None:
    """Return a hint with the name most similar to `word`; long names are not compared."""
    if len(word) > LONGEST_SHOWN:
        return None
    return near(word, [name for name in islice(names, MOST_COMPARED) if len(name) <= LONGEST_SHOWN])


def rows_in_words(rows: Sequence[int]) -> str:
    """Return the number of rows and the indices of the first ones."""
    return f"{len(rows)} of its rows ({few(rows)}, counting from 0)"


def cause_of(error: BaseException) -> str:
    """Return the type and message of an error in one line."""
    return f"{type(error).__name__}: {short(' '.join(str(error).split()), LONGEST_CAUSE)}"
