"""Reads, names, renames, merges and checks the labels of a data set."""

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
"""Boolean labels as written in YAML; those of a column of booleans are called True and False."""


@dataclass(frozen=True)
class Labels:
    """The labels of all splits in use."""

    spec: DataSpec
    splits: Mapping[str, Dataset]
    train: str
    """Name of the training split."""

    @cached_property
    def rows(self) -> dict[str, list[str | None]]:
        """Label name of each row, for the splits that have a label column."""
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
        # With a map, `label_names` is the order of the new names.
        names = self._own_names(split) or (None if self._map else self.spec.label_names)
        return [_name(value, names) for value in self._stored(split)]

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
        """Label names that the data set defines, after renaming."""
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
        """Label names in the order of their ids."""
        return self._own or self.spec.label_names or tuple(map(str, self._distinct))

    @cached_property
    def seen(self) -> set[str]:
        """Names of the labels that occur in train."""
        return {name for name in self.rows[self.train] if name is not None}

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
        for name in self.spec.label_map or {}:
            is_boolean = name in _BOOLEANS and name.capitalize() in self._map
            if name not in labels and not (is_boolean and name.capitalize() in labels):
                yield mistake(
                    f"data.label_map.{name}",
                    f"{name!r}, which is not the label of any row",
                    f"labels of the data: {few(sorted(labels))}",
                    alike(name, labels) or "remove it",
                )

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
        for split, labels in self.rows.items():
            valid = set(self.names) if split == self.train else self.seen
            unknown = {row: name for row, name in enumerate(labels) if name and name not in valid}
            if unknown:
                names = sorted(set(unknown.values()))
                where = f"{few(map(repr, names))} in split {split!r}, {rows_in_words([*unknown])}"
                allowed = f"labels of {self.train!r}: {few(sorted(valid))}"
                yield mistake("data.label", where, allowed, alike(names[0], valid))

    def notes(self) -> Iterator[str]:
        """Report labels that are valid but may not be intended."""
        unchanged = sorted(self._all_unmapped - self._map.keys())
        if self._map and unchanged:
            shown = few(map(repr, unchanged), 20)
            yield f"labels that are not in data.label_map keep their names: {shown}"
        spelt: dict[str, list[str]] = {}
        for name in sorted(self.seen):
            spelt.setdefault(" ".join(name.casefold().split()), []).append(name)
        for names in spelt.values():
            if len(names) > 1:
                yield (
                    f"labels that differ only in case or whitespace: {few(map(repr, names))}; "
                    "data.label_map can merge them"
                )


def _name(value: str | int | None, names: tuple[str, ...] | None) -> str | None:
    if value is None or columns.is_empty(value):
        return None
    if names is None or isinstance(value, str):
        return str(value)
    return names[value] if 0 <= value < len(names) else f"{value} (out of range)"
