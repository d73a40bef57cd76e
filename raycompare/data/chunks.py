"""Rows of a file, as a reader yields them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa


@dataclass(frozen=True)
class Chunk:
    """Successive rows of a file."""

    rows: int
    values: Sequence[pa.Array | list[Any]]
    """The requested columns: arrays, or the values of JSON, which may have any type."""


@dataclass(frozen=True)
class NoObject:
    """Stands for each value of a row of JSON that is not an object."""

    reason: str
    line: int | None = None
    """Line in the file, from 1."""
