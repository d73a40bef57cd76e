"""The manifest of a run: what made these records, in enough detail to make them again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FORMAT = 1
"""Raised when a reader of older run folders would misread a newer one."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of manifest.json. Plain values only, so that it reads back as it was written."""

    run_id: str
    name: str
    """The experiment's name."""
    experiment_hash: str
    created_at: str
    """UTC, ISO 8601; so is `finished_at`."""
    finished_at: str
    command: str
    """Makes the same run again from the run folder's experiment.yaml."""
    data: dict[str, Any]
    """dataset, hash, labels (names in id order), rows per split, test_label_counts, max_length and
    cut (share) per model, model_types (as in the checkpoints' configs) per model, survey (see
    `survey`), trust_remote_code: the models whose checkpoints' code could run, if any."""
    seeds: dict[str, Any]
    """experiment: the seed of splits, samples and the tune stage; confirm: a list."""
    versions: dict[str, str]
    """python and the packages that the numbers depend on."""
    git_revision: str | None
    """Of raycompare's own checkout, with + behind it if it was changed; None if installed."""
    hardware: list[dict[str, Any]]
    """Per node: hostname, cpus, gpus, cpu_model, memory_bytes."""
    seconds: dict[str, float]
    """Wall-clock per stage: check, tokenize, screen, tune, confirm, inference, total."""
    machine_seconds: dict[str, float] = field(default_factory=dict)
    """The same, summed over the machines that could hold trials; empty in older runs."""
    resources: dict[str, Any] = field(default_factory=dict)
    """Per model: cpu and gpu of a trial, also where they were measured."""
    estimate: dict[str, Any] = field(default_factory=dict)
    """What the trials were thought to take at most before the first began; see `estimate`."""
    trackers: dict[str, str] = field(default_factory=dict)
    """Per tracker: why it was off, or empty if it worked to the end."""
    complete: bool = True
    """False while a run that was interrupted has not been resumed to its end."""
    format: int = FORMAT


TOTAL = "total"
