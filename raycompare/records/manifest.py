"""The manifest of a run, everything needed to repeat it; and the start, which identifies it.

Both may come from elsewhere. Fields that later versions added are ignored; every other difference
from the types is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

FORMAT = 1
"""Increased when older versions would misread a new run folder."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of manifest.json, in plain JSON values."""

    run_id: str
    name: str
    """Name of the experiment."""
    experiment_hash: str
    created_at: str
    """Start of the run in UTC, ISO 8601."""
    finished_at: str
    """End of the run in UTC, ISO 8601."""
    command: str
    """Command that repeats the run, for the experiment.yaml of the run folder."""
    data: dict[str, Any]
    """dataset, hash, labels (names in id order), source_splits (the split of the source that each
    split comes from), rows per split, test_label_counts, max_length and
    cut (truncated share of the texts) per model, model_types (as in the checkpoints' configs) per
    model, checkpoints (the commit, or a hash of the files) per model, survey (see `survey`),
    trust_remote_code (models whose checkpoints could run code)."""
    seeds: dict[str, Any]
    """experiment: the seed of splits, samples and the tune stage; confirm: a list of seeds."""
    versions: dict[str, str]
    """Versions of Python and of the packages that affect the numbers."""
    git_revision: str | None
    """Revision of raycompare's checkout, followed by + if it had changes; None if installed."""
    source_hash: str | None = None
    """Hash of raycompare's Python files, which a copy without git has too; None in older runs."""
    hardware: list[dict[str, Any]]
    """hostname, cpus, gpus, cpu_model and memory_bytes of each node."""
    seconds: dict[str, float]
    """Wall-clock per stage: check, tokenize, screen, tune, confirm, inference, total."""
    machine_seconds: dict[str, float] = field(default_factory=dict)
    """Seconds per stage, summed over the machines that could run trials; empty in older runs."""
    resources: dict[str, Any] = field(default_factory=dict)
    """cpu and gpu of a trial, keyed by model name; includes measured ones."""
    estimate: dict[str, Any] = field(default_factory=dict)
    """Upper bound of the trials' time and cost before the first one started; see `estimate`."""
    trackers: dict[str, str] = field(default_factory=dict)
    """Why a tracker was turned off, keyed by its name; empty if it worked to the end."""
    complete: bool = True
    """False for an interrupted run, until it is resumed and reaches its end."""
    format: int = FORMAT


TOTAL = "total"


@dataclass(frozen=True)
class RunStart:
    """Identifies a run when it is resumed; written before its first trial."""

    run_id: str
    created_at: str
    experiment_hash: str
    data_hash: str
    code: dict[str, str] = field(default_factory=dict)
    """Versions of the packages that determine the results of a trial."""
    directory: str | None = None
    """Working directory, which relative paths of the experiment are relative to."""
    checkpoints: dict[str, str] = field(default_factory=dict)
    """What each model is made from; empty in runs of earlier versions, which did not record it."""


class _DataFacts(BaseModel, extra="allow"):
    """Types in `Manifest.data`."""

    labels: list[Any] = []
    rows: dict[str, int] = {}
    source_splits: dict[str, str | None] = {}
    test_label_counts: dict[str, int] | None = None
    also_in_train: dict[str, int] = {}
    two_labels: int = 0
    max_length: dict[str, int] = {}
    cut: dict[str, float] = {}
    model_types: dict[str, str] = {}
    checkpoints: dict[str, str] = {}
    from_hub: list[str] = []
    survey: dict[str, Any] | None = None
    trust_remote_code: list[str] = []


class _Machine(BaseModel, extra="allow"):
    """Types in `Manifest.hardware`."""

    hostname: str = ""
    cpus: float | None = None
    gpus: float | None = None
    cpu_model: str | None = None
    memory_bytes: int | None = None


Content = TypeVar("Content")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def from_plain(kind: type[Content], content: Mapping[str, Any]) -> Content:
    """Return a `Manifest` or `RunStart` from the values of a JSON object.

    Raises:
        ValueError: a field is missing or has another type.
    """
    own = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    known = {name: value for name, value in content.items() if name in own}
    made: Content = _validate(kind, known)
    if isinstance(made, Manifest):
        _validate(_DataFacts, made.data)
        _validate(list[_Machine], made.hardware)
        _validate(dict[str, dict[str, float | str | None]], made.resources)
    return made


def _validate(kind: Any, content: object) -> Any:
    try:
        return _adapter(kind).validate_python(content)
    except ValidationError as error:
        mistakes = [f"{'.'.join(map(str, m['loc']))}: {m['msg']}" for m in error.errors()]
        raise ValueError("; ".join(mistakes)) from error
