"""Base class of the types of an experiment file."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


def not_allowed(allowed: str) -> PydanticCustomError:
    """Return the error for a validator to raise; `allowed` is shown in the message."""
    return PydanticCustomError("not_allowed", "{allowed}", {"allowed": allowed})


class Part(BaseModel):
    """Base of all parts of an experiment: frozen; unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )
