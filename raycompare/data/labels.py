"""Reads, names, renames, merges and checks the labels of a data set."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import ClassLabel, Dataset

from raycompare.data import columns
from raycompare.data.problems import alike, few, mistake, rows_in_words
from raycompare.errors import Problem
from raycompare.experiment.spec import DataSpec

_BOOLEANS = ("true", "false")
"""Boolean labels as written in YAML; those of a column of booleans are called True and False."""
_INVISIBLE = ("Cf", "Cc")
"""Unicode categories of characters that can't be seen: format and control characters."""

_CONTROLS = re.compile("[\x80-\x9f]")

Ints = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class LabelColumn:
    """The labels of one split as stored."""

    values: tuple[Any, ...]
    """The different labels."""
    codes: Ints
    """Place of each row's label in `values`; -1 for a row without a label: [rows]."""

    @classmethod
    def of(cls, split: Dataset, column: str) -> LabelColumn:
        """Read the labels of a split."""
        labels = columns.values(split, column)
        if pa.types.is_string_view(labels.type):  # which arrow can't encode
            labels = labels.cast(pa.large_string())
        encoded = labels.combine_chunks().dictionary_encode()
        stored = tuple(encoded.dictionary.to_pylist())
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        empty = [place for place, value in enumerate(stored) if columns.is_empty(value)]
        return cls(stored, np.where(np.isin(codes, empty), -1, codes))

    @property
    def occurring(self) -> list[Any]:
        """The different labels that are not empty."""
        return [value for value in self.values if not columns.is_empty(value)]


@dataclass(frozen=True)
class Labels:
    """The labels of all splits in use."""

    spec: DataSpec
    splits: Mapping[str, Dataset]
    train: str
    """Name of the training split."""

    @cached_property
    def _columns(self) -> dict[str, LabelColumn]:
        return {
            name: LabelColumn.of(split, self.spec.label)
            for name, split in self.splits.items()
            if columns.is_readable("data.label", self.spec.label, split)
        }

    def has(self, split: str) -> bool:
        """Return whether a split has a readable column of labels."""
        return split in self._columns

    @cached_property
    def _unmapped(self) -> dict[str, list[str | None]]:
        """Names of the different labels of each split, before renaming."""
        return {name: self._name_values(name) for name in self._columns}

    def _name_values(self, split: str) -> list[str | None]:
        # With a map, `label_names` is the order of the new names.
        names = self._own_names(split) or (None if self.spec.label_map else self.spec.label_names)
        return [_name(value, names) for value in self._columns[split].values]

    @cached_property
    def _map(self) -> dict[str, str]:
        return spell_booleans(self.spec.label_map or {}, self._all_unmapped)

    @cached_property
    def _named(self) -> dict[str, list[str | None]]:
        """Names of the different labels of each split, after renaming."""
        return {
            split: [name if name is None else self._map.get(name, name) for name in names]
            for split, names in self._unmapped.items()
        }

    def _own_names(self, split: str) -> tuple[str, ...]:
        feature = self.splits[split].features[self.spec.label]
        return tuple(feature.names) if isinstance(feature, ClassLabel) else ()

    @cached_property
    def _own(self) -> tuple[str, ...]:
        """Label names that the data set defines, after renaming."""
        names = self._own_names(self.train)
        return tuple(dict.fromkeys(self._map.get(name, name) for name in names))

    @cached_property
    def _distinct(self) -> list[Any]:
        return sorted(self.seen if self._map else self._columns[self.train].occurring)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Label names in the order of their ids."""
        return self._own or self.spec.label_names or tuple(map(str, self._distinct))

    @cached_property
    def seen(self) -> set[str]:
        """Names of the labels that occur in train."""
        return {name for name in self._named[self.train] if name is not None}

    def ids(self, split: str) -> Ints:
        """Return the id of each row's label; -1 for a label that has none: [rows]."""
        number = {name: index for index, name in enumerate(self.names)}
        ids = [-1 if name is None else number.get(name, -1) for name in self._named[split]]
        return np.array([*ids, -1])[self._columns[split].codes]  # code -1 is the last

    def name_problems(self) -> Iterator[Problem]:
        """Find names that are unknown, redundant, or of the wrong number."""
        yield from self._map_problems()
        names, stored = self.spec.label_names, self._distinct
        if names is None or names == self._own:
            return
        allowed = f"{len(stored)} different names, for {few(stored)}"
        if self._own:
            allowed = f"none: the data set itself names its labels {few(self._own)}"
        if self._own or len(set(names)) != len(stored):
            yield mistake("data.label_names", f"{len(names)} names: {few(names)}", allowed)

    def _map_problems(self) -> Iterator[Problem]:
        labels = self._all_unmapped
        spelled = {label.casefold() for label in labels}
        for name in self.spec.label_map or {}:
            if name not in (spelled if name in _BOOLEANS else labels):
                yield mistake(
                    f"data.label_map.{name}",
                    f"{name!r}, which is not the label of any row",
                    f"labels of the data: {few(sorted(labels))}",
                    alike(name, labels) or "remove it",
                )

    @property
    def stored(self) -> set[str]:
        """The labels of all splits as they are in the files."""
        return {str(value) for column in self._columns.values() for value in column.occurring}

    @cached_property
    def _all_unmapped(self) -> set[str]:
        """The labels of all splits before renaming."""
        own = {name for split in self._unmapped for name in self._own_names(split)}
        return own | {name for names in self._unmapped.values() for name in names if name}

    def problems(self) -> Iterator[Problem]:
        """Find a single label, and labels that train doesn't have."""
        if len(self.seen) == 1:
            only = f"one label in split {self.train!r}: {few(self.seen)}"
            yield mistake("data.label", only, "at least two labels")
        for split, labels in self._named.items():
            valid = set(self.names) if split == self.train else self.seen
            unknown = {
                place: name for place, name in enumerate(labels) if name and name not in valid
            }
            if unknown:
                names = sorted(set(unknown.values()))
                rows = np.flatnonzero(np.isin(self._columns[split].codes, [*unknown])).tolist()
                where = f"{few(map(repr, names))} in split {split!r}, {rows_in_words(rows)}"
                allowed = f"labels of {self.train!r}: {few(sorted(valid))}"
                yield mistake("data.label", where, allowed, alike(names[0], valid))

    def notes(self) -> Iterator[str]:
        """Report labels that are valid but may not be intended."""
        unchanged = sorted(self._all_unmapped - self._map.keys())
        if self._map and unchanged:
            shown = few(map(repr, unchanged), 20)
            yield f"labels that are not in data.label_map keep their names: {shown}"
        controls = [name for name in sorted(self.stored) if _CONTROLS.search(name)]
        if controls:
            yield (
                f"labels with control characters U+0080 to U+009F: {few(map(ascii, controls))}; "
                "the file was probably converted as Latin-1 although it was in Windows-1252"
            )
        looks: dict[str, list[str]] = {}
        for name in sorted(self.seen):
            looks.setdefault(_appearance(name), []).append(name)
        for names in looks.values():
            if len(names) > 1:
                yield (
                    f"labels that look alike, and differ only in case, whitespace, invisible or "
                    f"composed characters: {few(map(_show_exactly, names))}; "
                    "data.label_map can merge them"
                )


def spell_booleans(label_map: Mapping[str, str], labels: Collection[str]) -> dict[str, str]:
    """Return a map in which the keys true and false also rename True, TRUE, False and FALSE.

    YAML has only one spelling of a boolean. A key that is a label itself renames nothing else.
    """
    return {
        **{
            label: label_map[label.casefold()]
            for label in labels
            if label.casefold() in _BOOLEANS
            and label.casefold() in label_map
            and label.casefold() not in labels
        },
        **label_map,
    }


def _appearance(name: str) -> str:
    """Return what labels that look the same have in common."""
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    shown = " ".join(plain.split())
    return "".join(c for c in shown if unicodedata.category(c) not in _INVISIBLE)


def _show_exactly(name: str) -> str:
    return repr(name) if name.isascii() else f"{name!r} ({name!a})"


def _name(value: str | int | None, names: tuple[str, ...] | None) -> str | None:
    if value is None or columns.is_empty(value):
        return None
    if names is None or isinstance(value, str):
        return str(value)
    return names[value] if 0 <= value < len(names) else f"{value} (out of range)"
