"""A committed example: its records, its tables, and the numbers in its report."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from tests import ROOT

FOLDERS = sorted(path.parent for path in ROOT.glob("reports/*/*/manifest.json"))
examples = pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.parent.name)
METRICS = {
    "matthews_correlation": "MCC",
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "loss": "loss",
}
NUMBER = re.compile(r"[+-]?[\d,]*\.?\d+")
UNITS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Answers:
    """Predictions of one model, or of a baseline, for all test rows."""

    labels: np.ndarray[Any, Any]
    predicted: np.ndarray[Any, Any]
    """Shape (seeds, rows)."""
    losses: np.ndarray[Any, Any]
    seeds: tuple[int, ...]
    """Empty for a baseline."""

    @property
    def has_seeds(self) -> bool:
        """Whether these are predictions of a model."""
        return bool(self.seeds)

    def up_to(self, seed: int) -> Answers:
        """Return the predictions of the seeds up to a number; those of a baseline are kept."""
        if not self.has_seeds:
            return self
        kept = [place for place, own in enumerate(self.seeds) if own <= seed]
        seeds = tuple(self.seeds[place] for place in kept)
        return Answers(self.labels, self.predicted[kept], self.losses[kept], seeds)


@dataclass(frozen=True)
class Example:
    """A run folder with its report."""

    folder: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Content of manifest.json."""
        content: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text())
        return content

    @cached_property
    def experiment(self) -> Mapping[str, Any]:
        """Content of experiment.yaml."""
        content: Mapping[str, Any] = YAML(typ="safe").load(self.folder / "experiment.yaml")
        return content

    @property
    def metric(self) -> str:
        """The deciding metric."""
        return str(self.experiment["tune"]["metric"])

    @property
    def sign(self) -> int:
        """1 if a higher value is better, else -1."""
        return -1 if self.metric == "loss" else 1

    @cached_property
    def report(self) -> str:
        """Text of report.md, with plain spaces."""
        return (self.folder / "report.md").read_text().replace("\u00a0", " ")

    def rows(self, name: str) -> pd.DataFrame:
        """Read a file of records; empty if there is none."""
        file = self.folder / f"{name}.parquet"
        return pd.read_parquet(file) if file.exists() else pd.DataFrame()

    def csv(self, name: str) -> pd.DataFrame:
        """Read a table of the report; empty if there is none."""
        file = self.folder / "tables" / f"{name}.csv"
        return pd.read_csv(file) if file.exists() else pd.DataFrame()

    def markdown(self, *headers: str) -> list[dict[str, str]]:
        """Return the rows of the first table with these headers; empty if there is none."""
        for block in re.findall(r"(?:^\|.*\|\n)+", self.report, re.MULTILINE):
            head, _, *rows = (_cells(line) for line in block.splitlines())
            if set(headers) <= set(head):
                return [dict(zip(head, row, strict=True)) for row in rows]
        return []

    @cached_property
    def trials(self) -> pd.DataFrame:
        """Rows of trials.parquet."""
        return self.rows("trials")

    @cached_property
    def finalists(self) -> pd.DataFrame:
        """Tested trials of the confirm stage."""
        evaluations = self.rows("evaluations")
        tested = self.trials.trial_id.isin(evaluations.trial_id[evaluations.split == "test"])
        ended = self.trials.status.isin(["completed", "stopped_early"])
        return self.trials[(self.trials.stage == "confirm") & ended & tested]

    @cached_property
    def answers(self) -> dict[str, Answers]:
        """Predictions of each model, sorted by seed and row, and of each baseline."""
        groups = {
            name: own.sort_values("seed")[["trial_id", "seed"]]
            for name, own in self.finalists.groupby("model")
        }
        baselines = self.rows("baselines")
        names = (
            {} if baselines.empty else dict(zip(baselines.name, baselines.trial_id, strict=True))
        )
        return {
            **{
                str(name): self._answers(list(own.trial_id), *own.seed.tolist())
                for name, own in groups.items()
            },
            **{str(name): self._answers([own]) for name, own in names.items()},
        }

    def _answers(self, trial_ids: list[str], *seeds: int) -> Answers:
        tables = [
            self.rows(f"predictions/{name.replace('/', '-')}").sort_values("example_id")
            for name in trial_ids
        ]
        labels = tables[0].label.to_numpy()
        each = [np.stack(table.probabilities.to_list()).astype(float) for table in tables]
        return Answers(
            labels=labels,
            predicted=np.stack([table.prediction.to_numpy() for table in tables]),
            losses=np.stack([-np.log(own[np.arange(len(labels)), labels]) for own in each]),
            seeds=seeds,
        )

    @property
    def classes(self) -> int:
        """Number of labels in use."""
        largest = (max(own.labels.max(), own.predicted.max()) for own in self.answers.values())
        return int(max(largest)) + 1

    @property
    def order(self) -> list[str]:
        """Tested models in the order of the printed leaderboard, without baselines."""
        printed = [row["model"] for row in self.markdown("#", "model", "may be best")]
        return [name for name in printed if name in self.answers and self.answers[name].has_seeds]

    @property
    def rounds(self) -> list[int]:
        """Largest seed of each round after which models were tested; one without a race."""
        confirm = self.experiment["confirm"]
        last = max(max(own.seeds, default=0) for own in self.answers.values())
        return list(range(confirm["first"], last + 1)) if confirm["seeds"] == "auto" else [last]

    def price_of_rounds(self, last: int) -> float:
        """Return the factor of p values after the round of a seed: its share is as 1 / k."""
        confirm = self.experiment["confirm"]
        if confirm["seeds"] != "auto":
            return 1.0
        rounds = confirm["most"] - confirm["first"] + 1
        harmonic = sum(1 / number for number in range(1, rounds + 1))
        return harmonic * (last - confirm["first"] + 1)

    @property
    def usd_per_second(self) -> float | None:
        """Price of a machine."""
        cost = self.experiment.get("cost") or {}
        usd = cost.get("usd_per_hour")
        if usd is None and cost.get("instance"):
            prices = tomllib.loads((ROOT / "raycompare/experiment/prices.toml").read_text())
            usd = prices["instances"].get(cost["instance"], {}).get("usd")
        return None if usd is None else usd / 3600


@cache
def example(folder: Path) -> Example:
    """Return the example of a folder, whose files are read once."""
    return Example(folder)


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("\\", "") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def numbers(text: str) -> list[float]:
    """Return all numbers of a text."""
    return [float(number.replace(",", "")) for number in NUMBER.findall(text)]


def seconds(text: str) -> tuple[float, float]:
    """Return a printed duration, and by how much it may be rounded."""
    parts = re.findall(r"([\d.]+) ([hms])", text)
    fine = "." in text
    coarse = 30.0 if "h" in text else 0.5
    return sum(float(value) * UNITS[unit] for value, unit in parts), 0.05 if fine else coarse


def shown(text: str, value: float, decimals: int = 3) -> bool:
    """Return whether the first number of a text is the value, up to rounding."""
    return abs(numbers(text)[0] - value) <= 0.5 * 10**-decimals + 1e-9


def lasts(text: str, value: float) -> bool:
    """Return whether a printed duration is a number of seconds, up to rounding."""
    printed, rounding = seconds(text)
    return abs(printed - value) <= rounding + 1e-6
