"""Turn validation errors of pydantic into problems of an experiment file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from raycompare.errors import Problem, near, one_of
from raycompare.experiment.space import DOMAINS
from raycompare.uris import hide_credentials

DottedPath = tuple[str | int, ...]


def problems_of(
    error: ValidationError, root: type[BaseModel], path: DottedPath = ()
) -> list[Problem]:
    """Return the problems of the section at `path`; `root` is the type of the whole file."""
    errors = error.errors()
    return [
        _problem((*path, *details["loc"]), details, root)
        for details in errors
        if not _is_consequence(details, errors)
    ]


def _is_consequence(details: ErrorDetails, errors: Sequence[ErrorDetails]) -> bool:
    """Return whether a list is only too short because its items are invalid, as pydantic counts."""
    loc = details["loc"]
    return details["type"] == "too_short" and any(
        other["loc"][: len(loc)] == loc and len(other["loc"]) > len(loc) for other in errors
    )


def describe_missing(where: str) -> Problem:
    """Describe a required key that is missing."""
    return Problem(where=where, found="nothing", allowed="a value; the key is required")


def _problem(path: DottedPath, details: ErrorDetails, root: type[BaseModel]) -> Problem:
    where = ".".join(str(part) for part in path)
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        return describe_unknown(path, _type_at(path[:-1], root))
    if kind == "missing":
        return describe_missing(where)
    value = hide_credentials(json.dumps(details["input"]))
    if kind == "literal_error":
        choices = context["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        hint = near(str(details["input"]), choices)
        return Problem(where=where, found=value, allowed=one_of(choices), hint=hint)
    if kind in ("too_short", "too_long"):
        least = kind == "too_short"
        items = context["min_length" if least else "max_length"]
        allowed = f"at {'least' if least else 'most'} {items} item{'s' if items != 1 else ''}"
        return Problem(where=where, found=value, allowed=allowed)
    allowed = context.get("allowed") or details["msg"].replace("Input should be ", "")
    return Problem(where=where, found=value, allowed=allowed, hint=_space_hint(details["input"]))


def _space_hint(value: object) -> str | None:
    if isinstance(value, dict) and len(value) == 1 and not set(value) & set(DOMAINS):
        return near(str(next(iter(value))), DOMAINS)
    return None


def describe_unknown(path: DottedPath, owner: type[BaseModel]) -> Problem:
    """Describe a key that its section doesn't have."""
    where, key = ".".join(str(part) for part in path), str(path[-1])
    return Problem(
        where=where,
        found=f"an unknown key {key!r}",
        allowed=f"one of: {keys_of(owner)}",
        hint=near(key, owner.model_fields),
    )


def keys_of(owner: type[BaseModel]) -> str:
    """List the keys of a section."""
    return ", ".join(owner.model_fields)


def _type_at(path: DottedPath, root: type[BaseModel]) -> type[BaseModel]:
    owner = root
    for part in path:
        if isinstance(part, str) and part in owner.model_fields:
            owner = next(_models_in(owner.model_fields[part].annotation), owner)
    return owner


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
