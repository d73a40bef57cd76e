"""What the stand-in hub holds: tiny models and data sets under the ids of real ones."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from tests.architectures import ARCHITECTURES, TOKENIZERS
from tests.rig.hub import MAIN
from tests.tiny import WORDS, rows

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
LIKE: Mapping[str, tuple[str, int]] = {
    MINILM: ("bert-base-uncased", 6),
    "sentence-transformers/paraphrase-MiniLM-L3-v2": ("bert-base-uncased", 3),
}
"""Architecture and layers of models whose name is not that of an architecture."""
ALSO: Mapping[str, Mapping[str, int]] = {
    "xlnet-base-cased": {"d_head": 8},
    "roberta-base": {"max_position_embeddings": 514},
    "distilroberta-base": {"max_position_embeddings": 514},
}
"""What configs must say besides that of the architecture, to be valid without raycompare."""


@dataclass(frozen=True)
class DataSet:
    """A data set as it is on the hub."""

    config: str = "default"
    folder: str = "data"
    splits: Mapping[str, int] = field(default_factory=lambda: {"train": 160, "test": 60})


DATA_SETS: Mapping[str, DataSet] = {
    "fancyzhx/ag_news": DataSet(),
    "stanfordnlp/imdb": DataSet("plain_text", "plain_text"),
    "cardiffnlp/tweet_eval": DataSet(
        "sentiment", "sentiment", {"train": 120, "test": 60, "validation": 45}
    ),
}
AG_NEWS = "fancyzhx/ag_news"


def fill(folder: Path, ids: Iterable[str]) -> None:
    """Make the repositories with these ids, each at the branch `main`."""
    for name in ids:
        kind = "datasets" if name in DATA_SETS else "models"
        place = folder / kind / name / MAIN
        if name in DATA_SETS:
            save_data(place, DATA_SETS[name])
        else:
            save_model(place, name)


def save_model(folder: Path, name: str) -> None:
    """Save a model with random weights and the genuine tokenizer."""
    architecture, layers = LIKE.get(name, (name, 2))
    tokenizer, fields = ARCHITECTURES[architecture]
    shutil.copytree(TOKENIZERS / tokenizer, folder, dirs_exist_ok=True)
    vocabulary = len(AutoTokenizer.from_pretrained(folder))
    sized = fields | {"num_hidden_layers": layers, "vocab_size": vocabulary} | ALSO.get(name, {})
    config = AutoConfig.for_model(**sized)
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_config(config).base_model.save_pretrained(folder)


def save_data(folder: Path, about: DataSet, seed: int = 0) -> None:
    """Save labelled sentences as Parquet, with a card that names the classes."""
    place = folder / about.folder
    place.mkdir(parents=True)
    for split, count in about.splits.items():
        made = rows(count, seed + len(split))
        codes = made.label.map({name: code for code, name in enumerate(WORDS)})
        made.assign(label=codes).to_parquet(place / f"{split}-00000-of-00001.parquet")
    files = (f"  - {{split: {s}, path: {about.folder}/{s}-*}}\n" for s in about.splits)
    (folder / "README.md").write_text(
        f"---\ndataset_info:\n- config_name: {about.config}\n  features:\n"
        "  - {name: text, dtype: string}\n  - name: label\n    dtype:\n      class_label:\n"
        f"        names: [{', '.join(WORDS)}]\nconfigs:\n- config_name: {about.config}\n"
        f"  data_files:\n{''.join(files)}---\n"
    )
