"""Every mistake is planted in a file that is right otherwise, and must be found by its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from raycompare.errors import ExperimentError, UserError
from raycompare.experiment.file import parse_draft, read_draft
from raycompare.running import check as check_module
from raycompare.running.check import check
from tests.planted import HYPERPARAMETERS
from tests.tiny import rows

Content = dict[str, Any]


@pytest.fixture
def good(tiny_model: str, tiny_data: str) -> Content:
    return {
        "name": "tiny",
        "data": {"dataset": tiny_data},
        "models": [{"name": "tiny", "checkpoint": tiny_model}],
        "training": {"num_train_epochs": 2, "eval_steps": 5},
        "search_space": {"learning_rate": {"loguniform": [1e-4, 1e-2]}},
        "tune": {"num_samples": 2},
    }


def mistakes(content: Content, tmp_path: Path, out: str | None = None) -> ExperimentError:
    path = tmp_path / "experiment.yaml"
    YAML().dump(content, path)
    with pytest.raises(ExperimentError) as caught:
        check(read_draft(path), out or str(tmp_path))
    return caught.value


def change(content: Content, dotted: str, value: object) -> Content:
    *parents, last = dotted.split(".")
    node: Any = content
    for part in parents:
        node = node[int(part)] if part.isdigit() else node.setdefault(part, {})
    node[last] = value
    return content


# key to set, value to set it to, where the message must point, what it must say
PLANTED: dict[str, tuple[str, Any, str, str]] = {
    "unknown section": ("trainin", {}, "trainin", "did you mean 'training'?"),
    "name no folder can have": ("name", "a/b", "name", "letters, digits, dots"),
    "several GPUs": ("resources.gpu", 2, "resources.gpu", "can't be divided among GPUs"),
    "a GPU and a half": ("models.0.resources", {"gpu": 1.5}, "models.0.resources.gpu", "at most 1"),
    "negative seed": ("seed", -1, "seed", "greater than or equal to 0"),
    "unknown data key": ("data.txt", "text", "data.txt", "did you mean 'text'?"),
    "dataset of a wrong type": ("data.dataset", 3, "data.dataset", "string"),
    "three text columns": ("data.text", ["a", "b", "c"], "data.text", "at most 2"),
    "text column not there": ("data.text", "txt", "data.text", "did you mean 'text'?"),
    "label column not there": ("data.label", "lable", "data.label", "did you mean 'label'?"),
    "split not there": ("data.splits", {"test": "tst"}, "data.splits.test", "'test'"),
    "share above one": ("data.splits", {"test": 1.5}, "data.splits.test", "between 0 and 1"),
    "dataset not there": ("data.dataset", "./nowhere", "data.dataset", "nowhere"),
    "unknown builtin": ("data.dataset", "builtin:docs", "data.dataset", "docstrings"),
    "max_length of no text": ("data.max_length", 1, "data.max_length", "p99"),
    "max_length no percentile": ("data.max_length", "p101", "data.max_length", "p99"),
    "limit of one row": ("data.limit", {"train": 1}, "data.limit.train", "2"),
    "one label name": ("data.label_names", ["a"], "data.label_names", "at least 2"),
    "no models": ("models", [], "models", "at least 1"),
    "checkpoint not there": ("models.0.checkpoint", "./gone", "models.0.checkpoint", "gone"),
    "package not there": (
        "models.0.checkpoint",
        "package:no_such/model",
        "models.0.checkpoint",
        "pip install no-such",
    ),
    "unknown model key": ("models.0.cfg", {}, "models.0.cfg", "config"),
    "config field not there": (
        "models.0.config",
        {"num_hiden_layers": 1},
        "models.0.config.num_hiden_layers",
        "did you mean 'num_hidden_layers'?",
    ),
    "argument nothing reads": (
        "training.learning_rte",
        1e-4,
        "training.learning_rte",
        "did you mean 'learning_rate'?",
    ),
    "argument of a wrong type": ("training.learning_rate", "fast", "training.learning_rate", "num"),
    "argument out of range": ("training.num_train_epochs", 0, "training.num_train_epochs", "above"),
    "argument settled elsewhere": ("training.seed", 1, "training.seed", "confirm.seeds"),
    "no steps": ("training.max_steps", 0, "training.max_steps", "or -1 for num_train_epochs"),
    "an optimizer that is not installed": (
        "training.optim",
        "adamw_bnb_8bit",
        "training.optim",
        "pip install bitsandbytes",
    ),
    "a schedule without its settings": (
        "training.lr_scheduler_type",
        "warmup_stable_decay",
        "training.lr_scheduler_type",
        "lr_scheduler_kwargs with num_decay_steps (required)",
    ),
    "a schedule that follows evaluations": (
        "search_space.lr_scheduler_type",
        {"choice": ["linear", "reduce_lr_on_plateau"]},
        "search_space.lr_scheduler_type",
        "depends on the step alone",
    ),
    "a schedule's settings in a search": (
        "search_space.lr_scheduler_kwargs",
        {"choice": [None, {"num_cycles": 2}]},
        "search_space.lr_scheduler_kwargs",
        "linear takes no lr_scheduler_kwargs",
    ),
    "an evaluation before the first step": (
        "training.eval_on_start",
        True,
        "training.eval_on_start",
        "first evaluated after it has trained",
    ),
    "several processes": ("training.ddp_timeout", 9, "training.ddp_timeout", "one process"),
    "nothing left after the last batch": (
        "training",
        {"dataloader_drop_last": True, "per_device_train_batch_size": 121},
        "training.per_device_train_batch_size",
        "at most 120 texts",
    ),
    "shares and steps in one range": (
        "search_space.warmup_steps",
        {"uniform": [0, 20]},
        "search_space.warmup_steps",
        "a share of all steps below 1, or a whole number of steps",
    ),
    "unknown choice": ("training.optim", "adamw", "training.optim", "adamw_torch"),
    "never evaluated": ("training.eval_strategy", "no", "training.eval_strategy", "steps"),
    "argument of one model": (
        "models.0.training",
        {"warmup_step": 1},
        "models.0.training.warmup_step",
        "did you mean 'warmup_steps'?",
    ),
    "batches by tokens in random order": (
        "training.per_device_train_batch_tokens",
        512,
        "training.per_device_train_batch_tokens",
        "train_sampling_strategy: group_by_length",
    ),
    "batches by tokens of one model": (
        "models.0.training",
        {"per_device_train_batch_tokens": 512},
        "models.0.training.per_device_train_batch_tokens",
        "train_sampling_strategy: group_by_length",
    ),
    "searched by nobody": (
        "search_space.dropout_rate",
        {"uniform": [0, 1]},
        "search_space.dropout_rate",
        "no part of the run reads",
    ),
    "unknown range": (
        "search_space.warmup_steps",
        {"radint": [0, 5]},
        "search_space.warmup_steps",
        "did you mean 'randint'?",
    ),
    "empty range": (
        "search_space.learning_rate",
        {"uniform": [2e-4, 1e-4]},
        "search_space.learning_rate",
        "lower bound below the upper",
    ),
    "logarithm of zero": (
        "search_space.learning_rate",
        {"loguniform": [0, 1e-4]},
        "search_space.learning_rate",
        "above 0",
    ),
    "too few bounds": (
        "search_space.learning_rate",
        {"uniform": [1e-4]},
        "search_space.learning_rate",
        "2 numbers",
    ),
    "empty choice": (
        "search_space.optim",
        {"choice": []},
        "search_space.optim",
        "at least one value",
    ),
    "wrong choice": (
        "search_space.optim",
        {"choice": ["adamw_torch", "adafacto"]},
        "search_space.optim",
        "did you mean 'adafactor'?",
    ),
    "fractions for a whole number": (
        "search_space.per_device_train_batch_size",
        {"uniform": [8, 32]},
        "search_space.per_device_train_batch_size",
        "integer",
    ),
    **HYPERPARAMETERS,
    "no samples": ("tune.num_samples", 0, "tune.num_samples", "1"),
    "unknown metric": ("tune.metric", "mcc", "tune.metric", "matthews_correlation"),
    "metric in a wrong direction": ("tune.mode", "min", "tune", "max"),
    "unknown scheduler": ("tune.scheduler", "ahsa", "tune.scheduler", "did you mean 'asha'?"),
    "grace longer than the run": ("tune.grace_period", 5000, "tune.grace_period", "30"),
    "a scheduler does not read it": ("tune.top_k", 2, "tune.top_k", "does not read it"),
    "no seeds": ("confirm.seeds", [], "confirm.seeds", "a list of integers"),
    "a seed twice": ("confirm.seeds", [1, 1], "confirm.seeds", "different seeds"),
    "a negative seed": ("confirm.seeds", [1, -1], "confirm.seeds", "from 0"),
    "seeds in words": ("confirm.seeds", "some", "confirm.seeds", "auto"),
    "a list with a maximum": ("confirm.most", 5, "confirm.most", "seeds: auto"),
    "more cores than there are": ("resources.cpu", 4096, "resources", "this machine has"),
    "no cores": ("resources.cpu", 0, "resources.cpu", "greater than 0"),
}


@pytest.mark.parametrize("mistake", PLANTED)
def test_finds_the_planted_mistake(mistake: str, good: Content, tmp_path: Path) -> None:
    key, value, where, says = PLANTED[mistake]
    error = mistakes(change(good, key, value), tmp_path)
    assert [problem.where for problem in error.problems] == [where]
    assert says in str(error)
    assert error.problems[0].line is not None


def test_the_file_without_mistakes_is_right(good: Content, tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    YAML().dump(good, path)
    ready = check(read_draft(path), str(tmp_path))
    assert len(ready.data.train) == 120
    assert "30 steps per trial, searches learning_rate" in ready.summary


def test_a_warm_up_that_is_longer_than_the_training_is_noted(good: Content, tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    YAML().dump(change(good, "search_space.warmup_steps", {"randint": [0, 200]}), path)
    assert "note: warmup_steps of up to 199" in check(read_draft(path), str(tmp_path)).summary
    YAML().dump(change(good, "search_space.warmup_steps", {"randint": [0, 31]}), path)
    assert "note: warmup_steps" not in check(read_draft(path), str(tmp_path)).summary


def test_a_number_format_of_gpus_is_refused_only_where_trials_run_without_one(
    good: Content, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = check_module.this_machine()
    monkeypatch.setattr(check_module, "this_machine", lambda: replace(here, gpus=0.0))
    (problem,) = mistakes(change(good, "training.bf16", True), tmp_path).problems
    assert (problem.where, "have no GPU" in problem.found) == ("training.bf16", True)
    path = tmp_path / "experiment.yaml"
    monkeypatch.setattr(check_module, "this_machine", lambda: replace(here, gpus=1.0))
    assert check(read_draft(path), str(tmp_path))
    monkeypatch.undo()
    monkeypatch.setattr(check_module, "is_remote", lambda: True)
    assert check(read_draft(path), str(tmp_path)), "machines of a cluster are asked later"


def test_a_mistake_that_models_share_is_told_once(good: Content, tmp_path: Path) -> None:
    change(good, "training.lr_scheduler_type", "warmup_stable_decay")
    good["models"].append({**good["models"][0], "name": "other"})
    (problem,) = mistakes(good, tmp_path).problems
    assert problem.where == "training.lr_scheduler_type"


def test_every_kind_of_hyperparameter_may_be_right(good: Content, tmp_path: Path) -> None:
    space = {
        "weight_decay": 0.01,
        "learning_rate": {"normal": [1e-3, 1e-4]},
        "optim": {"choice": ["adamw_torch", "sgd"]},
        "adam_beta1": {"uniform": [0.8, 0.95]},
        "config.hidden_dropout_prob": {"uniform": [0, 0.3]},
        "config.classifier_dropout": {"choice": [0, 0.5, None]},
        "config.num_hidden_layers": {"grid": [1, 2]},
        "freeze_layers": {"randint": [0, 2]},
        "pooling": {"choice": ["cls", "mean", "max"]},
        "max_length": {"grid": [16, 32]},
        "early_stopping_patience": 2,
        "early_stopping_threshold": {"uniform": [0, 0.01]},
    }
    path = tmp_path / "experiment.yaml"
    YAML().dump(change(good, "search_space", space), path)
    ready = check(read_draft(path), str(tmp_path))
    searched = [name for name, entry in space.items() if isinstance(entry, dict)]
    assert f"searches {', '.join(searched)}" in ready.summary


@pytest.mark.parametrize(
    ("search_alg", "entry", "says"),
    [
        ("grid", {"uniform": [0, 0.1]}, "grid or choice"),
        ("grid", {"randint": [0, 4]}, "list the values"),
        ("optuna", {"grid": [0.1, 0.2]}, "use choice"),
        ("optuna", {"normal": [0.1, 0.02]}, "use another kind of range"),
        ("optuna", {"qloguniform": [0.01, 0.1, 0.01]}, "use another kind of range"),
    ],
)
def test_ranges_that_a_search_can_not_take(
    search_alg: str, entry: Content, says: str, good: Content, tmp_path: Path
) -> None:
    change(good, "tune.search_alg", search_alg)
    change(good, "search_space", {"optim": {"choice": ["sgd"]}, "warmup_steps": entry})
    error = mistakes(good, tmp_path)
    assert [problem.where for problem in error.problems] == ["search_space.warmup_steps"]
    assert says in str(error)


def test_a_field_that_one_model_lacks_belongs_under_the_others(
    good: Content, tmp_path: Path
) -> None:
    change(good, "search_space", {"config.dropout": {"uniform": [0, 0.3]}})
    good["models"].append({**good["models"][0], "name": "other"})
    error = mistakes(good, tmp_path)
    assert "BertConfig of tiny does not have" in str(error)
    assert "BertConfig of other does not have" in str(error)
    assert "models[].search_space" in str(error)


def test_what_one_model_overrides_is_not_searched_for_it(good: Content, tmp_path: Path) -> None:
    change(good, "search_space", {"adam_beta1": {"uniform": [0.8, 0.9]}})
    change(good, "models.0.search_space", {"adam_beta1": 0.9, "optim": "sgd"})
    path = tmp_path / "experiment.yaml"
    YAML().dump(good, path)
    assert "searches nothing" in check(read_draft(path), str(tmp_path)).summary


def test_mistakes_between_sections_are_found_beside_those_within(
    good: Content, tmp_path: Path
) -> None:
    change(good, "name", "a/b")
    change(good, "tune.metric", "wrong")
    change(good, "search_space", {"adam_beta1": {"uniform": [0.8, 0.9]}, "x": {"unifrom": [0, 1]}})
    change(good, "models.0.training", {"optim": "sgd", "freeze_layers": 9})
    found = {problem.where for problem in mistakes(good, tmp_path).problems}
    assert found == {
        "name",
        "tune.metric",
        "search_space.x",
        "search_space.adam_beta1",
        "models.0.training.freeze_layers",
    }


def test_all_mistakes_are_found_in_one_go(good: Content, tmp_path: Path) -> None:
    for key in ("training.learning_rte", "tune.metric", "data.label", "models.0.cfg", "seed"):
        change(good, key, "wrong")
    change(good, "search_space", {"dropout": {"uniform": [0, 1]}, "optim": {"chioce": ["sgd"]}})
    good["models"].append("./gone")
    found = {problem.where for problem in mistakes(good, tmp_path).problems}
    assert found == {
        "training.learning_rte",
        "tune.metric",
        "data.label",
        "models.0.cfg",
        "models.1",
        "seed",
        "search_space.dropout",
        "search_space.optim",
    }


def test_problems_come_in_the_order_of_the_file(good: Content, tmp_path: Path) -> None:
    change(good, "training.learning_rte", 1)
    change(good, "name", "a/b")
    lines = [problem.line for problem in mistakes(good, tmp_path).problems]
    assert lines == sorted(lines, key=lambda line: line or 0)


def test_two_models_of_one_name(good: Content, tmp_path: Path) -> None:
    good["models"].append(good["models"][0])
    assert "models with different names" in str(mistakes(good, tmp_path))


def test_a_model_with_the_name_of_a_baseline(good: Content, tmp_path: Path) -> None:
    change(good, "models.0.name", "TF-IDF + logistic regression")
    assert "which is the name of a baseline" in str(mistakes(good, tmp_path))


@pytest.mark.parametrize(
    ("baselines", "says"),
    [
        (["tfidf"], "did you mean 'tf-idf'?"),
        (["tf-idf", "tf-idf"], "each baseline once"),
    ],
)
def test_baselines_that_there_are_not(
    good: Content, tmp_path: Path, baselines: list[str], says: str
) -> None:
    good["baselines"] = baselines
    found = str(mistakes(good, tmp_path))
    assert "baselines" in found
    assert says in found


def test_missing_sections_are_named(tmp_path: Path) -> None:
    found = [problem.where for problem in mistakes({"name": "x"}, tmp_path).problems]
    assert found == ["data", "models"]


def test_one_class(good: Content, tmp_path: Path) -> None:
    frame = rows(60, 0)
    folder = tmp_path / "one class"
    folder.mkdir()
    frame[frame.label == "rocks"].to_csv(folder / "train.csv", index=False)
    good["data"] = {"dataset": str(folder)}
    assert "rocks" in str(mistakes(good, tmp_path))


def test_empty_data(good: Content, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\n")
    good["data"] = {"dataset": str(tmp_path / "train.csv")}
    assert mistakes(good, tmp_path).problems[0].where.startswith("data")


def test_pickled_weights_are_refused(good: Content, tmp_path: Path, tiny_model: str) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    for path in Path(tiny_model).iterdir():
        if path.suffix != ".safetensors":
            (folder / path.name).write_bytes(path.read_bytes())
    (folder / "pytorch_model.bin").write_bytes(b"")
    change(good, "models.0.checkpoint", str(folder))
    assert "only pytorch_model.bin" in str(mistakes(good, tmp_path))


def test_no_room_for_the_results(
    good: Content, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nearly_full(_: object) -> object:
        return type("Usage", (), {"free": 2**20})()

    monkeypatch.setattr("raycompare.running.late_checks.shutil.disk_usage", nearly_full)
    error = mistakes(good, tmp_path)
    assert error.problems[0].where == "--out"
    assert "1 MiB free" in str(error)


def test_a_file_where_the_results_should_go(good: Content, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert mistakes(good, tmp_path, str(tmp_path / "file")).problems[0].where == "--out"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("tune.num_samples", "expected dotted.key=value"),
        ("name.first=1", "no section 'name'"),
        ("models.7.name=x", "no section '7'"),
    ],
)
def test_overrides_that_assign_nothing(override: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        parse_draft("name: x\nmodels: [a]\n", "x.yaml", [override])


def test_overrides_are_yaml_values_and_marked_in_messages() -> None:
    overrides = ["models.0.name=small", "tune.num_samples=4", "confirm.seeds=[5, six]"]
    draft = parse_draft("name: x\nmodels: [{name: a}]\n", "x.yaml", overrides)
    assert draft.models["models.0"].name == "small"
    assert draft.sections["tune"].num_samples == 4
    (seeds,) = [p for p in draft.problems if p.where.startswith("confirm")]
    assert "(from --set)" in draft.locate(seeds).found


def test_numbers_may_be_written_without_a_point() -> None:
    draft = parse_draft("training: {learning_rate: 1e-5}\n", "x.yaml")
    assert draft.sections["training"] == {"learning_rate": 1e-5}


@pytest.mark.parametrize(
    ("text", "says"),
    [("name: [", r"x.yaml:\d+: not valid YAML"), ("- a\n", "expected a mapping"), ("", "mapping")],
)
def test_no_experiment_at_all(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        parse_draft(text, "x.yaml")


def test_a_key_written_twice() -> None:
    with pytest.raises(UserError, match="duplicate key"):
        parse_draft("name: a\nname: b\n", "x.yaml")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_draft(tmp_path / "nothing.yaml")


def test_a_field_of_the_config_is_one_part_of_an_overriding_key() -> None:
    overrides = [
        "search_space.config.num_hidden_layers.choice=[1, 2]",
        "models.0.training.config.hidden_dropout_prob=0.2",
        "data.config=plain",
    ]
    draft = parse_draft("name: x\ndata: {dataset: x}\nmodels: [{name: a}]\n", "x.yaml", overrides)
    assert draft.problems == ()
    assert draft.search_space["config.num_hidden_layers"].choices == [1, 2]
    assert draft.models["models.0"].training == {"config.hidden_dropout_prob": 0.2}
    assert draft.sections["data"].config == "plain"
