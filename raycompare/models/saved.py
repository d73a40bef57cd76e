"""Saves and loads the models of a run as folders that `from_pretrained` can read."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path

from transformers import PreTrainedModel

from raycompare.experiment.spec import ModelSpec
from raycompare.models.heads import pool
from raycompare.models.lora import merge_lora
from raycompare.models.places import CONFIG
from raycompare.models.pretrained import MADE_BY, POOLED_BY, load_tokenizer, load_trained


def save_model(model: PreTrainedModel, spec: ModelSpec, folder: Path, max_length: int) -> None:
    """Save model and tokenizer for `from_pretrained`, with LoRA merged into the weights.

    The tokenizer truncates texts to `max_length` tokens if called with truncation, as in training.
    """
    merge_lora(model)
    model.save_pretrained(folder)
    tokenizer = load_tokenizer(spec)
    tokenizer.model_max_length = max_length
    tokenizer.save_pretrained(folder)


def load_model(path: str | PathLike[str], trust_remote_code: bool = False) -> PreTrainedModel:
    """Load a model from `best/` or `weights/` of a run, with its pooling and custom class.

    Models trained without `pooling` and without `model_class` also load with `from_pretrained`.

    Raises:
        NoClassError: the model's class can't be imported here.
        WeightsError: the folder does not have all weights.
    """
    folder = Path(path)
    config = json.loads((folder / CONFIG).read_text())
    spec = ModelSpec(
        name=folder.name,
        checkpoint=str(folder),
        model_class=config.get(MADE_BY),
        trust_remote_code=trust_remote_code,
    )
    loaded = load_trained(spec, list(config["id2label"].values()))
    how = getattr(loaded.config, POOLED_BY, None)
    if how is not None:
        pool(loaded, how)
    return loaded
