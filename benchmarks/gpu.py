"""Trials per hour on a GPU: one trial per card with Trainer defaults, against packed raycompare.

    python -m benchmarks.gpu

The model has the shape of BERT base, 110M parameters, with random weights: the time of a step does
not depend on them. Texts are `builtin:docstrings`. No trial is stopped. Where there is no GPU the
command says so and measures nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import typer
from transformers import BertConfig, BertForSequenceClassification

from benchmarks.ag_news import CHECKPOINT, Quick, run_app, say
from benchmarks.arms import commands
from benchmarks.arms.commands import Run, Study
from benchmarks.page import Goal, Page
from benchmarks.study.setup import BATCH_SIZE, Sizes, request_of, write_rows
from raycompare.data.splits import load_splits
from raycompare.data.tokenize import tokenize
from raycompare.experiment.file import parse_draft
from raycompare.experiment.spec import DataSpec, Experiment, ModelSpec
from raycompare.formatting import NOTHING, number_of, table
from raycompare.models.pretrained import load_tokenizer

DATA = "builtin:docstrings"
TIMES_FASTER = 3.0
FLOPS_PER_WEIGHT_AND_TOKEN = 6
"""Forward and backward: two and four (Kaplan et al. 2020, https://arxiv.org/abs/2001.08361)."""
PEAKS: Mapping[str, float] = {
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "A10G": 70e12,
    "L4": 121e12,
}
"""Dense bf16 FLOP/s by a part of the card's name, from NVIDIA's data sheets; SXM of several."""

app = typer.Typer(pretty_exceptions_enable=False)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the two arms gave."""

    plain: Study
    packed: Run
    trials: int
    tokens: float
    """Useful tokens of all trials of one arm, padding not counted."""
    weights: int
    """Those that every token is multiplied with: the embeddings are looked up."""

    @property
    def seconds(self) -> dict[str, float]:
        """The search alone, by arm."""
        return {
            "one trial per card, Trainer defaults": self.plain.answer.search_seconds,
            "raycompare, `resources: auto`": self.packed.manifest.seconds["tune"],
        }

    def share_of_peak(self, seconds: float) -> str:
        """Return the part of the card's bf16 peak that went into useful tokens."""
        card = torch.cuda.get_device_name()
        peak = next((peak for name, peak in PEAKS.items() if name in card), None)
        if peak is None:
            return NOTHING
        used = FLOPS_PER_WEIGHT_AND_TOKEN * self.weights * self.tokens / seconds
        return f"{used / peak / torch.cuda.device_count():.1%}"


@app.command()
def main(quick: Quick = False, trials: int = 24, steps: int = 300) -> None:
    """Measure both arms on the machine's GPUs and write the page."""
    if not torch.cuda.is_available():
        say("no GPU on this machine: nothing was measured, no page was written")
        return
    sizes = Sizes(
        train=(10 if quick else steps) * BATCH_SIZE,
        validation=200,
        test=200,
        epochs=1,
        samples=4 if quick else trials,
        workers=torch.cuda.device_count(),
        padding="longest",
        winner_seeds=0,
        long_trials=0,
        long_seconds=0.0,
    )
    with TemporaryDirectory(prefix="bench-gpu-") as folder:
        found = measure(sizes, Path(folder))
    page(sizes, found, quick).write()


def measure(sizes: Sizes, work: Path) -> Findings:
    """Run both arms."""
    write_rows(sizes, Path(DATA), work / "data")
    weights = write_model(work / "model")
    experiment = write_experiment(sizes, work)
    request_of(sizes, experiment, work, gpus_per_trial=1.0).write(work / "request.json")
    return Findings(
        packed=commands.raycompare(work / "bench-gpu.yaml", work / "raycompare"),
        plain=commands.ray_tune(work / "request.json"),
        trials=sizes.samples,
        tokens=_tokens(experiment) * sizes.samples,
        weights=weights,
    )


def write_model(folder: Path) -> int:
    """Write a model of BERT base's shape with a tokenizer; return its weights per token."""
    model = BertForSequenceClassification(BertConfig())
    model.save_pretrained(folder)
    load_tokenizer(ModelSpec(name="minilm", checkpoint=CHECKPOINT)).save_pretrained(folder)
    embeddings = sum(weight.numel() for weight in model.bert.embeddings.parameters())
    return int(model.num_parameters()) - embeddings


def write_experiment(sizes: Sizes, work: Path) -> Experiment:
    """Write the experiment file of raycompare's arm."""
    content: dict[str, Any] = {
        "name": "bench-gpu",
        "data": {"dataset": str(work / "data"), "max_length": 256},
        "models": [{"name": "bert-base-shape", "checkpoint": str(work / "model")}],
        "training": {"num_train_epochs": 1, "per_device_train_batch_size": BATCH_SIZE},
        "search_space": {"learning_rate": {"loguniform": [1e-6, 1e-5]}},
        "tune": {"num_samples": sizes.samples, "scheduler": "fifo"},
        "confirm": {"seeds": [1]},
        "baselines": [],
        "inference": {"measure": False},
        "resources": "auto",
    }
    path = work / "bench-gpu.yaml"
    path.write_text(json.dumps(content))  # JSON is YAML
    return parse_draft(path.read_text(), str(path)).experiment()


def _tokens(experiment: Experiment) -> int:
    """Count the tokens of one trial's training set."""
    spec: DataSpec = experiment.data
    data = load_splits(spec, experiment.seed)
    return int(tokenize(data, load_tokenizer(experiment.models[0]), spec).train.lengths.sum())


def page(sizes: Sizes, found: Findings, quick: bool) -> Page:
    """Make the page; the ratio comes last."""
    plain, packed = found.seconds.values()
    faster = plain / packed
    return Page(
        name="gpu-quick" if quick else "gpu",
        title="Trials per hour on a GPU",
        command=" ".join(["python -m benchmarks.gpu", *sys.argv[1:]]),
        method=method(sizes),
        results=results(found),
        goals=[
            Goal(
                name="times the trials per hour of one trial per card",
                aim=f">= {TIMES_FASTER:g}",
                measured=f"{faster:.2f}",
                met=faster >= TIMES_FASTER,
            )
        ],
    )


def method(sizes: Sizes) -> str:
    """Say what was run and how it was timed."""
    return f"""
{number_of(torch.cuda.device_count(), "card")}: {torch.cuda.get_device_name()}. A model of BERT
base's shape, {number_of(sizes.samples, "trial")} of {sizes.steps} steps with {BATCH_SIZE} texts,
none stopped, one evaluation each. Timed is the search alone, start of Ray and measuring of memory
not in it. Plain Ray Tune gives each trial a card; the Trainer has its defaults (fp32, dynamic
padding). The share of the peak counts useful tokens only, {FLOPS_PER_WEIGHT_AND_TOKEN} FLOPs for
each weight and token.
"""


def results(found: Findings) -> str:
    """Make the table of the two arms."""
    shares = {trial.precision for trial in found.packed.tune}
    rows = [
        [
            arm,
            f"{seconds:.1f}",
            f"{found.trials / seconds * 3600:.0f}",
            found.share_of_peak(seconds),
        ]
        for arm, seconds in found.seconds.items()
    ]
    headers = ["arm", "seconds", "trials per hour", "share of the bf16 peak"]
    return (
        f"{table(headers, rows)}\n\nraycompare computed in {', '.join(sorted(map(str, shares)))}."
    )


if __name__ == "__main__":
    run_app(app)
