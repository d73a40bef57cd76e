"""The run folder, on any filesystem of pyarrow.

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
from raycompare.experiment.file import read_experiment
from raycompare.experiment.spec import Experiment
from raycompare.records.arrow import Row, rows_of, table_of
from raycompare.records.endings import name_ending
from raycompare.records.layout import EXPERIMENT, MANIFEST, PREDICTIONS, ROW_FILES, TRIALS
from raycompare.records.manifest import FORMAT, Manifest
from raycompare.records.rows import EvalRecord, TrialRecord
from raycompare.records.storage import absolute, open_filesystem, retry_outages, write_atomically


@dataclass(frozen=True)
class RunFolder:
    """A local or remote folder, as an absolute path or a URI such as s3://bucket/runs/1."""

    uri: str

    @classmethod
    def at(cls, place: str | Path) -> Self:
        """Return a folder; a local path is made absolute, since trials run elsewhere."""
        return cls(absolute(place))

    @property
    def shown(self) -> str:
        """The folder as a user would type it: relative to the working directory if it is in it."""
        return self.uri.removeprefix(f"{Path.cwd()}/")

    def child(self, name: str) -> str:
        """Return the path or URI of a file in the folder."""
        return f"{self.uri.rstrip('/')}/{name}"

    @property
    def parent(self) -> RunFolder:
        """The folder that contains this one."""
        return RunFolder(self.uri.rstrip("/").rpartition("/")[0])

    def folder(self, name: str) -> RunFolder:
        """Return a subfolder."""
        return RunFolder(self.child(name))

    def local_path(self, name: str) -> Path | None:
        """Return the path of a file in a local folder, None for a remote one."""
        filesystem, path = self._open(name)
        return Path(path) if isinstance(filesystem, fs.LocalFileSystem) else None

    def _open(self, name: str) -> tuple[fs.FileSystem, str]:
        filesystem, path = open_filesystem(self.uri)
        return filesystem, f"{path.rstrip('/')}/{name}"  # URIs do not allow all names

    @retry_outages
    def exists(self, name: str) -> bool:
        """Return whether the folder contains a file or folder of this name."""
        filesystem, path = self._open(name)
        return bool(filesystem.get_file_info(path).type != fs.FileType.NotFound)

    @retry_outages
    def written_at(self, name: str) -> datetime | None:
        """Return when a file was last written, in UTC, or None if it does not exist."""
        filesystem, path = self._open(name)
        time: datetime | None = filesystem.get_file_info(path).mtime
        return time

    @retry_outages
    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file atomically."""
        filesystem, path = self._open(name)
        with (
            write_atomically(filesystem, path) as temporary,
            filesystem.open_output_stream(temporary) as stream,
        ):
            stream.write(content)

    def write_text(self, name: str, text: str) -> None:
        """Write a UTF-8 file atomically."""
        self.write_bytes(name, text.encode())

    def read_text(self, name: str) -> str:
        """Read a UTF-8 file.

        Raises:
            UserError: the file does not exist.
        """
        return self.read_bytes(name).decode()

    @retry_outages
    def read_bytes(self, name: str) -> bytes:
        """Read a file.

        Raises:
            UserError: the file does not exist.
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
        """Delete a folder with all its files, if it exists."""
        filesystem, path = self._open(name)
        if self.exists(name):
            filesystem.delete_dir(path)

    @retry_outages
    def put_folder(self, local: Path, name: str) -> None:
        """Copy the files of a local folder to a folder that does not exist yet."""
        filesystem, path = self._open(name)
        filesystem.create_dir(path, recursive=True)
        fs.copy_files(str(local), path, fs.LocalFileSystem(), filesystem)

    @retry_outages
    def get_folder(self, name: str, local: Path) -> Path:
        """Return the path of a folder on this machine; a remote one is copied to `local`."""
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
        """List the names in a folder, sorted; a missing folder is empty."""
        return sorted(info.base_name for info in self._list(folder))

    def folders(self, folder: str = "") -> list[str]:
        """List the names of the folders in a folder, sorted; a missing folder is empty."""
        return sorted(
            info.base_name for info in self._list(folder) if info.type == fs.FileType.Directory
        )

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the bytes of each file in a folder, keyed by name; a missing folder is empty."""
        return {info.base_name: info.size for info in self._list(folder) if info.is_file}

    @retry_outages
    def files(self) -> list[str]:
        """List the relative paths of all files, including those in subfolders, sorted."""
        _, root = self._open("")
        files = [info.path for info in self._list("", recursive=True) if info.is_file]
        return sorted(file.removeprefix(root) for file in files)

    @retry_outages
    def copy_file(self, name: str, to: RunFolder) -> None:
        """Copy a file to the same place in another folder, atomically."""
        (source, path), (target, target_path) = self._open(name), to._open(name)
        with write_atomically(target, target_path) as temporary:
            fs.copy_files(path, temporary, source, target)

    def read_experiment(self) -> Experiment:
        """Read the experiment, with all its models.

        Raises:
            UserError: this is not a run folder, or the file cannot be read.
        """
        return read_experiment(self.read_text(EXPERIMENT))

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a Parquet file atomically."""
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        self.write_bytes(name, sink.getvalue().to_pybytes())

    def read_trials(self) -> list[TrialRecord]:
        """Read trials.parquet in file order."""
        return [name_ending(trial) for trial in self.read_rows(TrialRecord)]

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
            if not name.endswith(".parquet"):
                continue
            table = self._read_predictions(f"{PREDICTIONS}/{name}", columns)
            if table.num_rows:
                yield table["trial_id"][0].as_py(), table.drop_columns("trial_id")

    @retry_outages
    def _read_predictions(self, name: str, columns: list[str]) -> pa.Table:
        filesystem, path = self._open(name)
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

    @retry_outages
    def read_rows(self, row_type: type[Row]) -> list[Row]:
        """Read all rows of this type in file order; a missing file has none."""
        name = ROW_FILES[row_type]
        if not self.exists(name):
            return []
        filesystem, path = self._open(name)
        return rows_of(pq.read_table(path, filesystem=filesystem), row_type)

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the manifest; call it last, since it marks the run as ended."""
        self.write_text(MANIFEST, json.dumps(asdict(manifest), indent=2) + "\n")

    def read_manifest(self) -> Manifest:
        """Read the manifest.

        Raises:
            UserError: the manifest is missing: the run has not ended, or this is not a run folder.
        """
        if not self.exists(MANIFEST) and self.exists(TRIALS):
            raise UserError(
                f"{self.uri} has records but no manifest.json, so its run was killed or is still "
                f"running. Finish it with `raycompare run --resume {self.uri}`."
            )
        content = json.loads(self.read_text(MANIFEST))
        if content.get("format") != FORMAT:
            raise UserError(
                f"{self.child('manifest.json')} has format {content.get('format')}; this "
                f"raycompare reads format {FORMAT}. Use the version that wrote it: "
                f"{content.get('versions', {}).get('raycompare', 'unknown')}."
            )
        return Manifest(**content)


def resume_hint(folder: RunFolder) -> str:
    """Return the message about an interrupted run, with the command that continues it."""
    return (
        f"interrupted. Finished trials are kept; the others continue from their last checkpoint. "
        f"Continue with: raycompare run --resume {folder.shown}"
    )
