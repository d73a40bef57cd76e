"""What `check` accepts works, and it refuses nothing that works, on random experiment files.

`RANDOM_FILES=1000 python -m pytest tests/random_files` tries that many; the default is a few.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from raycompare.errors import ExperimentError, Problem
from raycompare.experiment.file import parse_draft
from raycompare.running.check import CheckedExperiment, check
from tests.random_files.make import Maker, RandomFile
from tests.random_files.trials import FirstTrials

FILES = int(os.environ.get("RANDOM_FILES", "12"))
CHUNK = 6
"""Files of one test, so that one report names several that fail."""


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    return Maker(tmp_path_factory.mktemp("maker"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(0, FILES, CHUNK))
def test_the_check_says_whether_a_file_works(maker: Maker, in_tmp: Path, first: int) -> None:
    seeds = range(first, min(first + CHUNK, FILES))
    mistakes = {seed: _mistake(maker.make(seed), in_tmp / str(seed)) for seed in seeds}
    assert {seed: mistake for seed, mistake in mistakes.items() if mistake} == {}


def _mistake(file: RandomFile, place: Path) -> str:
    """Return how `check` is wrong about a file; an empty string if it is right."""
    place.mkdir()
    try:
        checked = check(parse_draft(json.dumps(file.content), "file.yaml"), str(place))
    except ExperimentError as error:
        surprising = [problem for problem in error.problems if not _is_expected(problem, file)]
        return f"refused: {surprising}" if len(surprising) == len(error.problems) else ""
    return _failure(checked, place)


def _is_expected(problem: Problem, file: RandomFile) -> bool:
    """Return whether a problem is about an odd value, or a value that another one overrides.

    Odd data can be too little, and an odd run too short, for values that are right otherwise.
    """
    is_odd = any(f"{problem.where}.".startswith(f"{key}.") for key in file.odd)
    has_odd_data = any(key.startswith("data.") for key in file.odd)
    is_too_long = bool(file.odd) and problem.where == "tune.grace_period"
    return is_odd or has_odd_data or is_too_long or "no effect" in problem.found


def _failure(checked: CheckedExperiment, place: Path) -> str:
    try:
        FirstTrials(checked.experiment, checked.data, place).run()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told with the file's seed
        return f"fails: {error!r}"
    return ""


def test_the_files_are_of_many_kinds(maker: Maker) -> None:
    files = [maker.make(seed) for seed in range(400)]
    tune = [file.content["tune"] for file in files]
    pairs = {(t["scheduler"], t["search_alg"]) for t in tune if {"scheduler", "search_alg"} <= {*t}}
    assert len(pairs) >= 18
    assert sum(bool(file.odd) for file in files) > 100
    keys = {key for file in files for key in file.content["training"]}
    assert len(keys) >= 45
