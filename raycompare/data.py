"""From a data set to its train, validation and test rows, with labels."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, Features, Value
from sklearn.utils import resample

from raycompare import sources
from raycompare.errors import Problem, near
from raycompare.sources import DataProblems, few, mistake, rows_in_words, values
from raycompare.spec import DataSpec

__all__ = ["DataProblems", "facts", "label_counts", "load_splits"]

PARTS = ("train", "validation", "test")
TEXT_COLUMNS = ("text", "text_pair")

_Array = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class LabelledData:
    """Three splits that share no row of the source.

    Their columns are `text`, for pairs `text_pair`, `label` (a ClassLabel) and `example_id`, the
    number of the row in its split as the source has it, from 0.
    """

    train: Dataset
    validation: Dataset
    test: Dataset
    label_names: tuple[str, ...]
    content_hash: str
    """Of the texts and labels used and the split they are used in: 16 hexadecimal digits."""


def load_splits(spec: DataSpec, seed: int) -> LabelledData:
    """Open the data set, check it, and draw its splits, stratified by label, with `seed`.

    Raises:
        DataProblems: with all that is wrong, as far as one mistake does not hide another.
    """
    opened = sources.open_source(spec)
    origins = sources.find_splits(spec.splits, opened)
    used = {str(name): opened[name] for name in origins.values() if name in opened}
    source = _Source(spec, origins, used, spec.splits.train, seed)
    problems = [*sources.split_problems(origins, opened), *source.problems()]
    if problems:
        raise DataProblems(problems)
    splits = {part: source.dataset(part) for part in origins}
    content_hash = _content_hash(splits, source.label_names)
    return LabelledData(**splits, label_names=source.label_names, content_hash=content_hash)


@dataclass(frozen=True)
class _Source:
    """The splits of the source that are used, and what each is used as."""

    spec: DataSpec
    origins: sources.Origins
    splits: Mapping[str, Dataset]
    train: str
    seed: int

    @cached_property
    def labels(self) -> dict[str, list[str | None]]:
        """The name of each row's label, for the splits that have a column of labels."""
        return {
            name: self._label_column(name)
            for name, split in self.splits.items()
            if sources.is_readable("data.label", self.spec.label, split)
        }

    def _label_column(self, split: str) -> list[str | None]:
        given = self._own_names(split) or self.spec.label_names
        return [_name(value, given) for value in self._stored(split)]

    def _stored(self, split: str) -> list[Any]:
        return list(values(self.splits[split], self.spec.label).to_pylist())

    def _distinct(self) -> list[Any]:
        return sorted({v for v in self._stored(self.train) if not sources.is_empty(v)})

    @cached_property
    def label_names(self) -> tuple[str, ...]:
        given = self._own_names(self.train) or self.spec.label_names
        return given or tuple(map(str, self._distinct()))

    def _own_names(self, split: str) -> tuple[str, ...]:
        feature = self.splits[split].features[self.spec.label]
        return tuple(feature.names) if isinstance(feature, ClassLabel) else ()

    def problems(self) -> Iterator[Problem]:
        for column in self.spec.text:
            yield from sources.column_problems("data.text", column, self.splits)
        found = list(sources.column_problems("data.label", self.spec.label, self.splits))
        if self.train in self.labels and self.seen:
            found += list(self._name_problems()) or self._label_problems()
            found += [] if found else list(self._share_problems()) or self._lost_labels()
        yield from found

    @cached_property
    def seen(self) -> set[str]:
        return {name for name in self.labels[self.train] if name is not None}

    def _name_problems(self) -> Iterator[Problem]:
        given, own, stored = self.spec.label_names, self._own_names(self.train), self._distinct()
        if given is None or given == own:
            return
        allowed = f"{len(stored)} different names, for {few(stored)}"
        if own:
            allowed = f"left out: the data set itself names them {few(own)}"
        if own or len(set(given)) != len(stored):
            yield mistake("data.label_names", f"{len(given)} names: {few(given)}", allowed)

    def _label_problems(self) -> Iterator[Problem]:
        if len(self.seen) == 1:
            found = f"one label in split {self.train!r}: {few(self.seen)}"
            yield mistake("data.label", found, "two labels or more")
        for split, labels in self.labels.items():
            known = set(self.label_names) if split == self.train else self.seen
            unknown = {row: name for row, name in enumerate(labels) if name and name not in known}
            if unknown:
                names = sorted(set(unknown.values()))
                found = f"{few(map(repr, names))} in split {split!r}, {rows_in_words([*unknown])}"
                allowed = f"labels of {self.train!r}: {few(sorted(known))}"
                yield mistake("data.label", found, allowed, near(names[0], known))

    def _share_problems(self) -> Iterator[Problem]:
        counts, sizes = Counter(self.labels[self.train]), self.sizes
        named = "take another share, or name a split of the source"
        for part, size in {**sizes, "train": counts.total() - sum(sizes.values())}.items():
            if size < len(counts):
                found = f"{size} of {counts.total()} rows of split {self.train!r}"
                allowed = f"a row or more for each of its {len(counts)} labels"
                yield mistake(f"data.splits.{part}", found, allowed, named)
        rare = [f"{count} of {name!r}" for name, count in counts.items() if count <= len(sizes)]
        if rare and sizes:
            found = f"too few rows of a label in {self.train!r}: {few(sorted(rare))}"
            allowed = f"{len(sizes) + 1} or more, to have one left when {few(sizes)} is carved"
            yield mistake(f"data.splits.{next(iter(sizes))}", found, allowed, named)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The rows to carve from train, in the order they are carved."""
        rows, asked = len(self.labels[self.train]), {p: self.origins[p] for p in sources.CARVED}
        return {p: round(share * rows) for p, share in asked.items() if isinstance(share, float)}

    @cached_property
    def ids(self) -> dict[str, _Array]:
        """The labels as numbers, by part; of a carved part those of the whole train split."""
        ids = {name: index for index, name in enumerate(self.label_names)}
        return {
            part: np.array([ids[str(name)] for name in self.labels[split]])
            for part, split in self.split_of.items()
            if split in self.labels
        }

    @cached_property
    def split_of(self) -> dict[str, str]:
        origins = self.origins.items()
        return {p: self.train if isinstance(name, float) else name for p, name in origins}

    @cached_property
    def rows(self) -> dict[str, _Array]:
        """The rows of each part, in the order of the source."""
        rows: dict[str, _Array] = {part: np.arange(len(ids)) for part, ids in self.ids.items()}
        for part, size in self.sizes.items():
            rows[part] = self._sample("train", rows["train"], size)
            rows["train"] = np.setdiff1d(rows["train"], rows[part])
        for part, limit in self.spec.limit:
            if part in rows and limit is not None and limit < len(rows[part]):
                rows[part] = self._sample(part, rows[part], limit)
        return rows

    def _sample(self, part: str, rows: _Array, size: int) -> _Array:
        # Not train_test_split: it refuses to leave fewer rows than there are labels.
        options = {"n_samples": size, "stratify": self.ids[part][rows], "random_state": self.seed}
        return np.sort(resample(rows, replace=False, **options))

    def _lost_labels(self) -> Iterator[Problem]:
        ids, rows = self.ids["train"], self.rows["train"]
        lost = [self.label_names[label] for label in np.setdiff1d(ids, ids[rows])]
        if lost:
            where = "data.limit.train" if self.spec.limit.train else "data.splits"
            found = f"{len(rows)} rows to train on, none of them of {few(map(repr, lost))}"
            yield mistake(where, found, "a row or more of each label", "take more rows")

    def dataset(self, part: str) -> Dataset:
        rows, texts = self.rows[part], dict(zip(TEXT_COLUMNS, self.spec.text, strict=False))
        chosen = self.splits[self.split_of[part]].select(rows)
        columns = {name: values(chosen, column).to_pylist() for name, column in texts.items()}
        features = {name: Value("string") for name in columns}
        features["label"] = ClassLabel(names=list(self.label_names))
        columns |= {"label": self.ids[part][rows], "example_id": rows}
        return Dataset.from_dict(columns, Features(**features, example_id=Value("int64")))


def _name(value: str | int | None, names: tuple[str, ...] | None) -> str | None:
    if value is None or sources.is_empty(value):
        return None
    if names is None or isinstance(value, str):
        return str(value)
    return names[value] if 0 <= value < len(names) else f"{value} (out of range)"


def _content_hash(splits: Mapping[str, Dataset], label_names: tuple[str, ...]) -> str:
    digest = hashlib.sha256(json.dumps(label_names).encode())
    for part, split in splits.items():
        columns = [split[column][:] for column in split.column_names if column != "example_id"]
        for row in zip(*columns, strict=True):
            digest.update(json.dumps([part, *row]).encode())
    return digest.hexdigest()[:16]


def label_counts(split: Dataset) -> dict[str, int]:
    """Count the rows of each label, in the order of the labels' ids."""
    counts = Counter(split["label"][:])
    return {name: counts[index] for index, name in enumerate(split.features["label"].names)}


def facts(data: LabelledData) -> dict[str, Any]:
    """Say what the manifest of a run keeps of its data, as plain values."""
    return {
        "hash": data.content_hash,
        "labels": list(data.label_names),
        "rows": {part: len(getattr(data, part)) for part in PARTS},
        "test_label_counts": label_counts(data.test),
        "also_in_train": _also_in_train(data),
        "two_labels": _with_two_labels(data.train),
    }


def _texts(split: Dataset) -> list[tuple[str, ...]]:
    columns = [split[name] for name in TEXT_COLUMNS if name in split.column_names]
    return list(zip(*columns, strict=True))


def _also_in_train(data: LabelledData) -> dict[str, int]:
    """Count the rows of the other splits whose text is in train too."""
    known = set(_texts(data.train))
    splits = {part: getattr(data, part) for part in PARTS[1:]}
    return {part: sum(text in known for text in _texts(split)) for part, split in splits.items()}


def _with_two_labels(split: Dataset) -> int:
    """Count the texts that stand there with more than one label."""
    labels: dict[tuple[str, ...], set[int]] = {}
    for text, label in zip(_texts(split), split["label"], strict=True):
        labels.setdefault(text, set()).add(label)
    return sum(len(found) > 1 for found in labels.values())
