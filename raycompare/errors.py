"""The errors of raycompare and their hierarchy.

RaycompareError
├── UserError                             invalid input; the command line exits with 2
│   ├── ExperimentError                       mistakes in an experiment file
│   ├── DamagedError                          a file or folder that can't be read
│   ├── data.problems.DataProblems            data that can't be used
│   ├── models.places.NoCheckpointError       a checkpoint that can't be found or opened
│   ├── models.loading.WeightsError           weights that don't belong to the model of their config
│   └── models.custom.NoClassError            a model class that can't be imported or trained
├── RunError                              the run failed; the command line exits with 1
│   ├── RunInterruptedError                   the run was interrupted and can be resumed
│   └── DiskFullError                         the disk is full
└── WorkerFaultError                      ends a worker, so that its trial starts in another one
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


class RaycompareError(Exception):
    """Base class of all errors that raycompare raises deliberately."""


class UserError(RaycompareError):
    """The input is invalid; the message shows what was found, what is allowed, and what to do."""


class DamagedError(UserError):
    """A file or folder can't be read; the message names it and gives the reason in one line."""


class RunError(RaycompareError):
    """The run could not finish; the message gives the first cause."""


class RunInterruptedError(RunError):
    """The run was interrupted; the message explains how to resume it."""


class DiskFullError(RunError):
    """No space is left on the disk; the message says where."""


class WorkerFaultError(RaycompareError):
    """An error that another process may not have; the trial continues there.

    Its text is the summary of the cause, because causes are lost when an exception is pickled.
    """


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One mistake in an experiment file.

    `where` is a dotted path such as `data.splits.test`; `line` counts from 1.
    """

    where: str
    found: str
    allowed: str
    hint: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        """Render as a block of lines: place, what was found, what is allowed, and a hint."""
        place = f"{self.where} (line {self.line})" if self.line else self.where
        lines = [place, f"  found    {self.found}", f"  allowed  {self.allowed}"]
        return "\n".join([*lines, f"  try      {self.hint}"] if self.hint else lines)


class ExperimentError(UserError):
    """An experiment file has mistakes; `problems` lists them all."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        """Sort `problems` by their lines."""
        self.source = source
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line or 0))
        count = f"{len(problems)} mistake{'s' if len(problems) != 1 else ''}"
        blocks = "\n\n".join(str(problem) for problem in self.problems)
        super().__init__(f"{source}: {count}; nothing was started.\n\n{blocks}")


def summarize(error: BaseException) -> str:
    """Return the type of an error and the first line of its message."""
    if isinstance(error, WorkerFaultError):
        return str(error)
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else '(no message)'}"


UNREADABLE = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError),
    *(NotImplementedError, OSError, RuntimeError, StopIteration, TypeError, ValueError),
)
"""Errors of Python and pyarrow for files that are damaged, contradict each other, or are missing.
RuntimeError includes RecursionError."""
DAMAGED = "It is damaged or incomplete, or from another version. Copy it again from its source."


@contextmanager
def reading(place: str, advice: str = DAMAGED) -> Iterator[None]:
    """Turn the errors of reading a file or folder into one line that names it.

    Errors of a service, such as missing credentials, say nothing about the file and stay.

    Raises:
        DamagedError: instead of any of `UNREADABLE`.
    """
    try:
        yield
    except UNREADABLE as error:
        if isinstance(error, OSError) and _of_a_service in str(error):
            raise
        raise DamagedError(f"{place} can't be read: {_one_line(error)}. {advice}") from error


_of_a_service = "AWS Error"


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split())
    shown = text if len(text) <= LONGEST_CAUSE else f"{text[:LONGEST_CAUSE]}..."
    return f"{type(error).__name__}: {shown}".rstrip(". ") if shown else type(error).__name__


LONGEST_CAUSE = 300
"""Characters of a cause in a message of one line."""


def near(word: str, choices: Iterable[str]) -> str | None:
    """Return a hint with the choice most similar to `word`, or None if none is similar."""
    matches = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f"did you mean {matches[0]!r}?" if matches else None


def one_of(choices: Iterable[str]) -> str:
    """Describe a closed set of choices."""
    return "one of: " + ", ".join(choices)
