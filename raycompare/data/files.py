"""Finds the files of a data set, on disk, in a bucket or in an archive, and the split of each.

All filesystems of pyarrow are supported: `s3://`, `gs://`, `hdfs://` and whatever else
`FileSystem.from_uri` knows, which are those that runs can be written to.
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

from raycompare.data.input_file import format_of, stem_of
from raycompare.data.problems import cause_of, few, not_data
from raycompare.data.readers import ENDINGS, READERS
from raycompare.errors import UserError
from raycompare.records.storage import SCHEMES, open_filesystem, retry_outages

ZIP = ".zip"
_SHARD = re.compile(r"-\d+-of-\d+$")
"""Numbers that the hub appends to the files of one split: train-00000-of-00002.parquet."""
_GLOB = re.compile(r"[*\[]")
_ODD_ZIP = (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError, ValueError)
"""Raised for archives that are damaged, truncated, encrypted, or compressed in an unknown way."""


@dataclass(frozen=True)
class DataFile:
    """A file of a data set that has not been read yet."""

    shown: str
    """Path or URI; for a file in an archive, followed by its path there."""
    read: Callable[[], bytes]
    split: str | None = None
    """The split that the file, or its folder, is named after."""
    is_part: bool = False
    """Whether the split may have other files too."""


@dataclass(frozen=True)
class Location:
    """A file, a folder, or a pattern for files."""

    filesystem: fs.FileSystem
    path: str
    scheme: str = ""
    """Start of the URI, such as `s3://`, so that messages show paths as users write them."""

    @classmethod
    def at(cls, dataset: str) -> Location:
        """Return the location of `dataset` in an experiment file.

        Raises:
            DataProblems: pyarrow has no filesystem for the URI.
        """
        if "://" not in dataset:
            return cls(*open_filesystem(dataset))
        kind = dataset.partition("://")[0]
        allowed = "a URI such as s3://bucket/data or gs://bucket/data"
        hint = "download it and use its path" if dataset.startswith("http") else None
        if kind.lower() not in SCHEMES:
            raise not_data(f"{dataset!r}, and no filesystem for {kind}://", allowed, hint)
        # Characters after the first star could be taken for other parts of the URI.
        head = _GLOB.split(dataset)[0].rpartition("/")[0] if _GLOB.search(dataset) else dataset
        try:
            filesystem, path = open_filesystem(head)
        except UserError as error:
            raise not_data(str(error), allowed) from error
        except (OSError, ValueError, ImportError, pa.ArrowException) as error:
            raise not_data(f"{dataset!r}: {cause_of(error)}", allowed) from error
        return cls(filesystem, path + dataset[len(head) :].partition("?")[0], f"{kind}://")

    @property
    def is_pattern(self) -> bool:
        """Whether the path has a star or a set of characters."""
        return bool(_GLOB.search(self.path))

    @property
    def shown(self) -> str:
        """The location as a user would write it."""
        return self.scheme + self.path

    @retry_outages
    def kind(self, path: str | None = None) -> fs.FileType:
        """Return the type of file at a path; default: the location itself."""
        return self.filesystem.get_file_info(path or self.path).type

    @retry_outages
    def names(self, path: str | None = None) -> list[str]:
        """List the names in the folder, sorted."""
        if not self.scheme:  # pyarrow omits dangling links
            return sorted(entry.name for entry in Path(path or self.path).iterdir())
        selector = fs.FileSelector(path or self.path)
        return sorted(info.base_name for info in self.filesystem.get_file_info(selector))

    @retry_outages
    def matches(self) -> list[str]:
        """List the paths that match the pattern, sorted; `**` matches folders at any depth."""
        if not self.scheme:
            path = Path(self.path)
            return sorted(map(str, Path(path.anchor).glob(str(path.relative_to(path.anchor)))))
        return sorted(ArrowFSWrapper(self.filesystem).glob(self.path))

    def file(self, path: str) -> DataFile:
        """Return the file at a path on this filesystem."""
        return DataFile(self.scheme + path, partial(self._read, path))

    @retry_outages
    def _read(self, path: str) -> bytes:
        kind = self.kind(path)
        if kind == fs.FileType.NotFound:
            raise FileNotFoundError("there is no such file, or it is a dangling link")
        if kind != fs.FileType.File:
            raise IsADirectoryError("it is not a file, but a folder, a pipe or a device")
        with self.filesystem.open_input_stream(path, compression=None) as stream:
            return bytes(stream.read())

    def folder_files(self, splits: Collection[str]) -> list[DataFile]:
        """Return the files of a folder that are named after a split, or in a folder that is."""
        files: list[DataFile] = []
        for name in self.names():
            path = f"{self.path.rstrip('/')}/{name}"
            split = _split_of(name, splits)
            if split and self.kind(path) == fs.FileType.Directory:
                inner = [file for file in self.names(path) if format_of(file) in READERS]
                parts = [self.file(f"{path}/{file}") for file in inner]
                files += [replace(file, split=split, is_part=True) for file in parts]
            elif format_of(name) in READERS:
                files.append(_add_split(self.file(path), splits))
        return [file for file in files if file.split]

    def pattern_files(self, splits: Collection[str]) -> list[DataFile]:
        """Return the files that match the pattern; all are train if none is named after a split.

        Raises:
            DataProblems: no file matches, a format is unknown, or only some have a split's name.
        """
        paths = [path for path in self.matches() if self.kind(path) != fs.FileType.Directory]
        odd = [path for path in paths if format_of(path) not in READERS]
        if odd:
            raise not_data(f"{few(odd)}, matched by {self.shown}", f"files that end in {ENDINGS}")
        if not paths:
            raise not_data(f"no files that match {self.shown}", f"files that end in {ENDINGS}")
        return _all_or_none([_add_split(self.file(path), splits) for path in paths], self.shown)

    def zip_files(self, splits: Collection[str]) -> list[DataFile]:
        """Return the data files in an archive; all are train if none is named after a split.

        Raises:
            DataProblems: the archive is damaged, or has no data files.
        """
        try:
            archive = zipfile.ZipFile(BytesIO(self._read(self.path)))
            names = sorted(filter(_is_data, archive.namelist()))
        except _ODD_ZIP as error:
            reason = f"{self.shown} can't be read: {cause_of(error)}"
            raise not_data(reason, "a complete zip file") from error
        if not names:
            content = f"{self.shown} with {few(archive.namelist()) or 'nothing in it'}"
            raise not_data(content, f"an archive with files that end in {ENDINGS}")
        files = [DataFile(f"{self.shown}/{name}", partial(_unzip, archive, name)) for name in names]
        return _all_or_none([_add_split(file, splits) for file in files], self.shown)


def _is_data(name: str) -> bool:
    # macOS adds a file of metadata for each file.
    hidden = any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)
    return not hidden and format_of(name) in READERS


def _unzip(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except _ODD_ZIP as error:
        raise OSError(str(error)) from error


def _add_split(file: DataFile, splits: Collection[str]) -> DataFile:
    stem, folder = stem_of(PurePosixPath(file.shown).name), PurePosixPath(file.shown).parent.name
    if split := _split_of(stem, splits):
        return replace(file, split=split)
    split = _split_of(_SHARD.sub("", stem), splits) or _split_of(folder, splits)
    return replace(file, split=split, is_part=True) if split else file


def _split_of(name: str, splits: Collection[str]) -> str | None:
    """Return the split that a file or folder is named after, in any case."""
    if name in splits:
        return name
    return next((split for split in sorted(splits) if split.casefold() == name.casefold()), None)


def _all_or_none(files: Sequence[DataFile], shown: str) -> list[DataFile]:
    """Assign all files to train if none is named after a split; refuse a mixture."""
    unnamed = [file.shown for file in files if not file.split]
    if len(unnamed) == len(files):
        return [replace(file, split="train", is_part=True) for file in files]
    if unnamed:
        mixture = f"{shown}: {few(unnamed)} belong to no split, unlike its other files"
        raise not_data(mixture, "all files named after a split, or none, which makes all train")
    return list(files)
