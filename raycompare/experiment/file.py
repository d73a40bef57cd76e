"""Read an experiment file: from YAML 1.2 and --set overrides to an `Experiment` or its mistakes.

Each section of the file is validated separately, so that a mistake in one doesn't hide mistakes in
another: `Draft.sections` holds the valid ones, for the checks that need more than types.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML

from raycompare.errors import ExperimentError, Problem, UserError
from raycompare.experiment.document import Document, parse_document
from raycompare.experiment.mistakes import describe_missing, describe_unknown, keys_of, problems_of
from raycompare.experiment.safe_yaml import read_text
from raycompare.experiment.space import Domain, SearchSpace
from raycompare.experiment.spec import Experiment, ModelItem, ModelSpec
from raycompare.experiment.written_yaml import load_written


@dataclass(frozen=True, kw_only=True)
class Draft(Document):
    """The valid parts of an experiment file, and its mistakes."""

    sections: Mapping[str, Any]
    """Valid sections, keyed by field name of `Experiment`, with defaults filled in."""
    models: Mapping[str, ModelSpec]
    """Valid models, keyed by dotted path, even if another model of the file is invalid."""
    search_space: SearchSpace
    """Valid ranges, even if another one is invalid."""
    problems: tuple[Problem, ...]

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
    document = parse_document(text, source, overrides, keys_of(Experiment))
    raw = document.content
    sections, problems = _validate(raw)
    return Draft(
        **vars(document),
        sections=sections,
        models=dict(_valid_items("models", raw, ModelItem)),
        search_space={
            where.partition(".")[2]: domain
            for where, domain in _valid_items("search_space", raw, Domain)
        },
        problems=tuple(problems),
    )


def _validate(raw: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    sections: dict[str, Any] = {}
    problems = [
        describe_unknown((key,), Experiment) for key in raw if key not in Experiment.model_fields
    ]
    for key, field in Experiment.model_fields.items():
        if key not in raw:
            if field.is_required():
                problems.append(describe_missing(key))
            else:
                sections[key] = field.get_default()
            continue
        adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
        try:
            sections[key] = adapter.validate_json(json.dumps(raw[key]), strict=True)
        except ValidationError as error:
            problems += problems_of(error, Experiment, (key,))
    return sections, problems


def _valid_items(section: str, raw: Mapping[str, Any], kind: Any) -> Iterator[tuple[str, Any]]:
    content = raw.get(section)
    items = dict(enumerate(content)) if isinstance(content, list) else content
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    for key, item in (items if isinstance(items, dict) else {}).items():
        with suppress(ValidationError):  # already a problem of the section
            yield f"{section}.{key}", adapter.validate_json(json.dumps(item), strict=True)


NEVER_WRAP = 2**20


def write_experiment(experiment: Experiment) -> str:
    """Return the experiment as block YAML, with its keys in the order of the types."""
    yaml = YAML()
    yaml.width = NEVER_WRAP
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = StringIO()
    yaml.dump(experiment.to_file(), stream)
    return stream.getvalue()


def read_experiment(text: str, source: str = "experiment.yaml") -> Experiment:
    """Read YAML that `write_experiment` returned.

    Raises:
        UserError: the text is anything else.
    """
    try:
        content = load_written(text)
        if not isinstance(content, dict):
            raise ValueError(f"found {type(content).__name__}, allowed a mapping")
        return Experiment(**content)
    except (ExperimentError, ValueError) as error:
        raise UserError(
            f"{source} is not as the run wrote it: {error}\n"
            "Restore the file, or run the experiment again in a new folder."
        ) from error
