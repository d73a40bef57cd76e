"""Weights & Biases: a group for the run, with a run per trial and one for the report."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from raycompare.records.rows import FINISHED, EvalRecord, TrialRecord
from raycompare.running.trackers.checks import UNSENT
from raycompare.running.trackers.threads import CLOSE_SECONDS
from raycompare.running.trackers.tracker import (
    BEFORE_FIRST,
    Outcome,
    TrackedRun,
    Value,
    best_of,
    numbers_of,
    report_files,
)

if TYPE_CHECKING:
    from wandb import Run

FOLDER = "wandb"
REPORT = "report"


class WandB:
    """Logs to a project named like the experiment; WANDB_MODE=offline writes to RUN_DIR/wandb."""

    def __init__(self, run: TrackedRun) -> None:
        """Store the run; nothing is sent yet."""
        self._run = run
        self._runs: dict[str, Run] = {}

    def open(self) -> None:
        """Choose a local folder for the files."""
        local = self._run.folder.local_path(FOLDER)
        self._is_temporary = local is None and _is_online()
        self._local = local or Path(tempfile.mkdtemp(prefix="raycompare-wandb-")) / FOLDER
        self._local.mkdir(parents=True, exist_ok=True)

    def has(self, trial_id: str) -> bool:
        """Return whether the local folder has a run of this trial."""
        return bool(self._folders(trial_id))

    def begin(self, trial: TrialRecord) -> int:
        """Start the trial's run, or continue it if the server has it."""
        for folder in self._folders(trial.trial_id):
            if folder.name.startswith("offline-"):
                shutil.rmtree(folder)  # incomplete; all of it is logged again
        run = self._init(trial.trial_id, trial.stage, self._run.config_of(trial))
        self._runs[trial.trial_id] = run
        return run.step - 1 if run.resumed else BEFORE_FIRST

    def log(self, trial: TrialRecord, rows: Sequence[EvalRecord]) -> None:
        """Log validation values at their optimizer step; add test values to the summary."""
        run = self._runs[trial.trial_id]
        for row in rows:
            if row.split == "test":
                run.summary.update(numbers_of(row))
            else:
                run.log(numbers_of(row), step=row.step)

    def end(self, trial: TrialRecord) -> None:
        """Log the best value and the ending, and close the trial's run."""
        run = self._runs.pop(trial.trial_id)
        best = best_of(trial, self._run.experiment.tune.metric)
        run.summary.update({**best, "status": trial.status, "reason": trial.reason})
        run.tags = (trial.status,)
        run.finish(exit_code=0 if trial.status in FINISHED else 1)

    def finish(self, outcome: Outcome) -> None:
        """Log the report, the leader's test scores and the verdict as a separate run."""
        import wandb  # noqa: PLC0415

        run = self._init(REPORT, REPORT, {})
        leader = {"leader": outcome.leader or "", "verdict": outcome.verdict}
        run.summary.update({**outcome.metrics, **leader})
        artifact = wandb.Artifact(f"{self._run.run_id}-{REPORT}", type=REPORT)
        with report_files(self._run.folder) as place:
            for path in sorted(place.rglob("*.*")):
                artifact.add_file(str(path), name=str(path.relative_to(place)))
            run.log_artifact(artifact)
            run.finish()

    def close(self) -> None:
        """Close the runs of interrupted trials."""
        for run in self._runs.values():
            run.finish(exit_code=1)
        if self._is_temporary:
            shutil.rmtree(self._local.parent, ignore_errors=True)

    def _folders(self, trial_id: str) -> list[Path]:
        return sorted(self._local.glob(f"*run-*-{self._id(trial_id)}"))

    def _id(self, name: str) -> str:
        text = f"{self._run.run_id}/{name}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _init(self, name: str, job_type: str, config: Mapping[str, Value]) -> Run:
        import wandb  # noqa: PLC0415

        return wandb.init(
            project=os.environ.get("WANDB_PROJECT", self._run.experiment.name),
            group=self._run.run_id,
            id=self._id(name),
            name=self._run.run_id if name == REPORT else name,
            job_type=job_type,
            config=dict(config),
            dir=str(self._local.parent),
            reinit="create_new",  # trials run at the same time
            resume="allow" if _is_online() else None,
            settings=wandb.Settings(
                console="off",
                silent=True,
                disable_git=True,
                save_code=False,
                x_disable_stats=True,
                finish_timeout=CLOSE_SECONDS,
            ),
        )


def _is_online() -> bool:
    """Return whether runs are sent to a server; otherwise local files are all there is."""
    return os.environ.get("WANDB_MODE", "") not in UNSENT
