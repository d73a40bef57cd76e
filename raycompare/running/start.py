"""The start of a run and its manifest: run folder, lock, and clock."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from raycompare.cluster.machines import Node
from raycompare.data.splits import facts, texts_to_store
from raycompare.errors import RunError, UserError
from raycompare.experiment.file import write_experiment
from raycompare.experiment.spec import Experiment, ResourceSpec
from raycompare.formatting import number_of
from raycompare.models.fingerprints import COMMIT, fingerprints
from raycompare.records.clock import Clock
from raycompare.records.layout import EXPERIMENT, LOCK, MANIFEST, STARTED, TRIALS
from raycompare.records.manifest import TOTAL, Manifest, RunStart
from raycompare.records.rows import StoredText, TrialRecord
from raycompare.records.run_folder import RunFolder
from raycompare.records.snapshot import time_so_far
from raycompare.records.versions import RECORDED_PACKAGES, code_versions, source_hash
from raycompare.running.check import CheckedExperiment

NOT_RECORDED = (
    "  note: the content of the checkpoints is not recorded for this run, so its trials are "
    "comparable only if they have not changed since it was started"
)
LOCK_SECONDS = 0.5
"""How long to wait for the lock, which `raycompare status` takes for an instant to test it."""


def earlier_clock(folder: RunFolder) -> Clock:
    """Return the clock of a run to be resumed, with the time of its earlier sessions.

    For a killed session, this is known up to its last evaluation and for machines with trials.
    """
    kept = folder.read_manifest() if folder.exists(MANIFEST) else None
    known, counted = (kept.seconds, kept.machine_seconds) if kept else ({}, {})
    so_far = time_so_far(known, counted, folder.read_trials(), folder.read_evaluations())
    return Clock(so_far.seconds, so_far.machine_seconds)


@contextmanager
def alone_in(folder: RunFolder) -> Iterator[None]:
    """Lock a run folder, until the process ends; remote filesystems have no locks.

    Raises:
        UserError: another process has locked the folder.
    """
    place = folder.local_path(LOCK)
    if place is None:
        yield
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place)
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        raise UserError(
            f"another process is running {folder.uri}. Wait until it ends, or stop it; a stopped "
            "run can be resumed."
        ) from None
    try:
        yield
    finally:
        lock.release()


def new_folder(experiment: Experiment, out: str) -> RunFolder:
    """Choose the folder of a new run; nothing is written yet."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    run_id = f"{stamp}-{experiment.content_hash[:6]}"
    return RunFolder.at(f"{out.rstrip('/')}/{experiment.name}/{run_id}")


def begin(ready: CheckedExperiment, folder: RunFolder) -> RunStart:
    """Write the experiment to its folder, or check that a resumed folder belongs to it.

    Raises:
        UserError: the folder belongs to another experiment, other data or other checkpoints.
    """
    begun = RunStart(
        run_id=folder.uri.rstrip("/").rpartition("/")[2],
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        experiment_hash=ready.experiment.content_hash,
        data_hash=ready.data.content_hash,
        code=code_versions(),
        directory=str(Path.cwd()),
        checkpoints=fingerprints(ready.experiment),
    )
    if folder.exists(STARTED):
        return _same(folder.read_start(), begun, folder)
    folder.write_text(EXPERIMENT, write_experiment(ready.experiment))
    if ready.experiment.report.texts:
        folder.write_rows(texts_to_store(ready.data), StoredText)
    folder.write_text(STARTED, json.dumps(asdict(begun), indent=2) + "\n")
    return begun


def _same(earlier: RunStart, now: RunStart, folder: RunFolder) -> RunStart:
    if earlier.experiment_hash != now.experiment_hash:
        raise UserError(
            f"{folder.uri} holds a run of another experiment (hash {earlier.experiment_hash}; "
            f"this one has {now.experiment_hash}). Resume it without an experiment file, or omit "
            "--resume to start a new run."
        )
    if earlier.data_hash != now.data_hash:
        raise UserError(
            f"the data has changed since {folder.uri} was started (hash {earlier.data_hash}, now "
            f"{now.data_hash}). Restore the old data, or omit --resume to start a new run."
        )
    if earlier.code != now.code:
        changed = [k for k in now.code if now.code[k] != earlier.code.get(k)]
        was = ", ".join(f"{package} {earlier.code.get(package)}" for package in changed)
        here = ", ".join(f"{package} {now.code[package]}" for package in changed)
        raise UserError(
            f"{folder.uri} was started with {was}, but {here} is installed here: its trials "
            "are not comparable. Install the old versions, or omit --resume to start a new run."
        )
    _require_same_checkpoints(earlier, now, folder)
    return earlier


def _require_same_checkpoints(earlier: RunStart, now: RunStart, folder: RunFolder) -> None:
    """Refuse checkpoints that have changed; those of the hub are loaded from the old commit."""
    changed = [
        f"{model}: {was}, now {now.checkpoints.get(model, 'nothing')}"
        for model, was in earlier.checkpoints.items()
        if not was.startswith(COMMIT) and was != now.checkpoints.get(model)
    ]
    if changed:
        raise UserError(
            f"the files of {number_of(len(changed), 'checkpoint')} have changed since {folder.uri} "
            f"was started ({'; '.join(changed)}). Restore the old files, or omit --resume to start "
            "a new run."
        )


@dataclass(kw_only=True)
class RunFacts:
    """Facts of a run for its manifest; all but the last three are keyed by model name."""

    nodes: Sequence[Node] = ()
    lengths: Mapping[str, int] = field(default_factory=dict)
    cut: Mapping[str, float] = field(default_factory=dict)
    """Share of the training texts that reach the maximum length, so most of them are truncated."""
    resources: Mapping[str, ResourceSpec] = field(default_factory=dict)
    model_types: Mapping[str, str] = field(default_factory=dict)
    estimate: Mapping[str, Any] = field(default_factory=dict)
    """The estimate made before the first trial, as a dictionary."""
    survey: Mapping[str, Any] = field(default_factory=dict)
    """Summary of the data, from `Survey.to_plain`."""
    trackers: Mapping[str, str] = field(default_factory=dict)
    """Reason why each tracker is off, keyed by its name; empty if it works."""


def manifest(
    ready: CheckedExperiment,
    begun: RunStart,
    about: RunFacts,
    clock: Clock,
    complete: bool = True,
) -> Manifest:
    """Return the manifest of a run: how its records were made."""
    experiment = ready.experiment
    return Manifest(
        run_id=begun.run_id,
        name=experiment.name,
        experiment_hash=begun.experiment_hash,
        created_at=begun.created_at,
        command="raycompare run experiment.yaml",
        data={
            "dataset": experiment.data.dataset,
            "from_hub": from_hub(experiment),
            **facts(ready.data),
            "survey": dict(about.survey),
            "max_length": dict(about.lengths),
            "cut": dict(about.cut),
            "model_types": dict(about.model_types),
            "checkpoints": begun.checkpoints,
            **_remote_code(experiment),
        },
        seeds={"experiment": experiment.seed, "confirm": list(experiment.confirm.all_seeds)},
        versions={
            "python": platform.python_version(),
            **{package: version(package) for package in RECORDED_PACKAGES},
        },
        git_revision=git_revision(Path(__file__).parents[1]),
        source_hash=source_hash(),
        hardware=[asdict(node) for node in about.nodes],
        resources={model: spec.model_dump() for model, spec in about.resources.items()},
        trackers=dict(about.trackers),
        estimate=dict(about.estimate),
        complete=complete,
        **times_of(clock),
    )


def times_of(clock: Clock) -> dict[str, Any]:
    """Return the fields of a manifest that depend on when it is written."""
    return {
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": {**clock.seconds, TOTAL: clock.total},
        "machine_seconds": {**clock.machine_seconds, TOTAL: clock.machine_total},
    }


def _remote_code(experiment: Experiment) -> dict[str, list[str]]:
    names = [model.name for model in experiment.models if model.trust_remote_code]
    return {"trust_remote_code": names} if names else {}


def from_hub(experiment: Experiment) -> list[str]:
    """Return the hub ids of data set and checkpoints: names that are not local paths."""
    names = {experiment.data.dataset, *(model.checkpoint for model in experiment.models)}
    # builtin:NAME, package:PATH and URIs contain a colon; hub ids don't.
    return sorted(n for n in names if ":" not in n and not Path(n).expanduser().exists())


def git_revision(folder: Path) -> str | None:
    """Return the commit of the checkout that tracks `folder`, followed by + if it has changes."""
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


def no_room(folder: RunFolder, error: Exception) -> str:
    """Return the message about a full disk, with the command that continues the run."""
    return (
        f"no space left for {folder.shown} ({error}). The files in it are complete. Free some "
        f"space, then continue with: raycompare run --resume {folder.shown}"
    )


def require_one_finished(folder: RunFolder, trials: list[TrialRecord]) -> None:
    """Check that at least one trial completed.

    Raises:
        RunError: none did; the message has the first cause.
    """
    if any(trial.status == "completed" for trial in trials):
        return
    failed = next((trial for trial in trials if trial.error), None)
    first = failed or next(iter(trials), None)
    cause = f" First cause: {first.trial_id}: {first.reason}." if first else ""
    where = f" The tracebacks are in {folder.child(TRIALS)}, column error." if failed else ""
    raise RunError(f"none of {number_of(len(trials), 'trial')} completed.{cause}{where}")
