"""Read an experiment file: from YAML 1.2 and --set overrides to an `Experiment` or its mistakes.

Each section of the file is validated separately, so that a mistake in one doesn't hide mistakes in
another: `Draft.sections` holds the valid ones, for the checks that need more than types.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from raycompare.errors import ExperimentError, Problem, UserError, near, one_of
from raycompare.experiment.hyperparameters import CONFIG
from raycompare.experiment.safe_yaml import children, load_plain, read_text
from raycompare.experiment.space import DOMAINS, Domain, SearchSpace
from raycompare.experiment.spec import Experiment, ModelItem, ModelSpec

Path_ = tuple[str | int, ...]
HYPERPARAMETERS = ("search_space", "training")
"""Sections whose keys may contain a dot, as in `config.FIELD`."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """The valid parts of an experiment file, and its mistakes."""

    source: str
    sections: Mapping[str, Any]
    """Valid sections, keyed by field name of `Experiment`, with defaults filled in."""
    models: Mapping[str, ModelSpec]
    """Valid models, keyed by dotted path, even if another model of the file is invalid."""
    search_space: SearchSpace
    """Valid ranges, even if another one is invalid."""
    problems: tuple[Problem, ...]
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

    def experiment(self, found_later: Sequence[Problem] = ()) -> Experiment:
        """Return the experiment.

        Raises:
            ExperimentError: there are problems, in the draft or in `found_later`.
        """
        problems = [self.locate(problem) for problem in (*self.problems, *found_later)]
        if problems:
            raise ExperimentError(self.source, problems)
        return Experiment.model_construct(**self.sections)


def read_draft(path: Path, overrides: Sequence[str] = ()) -> Draft:
    """Read an experiment file and apply `overrides`, each `dotted.key=value` with a YAML value.

    Raises:
        UserError: the file can't be read or isn't a YAML mapping, or an override is invalid.
    """
    return parse_draft(read_text(path), str(path), overrides)


def parse_draft(text: str, source: str, overrides: Sequence[str] = ()) -> Draft:
    """Read the text of an experiment file; `source` is its name in messages."""
    content = _load(text, source)
    lines = dict(_lines(content))
    raw = json.loads(json.dumps(content, default=str))
    overridden = frozenset(_apply(raw, override) for override in overrides)
    sections, problems = _validate(raw)
    return Draft(
        source=source,
        sections=sections,
        models=dict(_valid_items("models", raw, ModelItem)),
        search_space={
            where.partition(".")[2]: domain
            for where, domain in _valid_items("search_space", raw, Domain)
        },
        problems=tuple(problems),
        lines=lines,
        overridden=overridden,
    )


def _load(text: str, source: str) -> CommentedMap:
    content = load_plain(text, source)
    if not isinstance(content, CommentedMap):
        raise UserError(f"{source}: expected a mapping with the keys {_keys(Experiment)}.")
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


def _validate(raw: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    sections: dict[str, Any] = {}
    problems = [
        _unknown((key,), key, Experiment) for key in raw if key not in Experiment.model_fields
    ]
    for key, field in Experiment.model_fields.items():
        if key not in raw:
            if field.is_required():
                problems.append(_missing(key))
            else:
                sections[key] = field.get_default()
            continue
        adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
        try:
            sections[key] = adapter.validate_json(json.dumps(raw[key]), strict=True)
        except ValidationError as error:
            problems += [_problem((key, *details["loc"]), details) for details in error.errors()]
    return sections, problems


def _valid_items(section: str, raw: Mapping[str, Any], kind: Any) -> Iterator[tuple[str, Any]]:
    content = raw.get(section)
    items = dict(enumerate(content)) if isinstance(content, list) else content
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    for key, item in (items if isinstance(items, dict) else {}).items():
        with suppress(ValidationError):  # already a problem of the section
            yield f"{section}.{key}", adapter.validate_json(json.dumps(item), strict=True)


def _missing(where: str) -> Problem:
    return Problem(where=where, found="nothing", allowed="a value; the key is required")


def _problem(path: Path_, details: ErrorDetails) -> Problem:
    where = ".".join(str(part) for part in path)
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(path, str(path[-1]), _type_at(path[:-1]))
    if kind == "missing":
        return _missing(where)
    value = json.dumps(details["input"])
    if kind == "literal_error":
        choices = context["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        hint = near(str(details["input"]), choices)
        return Problem(where=where, found=value, allowed=one_of(choices), hint=hint)
    allowed = context.get("allowed") or details["msg"].replace("Input should be ", "")
    return Problem(where=where, found=value, allowed=allowed, hint=_space_hint(details["input"]))


def _space_hint(value: object) -> str | None:
    if isinstance(value, dict) and len(value) == 1 and not set(value) & set(DOMAINS):
        return near(str(next(iter(value))), DOMAINS)
    return None


def _unknown(path: Path_, key: str, owner: type[BaseModel]) -> Problem:
    where = ".".join(str(part) for part in path)
    return Problem(
        where=where,
        found=f"an unknown key {key!r}",
        allowed=f"one of: {_keys(owner)}",
        hint=near(key, owner.model_fields),
    )


def _keys(owner: type[BaseModel]) -> str:
    return ", ".join(owner.model_fields)


def _type_at(path: Path_) -> type[BaseModel]:
    owner: type[BaseModel] = Experiment
    for part in path:
        if isinstance(part, str) and part in owner.model_fields:
            owner = next(_models_in(owner.model_fields[part].annotation), owner)
    return owner


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


NEVER_WRAP = 2**20


def write_experiment(experiment: Experiment) -> str:
    """Return the experiment as block YAML, with its keys in the order of the types."""
    yaml = YAML()
    yaml.width = NEVER_WRAP
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = StringIO()
    yaml.dump(experiment.to_file(), stream)
    return stream.getvalue()


def read_experiment(text: str) -> Experiment:
    """Read YAML that `write_experiment` returned.

    Raises:
        UserError: the text is anything else.
    """
    try:
        content = json.dumps(YAML(typ="safe").load(text))
        return TypeAdapter(Experiment).validate_json(content)
    except (YAMLError, ValidationError, TypeError) as error:
        raise UserError(
            f"experiment.yaml is not as the run wrote it: {error}\n"
            "Restore the file, or run the experiment again in a new folder."
        ) from error
