"""What decides the outcome of a model's trials: only what is equal is taken for the same."""

from __future__ import annotations

import hashlib
import json

from raycompare.data import LabelledData
from raycompare.spec import Experiment, ModelSpec
from raycompare.versions import code_versions

__all__ = ["code_versions", "identities"]


def identities(experiment: Experiment, data: LabelledData) -> dict[str, str]:
    """Return a hash by model: of its weights' name and revision, of the data, and of the code."""
    return {model.name: _identity(experiment, model, data) for model in experiment.models}


def _identity(experiment: Experiment, model: ModelSpec, data: LabelledData) -> str:
    content = [
        model.source,
        model.config,
        experiment.training_of(model),
        experiment.data.max_length,
        experiment.data.padding,
        data.content_hash,
        code_versions(),
    ]
    if model.building:  # what most models leave out must not change their identity
        content.append(model.building)
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
