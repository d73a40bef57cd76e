"""What to run: the experiment and its parts, as frozen types.

The types hold what a file may say and every rule that needs no other library; rules that need
transformers, the data or the models are in `check`. The experiment file is read in
`experiment_file`.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue

from raycompare.experiment.base import Part, not_allowed
from raycompare.experiment.settings import (
    ConfirmSpec,
    CostSpec,
    FailureSpec,
    ImportPath,
    InferenceSpec,
    LimitSpec,
    PeftSpec,
    ScreenSpec,
    SplitSpec,
    TuneSpec,
)
from raycompare.experiment.space import SearchSpace

SHORTEST = 3
"""Tokens: the text's first between the two special ones."""


def _one_or_two(value: object) -> object:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _max_length(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and value >= SHORTEST:
        return value
    if isinstance(value, str) and re.fullmatch(r"p([1-9]\d?|100)", value):
        return value
    raise not_allowed("a number of tokens >= 3, or a percentile of the training texts such as p99")


LabelName = Annotated[str, Field(pattern=r"\S")]


class DataSpec(Part):
    """The labelled text."""

    dataset: Annotated[str, Field(min_length=1)]
    """A hub id, a file, folder, pattern such as part-*.csv, or URI of one, or builtin:NAME."""
    config: str | None = None
    """The configuration of a hub data set."""
    revision: str | None = None
    """The revision of a hub data set."""
    text: Annotated[
        tuple[str, ...], BeforeValidator(_one_or_two), Field(min_length=1, max_length=2)
    ] = ("text",)
    """The column of the text, or two columns for pairs."""
    label: str = "label"
    """The column of the label: integers, strings, booleans or a ClassLabel."""
    label_names: Annotated[tuple[str, ...], Field(min_length=2)] | None = None
    """Names for integer labels 0, 1, ...; not needed where the data set has them."""
    label_map: Annotated[dict[str, LabelName], Field(min_length=1)] | None = None
    """Other names for labels; those that get one name are one label."""
    group: str | None = None
    """A column whose rows of one value are never carved into two splits."""
    splits: SplitSpec = SplitSpec()
    max_length: Annotated[int | str, BeforeValidator(_max_length)] = 256
    """Texts are cut to this many tokens; p99 takes the 99th percentile of the training texts."""
    padding: Literal["longest", "max_length"] = "longest"
    """Fill the texts of a batch, or of a part of one, up to its longest, or all to max_length."""
    limit: LimitSpec = LimitSpec()


Arguments = dict[str, JsonValue]

TrackerName = Literal["tensorboard", "mlflow", "wandb"]


AUTO: Literal["auto"] = "auto"


def _gpu(value: object) -> object:
    if value in (None, AUTO):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    raise not_allowed("a number of GPUs >= 0, such as 0.5, or auto")


class ResourceSpec(Part):
    """What one trial takes of the cluster, in Ray's sense."""

    cpu: Annotated[float, Field(gt=0)] = 1
    """CPUs, and so threads."""
    gpu: Annotated[float | Literal["auto"] | None, BeforeValidator(_gpu)] = None
    """Left out: 1 where the cluster has GPUs, else 0. With auto, a step is tried on a card, and as
    many trials share it as fit.
    """

    @property
    def gpus(self) -> float:
        """What is known to be needed: none while it is left out or auto."""
        return self.gpu if isinstance(self.gpu, float) else 0.0


def _auto(value: object) -> object:
    return {"gpu": AUTO} if value == AUTO else value


Resources = Annotated[ResourceSpec, BeforeValidator(_auto)]
"""Resources as a file has them: fields, or just auto."""


Source = tuple[str, str | None]
"""A checkpoint and its revision."""


def _expand_name(value: object) -> object:
    value = {"name": value} if isinstance(value, str) else value
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        return {"checkpoint": value["name"], **value}
    return value


class ModelSpec(Part):
    """One model of the comparison."""

    name: Annotated[str, Field(min_length=1)]
    """What the tables call it."""
    checkpoint: str
    """A hub id, a folder, or package:PACKAGE/FOLDER; left out, the name."""
    revision: str | None = None
    """The revision of a hub checkpoint."""
    config: Arguments = {}
    """Fields of the model's own config to change, such as num_hidden_layers."""
    init: Literal["pretrained", "random"] = "pretrained"
    """Where weights are from; random needs of the checkpoint no more than a tokenizer."""
    model_class: ImportPath | None = None
    """package.module:Class, a PreTrainedModel that classifies; left out, that of transformers."""
    trust_remote_code: bool = False
    """Whether Python code that the checkpoint brings may run."""
    peft: PeftSpec | None = None
    training: Arguments = {}
    """TrainingArguments for this model, over the experiment's."""
    search_space: SearchSpace = {}
    """Ranges for this model, over the experiment's."""
    resources: Resources | None = None

    @property
    def source(self) -> Source:
        """Where weights and tokenizer come from; models that share it share their tokens."""
        return self.checkpoint, self.revision

    @property
    def building(self) -> Arguments:
        """What the file says of how the model is made, beside its checkpoint and its config."""
        said = {"init", "model_class", "trust_remote_code", "peft"}
        return self.model_dump(mode="json", include=said, exclude_defaults=True)

    @property
    def is_pretrained(self) -> bool:
        """Whether the weights below the head are those of the checkpoint."""
        return self.init == "pretrained"

    @property
    def has_own_code(self) -> bool:
        """Whether the model's code may be other than that of transformers."""
        return self.trust_remote_code or self.model_class is not None


ModelItem = Annotated[ModelSpec, BeforeValidator(_expand_name)]
"""A model as a file has it: its fields, or just a checkpoint."""


TF_IDF = "TF-IDF + logistic regression"
"""What the tables call the baseline `tf-idf`, and no model may be called."""
BaselineName = Literal["tf-idf"]


def _once(baselines: tuple[BaselineName, ...]) -> tuple[BaselineName, ...]:
    if len(set(baselines)) != len(baselines):
        raise not_allowed("each baseline once")
    return baselines


def _unique_names(models: tuple[ModelSpec, ...]) -> tuple[ModelSpec, ...]:
    if not models:
        raise not_allowed("a list with at least 1 model")
    names = [model.name for model in models]
    if len(set(names)) != len(names):
        raise not_allowed("models whose names differ; give one of them another name:")
    if TF_IDF in names:
        raise not_allowed(f"names other than {TF_IDF!r}, which is that of a baseline")
    return models


def _once_each(trackers: tuple[TrackerName, ...]) -> tuple[TrackerName, ...]:
    if len(set(trackers)) != len(trackers):
        raise not_allowed("each tracker once")
    return trackers


def _folder_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
        raise not_allowed("letters, digits, dots, dashes and underscores; it names a folder")
    return value


class Experiment(Part):
    """One comparison of models on one data set."""

    name: Annotated[str, AfterValidator(_folder_name)]
    """Names the folder of its reports."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    """Seeds the splits, the sampled configurations and the trials of the tune stage."""
    data: DataSpec
    models: Annotated[
        tuple[ModelItem, ...],
        AfterValidator(_unique_names),
    ]
    training: Arguments = {}
    """Any field of TrainingArguments, and early_stopping_patience."""
    search_space: SearchSpace = {}
    """Ranges of hyperparameters, for every model."""
    screen: ScreenSpec | None = None
    """Left out, every model is trained."""
    tune: TuneSpec = TuneSpec()
    confirm: ConfirmSpec = ConfirmSpec()
    baselines: Annotated[tuple[BaselineName, ...], AfterValidator(_once)] = ("tf-idf",)
    """What else is fitted, for the report to say whether a pretrained model was needed."""
    inference: InferenceSpec = InferenceSpec()
    resources: Resources = ResourceSpec()
    failure: FailureSpec = FailureSpec()
    cost: CostSpec = CostSpec()
    trackers: Annotated[tuple[TrackerName, ...], AfterValidator(_once_each)] = ("tensorboard",)
    """What else is told of the trials; it has no part in `content_hash`."""

    def model_named(self, name: str) -> ModelSpec:
        """Return the model that the tables call `name`."""
        return next(model for model in self.models if model.name == name)

    def to_file(self) -> dict[str, Any]:
        """Write the experiment as a file has it, every default spelled out."""
        return self.model_dump(mode="json")

    @property
    def content_hash(self) -> str:
        """Hash of all that the experiment says of what is run: 16 hexadecimal digits."""
        content = {key: value for key, value in self.to_file().items() if key != "trackers"}
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


UNLIMITED = 10**9
"""Tokenizers without a limit of their own name one beyond this."""
