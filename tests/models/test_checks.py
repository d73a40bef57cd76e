"""Hyperparameters of other model types than BERT, with a config.json only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from transformers import (
    AlbertConfig,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    ModernBertConfig,
    PretrainedConfig,
)

from raycompare.errors import Problem
from raycompare.experiment.hyperparameters import all_settings
from raycompare.experiment.spec import Experiment
from raycompare.models.checks import hyperparameter_problems
from raycompare.models.trial_builds import MOST_BUILT

SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "pad_token_id": 0,
}
CONFIGS: dict[str, PretrainedConfig] = {
    "albert": AlbertConfig(**SIZES, intermediate_size=32, embedding_size=8),
    "bert": BertConfig(**SIZES, intermediate_size=32),
    "distilbert": DistilBertConfig(**SIZES, hidden_dim=32),
    "electra": ElectraConfig(**SIZES, intermediate_size=32, embedding_size=8),
    "gpt2": GPT2Config(vocab_size=40, n_embd=16, n_layer=2, n_head=2),
    "modernbert": ModernBertConfig(**SIZES, intermediate_size=32),
}


@pytest.fixture
def problems(tmp_path: Path) -> Any:
    """Return the problems of a model with these entries in the search space of all models."""

    def found(model_type: str, extra: dict[str, Any] | None = None, **space: Any) -> list[Problem]:
        config = {**CONFIGS[model_type].to_dict(), **(extra or {})}
        (tmp_path / "config.json").write_text(json.dumps(config))
        content = {
            "name": "x",
            "data": {"dataset": "x"},
            "models": [{"name": "it", "checkpoint": str(tmp_path)}],
            "search_space": {name.replace("__", "."): entry for name, entry in space.items()},
        }
        experiment = TypeAdapter(Experiment).validate_json(json.dumps(content))
        return hyperparameter_problems(all_settings(experiment)[0])

    return found


@pytest.mark.parametrize(
    ("model_type", "space", "says"),
    [
        ("albert", {"freeze_layers": 1}, "shares its layers"),
        ("gpt2", {"pooling": "mean"}, "of type 'gpt2'"),
        ("modernbert", {"pooling": {"choice": ["mean", "max"]}}, "max for it"),
        ("electra", {"config__summary_last_dropout": 0.1}, "never reads"),
        ("distilbert", {"config__qa_dropout": {"uniform": [0, 0.3]}}, "never reads"),
        ("distilbert", {"config__hidden_dropout_prob": 0.1}, "does not have"),
        ("distilbert", {"config__hidden_size": 32}, "would be random"),
        ("distilbert", {"config__num_hidden_layers": "two"}, "'two' for it"),
        ("albert", {"config__hidden_act": "gellu"}, "KeyError"),
    ],
)
def test_a_model_says_why_it_can_not_take_a_hyperparameter(
    model_type: str, space: Any, says: str, problems: Any
) -> None:
    (problem,) = problems(model_type, **space)
    assert says in problem.found
    assert problem.where == f"search_space.{next(iter(space)).replace('__', '.')}"
    assert "models[].search_space" in problem.hint


@pytest.mark.parametrize(
    ("model_type", "space"),
    [
        ("albert", {"pooling": {"choice": ["cls", "max"]}, "freeze_layers": 0}),
        ("distilbert", {"config__num_hidden_layers": 1, "config__dropout": 0.2}),
        ("distilbert", {"config__seq_classif_dropout": {"uniform": [0, 0.3]}, "freeze_layers": 2}),
        ("electra", {"config__classifier_dropout": {"uniform": [0, 0.3]}, "pooling": "mean"}),
        ("gpt2", {"pooling": "cls", "freeze_layers": 1, "config__resid_pdrop": 0.2}),
        ("modernbert", {"pooling": {"choice": ["cls", "mean"]}, "config__local_attention": 4}),
    ],
)
def test_a_model_takes_hyperparameters_of_its_own(
    model_type: str, space: Any, problems: Any
) -> None:
    assert problems(model_type, **space) == []


def test_a_field_left_over_in_a_checkpoint_is_not_read(problems: Any) -> None:
    (problem,) = problems("bert", {"reducer_dropout": 0.1}, config__reducer_dropout=0.2)
    assert "'reducer_dropout', which the code of it never reads" in problem.found


def test_a_field_left_over_in_a_checkpoint_keeps_its_type(problems: Any) -> None:
    (problem,) = problems("bert", {"reducer": "mean"}, config__reducer=0.2)
    assert "of the same type as its default 'mean'" in problem.allowed


def test_each_value_is_built_where_there_are_too_many_combinations(problems: Any) -> None:
    fine = {f"config__{name}": {"grid": [0.0, 0.1, 0.2]} for name in ("hidden_dropout_prob",)}
    many = {"config__num_attention_heads": {"grid": [*range(1, MOST_BUILT + 2)]}, **fine}
    (problem,) = problems("bert", **many)
    assert problem.where == "search_space.config.num_attention_heads"


def test_nothing_is_built_where_nothing_is_asked(problems: Any) -> None:
    assert problems("bert", {"model_type": "bort"}, learning_rate={"uniform": [0, 1]}) == []
