"""Reads JSON: an object on each line, or an array of objects."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

from raycompare.data.chunks import Chunk, NoObject
from raycompare.data.input_file import InputFile
from raycompare.data.problems import cause_of

NOT_JSON = (ValueError, RecursionError)
"""Raised by the decoder for text that isn't JSON, or is nested too deeply."""
NO_OBJECT = "it is not a JSON object"
ARRAY = "it is an array; a file of one array ends in .json, one of an object per line in .jsonl"
_BLANKS = re.compile(r"[ \t\r\n]*")


class _Repeating(dict[str, Any]):
    """An object that has a key twice."""

    twice: frozenset[str] = frozenset()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    repeating = _Repeating(made)
    counts = Counter(key for key, _ in pairs)
    repeating.twice = frozenset(key for key in made if counts[key] > 1)
    return repeating


def _integer(digits: str) -> int | str:
    try:
        return int(digits)
    except ValueError:  # thousands of digits
        return digits


# NaN and infinities are not JSON; Python writes NaN for a missing value.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_constant=lambda _: None
)

Items = Iterable[tuple[int | None, Any]]
"""Line of each item, if it is known, and the item: an object or a NoObject."""


class _JsonRows:
    """Objects with any keys, in the order of the file."""

    metadata: Mapping[bytes, bytes] = {}

    def __init__(self, file: InputFile) -> None:
        """Read nothing yet."""
        self._file = file

    def _items(self) -> Items:
        raise NotImplementedError

    def columns(self, wanted: Collection[str] = ()) -> list[str]:
        """Return the keys of all objects, or of the first ones if they have all that are wanted."""
        names: dict[str, None] = {}
        odd: NoObject | None = None
        for _, item in self._items():
            if isinstance(item, NoObject):
                odd = odd or item
            elif not item.keys() <= names.keys():
                names.update(dict.fromkeys(item))
                if wanted and names.keys() >= set(wanted):
                    break
        if odd and not names:
            raise self._file.fault(odd.reason, line=odd.line)
        return list(names)

    def read(self, columns: Sequence[str], rows: int, _part: int | None = None) -> Iterator[Chunk]:
        """Yield values of any type in chunks of at most `rows` rows; a missing one is None."""
        items = iter(self._items())
        while batch := list(islice(items, rows)):
            for line, item in batch:
                if isinstance(item, _Repeating):
                    self._require_once(item, columns, line)
            yield Chunk(
                len(batch),
                [
                    [item.get(name) if isinstance(item, dict) else item for _, item in batch]
                    for name in columns
                ],
            )

    def _require_once(self, item: _Repeating, columns: Sequence[str], line: int | None) -> None:
        for name in columns:
            if name in item.twice:
                reason = f"an object has the key {name!r} twice"
                raise self._file.fault(reason, "remove one of them", line=line)


class JsonLines(_JsonRows):
    """An object on each line; blank lines are skipped."""

    def _items(self) -> Items:
        for number, line in enumerate(self._file.lines(), 1):
            if line.strip():
                yield number, _decode(line, number)


def _decode(line: str, number: int) -> Any:
    try:
        item = _DECODER.decode(line)
    except NOT_JSON as error:
        return NoObject(ARRAY if line.lstrip().startswith("[") else cause_of(error), number)
    if isinstance(item, dict):
        return item
    return NoObject(ARRAY if isinstance(item, list) else NO_OBJECT, number)


class JsonArray(_JsonRows):
    """An array of objects, or objects one after another; the whole file is read at once."""

    def _items(self) -> Items:
        return [(None, item) for item in self._all]

    @cached_property
    def _all(self) -> list[Any]:
        text = "".join(self._file.lines())
        try:
            items = _DECODER.decode(text) if text.lstrip().startswith("[") else list(_split(text))
        except NOT_JSON as error:
            raise self._file.fault(cause_of(error)) from error
        return [
            item if isinstance(item, dict) else NoObject(f"item {row} is not an object")
            for row, item in enumerate(items)
        ]


def _split(text: str) -> Iterator[Any]:
    at = _skip_blanks(text, 0)
    while at < len(text):
        item, end = _DECODER.raw_decode(text, at)
        yield item
        at = _skip_blanks(text, end)


def _skip_blanks(text: str, at: int) -> int:
    blanks = _BLANKS.match(text, at)
    return blanks.end() if blanks else at
