"""The labels of a data set: read from its columns, named, renamed and merged, and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
from datasets import ClassLabel, Dataset

from raycompare.data import columns
from raycompare.data.problems import alike, few, mistake, rows_in_words
from raycompare.errors import Problem
from raycompare.experiment.spec import DataSpec

_BOOLEANS = ("true", "false")
"""As YAML writes them; the labels of a column of booleans are called True and False."""


@dataclass(frozen=True)
class Labels:
    """The labels of the splits that are used."""

    spec: DataSpec
    splits: Mapping[str, Dataset]
    train: str
    """The name of the split that is learned from."""

    @cached_property
    def rows(self) -> dict[str, list[str | None]]:
        """The name of each row's label, for the splits that have a column of labels."""
        map_ = self._map
        return {
            split: [name if name is None else map_.get(name, name) for name in names]
            for split, names in self._unmapped.items()
        }

    @cached_property
    def _unmapped(self) -> dict[str, list[str | None]]:
        return {
            name: self._label_column(name)
            for name, split in self.splits.items()
            if columns.is_readable("data.label", self.spec.label, split)
        }

    def _label_column(self, split: str) -> list[str | None]:
        # With a map, `label_names` is the order of the names that it makes.
        given = self._own_names(split) or (None if self._map else self.spec.label_names)
        return [_name(value, given) for value in self._stored(split)]

    @cached_property
    def _map(self) -> dict[str, str]:
        map_ = dict(self.spec.label_map or {})
        column = self.splits[self.train].data.schema.field(self.spec.label)
        if pa.types.is_boolean(column.type):
            map_ |= {word.capitalize(): map_[word] for word in _BOOLEANS if word in map_}
        return map_

    def _stored(self, split: str) -> list[Any]:
        return list(columns.values(self.splits[split], self.spec.label).to_pylist())

    def _own_names(self, split: str) -> tuple[str, ...]:
        feature = self.splits[split].features[self.spec.label]
        return tuple(feature.names) if isinstance(feature, ClassLabel) else ()

    @cached_property
    def _own(self) -> tuple[str, ...]:
        """The names that the data set itself gives its labels, renamed."""
        names = self._own_names(self.train)
        return tuple(dict.fromkeys(self._map.get(name, name) for name in names))

    @cached_property
    def _distinct(self) -> list[Any]:
        if self._map:
            return sorted(self.seen)
        stored = self._stored(self.train)
        return sorted({value for value in stored if not columns.is_empty(value)})

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the labels, in the order of their ids."""
        return self._own or self.spec.label_names or tuple(map(str, self._distinct))

    @cached_property
    def seen(self) -> set[str]:
        """The names of the labels that rows of train have."""
        return {name for name in self.rows[self.train] if name is not None}

    def name_problems(self) -> Iterator[Problem]:
        """Find names that are not there, are too few or are not wanted."""
        yield from self._map_problems()
        given, stored = self.spec.label_names, self._distinct
        if given is None or given == self._own:
            return
        allowed = f"{len(stored)} different names, for {few(stored)}"
        if self._own:
            allowed = f"left out: the data set itself names them {few(self._own)}"
        if self._own or len(set(given)) != len(stored):
            yield mistake("data.label_names", f"{len(given)} names: {few(given)}", allowed)

    def _map_problems(self) -> Iterator[Problem]:
        there = self._there
        for name in self.spec.label_map or {}:
            is_boolean = name in _BOOLEANS and name.capitalize() in self._map
            if name not in there and not (is_boolean and name.capitalize() in there):
                yield mistake(
                    f"data.label_map.{name}",
                    f"{name!r}, which no row has as its label",
                    f"labels of the data: {few(sorted(there))}",
                    alike(name, there) or "leave it out",
                )

    @cached_property
    def _there(self) -> set[str]:
        """The labels before they are renamed, of all splits."""
        own = {name for split in self._unmapped for name in self._own_names(split)}
        return own | {name for names in self._unmapped.values() for name in names if name}

    def problems(self) -> Iterator[Problem]:
        """Find labels that nothing can be learned of."""
        if len(self.seen) == 1:
            found = f"one label in split {self.train!r}: {few(self.seen)}"
            yield mistake("data.label", found, "two labels or more")
        for split, labels in self.rows.items():
            known = set(self.names) if split == self.train else self.seen
            unknown = {row: name for row, name in enumerate(labels) if name and name not in known}
            if unknown:
                names = sorted(set(unknown.values()))
                found = f"{few(map(repr, names))} in split {split!r}, {rows_in_words([*unknown])}"
                allowed = f"labels of {self.train!r}: {few(sorted(known))}"
                yield mistake("data.label", found, allowed, alike(names[0], known))

    def notes(self) -> Iterator[str]:
        """Say what is no mistake, but may be none of what was meant."""
        kept = sorted(self._there - self._map.keys())
        if self._map and kept:
            yield f"data.label_map does not name {few(map(repr, kept), 20)}: as they are"
        spelt: dict[str, list[str]] = {}
        for name in sorted(self.seen):
            spelt.setdefault(" ".join(name.casefold().split()), []).append(name)
        for names in spelt.values():
            if len(names) > 1:
                yield (
                    f"labels that differ only in case or blanks: {few(map(repr, names))}; "
                    "data.label_map can merge them"
                )


def _name(value: str | int | None, names: tuple[str, ...] | None) -> str | None:
    if value is None or columns.is_empty(value):
        return None
    if names is None or isinstance(value, str):
        return str(value)
    return names[value] if 0 <= value < len(names) else f"{value} (out of range)"
