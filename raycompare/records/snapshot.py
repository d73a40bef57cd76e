"""The state of a run: running, finished, interrupted or killed, on a disk or in a bucket.

A run on a disk holds a lock on its folder. Buckets have no locks, so the state of a run there is
derived from the time at which its records were last written.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, Self

from raycompare.experiment.spec import Experiment
from raycompare.records.fetch import Fetched
from raycompare.records.layout import EVALUATIONS, LOCK, MANIFEST, STARTED, TRIALS
from raycompare.records.manifest import TOTAL, Manifest
from raycompare.records.rows import EvalRecord, TrialRecord
from raycompare.records.run_folder import RunFolder
from raycompare.records.run_records import Records

SHARED_FOLDERS = TOKEN_FOLDER, SCREEN_FOLDER = "tokens", "screens"
"""Folders shared by all runs of an experiment name: tokens, and scores of screening."""
FRESH = timedelta(minutes=5)
"""A run in a bucket that has written nothing for longer has most likely ended. Trials are written
every ten seconds, but baselines and inference measurements can take minutes."""

State = Literal["running", "finished", "interrupted", "killed", "silent", "early_copy", "part_copy"]
"""`interrupted` has a partial report and can be resumed. `killed` has no report and can be resumed.
`silent` is in a bucket, has not ended, and has written nothing for `FRESH`. `early_copy` was
fetched before the run had finished; fetching of a `part_copy` was interrupted."""


@dataclass(frozen=True, kw_only=True)
class TimeSoFar:
    """Seconds per stage and in total, as in a manifest."""

    seconds: Mapping[str, float]
    machine_seconds: Mapping[str, float]


def time_so_far(
    known: Mapping[str, float],
    counted: Mapping[str, float],
    trials: Sequence[TrialRecord],
    evaluations: Sequence[EvalRecord],
) -> TimeSoFar:
    """Add the time of a session without a manifest to that of the manifest.

    `known` is the wall-clock of the manifest, `counted` its machine time. The time of a session
    that was killed, or is still running, ends at its last evaluation, and its machines are those
    that ran trials.
    """
    seconds = _until_last_evaluation(known, evaluations)
    machines = max(len({trial.hostname for trial in trials if trial.hostname}), 1)
    lasted = {
        stage: counted[stage] + (took - known[stage]) * machines
        if stage in counted
        else took * machines
        for stage, took in seconds.items()
    }
    return TimeSoFar(seconds=seconds, machine_seconds=lasted)


def _until_last_evaluation(
    known: Mapping[str, float], evaluations: Sequence[EvalRecord]
) -> dict[str, float]:
    seconds = {**known}
    reached = seconds.get(TOTAL, 0.0)
    for stage in ("tune", "confirm"):
        own = (row.experiment_seconds for row in evaluations if row.stage == stage)
        last = max(own, default=0.0)
        if last > reached:
            seconds[stage] = seconds.get(stage, 0.0) + last - reached
            reached = last
    return {**seconds, TOTAL: reached}


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The state and the records of a run at one moment."""

    folder: RunFolder
    state: State
    written_at: datetime | None
    """Time at which the run last wrote records, in UTC."""
    copy: Fetched | None
    """Where the run was fetched from; None in its original folder."""
    records: Records
    """Records without baselines and inference; an unfinished run has a preliminary manifest."""

    @classmethod
    def of(cls, folder: RunFolder, now: datetime) -> Self:
        """Read a run folder; `now` is in UTC.

        Raises:
            UserError: the folder is not a run folder, or one of its files cannot be read.
        """
        experiment, copy = folder.read_experiment(), Fetched.of(folder)
        ended = folder.read_manifest() if folder.exists(MANIFEST) else None
        times = [folder.written_at(name) for name in (STARTED, TRIALS, EVALUATIONS, MANIFEST)]
        written_at = max((time for time in times if time), default=None)
        silent_for = now - written_at if written_at else None
        return cls(
            folder=folder,
            state=state_of_copy(copy, ended) or state_of(ended, is_locked(folder), silent_for),
            written_at=written_at,
            copy=copy,
            records=_records(folder, experiment, ended),
        )

    @property
    def has_ended(self) -> bool:
        """Whether the run has stopped; it may be resumed."""
        return self.state != "running"


def read_records(folder: RunFolder) -> Records:
    """Read the records of a run that may not have ended.

    Raises:
        UserError: the folder is not a run folder, or one of its files cannot be read.
    """
    if folder.exists(MANIFEST):
        return Records.of(folder)
    return _records(folder, folder.read_experiment(), None)


def is_locked(folder: RunFolder) -> bool | None:
    """Return whether a process is running in a run folder; None if that is unknown.

    Nothing is written, so that this works in folders of other users and on read-only filesystems.
    """
    place = folder.local_path(LOCK)
    if place is None:
        return None
    try:
        number = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError:  # the folder of another user
        return None
    try:
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a filesystem without locks
        return None
    finally:
        os.close(number)
    return False


def state_of_copy(copy: Fetched | None, ended: Manifest | None) -> State | None:
    """Return the state of a copy whose run has not finished in it; else None."""
    if copy is None or (copy.whole and ended and ended.complete):
        return None
    return "early_copy" if copy.whole else "part_copy"


def state_of(ended: Manifest | None, locked: bool | None, silent_for: timedelta | None) -> State:
    """Return the state of a run from its manifest, its lock, and the time since its records."""
    if locked:
        return "running"
    if ended and ended.complete:
        return "finished"
    if locked is None and silent_for is not None and silent_for < FRESH:
        return "running"
    if ended:
        return "interrupted"
    return "silent" if locked is None else "killed"


def _records(folder: RunFolder, experiment: Experiment, ended: Manifest | None) -> Records:
    trials, evaluations = folder.read_trials(), folder.read_evaluations()
    manifest = ended or _so_far(folder, experiment, trials)
    if not manifest.complete:
        time = time_so_far(manifest.seconds, manifest.machine_seconds, trials, evaluations)
        manifest = replace(manifest, **vars(time))
    return Records(experiment=experiment, manifest=manifest, trials=trials, evaluations=evaluations)


def _so_far(folder: RunFolder, experiment: Experiment, trials: Sequence[TrialRecord]) -> Manifest:
    started = folder.read_start() if folder.exists(STARTED) else None
    hosts = sorted({trial.hostname for trial in trials if trial.hostname})
    return Manifest(
        run_id=started.run_id if started else folder.uri.rstrip("/").rpartition("/")[2],
        name=experiment.name,
        experiment_hash=experiment.content_hash,
        created_at=started.created_at if started else "",
        finished_at="",
        command="raycompare run experiment.yaml",
        data={"dataset": experiment.data.dataset, "hash": started.data_hash if started else None},
        seeds={"experiment": experiment.seed, "confirm": list(experiment.confirm.all_seeds)},
        versions=started.code if started else {},
        git_revision=None,
        hardware=[{"hostname": host} for host in hosts],
        seconds={},
        complete=False,
    )
