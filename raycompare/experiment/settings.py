"""Settings of an experiment: splits, search, confirmation, measurements, failures and prices."""

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
    """Splits of the data: each is the name of a split in the source, or a share of train.

    By default, `validation` and `test` are the source's own splits if it has them, else a tenth
    and a fifth of train. Shares are stratified by label and drawn with `seed`.
    """

    train: str = "train"
    """Name of the training split."""
    validation: SplitSource = None
    """Name of a split, or a share of train; configurations are chosen on it."""
    test: SplitSource = None
    """Name of a split, or a share of train; each finalist is tested on it once."""


Rows = Annotated[int, Field(ge=2)]


class LimitSpec(Part):
    """Maximum number of rows of each split; drawn with `seed` as a stratified sample."""

    train: Rows | None = None
    """Maximum number of training rows; default: all."""
    validation: Rows | None = None
    """Maximum number of validation rows; default: all."""
    test: Rows | None = None
    """Maximum number of test rows; default: all."""


SchedulerName = Literal["asha", "pooled-asha", "pasha", "top-k-after-first-rung", "median", "fifo"]
RUNGS = frozenset({"grace_period", "time_attr"})
"""Settings of `tune` that are read by every scheduler that compares trials at rungs."""


@dataclass(frozen=True, kw_only=True)
class SchedulerTraits:
    """Properties of a scheduler; its rule is in `tuning.schedulers`."""

    subject: str
    """Subject of the report's sentence about the trials that it stopped."""
    reads: frozenset[str] = frozenset()
    """Settings of `tune` that this scheduler reads, but some others don't."""
    pauses: bool = False
    """Whether it pauses trials, which may later continue from a checkpoint."""


SCHEDULERS: Mapping[SchedulerName, SchedulerTraits] = {
    "asha": SchedulerTraits(subject="ASHA", reads=RUNGS | {"reduction_factor"}),
    "pooled-asha": SchedulerTraits(
        subject="ASHA, with all models in one bracket,", reads=RUNGS | {"reduction_factor"}
    ),
    "pasha": SchedulerTraits(subject="PASHA", reads=RUNGS | {"reduction_factor"}, pauses=True),
    "median": SchedulerTraits(subject="The median rule", reads=RUNGS | {"reduction_factor"}),
    "top-k-after-first-rung": SchedulerTraits(
        subject="The selection after the first rung", reads=RUNGS | {"top_k"}, pauses=True
    ),
    "fifo": SchedulerTraits(subject="Nothing"),
}
READ_BY_SOME = ("top_k", "grace_period", "time_attr", "reduction_factor")
"""Settings of `tune` that some schedulers don't read, in the order of the file."""

TimeAttr = Literal["steps", "examples"]
DEFAULT_SAMPLES = 8


class ScreenSpec(Part):
    """Ranks all models on frozen features first, so that only the most promising are trained."""

    keep: Annotated[int, Field(ge=1)]
    """Number of models to train."""
    budget_rows: Annotated[int, Field(ge=20)] = 2000
    """Maximum number of training rows to use."""
    score: ScoreName = "log_me"
    """Score that decides; all three are recorded."""


class TuneSpec(Part):
    """Settings of the search for configurations."""

    num_samples: Annotated[int, Field(ge=1)] | None = None
    """Number of configurations of each model, including its untuned default; default: 8, or all
    combinations with `search_alg: grid`."""
    metric: MetricName = "matthews_correlation"
    """Metric that decides on validation, and orders the leaderboard."""
    mode: Mode | None = None
    """Direction of the metric, which may be stated, but not changed."""
    scheduler: SchedulerName = "asha"
    """Decides which trials are stopped early; `fifo` stops none."""
    search_alg: Literal["random", "grid", "optuna"] = "random"
    """Method that proposes configurations; `optuna` learns from earlier trials."""
    time_attr: TimeAttr = "steps"
    """Unit of the rungs: optimizer steps, or examples seen, for searched batch sizes."""
    grace_period: Annotated[int, Field(ge=1)] | None = None
    """Position of the first rung; default: a quarter of the model's default run."""
    reduction_factor: Annotated[int, Field(ge=2)] = 2
    """One in this many trials passes each rung."""
    top_k: Annotated[int, Field(ge=1)] = 3
    """Number of trials of each model that continue, for `top-k-after-first-rung`."""
    max_concurrent_trials: Annotated[int, Field(ge=1)] | None = None
    """Maximum number of trials that run at once; default: as many as the cluster can hold."""
    min_trials_per_model: Annotated[int, Field(ge=1)] = 1
    """Trials of each model that start even if the budget is spent."""
    max_trials: Annotated[int, Field(ge=1)] | None = None
    """Maximum number of trials of the tune stage, over all models, which take turns."""
    time_budget_s: Annotated[float, Field(gt=0)] | None = None
    """Time limit for tune and confirm together, in seconds; time that confirm needs is reserved."""
    max_usd: Annotated[float, Field(gt=0)] | None = None
    """Cost limit for the whole run, at the price in `cost`; once it is spent, no trial starts."""

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
    raise not_allowed(f"{ALL_LINEAR}, or a list of suffixes of layer names")


class PeftSpec(Part):
    """LoRA (Hu et al. 2021, arXiv 2106.09685): only low-rank matrices and the head are trained."""

    lora_r: Annotated[int, Field(ge=1)] = 8
    """Rank of the matrices."""
    lora_alpha: Annotated[int, Field(ge=1)] = 16
    """The product of the matrices is scaled by lora_alpha / lora_r."""
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Dropout rate for the input of the matrices."""
    target_modules: Annotated[str | tuple[str, ...] | None, BeforeValidator(_layers)] = None
    """Suffixes of the names of layers that get matrices, or `all-linear` for all below the head;
    default: peft's own for the type of model."""


AUTO = "auto"


def _seeds(value: object) -> object:
    if value == AUTO:
        return AUTO
    if not isinstance(value, list | tuple) or not value or not all(map(_is_seed, value)):
        raise not_allowed(f"a list of integers from 0 to 2**32 - 1, or {AUTO}")
    if len(set(value)) != len(value):
        raise not_allowed("different seeds")
    return tuple(value)


def _is_seed(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32


class ConfirmSpec(Part):
    """How the best configuration of each model is confirmed."""

    seeds: Annotated[tuple[int, ...] | Literal["auto"], BeforeValidator(_seeds)] = (1, 2, 3)
    """Seeds of the finalists: each is trained to its full budget and tested once. With `auto`,
    only models that may win get further seeds, one at a time."""
    first: Annotated[int, Field(ge=2)] = 2
    """For `auto`: number of seeds that every model gets."""
    most: Annotated[int, Field(ge=2)] = 10
    """For `auto`: maximum number of seeds of a model."""
    min_chance: Annotated[float, Field(ge=0, lt=0.5)] = 0.07
    """For `auto`: chance of being better than the leader below which a model gets no further seeds;
    with 0, every model gets them until it is ruled out."""
    margin: Annotated[float, Field(gt=0)] | None = None
    """Largest difference in `tune.metric` that makes two models the same to you, which is then
    tested."""

    @property
    def is_race(self) -> bool:
        """Whether the scores decide which models get further seeds."""
        return self.seeds == AUTO

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds that a model gets at most."""
        return tuple(range(1, self.most + 1)) if self.seeds == "auto" else self.seeds

    @property
    def sure_seeds(self) -> tuple[int, ...]:
        """The seeds that every model gets."""
        return self.all_seeds[: self.first] if self.is_race else self.all_seeds


class FailureSpec(Part):
    """How failed trials are handled."""

    max_failures: Annotated[int, Field(ge=0)] = 3
    """Restarts allowed after a lost worker, machine, GPU, hub or network. A trial's own error is
    never retried."""
    max_model_failures: Annotated[int, Field(ge=1)] = 3
    """A model is dropped if this many of its first trials all fail; the others continue."""
    checkpoint_every_s: Annotated[float, Field(gt=0)] = 300.0
    """Longest training time that is repeated after a worker is lost, in seconds."""


class InferenceSpec(Part):
    """How latency, throughput and memory of each model are measured, after the confirm stage."""

    measure: bool = True
    """Whether each model is measured after the confirm stage."""
    texts: Annotated[int, Field(ge=1)] = 200
    """Maximum number of texts of the test split for measuring latency, one at a time."""
    max_latency_ms: Annotated[float, Field(gt=0)] | None = None
    """Acceptable time for one text at the 95th percentile; the report names the best model within
    it."""


class ReportSpec(Part):
    """What the report shows of the data."""

    texts: bool = False
    """Whether the texts of the test rows are stored in the run folder, so that the report can show
    those that every finalist gets wrong."""


class CostSpec(Part):
    """Price of the machines."""

    usd_per_hour: Annotated[float, Field(gt=0)] | None = None
    """Price of one machine of the cluster; takes precedence over the price of `instance`."""
    instance: str | None = None
    """EC2 or SageMaker instance type of the machines, such as `g5.xlarge`, to look up its price."""
    spot: bool = False
    """Whether the machines are spot instances; requires `usd_per_hour`."""
