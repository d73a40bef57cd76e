"""Reads the YAML of run folders, which `write_experiment` wrote: 20 times as fast as ruamel.yaml.

A run folder may come from elsewhere. Tags, anchors and aliases, which a run never writes, are
errors, and so are more than `MOST_LEVELS` levels, so that no file can run code, fill the memory or
exhaust the stack.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from raycompare.experiment.safe_yaml import BITS, MOST_BYTES, MOST_LEVELS

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN: tuple[tuple[re.Pattern[str], Callable[[str], object]], ...] = (
    (re.compile(r"~|null|Null|NULL|"), lambda _: None),
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
)
"""The core schema of YAML 1.2 for scalars without quotes; all others are strings."""
LONGEST_NUMBER = 400
"""Characters of a number; Python writes those of 64 bits with at most 24."""


def load_written(text: str) -> Any:
    """Return the content of a file that `write_experiment` wrote.

    Raises:
        ValueError: it is anything else; the message has the line.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"it has {len(text):,} characters; a run writes at most {MOST_BYTES:,}")
    try:
        events = list(_checked(yaml.parse(text, Loader=_LOADER)))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ValueError(f"line {line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ValueError(" ".join(f"{error}".split())) from error
    values = iter(events)
    return _value(next(values), values) if events else None


def _checked(events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
    """Yield the events of the first document's values; refuse what a run never writes."""
    levels = 0
    for event in events:
        if isinstance(event, yaml.DocumentEndEvent):
            return
        levels += isinstance(event, yaml.CollectionStartEvent)
        levels -= isinstance(event, yaml.CollectionEndEvent)
        fault = f"more than {MOST_LEVELS} levels" if levels > MOST_LEVELS else _fault_of(event)
        if fault:
            raise ValueError(f"line {event.start_mark.line + 1}: {fault}")
        if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            yield event


def _fault_of(event: yaml.Event) -> str | None:
    if not isinstance(event, yaml.NodeEvent):
        return None
    if event.anchor is not None:
        return f"the anchor or alias {event.anchor!a}"
    tag = getattr(event, "tag", None)
    return f"the tag {tag!a}" if tag is not None else None


def _value(event: yaml.Event, events: Iterator[yaml.Event]) -> Any:
    if isinstance(event, yaml.SequenceStartEvent):
        return list(_items(events))
    if isinstance(event, yaml.MappingStartEvent):
        items = list(_items(events))
        return {_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)}
    return _scalar(event)


def _items(events: Iterator[yaml.Event]) -> Iterator[Any]:
    """Yield the values of the collection that has just begun."""
    for event in events:
        if isinstance(event, yaml.CollectionEndEvent):
            return
        yield _value(event, events)


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise ValueError(f"the key {key!a:.80}, allowed strings")
    return key


def _scalar(event: yaml.Event) -> object:
    text: str = event.value
    if not event.implicit[0]:
        return text
    for pattern, convert in _PLAIN:
        if pattern.fullmatch(text):
            if len(text) > LONGEST_NUMBER:
                break
            value = convert(text)
            if isinstance(value, int) and value.bit_length() > BITS:
                break
            return value
    return text
