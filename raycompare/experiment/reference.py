"""The reference of the experiment file, from its types.

`python -m raycompare.experiment.reference` prints it.

A test compares docs/reference.md with it, so that the page can't go stale.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from raycompare.experiment.spec import Experiment
from raycompare.formatting import NOTHING, table

HEAD = """# Reference of the experiment file

Every key with its type, default and meaning, written by
`python -m raycompare.experiment.reference` from the types that read the file.
[The experiment file](experiment-file.md) explains them.
"""
BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
SPECIAL = {"Domain": "a value or a range", "JsonValue": "any value"}
HOLDERS = {"array": ("list:", "items"), "object": ("names, each with", "additionalProperties")}
Schema = Mapping[str, Any]


def reference() -> str:
    """Return the page as Markdown."""
    schema = Experiment.model_json_schema()
    parts = {"": schema, **dict(_parts(schema, schema["$defs"], ""))}
    known = schema["$defs"]
    return "\n".join([HEAD, *(_section(path, part, known) for path, part in parts.items())])


def _parts(part: Schema, known: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Yield the parts below a part with their dotted paths, in the order of the file."""
    for key, field in part["properties"].items():
        for name in _references(field):
            if "properties" in known[name] and name != "Domain":
                place = f"{path}{key}{'.N' if field.get('type') == 'array' else ''}"
                yield place, known[name]
                yield from _parts(known[name], known, f"{place}.")


def _references(field: Schema) -> Iterator[str]:
    """Yield the names of the parts that a field may hold."""
    for one in (field, *field.get("anyOf", ()), field.get("items", {})):
        if "$ref" in one:
            yield one["$ref"].rpartition("/")[2]


def _section(path: str, part: Schema, known: Schema) -> str:
    title = f"## {path}" if path else "## The file"
    needed = part.get("required", ())
    rows = [
        [f"`{key}`", _type(field), _default(field, key in needed), _meaning(field, known)]
        for key, field in part["properties"].items()
    ]
    headers = ["key", "type", "default", "meaning"]
    return f"{title}\n\n{_one_line(part)}\n\n{table(headers, rows, left=4)}\n"


def _type(field: Schema) -> str:
    """Say in words what a value is."""
    if "anyOf" in field:
        kinds = [_type(one) for one in field["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "$ref" in field:
        return SPECIAL.get(field["$ref"].rpartition("/")[2], "see below")
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum") or [field["const"]])
    if field.get("type") in HOLDERS:
        words, inside = HOLDERS[field["type"]]
        return f"{words} {_type(field[inside])}"
    bounds = [f"{sign} {field[name]}" for name, sign in BOUNDS.items() if name in field]
    return " ".join([str(field.get("type", "any value")), *bounds])


def _default(field: Schema, is_needed: bool) -> str:
    if is_needed:
        return "required"
    default = field.get("default")
    if default in (None, {}) or "$ref" in field:
        return NOTHING
    return f"`{json.dumps(default)}`"


def _meaning(field: Schema, known: Schema) -> str:
    """Return what is said of a key, else of the part that it holds."""
    if "description" in field:
        return _one_line(field)
    return " ".join(_one_line(known[name]) for name in _references(field))


def _one_line(described: Schema) -> str:
    return " ".join(described["description"].split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference())
