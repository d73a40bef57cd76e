"""Makes random experiment files of one tiny model, or two, on one tiny data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from raycompare.experiment.settings import READ_BY_SOME, SCHEDULERS
from tests.random_files.values import DATA, OTHER, SEARCH, TRAINING, TUNE, Values
from tests.tiny import rows, save_tiny_bert, write_tiny_data

Content = dict[str, Any]
ODD_FILES = 0.4
"""Share of files that may have odd values."""
ODD_VALUES = 0.3
"""Share of odd values in those files."""
LISTED = ("choice", "grid")


@dataclass
class RandomFile:
    """An experiment file, and which of its keys have values that `check` may refuse."""

    content: Content = field(default_factory=dict)
    odd: set[str] = field(default_factory=set)


@dataclass
class Maker:
    """Makes files from seeds; each has models and data of the folder that is filled first."""

    place: Path

    def __post_init__(self) -> None:
        """Write a model and data in several shapes."""
        self.model = save_tiny_bert(self.place / "model")
        (self.place / "splits").mkdir()
        write_tiny_data(self.place / "splits")
        one = rows(200, 3)
        one["author"] = [f"a{index % 50}" for index in range(len(one))]
        one.to_csv(self.place / "one.csv", index=False)
        one.rename(columns={"text": "premise"}).assign(hypothesis=one["text"]).to_json(
            self.place / "pairs.jsonl", orient="records", lines=True
        )
        numbers = {"animals": 0, "plants": 1, "rocks": 2}
        one.assign(label=one["label"].map(numbers)).to_parquet(self.place / "numbers.parquet")

    def make(self, seed: int) -> RandomFile:
        """Make the file of a seed."""
        random, file = Random(seed), RandomFile()
        draw = Draw(random, file, ODD_VALUES if random.random() < ODD_FILES else 0.0)
        file.content = {"name": f"file-{seed}", "data": self._data(draw)}
        file.content["models"] = self._models(draw)
        training = draw.some(TRAINING, random.choice([0, 1, 2, 4, 7]), "training")
        space = draw.space(random.choice([0, 1, 1, 2, 3]))
        tune = {"num_samples": 3} | draw.some(SEARCH, random.choice([0, 2, 2]), "tune")
        tune |= draw.some(TUNE, random.choice([0, 2, 4]), "tune")
        settle(training, space)
        settle_search(space, tune)
        file.content |= {"training": training, "search_space": space, "tune": tune}
        file.content |= draw.some(OTHER, random.choice([0, 1, 3]), "")
        return file

    def _data(self, draw: Draw) -> Content:
        shapes: list[Content] = [
            {"dataset": str(self.place / "splits")},
            {"dataset": str(self.place / "one.csv"), "splits": {"test": 0.3, "validation": 0.2}},
            {"dataset": str(self.place / "one.csv"), "group": "author"},
            {
                "dataset": str(self.place / "pairs.jsonl"),
                "text": ["premise", "hypothesis"],
            },
            {"dataset": str(self.place / "numbers.parquet"), "label_names": ["a", "b", "c"]},
        ]
        shape = draw.random.choice(shapes)
        keys = {k: v for k, v in DATA.items() if k != "label_map" or "label_names" not in shape}
        return shape | draw.some(keys, draw.random.choice([0, 1, 2]), "data")

    def _models(self, draw: Draw) -> list[Content]:
        model: Content = {"name": "tiny", "checkpoint": self.model}
        extra: list[Content] = [
            {},
            {"config": {"num_hidden_layers": 1}},
            {"init": "random"},
            {"peft": {"lora_r": 2}},
            {"training": {"learning_rate": 2e-3}},
            {"search_space": {"learning_rate": {"choice": [1e-3, 1e-2]}}},
            {"resources": {"cpu": 2}},
        ]
        number = draw.random.choice([1, 1, 2])
        return [
            model | {"name": f"tiny-{place}"} | draw.random.choice(extra) for place in range(number)
        ]


@dataclass
class Draw:
    """Draws values, and notes the odd ones."""

    random: Random
    file: RandomFile
    odd_share: float

    def some(self, keys: Mapping[str, Values], number: int, section: str) -> Content:
        """Set some keys of a section."""
        chosen = self.random.sample(sorted(keys), min(number, len(keys)))
        values = {key: self._value(key, keys[key], section) for key in chosen}
        return {key: value for key, value in values.items() if value is not _NOTHING}

    def _value(self, key: str, values: Values, section: str) -> Any:
        if values.odd and self.random.random() < self.odd_share:
            self.file.odd.add(".".join(filter(None, (section, key))))
            return self.random.choice(values.odd)
        return self.random.choice(values.plain) if values.plain else _NOTHING

    def space(self, number: int) -> Content:
        """Search some hyperparameters."""
        names = [name for name, values in TRAINING.items() if values.ranges]
        chosen = self.random.sample(names, number)
        return {name: self.random.choice(TRAINING[name].ranges) for name in chosen}


_NOTHING = object()


TEXTS, TOKENS = "per_device_train_batch_size", "per_device_train_batch_tokens"


def settle(training: Content, space: Content) -> None:
    """Remove what contradicts another key, add what a key needs, and keep trials short."""
    if TOKENS in training or TOKENS in space:
        for section in (training, space):
            section.pop(TEXTS, None)
            section.pop("train_sampling_strategy", None)
        training["train_sampling_strategy"] = "group_by_length"
    else:
        training.setdefault(TEXTS, 20)
    if "num_train_epochs" not in {*training, *space}:
        training.setdefault("max_steps", 6)
    if "early_stopping_threshold" in training:
        training.setdefault("early_stopping_patience", 2)
    if "eval_steps" in training and training.get("eval_strategy") == "epoch":
        training["eval_strategy"] = "steps"


def settle_search(space: Content, tune: Content) -> None:
    """Remove settings that the scheduler doesn't read, and ranges that a grid doesn't have."""
    scheduler = SCHEDULERS.get(tune.get("scheduler", "asha"))
    for name in READ_BY_SOME:
        if scheduler and name not in scheduler.reads:
            tune.pop(name, None)
    if tune.get("search_alg") == "grid":
        for name, domain in space.items():
            ((kind, arguments),) = domain.items()
            space[name] = domain if kind in LISTED else {"grid": arguments[:1]}
