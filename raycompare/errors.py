"""What can go wrong, as one tree.

RaycompareError
├── UserError                  the user's input; the command line exits with 2
│   ├── ExperimentError            an experiment file, with every mistake found in it
│   ├── data_problems.DataProblems data that can't be used, with all that is wrong with it
│   ├── models.NoCheckpointError   a checkpoint that can't be found or opened
│   └── own_class.NoClassError     a model's class that can't be imported or trained
└── RunError                   the run could not do its work; the command line exits with 1
    ├── RunInterruptedError        the run was stopped before its end and can be resumed
    └── DiskFullError              there is no room for what the run has to write
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class RaycompareError(Exception):
    """Base of every error that raycompare raises on purpose."""


class UserError(RaycompareError):
    """The input is wrong; the message says what was found, what is allowed, and what to do."""


class RunError(RaycompareError):
    """The run could not finish its work; the message carries the first cause."""


class RunInterruptedError(RunError):
    """The run was stopped before its end; the message says how to resume it."""


class DiskFullError(RunError):
    """There is no room for what the run has to write; the message says where."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One mistake of an experiment file.

    `where` is a dotted path such as `data.splits.test`; `line` counts from 1.
    """

    where: str
    found: str
    allowed: str
    hint: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        """Render as a small block: where, found, allowed, and the next step."""
        place = f"{self.where} (line {self.line})" if self.line else self.where
        lines = [place, f"  found    {self.found}", f"  allowed  {self.allowed}"]
        return "\n".join([*lines, f"  try      {self.hint}"] if self.hint else lines)


class ExperimentError(UserError):
    """An experiment file with mistakes; all of them are in `problems`."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        """Keep `problems` in the order of the file."""
        self.source = source
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line or 0))
        count = f"{len(problems)} mistake{'s' if len(problems) != 1 else ''}"
        blocks = "\n\n".join(str(problem) for problem in self.problems)
        super().__init__(f"{source}: {count}, nothing was started.\n\n{blocks}")


def summarize(error: BaseException) -> str:
    """Return the type of an error and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else '(no message)'}"


def near(word: str, known: Iterable[str]) -> str | None:
    """Return a hint that names the known word most like `word`, or None if none is close."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {matches[0]!r}?" if matches else None


def one_of(known: Iterable[str]) -> str:
    """Spell out a closed set of choices."""
    return "one of: " + ", ".join(known)
