"""How models are searched, confirmed and measured, what a failure and what machines cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from raycompare.experiment.base import Part, not_allowed
from raycompare.metrics import MODES, MetricName, Mode, ScoreName

SHARE = "a share of train between 0 and 1"


def _validate_split(value: object) -> object:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and 0 < value < 1:
        return value
    raise not_allowed(f"the name of a split, or {SHARE}")


SplitSource = Annotated[str | float | None, BeforeValidator(_validate_split)]


class SplitSpec(Part):
    """Where each split comes from: a name in the source, or a share carved from train.

    Left out, `validation` and `test` are the splits of that name where the source has them, else
    a tenth and a fifth of train. Shares are stratified by label and drawn with the experiment's
    seed.
    """

    train: str = "train"
    """The name of a split."""
    validation: SplitSource = None
    """The name of a split, or a share of train; it decides what is trained on."""
    test: SplitSource = None
    """The same; looked at once for each finalist."""


Rows = Annotated[int, Field(ge=2)]


class LimitSpec(Part):
    """The most rows to use of each split; a stratified, seeded sample."""

    train: Rows | None = None
    """Left out, all; so are the others."""
    validation: Rows | None = None
    """Of validation."""
    test: Rows | None = None
    """Of test."""


SchedulerName = Literal["asha", "pooled-asha", "pasha", "top-k-after-first-rung", "median", "fifo"]
RUNGS = frozenset({"grace_period", "time_attr"})
"""Settings of `tune` that every scheduler reads that compares trials at rungs."""


@dataclass(frozen=True, kw_only=True)
class SchedulerTraits:
    """What is to be known of a scheduler beside its rule, which is in `rule_book`."""

    subject: str
    """Of the report's sentence on what it stopped."""
    reads: frozenset[str] = frozenset()
    """The settings of `tune` that not every scheduler reads, and this one does."""
    pauses: bool = False
    """Whether it lets trials wait for others, and go on later from a checkpoint."""


SCHEDULERS: Mapping[SchedulerName, SchedulerTraits] = {
    "asha": SchedulerTraits(subject="ASHA", reads=RUNGS | {"reduction_factor"}),
    "pooled-asha": SchedulerTraits(
        subject="ASHA, with all models in one bracket,", reads=RUNGS | {"reduction_factor"}
    ),
    "pasha": SchedulerTraits(subject="PASHA", reads=RUNGS | {"reduction_factor"}, pauses=True),
    "median": SchedulerTraits(subject="The median rule", reads=RUNGS | {"reduction_factor"}),
    "top-k-after-first-rung": SchedulerTraits(
        subject="The best of the first rung went on; it", reads=RUNGS | {"top_k"}, pauses=True
    ),
    "fifo": SchedulerTraits(subject="Nothing"),
}
READ_BY_SOME = ("top_k", "grace_period", "time_attr", "reduction_factor")
"""The settings that a scheduler may leave unread, in the order of the file."""

TimeAttr = Literal["steps", "examples"]
DEFAULT_SAMPLES = 8


class ScreenSpec(Part):
    """A cheap look at all models first, so that only the likely ones are trained."""

    keep: Annotated[int, Field(ge=1)]
    """The models that go on."""
    budget_rows: Annotated[int, Field(ge=20)] = 2000
    """The rows of train that are looked at, at most."""
    score: ScoreName = "log_me"
    """What decides; the others are recorded too."""


class TuneSpec(Part):
    """How configurations are searched."""

    num_samples: Annotated[int, Field(ge=1)] | None = None
    """Configurations of each model, its untuned default among them; left out, 8, or with a grid
    all."""
    metric: MetricName = "matthews_correlation"
    """What decides, on validation."""
    mode: Mode | None = None
    """Left out: the metric's own direction."""
    scheduler: SchedulerName = "asha"
    """Which trials end early; `fifo` ends none."""
    search_alg: Literal["random", "grid", "optuna"] = "random"
    """Where configurations come from; `optuna` learns from those before."""
    time_attr: TimeAttr = "steps"
    """The unit of rungs: optimizer steps, or examples seen where batch sizes are searched."""
    grace_period: Annotated[int, Field(ge=1)] | None = None
    """Where the first rung stands; left out, at a quarter of the default's run."""
    reduction_factor: Annotated[int, Field(ge=2)] = 2
    """One of so many trials goes on at a rung."""
    top_k: Annotated[int, Field(ge=1)] = 3
    """Trials of each model that go on after the first rung, with top-k-after-first-rung."""
    max_concurrent_trials: Annotated[int, Field(ge=1)] | None = None
    """Left out, as many as there is room for."""
    min_trials_per_model: Annotated[int, Field(ge=1)] = 1
    """Trials of each model that start even where a budget is spent."""
    max_trials: Annotated[int, Field(ge=1)] | None = None
    """Of the tune stage; the models take turns."""
    time_budget_s: Annotated[float, Field(gt=0)] | None = None
    """Of both stages: no trial is started that would take the time that confirm needs."""
    max_usd: Annotated[float, Field(gt=0)] | None = None
    """Of the whole run, at the price of `cost`: nothing is started beyond it."""

    @model_validator(mode="after")
    def _mode_of_metric(self) -> Self:
        if self.mode not in (None, MODES[self.metric]):
            raise not_allowed(f"mode: {MODES[self.metric]}, the direction of {self.metric}")
        return self


def _import_path(value: str) -> str:
    module, colon, name = value.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module.split("."), name)):
        raise not_allowed("package.module:ClassName")
    return value


ImportPath = Annotated[str, AfterValidator(_import_path)]


ALL_LINEAR = "all-linear"


def _layers(value: object) -> object:
    if value in (None, ALL_LINEAR):
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(end, str) for end in value):
        return tuple(value)
    raise not_allowed(f"{ALL_LINEAR}, or a list of the ends of names of layers")


class PeftSpec(Part):
    """LoRA (Hu et al. 2021, arXiv 2106.09685): small matrices beside layers are trained."""

    lora_r: Annotated[int, Field(ge=1)] = 8
    """The rank of the matrices."""
    lora_alpha: Annotated[int, Field(ge=1)] = 16
    """Their product is added times lora_alpha / lora_r."""
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """The share of what goes into them that is left out in training."""
    target_modules: Annotated[str | tuple[str, ...] | None, BeforeValidator(_layers)] = None
    """The layers that get them, by the ends of their names; left out, what peft takes for the type
    of model."""


class ConfirmSpec(Part):
    """How the best configuration of each model is confirmed."""

    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (1, 2, 3)
    """Each is a whole training of the finalist, tested once."""

    @model_validator(mode="after")
    def _unique(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds):
            raise not_allowed("seeds that differ from one another")
        return self


class FailureSpec(Part):
    """What is done about trials that fail."""

    max_failures: Annotated[int, Field(ge=0)] = 3
    """How often a trial is started again whose worker or machine was lost; its own errors count
    at once."""
    max_model_failures: Annotated[int, Field(ge=1)] = 3
    """A model is taken out when its first so many trials have all failed."""
    checkpoint_every_s: Annotated[float, Field(gt=0)] = 300.0
    """What a lost trial has to train again at most, in seconds."""


class InferenceSpec(Part):
    """What is measured of each finalist in use, after the confirm stage."""

    measure: bool = True
    """Whether latency, throughput and size are measured."""
    texts: Annotated[int, Field(ge=1)] = 200
    """Of the test split, one at a time, that the latency is measured on at most."""
    max_latency_ms: Annotated[float, Field(gt=0)] | None = None
    """What a text may take at the 95th percentile; the report names the best model within it."""


class CostSpec(Part):
    """What the machines cost."""

    usd_per_hour: Annotated[float, Field(gt=0)] | None = None
    """Of one machine of the cluster; counts more than that of `instance`."""
    instance: str | None = None
    """The type of the machines, EC2's or SageMaker's; `prices` has what it costs."""
    spot: bool = False
    """Whether the machines are of the spot market."""
