"""Checks of the names and values in `training` and `search_space` before anything starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import Enum
from functools import cache
from typing import Any, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from transformers import TrainingArguments

from raycompare.errors import Problem, near, one_of
from raycompare.experiment.hyperparameters import MAX_LENGTH
from raycompare.experiment.space import CONFIG, DEVIATIONS, Domain, SearchSpace
from raycompare.experiment.spec import Arguments
from raycompare.models.heads import POOLING, SETTLED
from raycompare.models.pooling import POOLINGS
from raycompare.training.arguments import OWN, _is_ours
from raycompare.training.class_weights import CLASS_WEIGHTS, WEIGHTINGS
from raycompare.training.fields import CHOICES, FIELDS, LIMITS, REFUSED_VALUES, RENAMED, Fate

_NEVER_NONE = ("eval_steps",)
"""Fields for which transformers replaces null by the setting of something else."""


def argument_problems(where: str, arguments: Arguments) -> list[Problem]:
    """Find the mistakes in a `training` section at the dotted path `where`."""
    found = (
        _name_problem(f"{where}.{key}", key) or _value_problem(f"{where}.{key}", key, value)
        for key, value in arguments.items()
    )
    return [problem for problem in found if problem]


def space_problems(where: str, space: SearchSpace) -> list[Problem]:
    """Find unknown names and invalid values in a `search_space` section."""
    problems = []
    for key, domain in space.items():
        here = f"{where}.{key}"
        checks = (_drawn_problem(here, key, domain, value) for value in domain.probes)
        names = _name_problem(here, key) or _range_problem(here, key, domain)
        found = names or next(filter(None, checks), None)
        problems += [found] if found else []
    return problems


def is_allowed(key: str, value: object) -> bool:
    """Return whether a hyperparameter has a known name and a valid value."""
    return not _name_problem("", key) and not _value_problem("", key, value)


def _range_problem(where: str, key: str, domain: Domain) -> Problem | None:
    if key == MAX_LENGTH and not domain.is_listed and not domain.is_constant:
        allowed = "choice, grid or one value, because texts are tokenised once for each length"
        return Problem(where=where, found=domain.kind, allowed=allowed)
    return None


def _drawn_problem(where: str, key: str, domain: Domain, value: object) -> Problem | None:
    problem = _value_problem(where, key, value)
    if problem is None or domain.is_listed or domain.is_constant:
        return problem
    return replace(
        problem, found=f"{value}, which {domain.kind} can draw", hint=_range_hint(domain, problem)
    )


def _range_hint(domain: Domain, problem: Problem) -> str | None:
    if "integer" in problem.allowed:
        return "use randint, qrandint, lograndint or qlograndint, which draw integers"
    if not domain.kind.endswith("normal"):
        return problem.hint
    low, high = domain.bounds
    return (
        f"it draws from {low:g} to {high:g}, {DEVIATIONS} standard deviations from the mean; lower "
        "the deviation, or use uniform"
    )


def _name_problem(where: str, key: str) -> Problem | None:
    if key in SETTLED:
        return Problem(where=where, found=key, allowed=SETTLED[key])
    if _is_ours(key) or key in _settable():
        return None
    use, found = FIELDS.get(key), f"{key!r}, which no part of the run reads"
    if use and use.instead:
        found = key if use.fate is Fate.SETTLED else found
        return Problem(where=where, found=found, allowed=use.instead)
    return Problem(
        where=where,
        found=found,
        allowed=f"a field of transformers.TrainingArguments, {', '.join(OWN)}",
        hint=RENAMED.get(key)
        or near(key, _settable())
        or f"for a field of the model's config, use {CONFIG}{key}",
    )


@cache
def _settable() -> tuple[str, ...]:
    """Return the names that can be set, without fields of other versions of transformers."""
    used = (name for name, use in FIELDS.items() if use.fate is Fate.USED)
    return (*(name for name in used if name in _types()), *OWN)


def _value_problem(where: str, key: str, value: object) -> Problem | None:
    if key.startswith(CONFIG):
        return None  # checked against the model's config instead
    refused = REFUSED_VALUES.get((key, value)) if isinstance(value, str) else None
    if refused:
        return Problem(where=where, found=repr(value), allowed=refused)
    choices = _choices(key)
    if choices:
        wrong = value not in choices and not (value is None and key in CHOICES)
        allowed, hint = one_of(choices), near(str(value), choices)
    else:
        allowed, hint = _fault(key, value), None
        wrong = bool(allowed)
    return Problem(where=where, found=repr(value), allowed=allowed, hint=hint) if wrong else None


def _fault(key: str, value: object) -> str:
    """Return what is allowed if `value` is not allowed, else an empty string."""
    limit = LIMITS.get(key)
    try:
        _adapter(key).validate_python(value)
    except ValidationError as error:
        words = (fault["msg"].replace("Input should be ", "") for fault in error.errors())
        return " or ".join(dict.fromkeys(words))
    if limit and value is None and key in _NEVER_NONE:
        return limit.words
    if limit and isinstance(value, int | float) and not limit.allows(value):
        return limit.words
    return ""


@cache
def _types() -> dict[str, Any]:
    return get_type_hints(TrainingArguments)


@cache
def _adapter(key: str) -> TypeAdapter[Any]:
    kind = OWN.get(key) or _types()[key]
    return TypeAdapter(kind, config=ConfigDict(strict=True, arbitrary_types_allowed=True))


def _choices(key: str) -> list[str]:
    """Return the values of a field that has a list of them, without those that are refused."""
    if key in OWN:
        return list({POOLING: POOLINGS, CLASS_WEIGHTS: WEIGHTINGS}.get(key, ()))
    field = TrainingArguments.__dataclass_fields__[key]
    listed = CHOICES.get(key) or field.metadata.get("choices")
    members = listed or [member.value for enum in _enums(key) for member in enum]
    return [str(value) for value in members if (key, str(value)) not in REFUSED_VALUES]


def _enums(key: str) -> list[type[Enum]]:
    """Return the types of an enumerated field, which transformers annotates as `Enum | str`."""
    kind = _types()[key]
    members: Iterable[Any] = (kind, *get_args(kind))
    return [part for part in members if isinstance(part, type) and issubclass(part, Enum)]
