"""The source of a training job: raycompare itself, the experiment, local files, and versions.

The container starts in this folder, so relative paths in the experiment work there too.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from raycompare.errors import Problem
from raycompare.experiment.file import write_experiment
from raycompare.experiment.needs import needs_of
from raycompare.experiment.own_code import PROGRAM, is_whole_package, python_files
from raycompare.experiment.spec import Experiment
from raycompare.sagemaker.job_environment import EXPERIMENT_FILE, JOB_FILE, Job

REQUIREMENTS, CONSTRAINTS = "requirements.txt", "constraints.txt"
RESERVED = (PROGRAM, EXPERIMENT_FILE, JOB_FILE, REQUIREMENTS, CONSTRAINTS)
"""Names at the top of the source."""
NOT_SENT = shutil.ignore_patterns("__pycache__", ".git", ".venv")


def write_source(folder: Path, experiment: Experiment, job: Job, more: Iterable[str] = ()) -> None:
    """Write the source to a folder; `more` are packages that the experiment itself doesn't need."""
    program = Path(__file__).parents[1]
    shutil.copytree(program, folder / PROGRAM, ignore=shutil.ignore_patterns("__pycache__"))
    _write_metadata(folder)
    (folder / EXPERIMENT_FILE).write_text(write_experiment(experiment), encoding="utf-8")
    job.write(folder)
    needs = needs_of(experiment)
    wanted = [*requirements(needs.extras), *sorted(needs.distributions), *more]
    lines = [f"-c {CONSTRAINTS}", *wanted]
    (folder / REQUIREMENTS).write_text("\n".join(lines) + "\n", encoding="utf-8")
    pins = [f"{name}=={number}" for name, number in sorted(closure(wanted).items())]
    (folder / CONSTRAINTS).write_text("\n".join(pins) + "\n", encoding="utf-8")
    for _, place in needs.paths:
        _copy(place, folder / place)
    for name, place in needs.code.files.items():
        _copy_module(name, place, folder)


def _write_metadata(folder: Path) -> None:
    """Write package metadata, so that the manifest can record the version without installing."""
    place = folder / f"{PROGRAM}-{version(PROGRAM)}.dist-info"
    place.mkdir()
    metadata = distribution(PROGRAM).read_text("METADATA")
    assert metadata is not None
    (place / "METADATA").write_text(metadata, encoding="utf-8")


def _copy(place: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir():
        shutil.copytree(place, target, dirs_exist_ok=True)
    else:
        shutil.copy2(place, target)


def _copy_module(name: str, place: Path, folder: Path) -> None:
    """Copy a module to the top of the source, where the job imports it from."""
    if place.is_file():
        shutil.copy2(place, folder / place.name)
    elif is_whole_package(place):
        shutil.copytree(place, folder / name, ignore=NOT_SENT, dirs_exist_ok=True)
    else:
        for file in python_files(place):
            _copy(file, folder / name / file.relative_to(place))


def path_problems(experiment: Experiment) -> Iterator[Problem]:
    """Find local files that can't be uploaded under their path in the experiment."""
    for where, place in needs_of(experiment).paths:
        if place.is_absolute() or ".." in place.parts:
            yield Problem(
                where=where,
                found=f"{place}, outside of {Path.cwd()}",
                allowed="a relative path below the folder you submit from, which is uploaded; "
                "or a hub id",
                hint="a symbolic link works, because its target is uploaded",
            )
        elif place.parts[:1] in [(name,) for name in RESERVED] or not place.parts:
            yield Problem(
                where=where,
                found=f"{place}, a name that the source of a job has",
                allowed=f"other names than {', '.join(RESERVED)}, in a folder below this one",
                hint=f"move it, for example to data/{place.name}",
            )


def requirements(extras: Iterable[str]) -> list[str]:
    """Return the requirements of raycompare with these extras, without markers."""
    return sorted(str(made) for made in _requirements(PROGRAM, extras))


def _requirements(name: str, extras: Iterable[str]) -> Iterator[Requirement]:
    for line in distribution(name).requires or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": e}) for e in ("", *extras)):
            requirement.marker = None
            yield requirement


def closure(wanted: Iterable[str]) -> dict[str, str]:
    """Return the installed versions of these packages and of all their dependencies.

    Versions omit the local part: torch 2.13.0+cpu here is 2.13.0+cu133 there. pip chooses the
    version of packages that are not installed here, such as those for another system.
    """
    found: dict[str, str] = {}
    todo = [Requirement(line) for line in wanted]
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        key = (name, frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            found[name] = Version(version(name)).public
        except PackageNotFoundError:
            continue
        todo += _requirements(name, requirement.extras)
    return found
