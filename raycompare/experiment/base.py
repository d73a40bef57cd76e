"""What every part of an experiment has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


def not_allowed(allowed: str) -> PydanticCustomError:
    """Make the error a validator raises; `allowed` completes 'allowed ...' in the message."""
    return PydanticCustomError("not_allowed", "{allowed}", {"allowed": allowed})


class Part(BaseModel):
    """Base of all parts: frozen, and an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )
