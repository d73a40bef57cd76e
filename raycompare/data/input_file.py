"""A file of data: its bytes, and its lines in UTF-8."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from raycompare.data.problems import DataProblems, cause_of, mistake

GZIP = ".gz"
BLOCK_BYTES = 2**22
"""Bytes that are read at once."""
BROKEN_GZIP = (gzip.BadGzipFile, EOFError, zlib.error)
"""Raised for compressed files that are damaged or cut off."""
_WIDE = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, because it starts with the same bytes
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_POINTER = b"version https://git-lfs.github.com/spec/"
_MOST_EXAMINED = 2**24
"""Bytes after the first one that isn't UTF-8 that are examined to name the encoding."""
_ONLY_WINDOWS = re.compile("[\udc80-\udc9f]")
"""Bytes that are letters and punctuation in Windows-1252, and control characters in Latin-1."""


def format_of(name: str) -> str:
    """Return the ending that selects a reader, such as .csv for a.csv.gz."""
    path = PurePosixPath(name.lower())
    return PurePosixPath(path.stem).suffix if path.suffix == GZIP else path.suffix


def stem_of(name: str) -> str:
    """Return the name of a file without its format and compression endings."""
    path = PurePosixPath(name)
    return PurePosixPath(path.stem).stem if path.suffix.lower() == GZIP else path.stem


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """A file, wherever its bytes are."""

    shown: str
    """Path or URI; for a file in an archive, followed by its path there."""
    open: Callable[[], BinaryIO]
    """Opens the bytes as they are stored, for reading at any position."""
    where: str = "data.dataset"
    """Key or option that names the file."""

    @property
    def ending(self) -> str:
        """The ending that selects a reader."""
        return format_of(self.shown)

    @property
    def is_compressed(self) -> bool:
        """Whether the file is compressed with gzip."""
        return self.shown.lower().endswith(GZIP)

    def fault(
        self, reason: object, hint: str | None = None, *, line: int | None = None
    ) -> DataProblems:
        """Return the error for a file that can't be read; `line` counts from 1."""
        place = f"{self.shown}:{line}" if line else self.shown
        found = f"{place} can't be read: {reason}"
        return DataProblems([mistake(self.where, found, self._allowed(reason), hint)])

    def _allowed(self, reason: object) -> str:
        if self.is_compressed and str(reason).startswith(tuple(e.__name__ for e in BROKEN_GZIP)):
            return "a complete gzip file"
        encoding = "" if self.ending == ".parquet" else " in UTF-8"
        return f"a well-formed {self.ending[1:]} file{encoding}"

    @contextmanager
    def stream(self) -> Iterator[BinaryIO]:
        """Open the content, decompressed, for reading at any position.

        Raises:
            DataProblems: the file only names the content, which git-lfs stores elsewhere.
        """
        with self.open() as stored:
            if stored.read(len(_POINTER)) == _POINTER:
                raise self.fault(
                    "it is a pointer of git-lfs, not the data",
                    "run `git lfs pull` in its repository, or download the file itself",
                )
            stored.seek(0)
            if not self.is_compressed:
                yield stored
                return
            with gzip.GzipFile(fileobj=stored) as plain:
                yield cast(BinaryIO, plain)

    def lines(self) -> Iterator[str]:
        """Yield the lines with their ends, without the byte order mark.

        Raises:
            DataProblems: the file is not in UTF-8.
        """
        with self.stream() as raw:
            stream = io.BufferedReader(cast(io.RawIOBase, raw), BLOCK_BYTES)
            for number, line in enumerate(stream, 1):
                if number == 1:
                    self._require_no_wide_mark(line)
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise self._not_utf8(error, stream, number) from error
                if "\0" in text:
                    raise self._nul_byte(line, number)
                yield text

    def _require_no_wide_mark(self, start: bytes) -> None:
        wide = next((name for mark, name in _WIDE.items() if start.startswith(mark)), None)
        if wide:
            raise self.fault(f"it is in {wide}", _convert(wide))

    def _not_utf8(
        self, error: UnicodeDecodeError, stream: BinaryIO | io.BufferedReader, line: int
    ) -> DataProblems:
        rest = stream.read(_MOST_EXAMINED)
        rest = rest[:-4] if len(rest) == _MOST_EXAMINED else rest  # may end within a character
        text = (error.object + rest).decode(errors="surrogateescape")
        encoding = ("Windows-1252", "WINDOWS-1252") if _ONLY_WINDOWS.search(text) else LATIN_1
        hint = f"if it is in {encoding[0]}, {_convert(encoding[1])}"
        return self.fault(cause_of(error), hint, line=line)

    def _nul_byte(self, start: bytes, line: int) -> DataProblems:
        # In UTF-16, the NUL byte of a Latin letter comes second, or first if it is big-endian.
        wide = "UTF-16BE" if start.index(b"\0") % 2 == 0 else "UTF-16LE"
        return self.fault("a NUL byte", f"if it is in UTF-16, {_convert(wide)}", line=line)


LATIN_1 = ("Latin-1", "LATIN1")


def _convert(encoding: str) -> str:
    return f"convert it with `iconv -f {encoding} -t UTF-8 FILE > NEW`"
