"""Where the files of a data set are: on a disk, in a bucket, in an archive; and of which split.

Files are found by pyarrow's filesystems: `s3://`, `gs://`, `hdfs://` and whatever else
`FileSystem.from_uri` knows, so that data is read from where runs are written to.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath

import pyarrow as pa
from fsspec.implementations.arrow import ArrowFSWrapper
from pyarrow import fs

from raycompare.data.problems import cause_of, few, not_data
from raycompare.data.readers import ENDINGS, READERS, format_of, stem_of
from raycompare.records.storage import open_filesystem, retry_outages

ZIP = ".zip"
_SHARD = re.compile(r"-\d+-of-\d+$")
"""How the hub numbers the files of one split: train-00000-of-00002.parquet."""
_GLOB = re.compile(r"[*\[]")
_ODD_ZIP = (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError, ValueError)
"""Damaged, encrypted, compressed by a method that Python lacks, or cut off."""


@dataclass(frozen=True)
class DataFile:
    """A file of a data set; nothing of it has been read."""

    shown: str
    """Its path or URI; in an archive the path goes on."""
    read: Callable[[], bytes]
    split: str | None = None
    """The split that its name, or the folder it is in, is that of."""
    is_part: bool = False
    """Whether a split may have more than this one file."""


@dataclass(frozen=True)
class Location:
    """A file, a folder, or a pattern that files are to match."""

    filesystem: fs.FileSystem
    path: str
    scheme: str = ""
    """What a URI has before the path, so that messages can name files as users do."""

    @classmethod
    def at(cls, dataset: str) -> Location:
        """Name the place that an experiment file means.

        Raises:
            DataProblems: a URI that pyarrow has no filesystem for.
        """
        if "://" not in dataset:
            return cls(*open_filesystem(dataset))
        # What is behind the first star would be taken for a part of the URI.
        head = _GLOB.split(dataset)[0].rpartition("/")[0] if _GLOB.search(dataset) else dataset
        try:
            filesystem, path = open_filesystem(head)
        except (OSError, ValueError, ImportError, pa.ArrowException) as error:
            allowed = "a URI such as s3://bucket/data or gs://bucket/data"
            hint = "download it, and give the path" if dataset.startswith("http") else None
            raise not_data(f"{dataset!r}: {cause_of(error)}", allowed, hint) from error
        scheme = f"{dataset.partition('://')[0]}://"
        return cls(filesystem, path + dataset[len(head) :].partition("?")[0], scheme)

    @property
    def is_pattern(self) -> bool:
        """Whether the path has a star or a set of characters in it."""
        return bool(_GLOB.search(self.path))

    @property
    def shown(self) -> str:
        """The place as a user would write it."""
        return self.scheme + self.path

    @retry_outages
    def kind(self, path: str | None = None) -> fs.FileType:
        """Say what there is."""
        return self.filesystem.get_file_info(path or self.path).type

    @retry_outages
    def names(self, path: str | None = None) -> list[str]:
        """List the names in the folder, sorted."""
        if not self.scheme:  # pyarrow leaves out links to what is gone
            return sorted(entry.name for entry in Path(path or self.path).iterdir())
        selector = fs.FileSelector(path or self.path)
        return sorted(info.base_name for info in self.filesystem.get_file_info(selector))

    @retry_outages
    def matches(self) -> list[str]:
        """List the paths that match the pattern, sorted; `**` stands for folders below folders."""
        if not self.scheme:
            path = Path(self.path)
            found = Path(path.anchor).glob(str(path.relative_to(path.anchor)))
            return sorted(map(str, found))
        return sorted(ArrowFSWrapper(self.filesystem).glob(self.path))

    def file(self, path: str) -> DataFile:
        """Name a file of this place."""
        return DataFile(self.scheme + path, partial(self._read, path))

    @retry_outages
    def _read(self, path: str) -> bytes:
        kind = self.kind(path)
        if kind == fs.FileType.NotFound:
            raise FileNotFoundError("there is no such file, or it is a link to one that is gone")
        if kind != fs.FileType.File:
            raise IsADirectoryError("it is no file, but a folder, a pipe or a device")
        with self.filesystem.open_input_stream(path, compression=None) as stream:
            return bytes(stream.read())

    def folder_files(self, splits: Collection[str]) -> list[DataFile]:
        """Return the files of a folder that are named for a split, or are in a folder that is."""
        found = []
        for name in self.names():
            path = f"{self.path.rstrip('/')}/{name}"
            if name in splits and self.kind(path) == fs.FileType.Directory:
                inner = [file for file in self.names(path) if format_of(file) in READERS]
                files = [self.file(f"{path}/{file}") for file in inner]
                found += [replace(file, split=name, is_part=True) for file in files]
            elif format_of(name) in READERS:
                found.append(_of_split(self.file(path), splits))
        return [file for file in found if file.split]

    def pattern_files(self, splits: Collection[str]) -> list[DataFile]:
        """Return the files that match the pattern; all of train if none is named for a split.

        Raises:
            DataProblems: none does, or one has no reader, or only some are named for a split.
        """
        paths = [path for path in self.matches() if self.kind(path) != fs.FileType.Directory]
        odd = [path for path in paths if format_of(path) not in READERS]
        if odd or not paths:
            found = f"{few(odd)}, which {self.shown} matches" if odd else "no file that matches"
            raise not_data(found if odd else f"{self.shown}: {found}", f"files {ENDINGS}")
        return _all_or_none([_of_split(self.file(path), splits) for path in paths], self.shown)

    def zip_files(self, splits: Collection[str]) -> list[DataFile]:
        """Return the data files in an archive; one alone is train.

        Raises:
            DataProblems: it is no whole archive, or has no data files.
        """
        try:
            archive = zipfile.ZipFile(BytesIO(self._read(self.path)))
            names = sorted(filter(_is_data, archive.namelist()))
        except _ODD_ZIP as error:
            raise not_data(
                f"{self.shown} can't be read: {cause_of(error)}", "a whole zip file"
            ) from error
        if not names:
            found = f"{self.shown} with {few(archive.namelist()) or 'nothing in it'}"
            raise not_data(found, f"an archive of files {ENDINGS}")
        files = [DataFile(f"{self.shown}/{name}", partial(_unzip, archive, name)) for name in names]
        return _all_or_none([_of_split(file, splits) for file in files], self.shown)


def _is_data(name: str) -> bool:
    # macOS puts a file of its own beside each.
    hidden = any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)
    return not hidden and format_of(name) in READERS


def _unzip(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except _ODD_ZIP as error:
        raise OSError(str(error)) from error


def _of_split(file: DataFile, splits: Collection[str]) -> DataFile:
    stem, folder = stem_of(PurePosixPath(file.shown).name), PurePosixPath(file.shown).parent.name
    if stem in splits:
        return replace(file, split=stem)
    if _SHARD.sub("", stem) in splits:
        return replace(file, split=_SHARD.sub("", stem), is_part=True)
    return replace(file, split=folder, is_part=True) if folder in splits else file


def _all_or_none(files: Sequence[DataFile], shown: str) -> list[DataFile]:
    """Have files that are not named for a split be train, if none is."""
    named = [file for file in files if file.split]
    if not named:
        return [replace(file, split="train", is_part=True) for file in files]
    unnamed = [file.shown for file in files if not file.split]
    if unnamed:
        found = f"{shown}: of its files {few(unnamed)} belong to no split, others do"
        raise not_data(
            found, "files that are all named for a split, or none, which makes all train"
        )
    return list(files)
