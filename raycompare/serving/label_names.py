"""Matches the labels of a file to those of a model, by the rules of the run that trained it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from raycompare.data.labels import spell_booleans
from raycompare.data.problems import few
from raycompare.experiment.spec import DataSpec
from raycompare.formatting import number_of

_WHOLE = re.compile(r"0|-?[1-9]\d*")


@dataclass(frozen=True, kw_only=True)
class MatchedLabels:
    """The labels of one file, matched to those of the model."""

    ids: Mapping[str, int]
    """Id of each label of the file that the model knows."""
    as_ids: bool
    """Whether the labels were taken as ids of the model's labels, because none is a name."""


@dataclass(frozen=True, kw_only=True)
class LabelRules:
    """How the labels of a file are named."""

    names: tuple[str, ...]
    """Label names of the model, in the order of their ids."""
    data: DataSpec | None = None
    """The data of the run that trained the model, if it is at hand."""

    def match(self, labels: Collection[str]) -> MatchedLabels:
        """Match all labels of a file at once, so that none is a name and another one an id."""
        number = {name: index for index, name in enumerate(self.names)}
        own = self._own_names(labels)
        known = {label: number[name] for label, name in own.items() if name in number}
        has_numbers = any(map(_WHOLE.fullmatch, self.names))
        ids = {str(index) for index in number.values()}
        if len(known) < len(labels) and not has_numbers and set(labels) <= ids:
            return MatchedLabels(ids={label: int(label) for label in labels}, as_ids=True)
        return MatchedLabels(ids=known, as_ids=False)

    def _own_names(self, labels: Collection[str]) -> dict[str, str]:
        """Return the name that the run would give to each label."""
        if self.data is None:
            return {label: label for label in labels}
        names = self.data.label_names
        if self.data.label_map:
            renamed = spell_booleans(self.data.label_map, labels)
            return {label: renamed.get(label, label) for label in labels}
        if names and set(labels) <= set(map(str, range(len(names)))):
            return {label: names[int(label)] for label in labels}
        return {label: label for label in labels}

    def lines(self, matched: MatchedLabels, rows: Mapping[str, int]) -> Iterator[str]:
        """Describe labels that are unknown, or were taken as ids; `rows` has the rows of each."""
        if matched.as_ids:
            meanings = (f"{label} is {self.names[matched.ids[label]]}" for label in sorted(rows))
            yield f"labels of the file were taken as ids: {few(meanings)}"
        unknown = [label for label in rows if label not in matched.ids]
        if unknown:
            counts = [f"{label!r} in {number_of(rows[label], 'row')}" for label in unknown]
            yield (
                f"labels unknown to the model, not scored: {few(counts)}; "
                f"labels of the model: {few(self.names)}"
            )
