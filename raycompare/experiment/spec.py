"""The types of an experiment file, frozen.

They enforce the rules that need no other library; `running.check` enforces those that need
transformers, the data or the models. `experiment.file` reads the file.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue

from raycompare.experiment.base import Part, folder_name, not_allowed, shown_name
from raycompare.experiment.document import FilePart
from raycompare.experiment.settings import (
    ConfirmSpec,
    CostSpec,
    FailureSpec,
    ImportPath,
    InferenceSpec,
    LimitSpec,
    PeftSpec,
    ReportSpec,
    ScreenSpec,
    SplitSpec,
    TuneSpec,
)
from raycompare.experiment.space import SearchSpace
from raycompare.uris import ALLOWED, has_credentials

SHORTEST = 3
"""Smallest `max_length`: one token of the text between two special tokens."""


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


def _no_credentials(value: str) -> str:
    if has_credentials(value):
        raise not_allowed(ALLOWED)
    return value


Place = Annotated[str, AfterValidator(_no_credentials)]
"""A path, name or URI without credentials, because reports and model cards repeat it."""
LabelName = Annotated[str, Field(pattern=r"\S")]


class DataSpec(Part):
    """Labelled text to compare models on."""

    dataset: Annotated[str, Field(min_length=1), AfterValidator(_no_credentials)]
    """A file, folder, pattern such as part-*.csv, archive, or the URI of one of these;
    builtin:docstrings; or a hub id."""
    config: str | None = None
    """Configuration of a hub data set."""
    revision: str | None = None
    """Revision of a hub data set."""
    text: Annotated[
        tuple[str, ...], BeforeValidator(_one_or_two), Field(min_length=1, max_length=2)
    ] = ("text",)
    """Column of the text, or two columns for pairs."""
    label: str = "label"
    """Column of the label: integers, strings, booleans or a ClassLabel."""
    label_names: Annotated[tuple[str, ...], Field(min_length=2)] | None = None
    """Names for integer labels 0, 1, ...; not needed if the data has them."""
    label_map: Annotated[dict[str, LabelName], Field(min_length=1)] | None = None
    """New names for labels; labels with the same new name are merged."""
    group: str | None = None
    """Column, such as the author; rows with the same value are never split between two splits."""
    splits: SplitSpec = SplitSpec()
    max_length: Annotated[int | str, BeforeValidator(_max_length)] = 256
    """Texts are truncated to this many tokens; p99 is that percentile of the training texts."""
    padding: Literal["longest", "max_length"] = "longest"
    """Pads a batch, or a part of one, to its longest text, or all texts to `max_length`."""
    limit: LimitSpec = LimitSpec()


Arguments = dict[str, JsonValue]

TrackerName = Literal["tensorboard", "mlflow", "wandb"]


AUTO: Literal["auto"] = "auto"


def _gpu(value: object) -> object:
    if value in (None, AUTO):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    raise not_allowed("a number of GPUs from 0 to 1, such as 0.5, or auto")


class ResourceSpec(Part):
    """CPUs and GPUs of one trial, as Ray counts them."""

    cpu: Annotated[float, Field(gt=0)] = 1
    """CPUs; a trial without a GPU uses as many threads."""
    gpu: Annotated[float | Literal["auto"] | None, BeforeValidator(_gpu)] = None
    """One GPU, a fraction of one, or 0 for the CPU; default: 1 if the cluster has GPUs, else 0.
    With `auto`, as many trials share a card as fit into its memory."""

    @property
    def gpus(self) -> float:
        """GPUs if they are set; 0 for the default and for `auto`."""
        return self.gpu if isinstance(self.gpu, float) else 0.0


def _auto(value: object) -> object:
    return {"gpu": AUTO} if value == AUTO else value


Resources = Annotated[ResourceSpec, BeforeValidator(_auto)]
"""Resources as written in a file: fields, or just `auto`."""


Source = tuple[str, str | None]
"""A checkpoint and its revision."""


def _expand_name(value: object) -> object:
    value = {"name": value} if isinstance(value, str) else value
    if not isinstance(value, dict):
        return value
    # A name that is missing or isn't text is one mistake, and not a missing checkpoint as well.
    name = value.get("name")
    return {"checkpoint": name if isinstance(name, str) else "", **value}


class ModelSpec(Part):
    """One model to compare."""

    name: Annotated[Place, AfterValidator(shown_name)]
    """Name in tables and figures."""
    checkpoint: Place
    """A hub id, a folder, or package:PACKAGE/FOLDER of an installed Python package; default: the
    name."""
    revision: str | None = None
    """Revision of a hub checkpoint."""
    config: Arguments = {}
    """Fields of the model's config to change, such as num_hidden_layers."""
    init: Literal["pretrained", "random"] = "pretrained"
    """With `random`, weights are drawn with the seed; the checkpoint needs just a tokenizer."""
    model_class: ImportPath | None = None
    """package.module:Class, a custom subclass of PreTrainedModel; default: the class in
    transformers."""
    trust_remote_code: bool = False
    """Whether Python code in the checkpoint may run."""
    peft: PeftSpec | None = None
    training: Arguments = {}
    """TrainingArguments for this model, which override those of the experiment."""
    search_space: SearchSpace = {}
    """Ranges for this model, which override those of the experiment."""
    resources: Resources | None = None
    """CPUs and GPUs of one trial of this model; default: those of the experiment."""

    @property
    def source(self) -> Source:
        """Checkpoint and revision; models with the same source share their tokens."""
        return self.checkpoint, self.revision

    @property
    def building(self) -> Arguments:
        """Non-default settings of how the model is built, besides checkpoint and config."""
        fields = {"init", "model_class", "trust_remote_code", "peft"}
        return self.model_dump(mode="json", include=fields, exclude_defaults=True)

    @property
    def is_pretrained(self) -> bool:
        """Whether the weights below the head come from the checkpoint."""
        return self.init == "pretrained"

    @property
    def has_own_code(self) -> bool:
        """Whether the model may run code that is not part of transformers."""
        return self.trust_remote_code or self.model_class is not None


ModelItem = Annotated[ModelSpec, BeforeValidator(_expand_name)]
"""A model as written in a file: its fields, or just a checkpoint."""


TF_IDF = "TF-IDF + logistic regression"
"""Name of the baseline `tf-idf` in tables, which no model may have."""
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
        raise not_allowed("models with different names; set the `name` of one of them")
    if TF_IDF in names:
        raise not_allowed(f"names other than {TF_IDF!r}, which is the name of a baseline")
    return models


def _once_each(trackers: tuple[TrackerName, ...]) -> tuple[TrackerName, ...]:
    if len(set(trackers)) != len(trackers):
        raise not_allowed("each tracker once")
    return trackers


class Experiment(FilePart):
    """One comparison of models on one data set."""

    name: Annotated[str, AfterValidator(folder_name)]
    """Name of the folder for reports."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    """Seeds the splits, the sampled configurations and the trials of the tune stage."""
    data: DataSpec
    models: Annotated[
        tuple[ModelItem, ...],
        AfterValidator(_unique_names),
    ]
    """Models to compare: each a checkpoint, or the keys of `models.N`."""
    training: Arguments = {}
    """TrainingArguments of every trial, and further settings such as early_stopping_patience."""
    search_space: SearchSpace = {}
    """Ranges of hyperparameters, for every model."""
    screen: ScreenSpec | None = None
    """Ranks all models on frozen features first; default: every model is trained."""
    tune: TuneSpec = TuneSpec()
    confirm: ConfirmSpec = ConfirmSpec()
    baselines: Annotated[tuple[BaselineName, ...], AfterValidator(_once)] = ("tf-idf",)
    """Baselines to fit, which show whether a pretrained model was needed."""
    inference: InferenceSpec = InferenceSpec()
    resources: Resources = ResourceSpec()
    failure: FailureSpec = FailureSpec()
    cost: CostSpec = CostSpec()
    report: ReportSpec = ReportSpec()
    trackers: Annotated[tuple[TrackerName, ...], AfterValidator(_once_each)] = ("tensorboard",)
    """Trackers that trials are reported to; they are not part of the experiment's hash."""

    def model_named(self, name: str) -> ModelSpec:
        """Return the model named `name`."""
        return next(model for model in self.models if model.name == name)

    def to_file(self) -> dict[str, Any]:
        """Return the experiment as a file would contain it, with every default spelled out."""
        return self.model_dump(mode="json")

    @property
    def content_hash(self) -> str:
        """Hash of the experiment without its trackers: 16 hexadecimal digits.

        Settings that earlier versions did not have count only if they aren't the default, so that
        the runs of those versions can be resumed.
        """
        content = {key: value for key, value in self.to_file().items() if key != "trackers"}
        for name in NEW_IN_CONFIRM:
            if getattr(self.confirm, name) == getattr(ConfirmSpec(), name):
                del content["confirm"][name]
        if self.report == ReportSpec():
            del content["report"]
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


NEW_IN_CONFIRM = ("first", "most", "min_chance", "margin")
"""Settings of `confirm` that the first version did not have."""
UNLIMITED = 10**9
"""A `model_max_length` above this means that the tokenizer has no limit."""
