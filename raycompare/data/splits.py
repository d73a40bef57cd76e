"""Draws the labelled train, validation and test splits of a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import ClassLabel, Dataset, DatasetInfo, Features, Value
from sklearn.utils import resample

from raycompare.data import columns, sources
from raycompare.data.columns import in_memory, separator_of, values
from raycompare.data.content_hash import hash_of_content
from raycompare.data.groups import draw_groups, group_numbers, group_problems, shared_groups
from raycompare.data.labels import Labels
from raycompare.data.problems import DataProblems, few, mistake
from raycompare.data.text_checks import TextChecks
from raycompare.errors import Problem
from raycompare.experiment.spec import DataSpec
from raycompare.records.rows import StoredText

PARTS = ("train", "validation", "test")
TEXT_COLUMNS = ("text", "text_pair")

_TAKEN = 10_000
"""Rows in each chunk of a split's texts."""
_WIDE = 0.02
"""Difference that is reported if groups make a share larger or smaller, as a share of all rows."""

_Array = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class LabelledData:
    """Three splits without a common row.

    Their columns are `text`, for pairs `text_pair`, `label` (a ClassLabel) and `example_id`, the
    index of the row in its split of the source, from 0.
    """

    train: Dataset
    validation: Dataset
    test: Dataset
    label_names: tuple[str, ...]
    content_hash: str
    """Hash of all texts and labels and of their splits: 16 hexadecimal digits."""
    notes: tuple[str, ...] = ()
    """Remarks on labels and splits that are not errors."""
    source_splits: Mapping[str, str] = field(default_factory=dict)
    """Split of the source that the rows of train, validation and test come from."""


def load_splits(spec: DataSpec, seed: int) -> LabelledData:
    """Open and check the data set and draw its splits, stratified by label, with `seed`.

    Raises:
        DataProblems: has all mistakes, except those that another one hides.
    """
    opened = sources.open_source(spec)
    origins = sources.find_splits(spec.splits, opened)
    used = {str(name): opened[name] for name in origins.values() if name in opened}
    source = _Source(spec, origins, used, spec.splits.train, seed)
    problems = [*sources.split_problems(origins, opened), *source.problems()]
    if problems:
        raise DataProblems(problems)
    splits, names = {part: source.dataset(part) for part in origins}, source.labels.names
    return LabelledData(
        **splits,
        label_names=names,
        content_hash=hash_of_content(splits, names),
        notes=tuple(source.notes()),
        source_splits=source.split_of,
    )


@dataclass(frozen=True)
class _Source:
    """The splits of the source in use, and what each is used for."""

    spec: DataSpec
    origins: sources.Origins
    splits: Mapping[str, Dataset]
    train: str
    seed: int

    @cached_property
    def labels(self) -> Labels:
        return Labels(self.spec, self.splits, self.train)

    def problems(self) -> Iterator[Problem]:
        yield from self._column_problems()
        label, splits = self.spec.label, self.splits
        problems = list(columns.column_problems("data.label", label, splits, self.train))
        if self._is_labelled and self.labels.seen:
            problems += list(self.labels.name_problems()) or self.labels.problems()
            problems += [] if problems else list(self._share_problems()) or self._lost_labels()
        yield from problems

    @property
    def _is_labelled(self) -> bool:
        split = self.splits.get(self.train)
        return split is not None and columns.is_readable("data.label", self.spec.label, split)

    def _column_problems(self) -> Iterator[Problem]:
        for column in dict.fromkeys(self.spec.text):
            yield from columns.column_problems("data.text", column, self.splits)
        if self.spec.label in self.spec.text:
            label = f"{self.spec.label!r}, which is also in data.text"
            yield mistake("data.label", label, "a separate column")
        if len(set(self.spec.text)) < len(self.spec.text):
            yield mistake("data.text", f"{self.spec.text[0]!r} twice", "two different columns")
        if self.spec.group is not None:
            yield from columns.column_problems("data.group", self.spec.group, self.splits)

    def notes(self) -> Iterator[str]:
        yield from self.labels.notes()
        yield from self._text_notes()
        if self._train_only:
            yield f"labels with too few rows to split are in train only: {few(self._train_only)}"
        if self.spec.group is not None:
            yield from shared_groups(self.spec.group, self.splits)
            for part, size in self.sizes.items():
                drawn, total = len(self._drawn[part]), len(self.ids["train"])
                if abs(drawn - size) > _WIDE * total:
                    yield (
                        f"{part} has {drawn} of {total} rows, not {size}, because groups by column "
                        f"{self.spec.group!r} are not divided"
                    )

    def _text_notes(self) -> Iterator[str]:
        for name, split in self.splits.items():
            for column in self.spec.text:
                checks = TextChecks(separator_of(split), self.labels.stored)
                checks.add(0, values(split, column))
                yield from checks.lines(f"column {column!r} of split {name!r}")

    def _share_problems(self) -> Iterator[Problem]:
        counts, sizes = np.bincount(self.ids["train"]), self.sizes
        hint = "use another share, or name a split of the source"
        common, total = int((counts > len(sizes)).sum()), int(counts.sum())
        for part, size in {**sizes, "train": total - sum(sizes.values())}.items():
            if size < common or not size:
                rows = f"{size} of {total} rows of split {self.train!r}"
                allowed = f"at least one row for each of its {common} labels"
                yield mistake(f"data.splits.{part}", rows, allowed, hint)
        if sizes and not common:
            rows = f"{total} rows of {np.count_nonzero(counts)} labels in {self.train!r}"
            allowed = f"at least {len(sizes) + 1} rows of some label, to split off {few(sizes)}"
            yield mistake(f"data.splits.{next(iter(sizes))}", rows, allowed, hint)
        if sizes and self._groups is not None:
            assert self.spec.group is not None
            yield from group_problems(self.spec.group, self._groups, len(sizes) + 1)

    @cached_property
    def _groups(self) -> _Array | None:
        """The number of the group of each row of train."""
        column, train = self.spec.group, self.splits[self.train]
        if column is None or not columns.is_readable("data.group", column, train):
            return None
        return group_numbers(train, column)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Number of rows to split off from train, in the order they are drawn."""
        rows = len(self.splits[self.train])
        shares = {part: self.origins[part] for part in sources.DEFAULT_SHARES}
        return {p: round(share * rows) for p, share in shares.items() if isinstance(share, float)}

    @cached_property
    def ids(self) -> dict[str, _Array]:
        """Label ids keyed by part; for a share of train, those of the whole train split."""
        ids = {split: self.labels.ids(split) for split in self.splits if self.labels.has(split)}
        return {part: ids[split] for part, split in self.split_of.items() if split in ids}

    @cached_property
    def split_of(self) -> dict[str, str]:
        origins = self.origins.items()
        return {p: self.train if isinstance(name, float) else name for p, name in origins}

    @cached_property
    def _train_only(self) -> list[str]:
        """Labels with too few rows to have one in each split."""
        if not self.sizes or self._groups is not None:
            return []
        counts = np.bincount(self.ids["train"], minlength=len(self.labels.names))
        names = zip(self.labels.names, counts, strict=True)
        return [f"{name!r} ({rows})" for name, rows in names if 0 < rows <= len(self.sizes)]

    @cached_property
    def _drawn(self) -> dict[str, _Array]:
        """Rows drawn from train, keyed by part."""
        labels = self.ids["train"]
        counts = np.bincount(labels)
        drawn: dict[str, _Array] = {}
        left = np.arange(len(labels))
        is_left = np.ones(len(labels), dtype=bool)
        for part, size in self.sizes.items():
            if self._groups is not None:
                chosen = draw_groups(labels[left], self._groups[left], size / len(left), self.seed)
                drawn[part] = left[chosen]
            else:
                common = left[counts[labels[left]] > len(self.sizes)]
                drawn[part] = self._sample("train", common, min(size, len(common)))
            is_left[drawn[part]] = False
            left = np.flatnonzero(is_left)
        return {**drawn, "train": left}

    @cached_property
    def rows(self) -> dict[str, _Array]:
        """Rows of each part, in the order of the source."""
        rows: dict[str, _Array] = {part: np.arange(len(ids)) for part, ids in self.ids.items()}
        rows |= self._drawn if self.sizes else {}
        for part, limit in self.spec.limit:
            if part in rows and limit is not None and limit < len(rows[part]):
                rows[part] = self._sample(part, rows[part], limit)
        return rows

    def _sample(self, part: str, rows: _Array, size: int) -> _Array:
        # Not train_test_split, which fails if fewer rows remain than there are labels.
        options = {"n_samples": size, "stratify": self.ids[part][rows], "random_state": self.seed}
        return np.sort(resample(rows, replace=False, **options))

    def _lost_labels(self) -> Iterator[Problem]:
        ids, rows = self.ids["train"], self.rows["train"]
        counts = np.bincount(ids), np.bincount(ids[rows], minlength=len(np.bincount(ids)))
        lost = [
            self.labels.names[label] for label in np.flatnonzero((counts[0] > 0) & (counts[1] == 0))
        ]
        if lost:
            where = "data.limit.train" if self.spec.limit.train else "data.splits"
            left = f"{len(rows)} rows to train on, none of them with {few(map(repr, lost))}"
            yield mistake(where, left, "at least one row of each label", "use more rows")

    def dataset(self, part: str) -> Dataset:
        rows, texts = self.rows[part], dict(zip(TEXT_COLUMNS, self.spec.text, strict=False))
        split = self.splits[self.split_of[part]]
        columns = {name: _take(values(split, column), rows) for name, column in texts.items()}
        features = {name: Value("string") for name in columns}
        features["label"] = ClassLabel(names=list(self.labels.names))
        columns |= {"label": pa.array(self.ids[part][rows]), "example_id": pa.array(rows)}
        info = DatasetInfo(features=Features(**features, example_id=Value("int64")))
        return in_memory(pa.table(columns), info)


def _take(texts: pa.ChunkedArray, rows: _Array) -> pa.ChunkedArray:
    """Return the texts of some rows, in arrays that are small enough for the offsets of strings."""
    whole = texts.cast(pa.large_string()).combine_chunks()
    parts = (rows[at : at + _TAKEN] for at in range(0, len(rows), _TAKEN))
    return pa.chunked_array([whole.take(part).cast(pa.string()) for part in parts], pa.string())


def label_counts(split: Dataset) -> dict[str, int]:
    """Count the rows of each label, in the order of the labels' ids."""
    names = split.features["label"].names
    counts = np.bincount(values(split, "label").to_numpy(), minlength=len(names))
    return dict(zip(names, counts.tolist(), strict=True))


def facts(data: LabelledData) -> dict[str, Any]:
    """Return the facts about the data for the manifest of a run, as plain values."""
    return {
        "hash": data.content_hash,
        "labels": list(data.label_names),
        "source_splits": dict(data.source_splits),
        "rows": {part: len(getattr(data, part)) for part in PARTS},
        "test_label_counts": label_counts(data.test),
    }


def texts_to_store(data: LabelledData) -> list[StoredText]:
    """Return the texts of the test rows, to be stored."""
    columns = {name: data.test[name][:] for name in ("example_id", *text_columns(data.test))}
    return [
        StoredText(**dict(zip(columns, row, strict=True)))
        for row in zip(*columns.values(), strict=True)
    ]


def text_columns(split: Dataset) -> list[str]:
    """Return the names of the text columns: one, or two for pairs."""
    return [name for name in TEXT_COLUMNS if name in split.column_names]
