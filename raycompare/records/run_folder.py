"""The run folder: what a run leaves behind, on any filesystem that pyarrow reaches.

Each file is written under a temporary name and moved into place, so that a reader never sees
half of one. A folder without a manifest belongs to a run that has not ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from raycompare.errors import UserError
from raycompare.experiment.file import Draft, parse_draft, read_draft, read_experiment
from raycompare.experiment.spec import Experiment
from raycompare.records.arrow import Row, rows_of, table_of
from raycompare.records.endings import name_ending
from raycompare.records.layout import EXPERIMENT, MANIFEST, PREDICTIONS, ROW_FILES, TRIALS
from raycompare.records.manifest import FORMAT, Manifest
from raycompare.records.rows import EvalRecord, TrialRecord
from raycompare.records.storage import absolute, open_filesystem, retry_outages, write_atomically


@dataclass(frozen=True)
class RunFolder:
    """A folder, local or remote, given as a path or a URI such as s3://bucket/runs/1."""

    uri: str

    @classmethod
    def at(cls, place: str | Path) -> Self:
        """Name a folder; a local path is made absolute, since trials run elsewhere."""
        return cls(absolute(place))

    @property
    def shown(self) -> str:
        """The folder as a user would type it here."""
        here = str(Path.cwd())
        return (
            str(Path(self.uri).relative_to(here)) if self.uri.startswith(f"{here}/") else self.uri
        )

    def child(self, name: str) -> str:
        """Return the path or URI of a file in the folder."""
        return f"{self.uri.rstrip('/')}/{name}"

    @property
    def parent(self) -> RunFolder:
        """The folder that this one is in."""
        return RunFolder(self.uri.rstrip("/").rpartition("/")[0])

    def folder(self, name: str) -> RunFolder:
        """Return a folder in this one."""
        return RunFolder(self.child(name))

    def local_path(self, name: str) -> Path | None:
        """Return the path of a file in the folder where it is local, else nothing."""
        filesystem, path = self._open(name)
        return Path(path) if isinstance(filesystem, fs.LocalFileSystem) else None

    def _open(self, name: str) -> tuple[fs.FileSystem, str]:
        filesystem, path = open_filesystem(self.uri)
        return filesystem, f"{path.rstrip('/')}/{name}"  # a name may have what a URI may not

    @retry_outages
    def exists(self, name: str) -> bool:
        """Say whether the folder has a file or folder of that name."""
        filesystem, path = self._open(name)
        return bool(filesystem.get_file_info(path).type != fs.FileType.NotFound)

    @retry_outages
    def written_at(self, name: str) -> datetime | None:
        """Return when a file of the folder was last written, in UTC; None if it is not there."""
        filesystem, path = self._open(name)
        found: datetime | None = filesystem.get_file_info(path).mtime
        return found

    @retry_outages
    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all."""
        filesystem, path = self._open(name)
        with (
            write_atomically(filesystem, path) as temporary,
            filesystem.open_output_stream(temporary) as stream,
        ):
            stream.write(content)

    def write_text(self, name: str, text: str) -> None:
        """Write a UTF-8 file whole or not at all."""
        self.write_bytes(name, text.encode())

    def read_text(self, name: str) -> str:
        """Read a UTF-8 file.

        Raises:
            UserError: the folder has no such file.
        """
        return self.read_bytes(name).decode()

    @retry_outages
    def read_bytes(self, name: str) -> bytes:
        """Read a file.

        Raises:
            UserError: the folder has no such file.
        """
        if not self.exists(name):
            raise UserError(
                f"{self.child(name)} does not exist. Expected a run folder, as written by "
                "`raycompare run`; its path is the last line that a run prints."
            )
        filesystem, path = self._open(name)
        with filesystem.open_input_stream(path) as stream:
            return bytes(stream.read())

    @retry_outages
    def delete(self, name: str) -> None:
        """Remove a folder and all that is in it, if it is there."""
        filesystem, path = self._open(name)
        if self.exists(name):
            filesystem.delete_dir(path)

    @retry_outages
    def put_folder(self, local: Path, name: str) -> None:
        """Copy the files of a local folder under a name that is not taken."""
        filesystem, path = self._open(name)
        filesystem.create_dir(path, recursive=True)
        fs.copy_files(str(local), path, fs.LocalFileSystem(), filesystem)

    @retry_outages
    def get_folder(self, name: str, local: Path) -> Path:
        """Return a local folder with the same files: the folder itself, or a copy at `local`."""
        filesystem, path = self._open(name)
        if isinstance(filesystem, fs.LocalFileSystem):
            return Path(path)
        local.mkdir(parents=True, exist_ok=True)
        fs.copy_files(path, str(local), filesystem, fs.LocalFileSystem())
        return local

    @retry_outages
    def _list(self, folder: str, recursive: bool = False) -> list[fs.FileInfo]:
        filesystem, path = self._open(folder)
        selector = fs.FileSelector(path.rstrip("/"), allow_not_found=True, recursive=recursive)
        return list(filesystem.get_file_info(selector))

    def names(self, folder: str) -> list[str]:
        """List what is in a folder, sorted; nothing if it is not there."""
        return sorted(info.base_name for info in self._list(folder))

    def folders(self, folder: str = "") -> list[str]:
        """List the folders in a folder, sorted; nothing if it is not there."""
        return sorted(
            info.base_name for info in self._list(folder) if info.type == fs.FileType.Directory
        )

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the bytes of each file in a folder, by its name; nothing if it is not there."""
        return {info.base_name: info.size for info in self._list(folder) if info.is_file}

    @retry_outages
    def files(self) -> list[str]:
        """List the files in the folder and below, by their path in it, sorted."""
        _, root = self._open("")
        files = [info.path for info in self._list("", recursive=True) if info.is_file]
        return sorted(file.removeprefix(root) for file in files)

    @retry_outages
    def copy_file(self, name: str, to: RunFolder) -> None:
        """Copy a file to the same place in another folder, whole or not at all."""
        (source, here), (target, there) = self._open(name), to._open(name)
        with write_atomically(target, there) as temporary:
            fs.copy_files(here, temporary, source, target)

    def read_experiment(self) -> Experiment:
        """Read the experiment, with all its models.

        Raises:
            UserError: this is no run folder, or the file can't be read.
        """
        return read_experiment(self.read_text(EXPERIMENT))

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a Parquet file whole or not at all."""
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        self.write_bytes(name, sink.getvalue().to_pybytes())

    def write_trials(self, rows: Sequence[TrialRecord]) -> None:
        """Replace trials.parquet."""
        self.write_rows(rows, TrialRecord)

    def write_evaluations(self, rows: Sequence[EvalRecord]) -> None:
        """Replace evaluations.parquet."""
        self.write_rows(rows, EvalRecord)

    def read_trials(self) -> list[TrialRecord]:
        """Read trials.parquet, in the order it was written."""
        return [name_ending(trial) for trial in self.read_rows(TrialRecord)]

    def read_evaluations(self) -> list[EvalRecord]:
        """Read evaluations.parquet, in the order it was written."""
        return self.read_rows(EvalRecord)

    def write_predictions(self, trial_id: str, table: pa.Table) -> None:
        """Write the predictions of one trial or baseline on the test split."""
        self.write_table(f"{PREDICTIONS}/{trial_id}.parquet", table)

    def read_predictions(self) -> Iterator[tuple[str, pa.Table]]:
        """Read the answers of each finalist: its trial id, and a row per test example.

        The tables have the columns example_id, label and prediction; there are none if the run
        left no predictions.
        """
        for name in self.names(PREDICTIONS):
            if not name.endswith(".parquet"):
                continue
            table = self._read_predictions(f"{PREDICTIONS}/{name}")
            if table.num_rows:
                yield table["trial_id"][0].as_py(), table.drop_columns("trial_id")

    @retry_outages
    def _read_predictions(self, name: str) -> pa.Table:
        filesystem, path = self._open(name)
        return pq.read_table(
            path,
            filesystem=filesystem,
            columns=["trial_id", "example_id", "label", "prediction"],
            read_dictionary=["trial_id"],
            partitioning=None,
        )

    def write_rows(self, rows: Sequence[Row], row_type: type[Row]) -> None:
        """Replace the Parquet file of one type of rows."""
        self.write_table(ROW_FILES[row_type], table_of(rows, row_type))

    @retry_outages
    def read_rows(self, row_type: type[Row]) -> list[Row]:
        """Read all rows of one type in the order they were written; empty without their file."""
        name = ROW_FILES[row_type]
        if not self.exists(name):
            return []
        filesystem, path = self._open(name)
        return rows_of(pq.read_table(path, filesystem=filesystem), row_type)

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the manifest, which says that the run has ended; call it last."""
        self.write_text(MANIFEST, json.dumps(asdict(manifest), indent=2) + "\n")

    def read_manifest(self) -> Manifest:
        """Read the manifest.

        Raises:
            UserError: there is none, so the run has not ended or this is no run folder.
        """
        if not self.exists(MANIFEST) and self.exists(TRIALS):
            raise UserError(
                f"{self.uri} has records but no manifest.json: its run was killed, or goes on. "
                f"Finish it with `raycompare run --resume {self.uri}`."
            )
        content = json.loads(self.read_text(MANIFEST))
        if content.get("format") != FORMAT:
            raise UserError(
                f"{self.child('manifest.json')} has format {content.get('format')}; this "
                f"raycompare reads format {FORMAT}. Use the version that wrote it: "
                f"{content.get('versions', {}).get('raycompare', 'unknown')}."
            )
        return Manifest(**content)


def draft_for(path: Path | None, overrides: Sequence[str], resume: str | None) -> Draft:
    """Read the experiment file, or the one in the folder to be resumed.

    Raises:
        UserError: neither is given, or one can't be read.
    """
    if path is not None:
        return read_draft(path, overrides)
    if resume is None:
        raise UserError("expected an experiment file, or --resume with the folder of a run.")
    folder = RunFolder.at(resume)
    return parse_draft(folder.read_text(EXPERIMENT), folder.child(EXPERIMENT))
