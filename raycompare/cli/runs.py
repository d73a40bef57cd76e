"""Commands that take a run folder: they find it by its id; a damaged one is a single line."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from typing import ParamSpec, TypeVar

from raycompare.errors import ExperimentError, UserError, reading

P = ParamSpec("P")
R = TypeVar("R")

TRACEBACK = "RAYCOMPARE_TRACEBACK"
"""Environment variable that keeps tracebacks of unexpected errors."""
ADVICE = (
    "If this is a run folder from elsewhere, it is damaged or was edited: copy it again from its "
    f"source. For the traceback, set {TRACEBACK}=1."
)


def in_one_line(command: Callable[P, R]) -> Callable[P, R]:
    """Have a command that reads a run folder end with one line, whatever is in the folder."""

    @wraps(command)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if os.environ.get(TRACEBACK):
            return command(*args, **kwargs)
        with reading(f"raycompare {command.__name__}: a file that it needs", ADVICE):
            return command(*args, **kwargs)

    return call


def problems_in(error: UserError) -> list[dict[str, object]]:
    """Return the mistakes of an experiment as plain values; other errors have none."""
    problems = error.problems if isinstance(error, ExperimentError) else ()
    return [asdict(problem) for problem in problems]


LATEST = "latest"
_run_id = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
SHORTEST = 4
"""Characters of the shortest part of an id that names a run."""


def find_run(place: str) -> str:
    """Return the folder of a run that is given by its path, URI, id, part of its id, or `latest`.

    Ids are looked up in the folder of RAYCOMPARE_OUT, by default `reports`. What names no run is
    returned unchanged.

    Raises:
        UserError: several runs have this part in their id.
    """
    if "/" in place or os.sep in place or os.path.lexists(place):
        return place
    if place != LATEST and len(place) < SHORTEST:
        return place
    from raycompare.records.run_folder import RunFolder

    home = RunFolder.at(os.environ.get("RAYCOMPARE_OUT") or "reports")
    runs = {f"{name}/{run}": run for name in home.folders() for run in home.folder(name).folders()}
    runs = {path: run for path, run in runs.items() if _run_id.fullmatch(run)}
    if place == LATEST:
        newest = max(runs, key=lambda path: runs[path], default=None)
        return home.folder(newest).shown if newest else place
    matches = [path for path, run in runs.items() if run.startswith(place) or run.endswith(place)]
    if len(matches) > 1:
        shown = "\n".join(home.folder(path).shown for path in sorted(matches))
        raise UserError(f"{place}: found in the ids of {len(matches)} runs. Name one:\n{shown}")
    return home.folder(matches[0]).shown if matches else place


def find_earlier(place: str | None) -> str | None:
    """Return the folder of an earlier run, found as by `find_run`, or None without one."""
    return None if place is None else find_run(place)
