"""The manifest of a run: everything needed to repeat it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

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
