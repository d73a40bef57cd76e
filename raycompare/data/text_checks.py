"""Texts that are valid, but that a file probably didn't mean to have."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raycompare.data.problems import rows_in_words

_CONTROLS = r"[\x{80}-\x{9f}]"
_MOST_LABELS = 200
"""Most labels that lines of a text are searched for."""


class TextChecks:
    """Counts odd texts, in as many parts as they are read in."""

    def __init__(self, separator: str | None = None, labels: Collection[str] = ()) -> None:
        """Look for rows of a file with a separator in its texts; unless it is a tab, by labels."""
        self._separator, self._labels = separator, sorted(labels)[:_MOST_LABELS]
        self._controls: list[int] = []
        self._rows: list[int] = []

    def add(self, first: int, texts: pa.Array | pa.ChunkedArray) -> None:
        """Count texts of rows from number `first` on."""
        is_ascii = pc.fill_null(pc.string_is_ascii(texts), True)
        if not pc.all(is_ascii).as_py():  # which takes a tenth of the time
            self._controls += _numbers(first, pc.match_substring_regex(texts, _CONTROLS))
        pattern = self._row_pattern
        if pattern is None:
            return
        has_break = pc.fill_null(pc.match_substring(texts, "\n"), False)
        if pc.any(has_break).as_py():
            self._rows += _numbers(
                first, pc.and_(has_break, pc.match_substring_regex(texts, pattern))
            )

    @property
    def _row_pattern(self) -> str | None:
        """Pattern of texts that have other rows in them, if they have a line break."""
        if self._separator == "\t":
            return "\t"
        if self._separator is None or not self._labels:
            return None
        labels = "|".join(map(re.escape, self._labels))
        return f'{self._separator}"?(?:{labels})"?[{self._separator}\r\n]'

    def lines(self, column: str) -> Iterator[str]:
        """Describe the odd texts of a column."""
        if self._controls:
            yield (
                f"{column} has control characters U+0080 to U+009F in "
                f"{rows_in_words(self._controls)}: the file was probably converted as Latin-1 "
                "although it was in Windows-1252. Convert the original with "
                "`iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW`"
            )
        if self._rows:
            between = (
                "a tab and a line break" if self._separator == "\t" else "a label at a line end"
            )
            yield (
                f"{column} has {between} inside a text in {rows_in_words(self._rows)}: look at "
                "them, because a quotation mark that opens a field may have swallowed other rows"
            )


def _numbers(first: int, mask: pa.Array | pa.ChunkedArray) -> list[int]:
    filled = pc.fill_null(mask, False)
    return [first + int(row) for row in np.flatnonzero(filled.to_numpy(zero_copy_only=False))]
