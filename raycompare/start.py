"""How a run begins and what it says of itself at its end: run folder, clock, manifest."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

from raycompare.backends import Node
from raycompare.check import Ready
from raycompare.data import facts
from raycompare.errors import UserError
from raycompare.experiment_text import write_experiment
from raycompare.manifest import Manifest
from raycompare.results import RunFolder
from raycompare.spec import Experiment, ResourceSpec

STARTED = "started.json"
RECORDED_PACKAGES = (
    "raycompare",
    "ray",
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "accelerate",
    "scikit-learn",
    "numpy",
    "pandas",
    "pyarrow",
)


class Clock:
    """Wall-clock per stage, in seconds."""

    def __init__(self) -> None:
        """Start the clock of the whole run."""
        self._began = perf_counter()
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Measure a stage."""
        began = perf_counter()
        yield
        self.seconds[stage] = perf_counter() - began

    @property
    def total(self) -> float:
        """Seconds since the run began."""
        return perf_counter() - self._began


@dataclass(frozen=True)
class Begun:
    """What a run writes down before its first trial, to be recognised when it is resumed."""

    run_id: str
    created_at: str
    experiment_hash: str
    data_hash: str


def new_folder(experiment: Experiment, out: str) -> RunFolder:
    """Name the folder of a new run; nothing is written yet."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    run_id = f"{stamp}-{experiment.content_hash[:6]}"
    return RunFolder.at(f"{out.rstrip('/')}/{experiment.name}/{run_id}")


def begin(ready: Ready, folder: RunFolder) -> Begun:
    """Write the experiment into its folder, or make sure that a resumed folder is its own.

    Raises:
        UserError: the folder belongs to another experiment or other data.
    """
    begun = Begun(
        run_id=folder.uri.rstrip("/").rpartition("/")[2],
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        experiment_hash=ready.experiment.content_hash,
        data_hash=ready.data.content_hash,
    )
    if folder.exists(STARTED):
        return _same(Begun(**json.loads(folder.read_text(STARTED))), begun, folder)
    folder.write_text("experiment.yaml", write_experiment(ready.experiment))
    folder.write_text(STARTED, json.dumps(asdict(begun), indent=2) + "\n")
    return begun


def _same(earlier: Begun, now: Begun, folder: RunFolder) -> Begun:
    if earlier.experiment_hash != now.experiment_hash:
        raise UserError(
            f"{folder.uri} holds a run of another experiment (hash {earlier.experiment_hash}, "
            f"this one has {now.experiment_hash}). Resume it without an experiment file, or leave "
            "--resume out to start a run of its own."
        )
    if earlier.data_hash != now.data_hash:
        raise UserError(
            f"the data has changed since {folder.uri} was begun (hash {earlier.data_hash}, now "
            f"{now.data_hash}). Bring the old data back, or leave --resume out to start anew."
        )
    return earlier


def manifest(
    ready: Ready,
    begun: Begun,
    nodes: Sequence[Node],
    lengths: Mapping[str, int],
    resources: Mapping[str, ResourceSpec],
    clock: Clock,
) -> Manifest:
    """Say what made the records of this run; tokens of a text and resources are by model."""
    experiment = ready.experiment
    return Manifest(
        run_id=begun.run_id,
        name=experiment.name,
        experiment_hash=begun.experiment_hash,
        created_at=begun.created_at,
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        command="raycompare run experiment.yaml",
        data={
            "dataset": experiment.data.dataset,
            **facts(ready.data),
            "max_length": dict(lengths),
        },
        seeds={"experiment": experiment.seed, "confirm": list(experiment.confirm.seeds)},
        versions={
            "python": platform.python_version(),
            **{package: version(package) for package in RECORDED_PACKAGES},
        },
        git_revision=git_revision(Path(__file__).parent),
        hardware=[asdict(node) for node in nodes],
        seconds={**clock.seconds, "total": clock.total},
        resources={model: spec.model_dump() for model, spec in resources.items()},
    )


def git_revision(folder: Path) -> str | None:
    """Return the commit of the checkout that `folder` is tracked in, + behind it if changed."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *words],
                capture_output=True,
                text=True,
                check=False,
                env=environment,
            )
        except FileNotFoundError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    tracked = git("ls-files", "--error-unmatch", "__init__.py")
    revision = git("rev-parse", "HEAD") if tracked is not None else None
    changed = git("status", "--porcelain", "--untracked-files=no", ".")
    return f"{revision}+" if revision and changed else revision
