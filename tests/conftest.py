from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ADDRESS"] = "local"

import datasets
import hypothesis
import pyarrow.parquet as pq
import pytest

from raycompare.data.splits import LabelledData, load_splits
from raycompare.data.tokenize import add_padding, tokenize
from raycompare.data.tokens import TokenizedData
from raycompare.experiment.hyperparameters import DEFAULTS
from raycompare.experiment.spec import DataSpec, ModelSpec
from raycompare.models.pretrained import load_tokenizer
from raycompare.records.messages import TrialPlan
from raycompare.training.task import TrialTask
from tests.tiny import save_tiny_bert, write_tiny_data

if TYPE_CHECKING:
    from tests.real_runs import WholeRun

# No test is about time: on a busy machine an example takes as long as it takes.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random two-layer BERT of 16 dimensions with a tokenizer, in a folder."""
    return save_tiny_bert(tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with train, validation and test of three classes that words give away."""
    return write_tiny_data(tmp_path_factory.mktemp("tiny-data"))


@pytest.fixture(scope="session")
def whole_run(
    tiny_model: str, tiny_data: str, tmp_path_factory: pytest.TempPathFactory
) -> WholeRun:
    """A run of all stages, with a baseline, the measurement of inference and every tracker."""
    from tests.real_runs import WholeRun, go, tiny_experiment  # noqa: PLC0415 - imports Ray

    content = tiny_experiment(tiny_model, tiny_data)
    del content["baselines"]
    content |= {"inference": {"texts": 25}, "trackers": ["tensorboard", "mlflow", "wandb"]}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # MLflow's, of SQLAlchemy
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        for name in ("WANDB_PROJECT", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        folder, said = go(content, tmp_path_factory.mktemp("whole-run"))
    return WholeRun(content, folder, said)


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory of its own, as trials and runs write to it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., LabelledData]:
    """Load splits given as keyword arguments; `spec` has the rest of the DataSpec."""

    def save_and_load(
        spec: dict[str, Any] | None = None, seed: int = 42, **splits: Any
    ) -> LabelledData:
        for name, split in splits.items():
            made = (
                split if isinstance(split, datasets.Dataset) else datasets.Dataset.from_dict(split)
            )
            pq.write_table(made.with_format("arrow")[:], tmp_path / f"{name}.parquet")
        data = load_splits(DataSpec(dataset=str(tmp_path), **(spec or {})), seed)
        for name in splits:
            (tmp_path / f"{name}.parquet").unlink()
        return data

    return save_and_load


@pytest.fixture(scope="session")
def tiny_tokens(tiny_model: str, tiny_data: str) -> TokenizedData:
    spec = DataSpec(dataset=tiny_data, max_length=32)
    inputs = load_splits(spec, 0), load_tokenizer(ModelSpec(name="t", checkpoint=tiny_model)), spec
    return add_padding(tokenize(*inputs), *inputs)


@pytest.fixture
def task(tiny_model: str, tiny_tokens: TokenizedData, in_tmp: Path) -> TrialTask:
    """A finalist that trains in a second on one thread."""
    return TrialTask(
        plan=TrialPlan(
            trial_id="tiny-confirm-0",
            stage="confirm",
            model="tiny",
            order=0,
            seed=3,
            is_default=True,
        ),
        model=ModelSpec(name="tiny", checkpoint=tiny_model),
        arguments={
            **DEFAULTS,
            "per_device_train_batch_size": 8,
            "learning_rate": 3e-3,
            "use_cpu": True,
            "num_train_epochs": 3,
        },
        data=tiny_tokens,
        label_names=("animals", "plants", "rocks"),
        metric="matthews_correlation",
        mode="max",
        num_threads=1,
    )
