"""The weights of a run's winner, or of another finalist, as a folder that a server can load."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raycompare.errors import UserError
from raycompare.experiment_text import read_experiment
from raycompare.extend import finalist
from raycompare.leaderboard import ModelRow, shown_metrics, spread
from raycompare.markdown import table
from raycompare.metrics import LABELS
from raycompare.results import RunFolder
from raycompare.spec import Experiment

WEIGHTS = "weights"
CARD = "README.md"


@dataclass(frozen=True, kw_only=True)
class Winner:
    """A finalist whose weights the run has kept."""

    experiment: Experiment
    row: ModelRow
    trial_id: str

    @property
    def model(self) -> str:
        """What the tables call it."""
        return self.row.model


def winner(folder: RunFolder, model: str | None = None) -> Winner:
    """Find the model with the best mean test value, or the one named, and its weights.

    Raises:
        UserError: no such model, it has not been tested, or its weights are not there.
    """
    experiment = read_experiment(folder.read_text("experiment.yaml"))
    trials = folder.read_trials()
    row = finalist(experiment, trials, folder.read_evaluations(), model).row
    ids = [t.trial_id for t in trials if t.stage == "confirm" and t.model == row.model]
    found = next((name for name in ids if folder.exists(f"{WEIGHTS}/{name}/config.json")), None)
    if found is None:
        there = ", ".join(folder.names(WEIGHTS)) or "nothing"
        raise UserError(
            f"{folder.child(WEIGHTS)} has no weights of {row.model}; found {there}. Name the "
            "folder where the run took place, or copy it with its weights."
        )
    return Winner(experiment=experiment, row=row, trial_id=found)


def lay_out(folder: RunFolder, found: Winner, place: Path) -> None:
    """Put weights, tokenizer, config and a model card into a local folder.

    `from_pretrained` reads it, and so does SageMaker's Hugging Face inference container.
    """
    place.mkdir(parents=True, exist_ok=True)
    copied = RunFolder.at(place)
    weights = folder.folder(f"{WEIGHTS}/{found.trial_id}")
    for name in weights.sizes(""):
        copied.write_bytes(name, weights.read_bytes(name))
    copied.write_text(CARD, card(found, labels_of(place), folder.uri))


def labels_of(place: Path) -> Mapping[int, str]:
    """Return the names of the labels by the ids that the model predicts."""
    config = json.loads((place / "config.json").read_text(encoding="utf-8"))
    return {int(key): name for key, name in config["id2label"].items()}


def card(found: Winner, labels: Mapping[int, str], run_dir: str) -> str:
    """Return the model card: what it was trained from and for, and its test."""
    experiment, row = found.experiment, found.row
    spec = experiment.model_named(row.model)
    rows = [
        (LABELS[metric], spread(row.test[metric]))
        for metric in shown_metrics(experiment.tune.metric)
    ]
    return "\n".join(
        [
            "---",
            "library_name: transformers",
            "pipeline_tag: text-classification",
            "---",
            "",
            f"# {row.model} on {experiment.data.dataset}",
            "",
            f"A classifier of text with {len(labels)} labels: "
            f"{', '.join(labels[key] for key in sorted(labels))}.",
            "",
            f"Fine-tuned from `{spec.checkpoint}` by raycompare, experiment "
            f"`{experiment.name}`, run `{run_dir}`, trial `{found.trial_id}`: the seed that was "
            "the best on validation.",
            "",
            f"Test, over {row.test[experiment.tune.metric].n} seeds (mean ± sd); the weights are "
            "those of one of them:",
            "",
            table(("metric", "test"), rows),
            "",
            "Texts of another kind than those of the data set were not tested.",
            "",
        ]
    )
