"""The run folder, on any filesystem of pyarrow.

A folder without a manifest belongs to a run that has not ended. Folders may come from elsewhere:
whatever their files contain, reading them returns records of the right types or raises a UserError.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raycompare.errors import DamagedError, UserError, reading
from raycompare.experiment.file import Draft, parse_draft, read_draft, read_experiment
from raycompare.experiment.spec import Experiment
from raycompare.records.arrow import Row, require_few, rows_of, table_of
from raycompare.records.endings import name_ending
from raycompare.records.folder import Folder
from raycompare.records.layout import (
    EXPERIMENT,
    FETCHED,
    MANIFEST,
    PREDICTIONS,
    ROW_FILES,
    STARTED,
    TRIALS,
    is_temporary,
)
from raycompare.records.manifest import FORMAT, Manifest, RunStart, from_plain
from raycompare.records.rows import PREDICTIONS_SCHEMA, EvalRecord, TrialRecord
from raycompare.records.storage import retry_outages


class RunFolder(Folder):
    """The folder of a run."""

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON object.

        Raises:
            UserError: the file does not exist, or has something else.
        """
        with reading(self.child(name)):
            content = json.loads(self.read_text(name))
            if not isinstance(content, dict):
                raise TypeError(f"found a {type(content).__name__}, allowed a JSON object")
            return content

    def read_experiment(self) -> Experiment:
        """Read the experiment, with all its models.

        Raises:
            UserError: this is not a run folder, or the file cannot be read.
        """
        text = self.read_text(EXPERIMENT)
        with reading(self.child(EXPERIMENT)):
            return read_experiment(text, self.child(EXPERIMENT))

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a Parquet file atomically."""
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        self.write_bytes(name, sink.getvalue().to_pybytes())

    def read_trials(self) -> list[TrialRecord]:
        """Read trials.parquet in file order."""
        trials = [name_ending(trial) for trial in self.read_rows(TrialRecord)]
        with reading(self.child(TRIALS)):
            _require_objects({trial.hyperparameters for trial in trials})
        return trials

    def read_evaluations(self) -> list[EvalRecord]:
        """Read evaluations.parquet in file order."""
        return self.read_rows(EvalRecord)

    def write_predictions(self, trial_id: str, table: pa.Table) -> None:
        """Write the test predictions of a trial or baseline."""
        self.write_table(f"{PREDICTIONS}/{trial_id}.parquet", table)

    def read_predictions(
        self, *, with_probabilities: bool = False
    ) -> Iterator[tuple[str, pa.Table]]:
        """Yield the trial id and the test predictions of each finalist and baseline.

        The tables have the columns example_id, label and prediction, if asked for probabilities,
        and a row per test example.
        """
        columns = ["trial_id", "example_id", "label", "prediction"]
        if with_probabilities:
            columns.append("probabilities")
        for name in self.names(PREDICTIONS):
            if not name.endswith(".parquet") or is_temporary(name):
                continue
            place = f"{PREDICTIONS}/{name}"
            with reading(self.child(place)):
                table = self._read_predictions(place, columns)
                _check_predictions(table)
            if table.num_rows:
                yield table["trial_id"][0].as_py(), table.drop_columns("trial_id")

    @retry_outages
    def _read_predictions(self, name: str, columns: list[str]) -> pa.Table:
        self._require_file(name)
        filesystem, path = self._open(name)
        with filesystem.open_input_file(path) as file, pq.ParquetFile(file) as parquet:
            require_few(parquet.metadata.num_rows)
        return pq.read_table(
            path,
            filesystem=filesystem,
            columns=columns,
            read_dictionary=["trial_id"],
            partitioning=None,
        )

    def write_rows(self, rows: Sequence[Row], row_type: type[Row]) -> None:
        """Write or replace the Parquet file of this type of rows."""
        self.write_table(ROW_FILES[row_type], table_of(rows, row_type))

    def read_rows(self, row_type: type[Row]) -> list[Row]:
        """Read all rows of this type in file order; a missing file has none.

        Raises:
            UserError: the file is damaged.
        """
        name = ROW_FILES[row_type]
        with reading(self.child(name)):
            return self._read_rows(name, row_type) if self.exists(name) else []

    @retry_outages
    def _read_rows(self, name: str, row_type: type[Row]) -> list[Row]:
        filesystem, path = self._open(name)
        self._require_file(name)
        with filesystem.open_input_file(path) as file, pq.ParquetFile(file) as parquet:
            require_few(parquet.metadata.num_rows)
            return rows_of(parquet.read(use_threads=False), row_type)

    def read_start(self) -> RunStart:
        """Read started.json.

        Raises:
            UserError: the file is missing or damaged.
        """
        content = self.read_json(STARTED)
        with reading(self.child(STARTED)):
            return from_plain(RunStart, content)

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the manifest; call it last, since it marks the run as ended."""
        self.write_text(MANIFEST, json.dumps(asdict(manifest), indent=2) + "\n")

    def read_manifest(self) -> Manifest:
        """Read the manifest.

        Raises:
            UserError: the manifest is missing: the run has not ended, or this is not a run folder.
        """
        if not self.exists(MANIFEST) and self.exists(FETCHED):
            raise UserError(
                f"{self.shown} is a copy without a manifest.json: the run had not ended, or "
                f"fetching it was interrupted. `raycompare status {self.shown}` shows what to do."
            )
        if not self.exists(MANIFEST) and self.exists(TRIALS):
            raise UserError(
                f"{self.uri} has records but no manifest.json, so its run was killed or is still "
                f"running. Finish it with `raycompare run --resume {self.uri}`."
            )
        content = self.read_json(MANIFEST)
        if content.get("format") != FORMAT:
            raise DamagedError(
                f"{self.child(MANIFEST)} has format {content.get('format')!a:.80}; this "
                f"raycompare reads format {FORMAT}. Use the version that wrote it: "
                f"{_version_in(content)!a:.80}."
            )
        with reading(self.child(MANIFEST)):
            return from_plain(Manifest, content)


def _version_in(content: Mapping[str, Any]) -> object:
    versions = content.get("versions")
    return versions.get("raycompare", "unknown") if isinstance(versions, dict) else "unknown"


def _require_objects(texts: set[str]) -> None:
    for text in texts:
        if not isinstance(json.loads(text), dict):
            raise TypeError(f"hyperparameters: found {text!a:.80}, allowed a JSON object")


def _check_predictions(table: pa.Table) -> None:
    """Check that predictions are those of one trial, with integers for rows and labels."""
    for name in ("example_id", "label", "prediction"):
        field = PREDICTIONS_SCHEMA.field(name)
        if table[name].type != field.type or table[name].null_count:
            raise TypeError(f"{name}: found {table[name].type}, allowed {field.type} in each row")
    if len(table["trial_id"].unique()) > 1:
        raise ValueError("trial_id: found several, allowed one per file")


def resume_hint(folder: Folder) -> str:
    """Return the message about an interrupted run, with the command that continues it."""
    return (
        f"interrupted. Finished trials are kept; the others continue from their last checkpoint. "
        f"Continue with: {shlex.join(['raycompare', 'run', '--resume', folder.shown])}"
    )


def end_hint(folder: Folder, *, has_finished: bool) -> str:
    """Return the message about a run whose process ended early, maybe after the run itself."""
    if not has_finished:
        return resume_hint(folder)
    return (
        "the run has finished, and its records are complete; only its report may be incomplete. "
        f"Write it with: {shlex.join(['raycompare', 'report', folder.shown])}"
    )


def draft_for(path: Path | None, overrides: Sequence[str], resume: str | None) -> Draft:
    """Read the experiment file, or that of the run to be resumed.

    Raises:
        UserError: both are missing, or the file cannot be read.
    """
    if path is not None:
        return read_draft(path, overrides)
    if resume is None:
        raise UserError("expected an experiment file, or --resume with the folder of a run.")
    if overrides:
        raise UserError(
            f"--set {overrides[0]}: without effect, because a resumed run keeps its experiment. "
            "Omit it, or start a new run."
        )
    folder = RunFolder.at(resume)
    return parse_draft(folder.read_text(EXPERIMENT), _describe_resumed(folder))


def _describe_resumed(folder: RunFolder) -> str:
    """Return the name of a resumed experiment in messages, with the directory of its paths."""
    name = folder.child(EXPERIMENT)
    directory = folder.read_start().directory if folder.exists(STARTED) else None
    if directory in (None, str(Path.cwd())):
        return name
    here = f"relative paths in it are now taken from {Path.cwd()}"
    return f"{name}, of a run that was started in {directory} ({here})"
