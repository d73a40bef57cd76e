"""TensorBoard: a folder of event files for each trial, which the HPARAMS tab compares too."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from raycompare.records.rows import FINISHED, EvalRecord, TrialRecord
from raycompare.records.run_folder import RunFolder
from raycompare.running.trackers.tracker import (
    BEFORE_FIRST,
    Outcome,
    TrackedRun,
    best_of,
    numbers_of,
)

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

FOLDER = "tensorboard"
FLUSH_SECONDS = 10
MOST_OPEN = 64
ENDED = b"_hparams_/session_end_info"
"""In the events of a trial that has ended."""


class TensorBoard:
    """Writes RUN_DIR/tensorboard/TRIAL_ID; of a remote run folder when the trial has ended."""

    def __init__(self, run: TrackedRun) -> None:
        """Belong to a run."""
        self._run = run
        self._writers: dict[str, SummaryWriter] = {}
        """Those that are open, the one used last at the end."""
        self._opened = 0

    def open(self) -> None:
        """Find a local place for the files."""
        local = self._run.folder.local_path(FOLDER)
        self._local = local or Path(tempfile.mkdtemp(prefix="raycompare-tensorboard-"))
        self._is_remote = local is None

    def has(self, trial_id: str) -> bool:
        """Say whether the trial's log was ended; a remote one is written when it has."""
        if self._is_remote:
            return self._run.folder.exists(f"{FOLDER}/{trial_id}")
        files = (self._local / trial_id).glob("events.out.tfevents.*")
        return any(ENDED in path.read_bytes() for path in files)

    def begin(self, trial: TrialRecord) -> int:
        """Begin anew: TensorBoard would show both logs of a trial that an earlier run left."""
        RunFolder.at(self._local).delete(trial.trial_id)
        self._writer(trial.trial_id)
        return BEFORE_FIRST

    def _writer(self, trial_id: str) -> SummaryWriter:
        """Return the trial's writer, and close the one that was not used for the longest time.

        Each has a file and a thread, and very many trials can wait for others at a rung.
        """
        from tensorboardX import SummaryWriter  # noqa: PLC0415

        writer = self._writers.pop(trial_id, None)
        if writer is None:
            self._opened += 1  # in the name, else a file of the same second would be replaced
            writer = SummaryWriter(
                str(self._local / trial_id),
                flush_secs=FLUSH_SECONDS,
                filename_suffix=f".{self._opened}",
            )
        self._writers[trial_id] = writer
        if len(self._writers) > MOST_OPEN:
            self._writers.pop(next(iter(self._writers))).close()
        return writer

    def log(self, trial: TrialRecord, rows: Sequence[EvalRecord]) -> None:
        """Add a scalar per number, at the optimizer step."""
        writer = self._writer(trial.trial_id)
        for row in rows:
            for name, value in numbers_of(row).items():
                writer.add_scalar(name, value, row.step)

    def end(self, trial: TrialRecord) -> None:
        """Add how the trial ended and its hyperparameters, and close its file."""
        writer = self._writer(trial.trial_id)
        best = best_of(trial, self._run.experiment.tune.metric)
        for name, value in best.items():
            writer.add_scalar(name, value, trial.best_step)
        writer.add_text("ending", f"{trial.status}: {trial.reason}", trial.steps)
        self._add_hyperparameters(writer, trial)
        self._writers.pop(trial.trial_id).close()
        self._upload(trial.trial_id)

    def _add_hyperparameters(self, writer: SummaryWriter, trial: TrialRecord) -> None:
        """Add what the HPARAMS tab reads.

        `SummaryWriter.add_hparams` would also say which columns there are: those of this trial
        alone, and TensorBoard would show no others. Left out, it finds them itself.
        """
        from tensorboardX.proto.api_pb2 import Status  # noqa: PLC0415
        from tensorboardX.proto.plugin_hparams_pb2 import (  # noqa: PLC0415
            HParamsPluginData,
            SessionEndInfo,
        )
        from tensorboardX.summary import hparams  # noqa: PLC0415

        _, start, end = hparams(self._run.config_of(trial), {})
        status = "STATUS_SUCCESS" if trial.status in FINISHED else "STATUS_FAILURE"
        info = SessionEndInfo(status=Status.Value(status))
        end.value[0].metadata.plugin_data.content = HParamsPluginData(
            session_end_info=info
        ).SerializeToString()
        writer.file_writer.add_summary(start)
        writer.file_writer.add_summary(end)

    def _upload(self, trial_id: str) -> None:
        if self._is_remote:
            self._run.folder.delete(f"{FOLDER}/{trial_id}")
            self._run.folder.put_folder(self._local / trial_id, f"{FOLDER}/{trial_id}")

    def finish(self, outcome: Outcome) -> None:
        """Add nothing: the report lies beside the logs."""

    def close(self) -> None:
        """Close the files of trials that were cut short."""
        for writer in self._writers.values():
            writer.close()
