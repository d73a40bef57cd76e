"""YAML as an experiment has it: mappings with names, lists, texts, finite numbers, truth values.

What YAML has beside these could run code, never end or fill the memory: tags, values that contain
themselves, aliases of aliases. All of it is an error with its place.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

from raycompare.errors import ExperimentError, Problem, UserError

MOST_BYTES = 2**20
"""Of a file; one with a thousand models has a tenth of it."""
MOST_VALUES, MOST_LEVELS = 100_000, 50
"""Of a file, once its aliases are written out."""
BITS = 64
"""Of whole numbers."""
UNREADABLE = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError),
    *(NotImplementedError, RecursionError, TypeError, ValueError),
)
"""What ruamel.yaml raises beside its own errors, of dates, numbers and tags that are none."""
PLAIN = "mappings, lists, texts, numbers, true, false and null"


def read_text(path: Path) -> str:
    """Read an experiment file.

    Raises:
        UserError: there is no such file, or it is none of UTF-8, or far too large.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(
                f"{path} has {path.stat().st_size:,} bytes, and an experiment file at most "
                f"{MOST_BYTES:,}. Give the experiment file; data is named in it, at data.dataset."
            )
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(
            f"{path} does not exist. Give the path of an experiment file, relative to {Path.cwd()}."
        ) from error
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or a path that can't be one
        raise UserError(f"{path} can't be read as a UTF-8 text file: {error}") from error


def load_plain(text: str, source: str) -> Any:
    """Parse YAML 1.2 and require that it is plain; the values of ruamel.yaml know their lines.

    Raises:
        UserError: the text is no YAML; an ExperimentError if it is not plain.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an anchor may be used again
            alias = _endless_alias(text)
            content = None if alias else YAML().load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{source}:{line}: not valid YAML: {error.problem}") from error
    except YAMLError as error:
        raise UserError(f"{source}: not valid YAML: {_one_line(error)}") from error
    except UNREADABLE as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else _one_line(error)
        raise UserError(f"{source}: not valid YAML: {reason}") from error
    if alias is not None:
        found = f"*{alias.anchor} within what it stands for"
        line = alias.start_mark.line + 1
        problem = Problem(where="the file", found=found, allowed=PLAIN, line=line)
        raise ExperimentError(source, [problem])
    problems = list(_Walk().problems(content, "", None))
    if problems:
        raise ExperimentError(source, problems)
    return content


def _endless_alias(text: str) -> AliasEvent | None:
    """Return the first alias of a value that it is part of."""
    open_anchors: list[str | None] = []
    for event in YAML().parse(text) if "*" in text else ():
        if isinstance(event, AliasEvent) and event.anchor in open_anchors:
            return event
        if isinstance(event, CollectionStartEvent):
            open_anchors.append(event.anchor)
        elif isinstance(event, CollectionEndEvent):
            open_anchors.pop()
    return None


def _one_line(error: Exception) -> str:
    return " ".join(f"{error}".split()) or type(error).__name__


@dataclass
class _Walk:
    """A walk through all values, aliases written out, as far as there may be values."""

    seen: int = 0
    levels: int = 0

    def problems(self, node: object, where: str, line: int | None) -> Iterator[Problem]:
        self.seen += 1
        found = self._too_much() or _fault(node)
        if found:
            yield Problem(where=where or "the file", found=found, allowed=PLAIN, line=line)
        elif isinstance(node, CommentedMap | CommentedSeq):
            self.levels += 1
            for key, child, at in children(node):
                yield from self._child(key, child, (f"{where}.{key}" if where else f"{key}", at))
                if self.seen > MOST_VALUES:
                    break  # one message says it
            self.levels -= 1

    def _child(self, key: object, child: object, place: tuple[str, int]) -> Iterator[Problem]:
        where, line = place
        if isinstance(key, str | int) and not _is_broken(key):
            yield from self.problems(child, where, line)
        else:
            found = f"{key!r} as a key"
            yield Problem(where=ascii(where), found=found, allowed="names as keys", line=line)

    def _too_much(self) -> str | None:
        if self.levels > MOST_LEVELS:
            return f"more than {MOST_LEVELS} levels"
        if self.seen == MOST_VALUES + 1:
            return f"more than {MOST_VALUES:,} values, with its aliases written out"
        return None


def children(node: object) -> Iterator[tuple[Any, Any, int]]:
    """Yield key or index, value and line of all that a mapping or list of `load_plain` holds.

    What a mapping has merged from others (`<<: *other`) has the mapping's own line.
    """
    if isinstance(node, CommentedMap):
        own = node.lc.data or {}
        for key, child in node.items():
            yield key, child, (own[key][0] if key in own else node.lc.line) + 1
    elif isinstance(node, CommentedSeq):
        for index, child in enumerate(node):
            yield index, child, node.lc.item(index)[0] + 1


def _fault(node: object) -> str | None:
    tag = getattr(getattr(node, "tag", None), "value", None)
    if tag is not None and not isinstance(node, str | float):
        return f"the tag {tag}"
    if isinstance(node, int) and node.bit_length() > BITS:
        return f"a whole number of {node.bit_length():,} bits"
    if isinstance(node, float) and not math.isfinite(node):
        return f"{node}, which is no finite number"
    if isinstance(node, str) and _is_broken(node):
        return f"{node!a}, which is no text of Unicode"
    plain = str | int | float | bool | date | CommentedMap | CommentedSeq
    return None if node is None or isinstance(node, plain) else f"a {type(node).__name__}"


def _is_broken(text: object) -> bool:
    """Say whether a text has half of a surrogate pair, which no file can be written with."""
    return any("\ud800" <= character <= "\udfff" for character in str(text))
