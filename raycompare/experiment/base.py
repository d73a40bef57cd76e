"""Base class of the types of an experiment file."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from raycompare.formatting import visible


def not_allowed(allowed: str) -> PydanticCustomError:
    """Return the error for a validator to raise; `allowed` is shown in the message."""
    return PydanticCustomError("not_allowed", "{allowed}", {"allowed": allowed})


class Part(BaseModel):
    """Base of all parts of an experiment: frozen; unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )


MOST_NAME = 200
"""Most characters of a name. Names of folders and files, such as NAME-refined.yaml, are made from
it; Linux, macOS and Windows allow 255 bytes."""


def shown_name(value: str) -> str:
    """Check the name of a model, which tables and figures show."""
    if not value.strip() or "\n" in value or "\t" in value or visible(value) != value:
        raise not_allowed("a name of visible characters on one line; it is shown in tables")
    if len(value) > MOST_NAME:
        raise not_allowed(f"a name of at most {MOST_NAME} characters; it is shown in tables")
    return value


def folder_name(value: str) -> str:
    """Check the name of an experiment, from which names of folders and files are made."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
        raise not_allowed("letters, digits, dots, dashes and underscores; it becomes a folder name")
    if len(value) > MOST_NAME:
        raise not_allowed(f"at most {MOST_NAME} characters; it becomes a folder name")
    return value
