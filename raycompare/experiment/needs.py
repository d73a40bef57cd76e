"""What an experiment needs besides raycompare: files, packages, modules and variables.

Everything that sends an experiment to other machines, or checks them, takes it from `needs_of`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from huggingface_hub.constants import HF_HUB_CACHE

from raycompare.experiment.hyperparameters import ModelSettings, all_settings
from raycompare.experiment.own_code import Code, imported_by, place_of
from raycompare.experiment.spec import Experiment, ModelSpec

PACKAGE, BUILTIN = "package:", "builtin:"
"""Start of a checkpoint in an installed package, and of a built-in data set."""
PATTERN = re.compile(r"[*\[]")
"""Characters that make a path a pattern for files."""
_BITSANDBYTES = (
    *("adamw_bnb_8bit", "adamw_8bit", "paged_adamw_32bit", "paged_adamw_8bit"),
    *("ademamix", "ademamix_8bit", "paged_ademamix_32bit", "paged_ademamix_8bit"),
    *("lion_8bit", "lion_32bit", "paged_lion_32bit", "paged_lion_8bit"),
    *("rmsprop_bnb", "rmsprop_bnb_8bit", "rmsprop_bnb_32bit"),
)
_SCHEDULE_FREE = ("schedule_free_radam", "schedule_free_adamw", "schedule_free_sgd")
OPTIMIZERS: Mapping[str, str] = {
    **dict.fromkeys(_BITSANDBYTES, "bitsandbytes"),
    **dict.fromkeys(("adamw_torch_4bit", "adamw_torch_8bit"), "torchao"),
    **dict.fromkeys(("galore_adamw", "galore_adamw_8bit", "galore_adafactor"), "galore_torch"),
    "apollo_adamw": "apollo_torch",
    "grokadamw": "grokadamw",
    **dict.fromkeys(_SCHEDULE_FREE, "schedulefree"),
    "stable_adamw": "optimi",
    "adamw_anyprecision": "torchdistx",
    "adamw_torch_xla": "torch_xla",
    "adamw_torch_npu_fused": "torch_npu",
}
"""Modules that values of `optim` import (transformers 5.23, trainer_optimizer.py)."""
DISTRIBUTIONS: Mapping[str, str] = {
    "apollo_torch": "apollo-torch",
    "galore_torch": "galore-torch",
    "optimi": "torch-optimi",
    "torch_npu": "torch-npu",
}
"""Names to install modules by, where they differ."""
TRACKERS: Mapping[str, str] = {"mlflow": "MLFLOW_TRACKING_URI", "wandb": "WANDB_API_KEY"}
"""Trackers that are extras, and the variable that says where to log or who does."""
OPTUNA, PEFT = "optuna", "peft"
HUB_VARIABLES = ("HF_ENDPOINT", "HF_TOKEN")
"""Variables that decide which hub is asked, and as whom."""
_TOKENIZER, _TIKTOKEN = "tokenizer.json", "*.tiktoken"


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package that not every installation of raycompare has."""

    where: str
    """Dotted path of the setting that needs it."""
    reason: str
    """Value of the setting, such as the name of an optimizer."""
    module: str
    extra: str | None = None
    """Extra of raycompare that installs it."""
    in_trials: bool = True
    """Whether trials import it, not only the process that starts them."""

    @property
    def distribution(self) -> str:
        """Name to install it by."""
        return DISTRIBUTIONS.get(self.module, self.module)


@dataclass(frozen=True)
class Needs:
    """What an experiment needs on the machines that run it."""

    settings: Sequence[ModelSettings]
    experiment: Experiment

    @cached_property
    def data_files(self) -> list[Path]:
        """Local files and folders of the data, as named in the experiment or by its pattern.

        Only the process that starts trials reads them.
        """
        data = getattr(self.experiment, "data", None)
        return [] if data is None else local_files(data.dataset)

    @property
    def model_folders(self) -> dict[str, Path]:
        """Local folders of checkpoints, keyed by dotted path; every trial loads from one."""
        places = {
            f"{own.section}.checkpoint": Path(own.model.checkpoint).expanduser()
            for own in self.settings
        }
        return {where: place for where, place in places.items() if place.is_dir()}

    @property
    def paths(self) -> list[tuple[str, Path]]:
        """All local files and folders, each with the dotted path that names it."""
        data = [("data.dataset", place) for place in self.data_files]
        return [*data, *self.model_folders.items()]

    @cached_property
    def packages(self) -> list[Package]:
        """Packages besides those that raycompare always needs."""
        return [*_packages_of_run(self.experiment), *_packages_of_models(self.settings)]

    @property
    def extras(self) -> set[str]:
        """Extras of raycompare that install some of the packages."""
        return {package.extra for package in self.packages if package.extra}

    @property
    def modules(self) -> dict[str, str]:
        """Top-level modules that classes and checkpoints of models are in, with dotted paths."""
        modules: dict[str, str] = {}
        for own in self.settings:
            if own.model.model_class:
                name = own.model.model_class.partition(":")[0]
                modules.setdefault(name, f"{own.section}.model_class")
            if own.model.checkpoint.startswith(PACKAGE):
                name = own.model.checkpoint.removeprefix(PACKAGE).partition("/")[0]
                modules.setdefault(name, f"{own.section}.checkpoint")
        return modules

    @cached_property
    def code(self) -> Code:
        """The files and distributions behind `modules`, and behind code in checkpoints."""
        code = Code()
        code.add(self.modules)
        for own in self.settings:
            if own.model.trust_remote_code:
                code.add(imported_by(_remote_code(own.model)))
        return code

    @property
    def distributions(self) -> set[str]:
        """Distributions to install besides raycompare with its extras."""
        others = {p.distribution for p in self.packages if not p.extra}
        return others | self.code.distributions

    @property
    def hub_ids(self) -> list[str]:
        """Data set and checkpoints that are loaded from the hub."""
        data = getattr(self.experiment, "data", None)
        names = set() if data is None or self.data_files else {data.dataset}
        return sorted({n for n in names if ":" not in n} | set(self.hub_models.values()))

    @property
    def hub_models(self) -> dict[str, str]:
        """Hub ids of checkpoints, keyed by dotted path."""
        names = {f"{own.section}.checkpoint": own.model.checkpoint for own in self.settings}
        # package:PATH contains a colon; hub ids don't.
        return {
            where: name
            for where, name in names.items()
            if ":" not in name and where not in self.model_folders
        }

    @property
    def variables(self) -> list[str]:
        """Environment variables that a tracker needs, or that are set here for the hub."""
        trackers = [TRACKERS[name] for name in self.experiment.trackers if name in TRACKERS]
        hub = [name for name in HUB_VARIABLES if self.hub_ids and os.environ.get(name)]
        return [*trackers, *hub]


def needs_of(experiment: Experiment, settings: Sequence[ModelSettings] | None = None) -> Needs:
    """Return what an experiment needs; `settings` are those of its valid models in a draft."""
    return Needs(all_settings(experiment) if settings is None else settings, experiment)


def local_files(text: str) -> list[Path]:
    """Return the local file or folder at a path, or the files that match a pattern."""
    if "://" in text or text.startswith(BUILTIN):
        return []
    place = Path(text).expanduser()
    if place.exists():
        return [place]
    if not PATTERN.search(text):
        return []
    anchor = Path(place.anchor)
    return sorted(path for path in anchor.glob(str(place.relative_to(anchor))) if path.is_file())


def is_importable(module: str) -> bool:
    """Return whether a module can be imported here, without importing it."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # raised by a parent package
        return False


def optimizer_modules(settings: ModelSettings) -> dict[str, str]:
    """Return the module that each optimizer of a model's trials imports, keyed by optimizer."""
    names = map(str, settings.all_values("optim"))
    return {name: OPTIMIZERS[name] for name in names if name in OPTIMIZERS}


def _packages_of_run(experiment: Experiment) -> Iterator[Package]:
    for name in experiment.trackers:
        if name in TRACKERS:
            yield Package(where="trackers", reason=name, module=name, extra=name, in_trials=False)
    if experiment.tune.search_alg == OPTUNA:
        yield Package(
            where="tune.search_alg", reason=OPTUNA, module=OPTUNA, extra=OPTUNA, in_trials=False
        )


def _packages_of_models(every: Iterable[ModelSettings]) -> Iterator[Package]:
    """Yield what LoRA, optimizers and formats of tokenizers need."""
    for own in every:
        if own.model.peft:
            yield Package(where=f"{own.section}.peft", reason=PEFT, module=PEFT, extra=PEFT)
        for optim, module in optimizer_modules(own).items():
            yield Package(where=own.place("optim"), reason=optim, module=module)
        for folder in checkpoint_folders(own.model.checkpoint):
            if _needs_tiktoken(folder):
                where = f"{own.section}.checkpoint"
                yield Package(where=where, reason="its tokenizer", module="tiktoken")


def _needs_tiktoken(folder: Path) -> bool:
    try:
        return not (folder / _TOKENIZER).exists() and any(folder.glob(_TIKTOKEN))
    except PermissionError:  # the checks of models say so
        return False


def checkpoint_folders(checkpoint: str) -> list[Path]:
    """Return the folders of a checkpoint on this machine; those of a hub id are in the cache."""
    if checkpoint.startswith(PACKAGE):
        name, _, folder = checkpoint.removeprefix(PACKAGE).partition("/")
        package = place_of(name) if name.isidentifier() else None
        return [package / folder] if package else []
    place = Path(checkpoint).expanduser()
    if place.is_dir():
        return [place]
    cache = Path(HF_HUB_CACHE) / f"models--{checkpoint.replace('/', '--')}" / "snapshots"
    return [path for path in cache.glob("*") if path.is_dir()]


def _remote_code(model: ModelSpec) -> Iterator[Path]:
    """Yield the Python files that a checkpoint brings, or that its config names elsewhere."""
    for folder in checkpoint_folders(model.checkpoint):
        yield from folder.rglob("*.py")
        for other in _code_repositories(folder / "config.json"):
            yield from (file for place in checkpoint_folders(other) for file in place.rglob("*.py"))


def _code_repositories(config: Path) -> set[str]:
    """Return the hub ids in `auto_map` of a config, which names classes as REPOSITORY--CLASS."""
    try:
        classes = json.loads(config.read_bytes()).get("auto_map") or {}
    except (OSError, ValueError, AttributeError):
        return set()
    names = json.dumps(classes)
    return set(re.findall(r'"([^"\s]+/[^"\s]+)--', names))
