"""Plain values of an experiment file and their lines, from YAML 1.2 and --set overrides."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError
from ruamel.yaml.comments import CommentedMap

from raycompare.errors import ExperimentError, Problem, UserError
from raycompare.experiment.base import Part
from raycompare.experiment.mistakes import keys_of, problems_of
from raycompare.experiment.plain import to_plain
from raycompare.experiment.safe_yaml import children, load_plain, read_text
from raycompare.experiment.space import CONFIG

SOURCE = "the experiment"
"""Name in messages of an experiment that was not read from a file."""
HYPERPARAMETERS = ("search_space", "training")
"""Sections whose keys may contain a dot, as in `config.FIELD`."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """An experiment file before its types are checked."""

    source: str
    """Name of the file in messages."""
    content: Mapping[str, Any]
    lines: Mapping[str, int]
    """Line numbers, keyed by dotted path."""
    overridden: frozenset[str] = frozenset()
    """Dotted paths that were set by --set."""

    def locate(self, problem: Problem) -> Problem:
        """Return the problem with the line of its path, or of the nearest path above it."""
        path = problem.where
        if any(path == key or path.startswith(f"{key}.") for key in self.overridden):
            return replace(problem, found=f"{problem.found} (from --set)")
        while path and path not in self.lines:
            path = path.rpartition(".")[0]
        return replace(problem, line=self.lines.get(path))


def parse_document(text: str, source: str, overrides: Sequence[str], keys: str) -> Document:
    """Parse the text of a file and apply `overrides`, each `dotted.key=value` with a YAML value.

    Raises:
        UserError: the text isn't a YAML mapping, or an override is invalid. The message lists the
            allowed `keys`.
    """
    loaded = _load(text, source, keys)
    content = json.loads(json.dumps(loaded, default=str))
    return Document(
        source=source,
        content=content,
        lines=dict(_lines(loaded)),
        overridden=frozenset(_apply(content, override) for override in overrides),
    )


def _load(text: str, source: str, keys: str) -> CommentedMap:
    content = load_plain(text, source)
    if not isinstance(content, CommentedMap):
        raise UserError(f"{source}: expected a mapping with the keys {keys}.")
    return content


def _lines(node: object, path: str = "") -> Iterator[tuple[str, int]]:
    for key, child, line in children(node):
        here = f"{path}.{key}" if path else str(key)
        yield here, line
        yield from _lines(child, here)


def _apply(raw: dict[str, Any], override: str) -> str:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise UserError(f"--set {override}: expected dotted.key=value, such as tune.num_samples=4.")
    *parents, last = _parts(key)
    node: Any = raw
    for part in parents:
        node = _step(node, part, override)
    parsed = json.loads(json.dumps(load_plain(value, f"--set {override}"), default=str))
    if isinstance(node, list):
        _step(node, last, override)
        node[int(last)] = parsed
    else:
        node[last] = parsed
    return key


def _parts(key: str) -> list[str]:
    """Split a dotted key; a hyperparameter such as config.num_hidden_layers stays in one part."""
    parts = key.split(".")
    for place, (section, part) in enumerate(pairwise(parts)):
        if section in HYPERPARAMETERS and f"{part}." == CONFIG and place + 2 < len(parts):
            parts[place + 1 : place + 3] = [CONFIG + parts[place + 2]]
            break
    return parts


def _step(node: Any, part: str, override: str) -> Any:
    if isinstance(node, list) and part.isdigit() and int(part) < len(node):
        return node[int(part)]
    if isinstance(node, dict):
        child = node.setdefault(part, {})
        if isinstance(child, dict | list):
            return child
    raise UserError(f"--set {override}: there is no section {part!r}.")


class FilePart(Part):
    """Base of `Experiment`: creates it from a file or from plain values."""

    def __init__(self, **sections: Any) -> None:
        """Create an experiment from the sections of a file, as plain values or as their types.

        Raises:
            ExperimentError: there are mistakes; the message lists them all.
        """
        self._fill(Document(source=SOURCE, content=to_plain(sections, SOURCE), lines={}))

    @classmethod
    def from_file(cls, path: str | Path, overrides: Sequence[str] = ()) -> Self:
        """Read an experiment file; `overrides` are those of --set, such as `tune.num_samples=4`.

        Raises:
            UserError: the file can't be read.
            ExperimentError: the file has mistakes; the message lists them all.
        """
        experiment = cls.__new__(cls)
        experiment._fill(parse_document(read_text(Path(path)), str(path), overrides, keys_of(cls)))
        return experiment

    @classmethod
    def from_dict(cls, sections: Mapping[str, Any]) -> Self:
        """Create an experiment from a dict with the keys of an experiment file.

        Raises:
            ExperimentError: there are mistakes; the message lists them all.
        """
        experiment = cls.__new__(cls)
        content = to_plain(sections, SOURCE)
        experiment._fill(Document(source=SOURCE, content=content, lines={}))
        return experiment

    def _fill(self, document: Document) -> None:
        content = json.dumps(document.content)
        try:
            self.__pydantic_validator__.validate_json(content, self_instance=self)
        except ValidationError as error:
            problems = problems_of(error, type(self))
            raise ExperimentError(document.source, list(map(document.locate, problems))) from None
