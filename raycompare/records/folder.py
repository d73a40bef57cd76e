"""A folder of files, on any filesystem of pyarrow.

Each file is written under a temporary name and moved into place, so that a reader never sees half
of one. Names that lead out of the folder are refused, since they may come from files of others.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from pyarrow import fs

from raycompare.errors import DamagedError, UserError, reading
from raycompare.records.storage import absolute, open_filesystem, retry_outages, write_atomically

MOST_BYTES = 2**30
"""Maximum size of a file that is read as a whole."""


def _require_inside(place: str, name: str) -> None:
    """Refuse names that lead out of a folder.

    Raises:
        DamagedError: the name is such a one.
    """
    if ".." in name.split("/") or name.startswith("/") or "\0" in name:
        raise DamagedError(
            f"{place}: found the file name {name!a:.200}, which leads out of the folder. "
            "It was not written by raycompare; nothing was read or changed there."
        )


@dataclass(frozen=True)
class Folder:
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
    def parent(self) -> Self:
        """The folder that contains this one."""
        return type(self)(self.uri.rstrip("/").rpartition("/")[0])

    def folder(self, name: str) -> Self:
        """Return a subfolder."""
        _require_inside(self.uri, name)
        return type(self)(self.child(name))

    def local_path(self, name: str) -> Path | None:
        """Return the path of a file in a local folder, None for a remote one."""
        filesystem, path = self._open(name)
        return Path(path) if isinstance(filesystem, fs.LocalFileSystem) else None

    def _open(self, name: str) -> tuple[fs.FileSystem, str]:
        _require_inside(self.uri, name)
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
            UserError: the file does not exist, or can't be read.
        """
        with reading(self.child(name)):
            return self.read_bytes(name).decode()

    @retry_outages
    def read_bytes(self, name: str) -> bytes:
        """Read a file.

        Raises:
            UserError: the file does not exist, or is a folder or device.
        """
        self._require_file(name)
        filesystem, path = self._open(name)
        with filesystem.open_input_stream(path) as stream:
            return bytes(stream.read())

    def _require_file(self, name: str) -> None:
        filesystem, path = self._open(name)
        info = filesystem.get_file_info(path)
        if info.type == fs.FileType.NotFound:
            raise UserError(
                f"{self.child(name)} does not exist. Expected a run folder, as written by "
                "`raycompare run`; a run prints its path at the start, and `raycompare ls` lists "
                "runs."
            )
        if not info.is_file:
            raise DamagedError(f"{self.child(name)} is a folder or a device. Expected a file.")
        if info.size > MOST_BYTES:
            raise DamagedError(
                f"{self.child(name)} has {info.size:,} bytes; raycompare reads files of run folders"
                f" with at most {MOST_BYTES:,}."
            )

    def require_own(self, folders: Iterable[str]) -> None:
        """Check that folders to be written to are no links to places elsewhere.

        Raises:
            DamagedError: one is.
        """
        for name in folders:
            path = self.local_path(name)
            if path is not None and path.is_symlink():
                raise DamagedError(f"{path} is a link. Replace it by a folder; nothing is written.")

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
    def infos(self, folder: str, recursive: bool = False) -> list[fs.FileInfo]:
        """Return what is in a folder; a missing one is empty."""
        filesystem, path = self._open(folder)
        selector = fs.FileSelector(path.rstrip("/"), allow_not_found=True, recursive=recursive)
        return list(filesystem.get_file_info(selector))

    def names(self, folder: str) -> list[str]:
        """List the names in a folder, sorted; a missing folder is empty."""
        return sorted(info.base_name for info in self.infos(folder))

    def folders(self, folder: str = "") -> list[str]:
        """List the names of the folders in a folder, sorted; a missing folder is empty."""
        return sorted(
            info.base_name for info in self.infos(folder) if info.type == fs.FileType.Directory
        )

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the bytes of each file in a folder, keyed by name; a missing folder is empty."""
        return {info.base_name: info.size for info in self.infos(folder) if info.is_file}

    @retry_outages
    def files(self) -> list[str]:
        """List the relative paths of all files, including those in subfolders, sorted.

        Raises:
            DamagedError: a local folder has a link to a place outside of it.
        """
        if (local := self.local_path("")) is not None:
            return _local_files(local)
        _, root = self._open("")
        files = [info.path for info in self.infos("", recursive=True) if info.is_file]
        return sorted(file.removeprefix(root) for file in files)

    @retry_outages
    def copy_file(self, name: str, to: Folder) -> None:
        """Copy a file to the same place in another folder, atomically."""
        (source, path), (target, target_path) = self._open(name), to._open(name)
        with write_atomically(target, target_path) as temporary:
            fs.copy_files(path, temporary, source, target)


def _local_files(folder: Path) -> list[str]:
    """List all files of a local folder; links to folders are not followed."""
    files = []
    for place, folders, names in os.walk(folder):
        for path in (Path(place) / name for name in (*folders, *names)):
            if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
                raise DamagedError(
                    f"{path} is a link out of the folder. Replace it by the file or folder."
                )
        files += [path for path in (Path(place) / name for name in names) if path.is_file()]
    return sorted(path.relative_to(folder).as_posix() for path in files)
