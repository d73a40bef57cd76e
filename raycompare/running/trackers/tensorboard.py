"""TensorBoard: event files for each trial, with the data of the HPARAMS tab."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from raycompare.records.rows import FINISHED, EvalRecord, TrialRecord
from raycompare.records.run_folder import RunFolder
from raycompare.running.trackers.tracker import (
    BEFORE_FIRST,
    TrackedRun,
    Tracker,
    best_of,
    numbers_of,
)

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

FOLDER = "tensorboard"
FLUSH_SECONDS = 10
MOST_OPEN = 64
ENDED = b"_hparams_/session_end_info"
"""Found in the events of a trial that has ended."""


class TensorBoard(Tracker):
    """Writes to RUN_DIR/tensorboard/TRIAL_ID; for a remote folder, when the trial has ended."""

    def __init__(self, run: TrackedRun) -> None:
        """Store the run; nothing is opened yet."""
        self._run = run
        self._writers: dict[str, SummaryWriter] = {}
        """Open writers, the most recently used one last."""
        self._opened = 0

    def open(self) -> None:
        """Choose a local folder for the files."""
        local = self._run.folder.local_path(FOLDER)
        self._is_remote = local is None
        if local is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="raycompare-tensorboard-")
            local = Path(self._temporary.name)
        self._local = local

    def has(self, trial_id: str) -> bool:
        """Return whether the trial's log is complete; a remote one is uploaded only then."""
        if self._is_remote:
            return self._run.folder.exists(f"{FOLDER}/{trial_id}")
        files = (self._local / trial_id).glob("events.out.tfevents.*")
        return any(ENDED in path.read_bytes() for path in files)

    def begin(self, trial: TrialRecord) -> int:
        """Delete an incomplete earlier log, which TensorBoard would show as well, and start."""
        RunFolder.at(self._local).delete(trial.trial_id)
        self._writer(trial.trial_id)
        return BEFORE_FIRST

    def _writer(self, trial_id: str) -> SummaryWriter:
        """Return the trial's writer; close the least recently used one if too many are open."""
        from tensorboardX import SummaryWriter  # noqa: PLC0415

        writer = self._writers.pop(trial_id, None)
        if writer is None:
            self._opened += 1  # distinguishes files created in the same second
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
        """Log a scalar per value, at its optimizer step."""
        writer = self._writer(trial.trial_id)
        for row in rows:
            for name, value in numbers_of(row).items():
                writer.add_scalar(name, value, row.step)

    def end(self, trial: TrialRecord) -> None:
        """Log the ending and the hyperparameters, and close the file."""
        writer = self._writer(trial.trial_id)
        best = best_of(trial, self._run.experiment.tune.metric)
        for name, value in best.items():
            writer.add_scalar(name, value, trial.best_step)
        writer.add_text("ending", f"{trial.status}: {trial.reason}", trial.steps)
        self._add_hyperparameters(writer, trial)
        self._writers.pop(trial.trial_id).close()
        self._upload(trial.trial_id)

    def _add_hyperparameters(self, writer: SummaryWriter, trial: TrialRecord) -> None:
        """Add the data of the HPARAMS tab.

        `SummaryWriter.add_hparams` would also list the columns of this trial, and TensorBoard
        would show no others. Without a list, it finds the columns of all trials.
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

    def close(self) -> None:
        """Close the files of interrupted trials."""
        for writer in self._writers.values():
            writer.close()
        if self._is_remote:
            self._temporary.cleanup()
