"""`raycompare status`: the progress of a run as data, lines of text and a table."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raycompare.analysis.cost import cost_of
from raycompare.analysis.leaderboard import Spread, best_trials, leaderboard, spread
from raycompare.formatting import NOTHING, dollars, duration, number_of, score
from raycompare.metrics import LABELS, MetricName
from raycompare.records.endings import STATUS_WORDS, first_cause, first_line
from raycompare.records.manifest import TOTAL
from raycompare.records.messages import Stage
from raycompare.records.rows import Ending, TrialRecord
from raycompare.records.run_records import Records
from raycompare.records.snapshot import Snapshot, State

STAGES: tuple[Stage, ...] = ("tune", "confirm")
NOT_ENDED: tuple[Ending, ...] = ("cut_short", "not_run")
"""Endings of trials that a run, or a resumed run, still has to finish."""
STATE_WORDS: Mapping[State, str] = {
    "running": "running",
    "finished": "finished",
    "interrupted": "interrupted, can be resumed",
    "killed": "killed, can be resumed",
    "silent": "not finished, no recent records: killed, or disconnected from the bucket",
    "early_copy": "copy of a run that had not finished when it was fetched",
    "part_copy": "incomplete copy, because fetching it was interrupted",
}


@dataclass(frozen=True, kw_only=True)
class StageStatus:
    """The trials of one stage."""

    name: Stage
    trials: int
    """Trials planned so far."""
    ended: int
    left_seconds: float | None
    """Estimated time until the planned trials have ended, at the pace so far; None if unknown."""


@dataclass(frozen=True, kw_only=True)
class ModelStatus:
    """Progress and results of one model."""

    model: str
    trials: Mapping[Stage, Mapping[str, int]]
    """Number of trials per stage and status, *running* and *waiting* included."""
    best_validation: float | None
    """Best validation score in the tune stage, else in the confirm stage."""
    test: Spread | None
    """Test score by the experiment's metric."""


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """Progress of a run."""

    run_id: str
    name: str
    folder: str
    state: State
    complete: bool
    """Whether the manifest says that everything was done."""
    created_at: str
    """Start in UTC, ISO 8601."""
    written_at: datetime | None
    """Time in UTC at which records were last written."""
    silent_seconds: float | None
    """Time since records were last written."""
    metric: MetricName
    seconds: float
    """Wall-clock time; up to the last evaluation if the run has not ended."""
    usd: float | None
    """Cost of that time in dollars; None without a price."""
    stages: tuple[StageStatus, ...]
    models: tuple[ModelStatus, ...]
    to_confirm: int
    """Largest number of confirm trials that are not planned yet."""
    failures: int
    first_cause: str | None
    resume: str | None
    """Command that continues the run; None if it is finished or running, or a part of a copy."""
    fetch: str | None
    """Command that fetches a copy again, if it is incomplete or from before the run's end."""


def status_of(snapshot: Snapshot, now: datetime) -> RunStatus:
    """Return the status of a run at `now`, in UTC."""
    records, running = snapshot.records, snapshot.state == "running"
    experiment, trials, manifest = records.experiment, records.trials, records.manifest
    metric, cost = experiment.tune.metric, cost_of(records)
    silent = (now - snapshot.written_at).total_seconds() if snapshot.written_at else None
    cause = first_cause(trial for trial in trials if trial.status == "errored")
    all_confirmed = len(experiment.models) * len(experiment.confirm.all_seeds)
    return RunStatus(
        run_id=manifest.run_id,
        name=experiment.name,
        folder=snapshot.folder.shown,
        state=snapshot.state,
        complete=bool(manifest.finished_at) and manifest.complete,
        created_at=manifest.created_at,
        written_at=snapshot.written_at,
        silent_seconds=silent,
        metric=metric,
        seconds=manifest.seconds.get(TOTAL, 0.0),
        usd=cost.whole.usd if cost.price else None,
        stages=tuple(_stage(name, trials, manifest.seconds, running) for name in STAGES),
        models=_models(records, running),
        to_confirm=0 if manifest.complete else max(all_confirmed - len(records.confirm_trials), 0),
        failures=sum(trial.status == "errored" for trial in trials),
        first_cause=f"{cause.trial_id}: {first_line(cause)}" if cause else None,
        resume=_resume(snapshot),
        fetch=snapshot.copy.command(snapshot.folder)
        if snapshot.copy and snapshot.state in ("early_copy", "part_copy")
        else None,
    )


def _resume(snapshot: Snapshot) -> str | None:
    if snapshot.state in ("running", "finished", "part_copy"):
        return None
    copy = snapshot.copy if snapshot.state == "early_copy" else None
    place = copy.source if copy else snapshot.folder.shown
    return shlex.join(["raycompare", "run", "--resume", place])


def _status_now(trial: TrialRecord, running: bool) -> str:
    if running and trial.status == "interrupted":
        return "running"
    if running and trial.ending == "not_run":
        return "waiting"
    return STATUS_WORDS[trial.status]


def _stage(
    name: Stage, trials: Sequence[TrialRecord], seconds: Mapping[str, float], running: bool
) -> StageStatus:
    planned = [trial for trial in trials if trial.stage == name]
    ended = sum(trial.ending not in NOT_ENDED for trial in planned)
    took = seconds.get(name)
    paced = running and ended and took and ended < len(planned)
    return StageStatus(
        name=name,
        trials=len(planned),
        ended=ended,
        left_seconds=took / ended * (len(planned) - ended) if paced and took else None,
    )


def _models(records: Records, running: bool) -> tuple[ModelStatus, ...]:
    metric = records.experiment.tune.metric
    best = best_trials(records.trials, metric) | best_trials(records.tune_trials, metric)
    return tuple(
        ModelStatus(
            model=row.model,
            trials={
                stage: Counter(
                    _status_now(trial, running) for trial in records.trials_of(row.model, stage)
                )
                for stage in STAGES
            },
            best_validation=best[row.model].best_value if row.model in best else None,
            test=row.test.get(metric),
        )
        for row in leaderboard(records)
    )


def view(status: RunStatus) -> Group:
    """Return a status for a terminal, with a table of the models."""
    parts: list[RenderableType] = [Text(line) for line in heading(status)]
    parts.append(model_table(status))
    parts += [Text(line) for line in remarks(status)]
    return Group(*parts)


def heading(status: RunStatus) -> list[str]:
    """Return lines with the name, state, folder and start of the run."""
    silent = status.silent_seconds
    written = "" if silent is None else f", records written {duration(max(silent, 0.0))} ago"
    started = f"started {status.created_at}" if status.created_at else "no started.json"
    return [
        f"{status.name} {status.run_id}: {STATE_WORDS[status.state]}{written}",
        f"{status.folder}, {started}",
    ]


def model_table(status: RunStatus) -> Table:
    """Return a table with a row per model."""
    table = Table(expand=False, box=None, padding=(0, 2, 0, 0))
    label = LABELS[status.metric]
    for column in ("model", f"best validation {label}", f"test {label}", *STAGES):
        table.add_column(column, overflow="fold")
    for row in status.models:
        table.add_row(
            Text(row.model),
            score(row.best_validation),
            spread(row.test) if row.test else NOTHING,
            *(_counts(row.trials[stage]) for stage in STAGES),
        )
    return table


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {word}" for word, number in counts.items()) or NOTHING


def remarks(status: RunStatus) -> list[str]:
    """Return lines on progress, time and cost, failures, and how to continue."""
    lines = [progress(status), _format_spending(status)]
    if status.failures:
        failed = number_of(status.failures, "trial")
        lines.append(f"{failed} failed; first cause: {status.first_cause}")
    if status.fetch:
        lines.append(f"To fetch it again: {status.fetch}")
    if status.resume:
        lines.append(f"To continue{' the run' if status.fetch else ''}: {status.resume}")
    return [line for line in lines if line]


def progress(status: RunStatus) -> str:
    """Return a line on how many trials have ended, and how many are left."""
    planned = [stage for stage in status.stages if stage.trials]
    words = [_stage_words(stage) for stage in planned] or ["no trials are planned yet"]
    if status.to_confirm:
        words.append(f"at most {status.to_confirm} more to confirm")
    return "; ".join(words)


def _stage_words(stage: StageStatus) -> str:
    left = "" if stage.left_seconds is None else f", about {duration(stage.left_seconds)} left"
    return f"{stage.name}: {stage.ended} of {number_of(stage.trials, 'trial')} ended{left}"


def _format_spending(status: RunStatus) -> str:
    usd = "" if status.usd is None else f", {dollars(status.usd)}"
    until = " in total" if status.complete else " up to the last evaluation"
    return f"{duration(status.seconds)}{usd}{until}"
