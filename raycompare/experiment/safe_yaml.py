"""Plain YAML: mappings with string keys, lists, strings, finite numbers, booleans and null.

Other features of YAML can run code, recurse forever or fill the memory: tags, values that contain
themselves, aliases of aliases. They are errors, reported with their place.
"""

from __future__ import annotations

import math
import re
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
"""Maximum size of a file; a file with a thousand models has a tenth of it."""
MOST_VALUES, MOST_LEVELS = 100_000, 50
"""Maximum number of values and levels in a file, with aliases expanded."""
_HALF = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair."""
BITS = 64
"""Maximum size of integers."""
UNREADABLE = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError),
    *(NotImplementedError, RecursionError, TypeError, ValueError),
)
"""Errors of ruamel.yaml, besides its own types, for invalid dates, numbers and tags."""
PLAIN = "mappings, lists, strings, numbers, true, false and null"


def read_text(path: Path) -> str:
    """Read an experiment file.

    Raises:
        UserError: the file doesn't exist, isn't UTF-8, or is far too large.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(
                f"{path} has {path.stat().st_size:,} bytes; an experiment file has at most "
                f"{MOST_BYTES:,}. Pass the experiment file; data is named in it, in data.dataset."
            )
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(
            f"{path} does not exist. Pass the path of an experiment file, relative to {Path.cwd()}."
        ) from error
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or an invalid path
        raise UserError(f"{path} can't be read as a UTF-8 text file: {error}") from error


def load_plain(text: str, source: str) -> Any:
    """Parse plain YAML 1.2 into values of ruamel.yaml, which carry their line numbers.

    Raises:
        UserError: the text isn't YAML.
        ExperimentError: it isn't plain.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # anchors may be reused
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
        part = f"*{alias.anchor} inside the value that it refers to"
        line = alias.start_mark.line + 1
        problem = Problem(where="the file", found=part, allowed=PLAIN, line=line)
        raise ExperimentError(source, [problem])
    problems = list(_Walk().problems(content, "", None))
    if problems:
        raise ExperimentError(source, problems)
    return content


def _endless_alias(text: str) -> AliasEvent | None:
    """Return the first alias that is part of the value it refers to."""
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
    """Visitor of all values, with aliases expanded, up to the maximum number of values."""

    seen: int = 0
    levels: int = 0

    def problems(self, node: object, where: str, line: int | None) -> Iterator[Problem]:
        self.seen += 1
        fault = self._too_much() or fault_of(node)
        if fault:
            yield Problem(where=where or "the file", found=fault, allowed=PLAIN, line=line)
        elif isinstance(node, CommentedMap | CommentedSeq):
            self.levels += 1
            for key, child, at in children(node):
                yield from self._child(key, child, (f"{where}.{key}" if where else f"{key}", at))
                if self.seen > MOST_VALUES:
                    break  # one message is enough
            self.levels -= 1

    def _child(self, key: object, child: object, place: tuple[str, int]) -> Iterator[Problem]:
        where, line = place
        if isinstance(key, str | int) and not is_broken(key):
            yield from self.problems(child, where, line)
        else:
            yield Problem(
                where=ascii(where), found=f"{key!r} as a key", allowed="strings as keys", line=line
            )

    def _too_much(self) -> str | None:
        if self.levels > MOST_LEVELS:
            return f"more than {MOST_LEVELS} levels"
        if self.seen == MOST_VALUES + 1:
            return f"more than {MOST_VALUES:,} values, with aliases expanded"
        return None


def children(node: object) -> Iterator[tuple[Any, Any, int]]:
    """Yield key or index, value and line of each item in a mapping or list of `load_plain`.

    Keys that are merged from another mapping (`<<: *other`) have the line of the mapping.
    """
    if isinstance(node, CommentedMap):
        own = node.lc.data or {}
        for key, child in node.items():
            yield key, child, (own[key][0] if key in own else node.lc.line) + 1
    elif isinstance(node, CommentedSeq):
        for index, child in enumerate(node):
            yield index, child, node.lc.item(index)[0] + 1


def fault_of(node: object) -> str | None:
    """Return why a value is not plain, or None."""
    tag = getattr(getattr(node, "tag", None), "value", None)
    if tag is not None and not isinstance(node, str | float):
        return f"the tag {tag}"
    if isinstance(node, int) and node.bit_length() > BITS:
        return f"an integer of {node.bit_length():,} bits"
    if isinstance(node, float) and not math.isfinite(node):
        return f"{node}, which is not finite"
    if isinstance(node, str) and is_broken(node):
        return f"{node!a}, which is not valid Unicode"
    plain = str | int | float | bool | date | CommentedMap | CommentedSeq
    return None if node is None or isinstance(node, plain) else f"a {type(node).__name__}"


def is_broken(text: object) -> bool:
    """Return whether a text has half of a surrogate pair, which can't be written to a file."""
    return _HALF.search(str(text)) is not None
