"""Model card of a finalist, from the records of its run: Markdown with YAML front matter."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML

from raycompare.analysis.comparison import Comparison
from raycompare.analysis.leaderboard import shown_metrics, spread
from raycompare.experiment.hyperparameters import settings_of
from raycompare.experiment.spec import ModelSpec
from raycompare.formatting import count, escape, listing, number_of, score, setting, table
from raycompare.metrics import LABELS, MetricName
from raycompare.records.rows import EvalRecord, TrialRecord
from raycompare.report.sections.scores import leaderboard_section

HUB_METRICS: Mapping[MetricName, tuple[str, str]] = {
    "accuracy": ("accuracy", "Accuracy"),
    "macro_f1": ("f1", "Macro F1"),
    "matthews_correlation": ("matthews_correlation", "MCC"),
}
"""Name and title of each metric on the hub (huggingface.co/docs/hub/model-cards)."""


@dataclass(frozen=True, kw_only=True)
class SavedModel:
    """Properties of a saved model, from its files."""

    labels: Mapping[int, str]
    """Label names keyed by the predicted ids."""
    max_length: int
    """Number of tokens that texts were truncated to in training."""
    pooling: str | None = None
    """Pooling that `from_pretrained` alone does not restore; None otherwise."""
    texts: int | None = None
    """1 for a model of single texts, 2 for pairs, None if its files don't say."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """Labels in the order of their ids."""
        return tuple(self.labels[key] for key in sorted(self.labels))


@dataclass(frozen=True, kw_only=True)
class Card:
    """Contents of a model card."""

    comparison: Comparison
    trial: TrialRecord
    """Finalist that the weights belong to."""
    test: EvalRecord
    """Test of that finalist."""
    saved: SavedModel

    @property
    def spec(self) -> ModelSpec:
        """The model in the experiment."""
        return self.comparison.experiment.model_named(self.trial.model)

    @property
    def is_on_hub(self) -> bool:
        """Whether the data set is on the hub, where others find it by its name."""
        return self._from_hub(self.comparison.experiment.data.dataset)

    def _from_hub(self, name: str) -> bool:
        return name in self.comparison.manifest.data.get("from_hub", ())

    def text(self) -> str:
        """Return the card as Markdown."""
        data = self.comparison.experiment.data
        parts = [
            f"---\n{self.front_matter()}---",
            f"# {escape(self.trial.model)} on {escape(data.dataset)}",
            self._describe(),
            f"## Use\n\n{usage(self.saved, pairs=len(data.text) > 1)}",
            self._test(),
            f"## Data\n\n{self._data()}",
            f"## Training\n\n{self._training()}",
            f"## Limits\n\n{self._limits()}",
        ]
        return "\n\n".join(parts) + "\n"

    def front_matter(self) -> str:
        """Return the metadata for the hub as YAML, with ids only for what is on the hub."""
        data = self.comparison.experiment.data
        content: dict[str, Any] = {
            "library_name": "raycompare" if self.saved.pooling else "transformers",
            "pipeline_tag": "text-classification",
            "tags": ["raycompare"],
            "metrics": [name for name, _ in HUB_METRICS.values()],
        }
        if self._from_hub(self.spec.checkpoint):
            content["base_model"] = self.spec.checkpoint
        if self.is_on_hub:
            content |= {"datasets": [data.dataset], "model-index": [self._index()]}
        yaml = YAML()
        yaml.default_flow_style = False
        yaml.width = 2**20
        out = io.StringIO()
        yaml.dump(content, out)
        return out.getvalue()

    def _index(self) -> dict[str, Any]:
        """Return the test of these weights, not a mean over seeds, in the hub's format."""
        data = self.comparison.experiment.data
        rows = self.comparison.manifest.data["rows"]["test"]
        whole = isinstance(data.splits.test, str) and data.limit.test is None
        optional = {
            "config": data.config,
            "split": data.splits.test if whole else None,
            "revision": data.revision,
        }
        dataset = {
            "type": data.dataset,
            "name": f"{data.dataset}, {count(rows)} test rows",
            **{name: value for name, value in optional.items() if value is not None},
        }
        metrics = [
            {"type": hub, "value": round(getattr(self.test, name), 6), "name": title}
            for name, (hub, title) in HUB_METRICS.items()
        ]
        task = {"type": "text-classification", "name": "Text Classification"}
        return {
            "name": self.trial.model,
            "results": [{"task": task, "dataset": dataset, "metrics": metrics}],
        }

    def _describe(self) -> str:
        names = [escape(name) for name in self.saved.label_names]
        return (
            f"A text classifier with {len(names)} labels: {', '.join(names)}. Fine-tuned from "
            f"`{self.spec.checkpoint}` with raycompare, experiment "
            f"`{self.comparison.experiment.name}`, run `{self.comparison.manifest.run_id}`, trial "
            f"`{self.trial.trial_id}`, the seed with the best validation score.\n\n"
            f"Verdict of the run: {self.comparison.verdict}"
        )

    def _test(self) -> str:
        row = next(r for r in self.comparison.leaderboard if r.model == self.trial.model)
        lines = [
            (LABELS[name], score(getattr(self.test, name)), spread(row.test[name]))
            for name in shown_metrics(self.comparison.metric)
        ]
        seeds = f"mean ± sd over {number_of(row.seeds_done, 'seed')}"
        own = table(("test", "these weights", seeds), lines)
        models = leaderboard_section(self.comparison, title="All models: Leaderboard")
        return f"## Test\n\n{own}\n\n{models}"

    def _data(self) -> str:
        data = self.comparison.manifest.data
        splits = [(escape(split), count(rows)) for split, rows in data.get("rows", {}).items()]
        about = f"{escape(str(data['dataset']))}, hash of the data used: {data.get('hash')}."
        return f"{about}\n\n{table(('split', 'rows'), splits)}"

    def _training(self) -> str:
        experiment, trial = self.comparison.experiment, self.trial
        searched = json.loads(trial.hyperparameters)
        fixed = {**self.spec.config, **settings_of(experiment, trial.model).training}
        values = [(f"`{key}`", setting(searched[key]), "searched") for key in sorted(searched)]
        values += [
            (f"`{key}`", setting(fixed[key]), "fixed") for key in sorted(fixed.keys() - searched)
        ]
        own = self.comparison.records.trials_of(trial.model, "confirm")
        seeds = ", ".join(str(each.seed) for each in own)
        note = (
            f"Seed {trial.seed} of {seeds}. The checkpoint is from step {count(trial.best_step)} "
            f"of {count(trial.steps)}. For other settings, see experiment.yaml of the run."
        )
        return f"{table(('hyperparameter', 'value', ''), values)}\n\n{note}" if values else note

    def _limits(self) -> str:
        rows = self.comparison.manifest.data.get("rows", {}).get("test")
        lines = [
            f"The model was tested once, on {count(rows)} rows of the data set above, and not on "
            "texts of another kind, time or language.",
            f"Only the first {number_of(self.saved.max_length, 'token')} of a text are used.",
            "Every text gets one of the labels, even if none of them fits, and the probabilities "
            "are not calibrated.",
        ]
        rivals = self.comparison.rivals
        if rivals and self.trial.model == self.comparison.leaderboard[0].model:
            names = listing([escape(name) for name in rivals])
            lines.append(f"It ranks first, but {names} may be better.")
        return "\n".join(f"- {line}" for line in lines)


def usage(saved: SavedModel, pairs: bool) -> str:
    """Show how to load the model so that it predicts as in its test."""
    example = '{"text": "...", "text_pair": "..."}' if pairs else '"..."'
    imports, model = _loading(saved)
    code = (
        f'{imports}\n\npath = "PATH/OF/THIS/FOLDER"\n'
        f'classify = pipeline("text-classification", {model}, truncation=True)\n'
        f"classify({example})"
    )
    notes = [
        f"`truncation=True` truncates texts to {number_of(saved.max_length, 'token')}, as in "
        "training; by default the pipeline doesn't truncate."
    ]
    if saved.pooling:
        notes.append(escape(not_plain(saved.pooling)))
    return "\n\n".join([f"```python\n{code}\n```", *notes])


def _loading(saved: SavedModel) -> tuple[str, str]:
    """Return the imports of the pipeline, and its arguments for model and tokenizer."""
    if saved.pooling is None:
        return "from transformers import pipeline", "path"
    return (
        "from transformers import AutoTokenizer, pipeline\n\nfrom raycompare import load_model",
        "load_model(path), tokenizer=AutoTokenizer.from_pretrained(path)",
    )


def not_plain(pooling: str) -> str:
    """Explain how to load a pooled model, and what does not work."""
    return (
        f"The model was trained with pooling: {pooling}, which transformers' own classes don't "
        "support: from_pretrained, or pipeline with a path, would load it and predict wrongly. "
        "Load it with raycompare.load_model, or use raycompare predict, serve or export --onnx."
    )
