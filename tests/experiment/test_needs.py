"""What an experiment needs, and that all who send or check it take it from one function."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raycompare.cluster.checks import _folders, _modules
from raycompare.experiment.needs import Needs, needs_of
from raycompare.sagemaker.job_environment import Job
from raycompare.sagemaker.source import REQUIREMENTS, path_problems, write_source
from tests.runs import experiment

JOB = Job(run_dir="s3://b/r", token="t")


@pytest.fixture(autouse=True)
def without_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the versions of all packages, whose reading takes a second."""
    monkeypatch.setattr("raycompare.sagemaker.source.closure", lambda wanted: {})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder that modules are imported from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def write(folder: Path, *files: str, text: str = "x") -> None:
    for name in files:
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


def model(**fields: Any) -> dict[str, Any]:
    return {"name": "m", **fields}


def modules(needs: Needs) -> set[str]:
    return {package.module for package in needs.packages}


PACKAGES: dict[str, tuple[dict[str, Any], str]] = {
    "peft": ({"models": [model(peft={"lora_r": 4})]}, "peft"),
    "optuna": ({"tune": {"search_alg": "optuna"}}, "optuna"),
    "mlflow": ({"trackers": ["mlflow"]}, "mlflow"),
    "wandb": ({"trackers": ["wandb"]}, "wandb"),
    "optim": ({"training": {"optim": "adamw_torch_8bit"}}, "torchao"),
    "optim of a model": ({"models": [model(training={"optim": "stable_adamw"})]}, "torch-optimi"),
    "optim that is searched": (
        {"search_space": {"optim": {"choice": ["adamw_torch", "schedule_free_adamw"]}}},
        "schedulefree",
    ),
    "a constant": (
        {"models": [model(search_space={"optim": {"choice": ["galore_adamw"]}})]},
        "galore-torch",
    ),
}


@pytest.mark.parametrize("name", PACKAGES)
def test_packages_are_sent_to_a_job_and_asked_for_on_machines(name: str, tmp_path: Path) -> None:
    changes, distribution = PACKAGES[name]
    made = experiment(*changes.pop("models", ["m"]), **changes)
    needs = needs_of(made)
    (package,) = needs.packages
    assert package.distribution == distribution
    assert (package.module in _modules(needs)) == package.in_trials
    write_source(tmp_path, made, JOB)
    lines = (tmp_path / REQUIREMENTS).read_text().splitlines()
    assert [line for line in lines if line.startswith(distribution)]


def test_a_plain_experiment_needs_nothing() -> None:
    needs = needs_of(experiment("a"))
    assert (needs.packages, needs.paths, needs.modules, needs.distributions) == ([], [], {}, set())


FILES: dict[str, tuple[tuple[str, ...], str, set[str]]] = {
    "a file": (("all.csv", "b.csv"), "all.csv", {"all.csv"}),
    "here": (("all.csv",), "./all.csv", {"all.csv"}),
    "a folder": (("d/train.csv", "d/deep/x.csv"), "d", {"d/train.csv", "d/deep/x.csv"}),
    "a pattern": (("parts/1.csv", "parts/2.csv"), "parts/*.csv", {"parts/1.csv", "parts/2.csv"}),
    "any depth": (("p/1.csv", "p/q/2.csv"), "p/**/*.csv", {"p/1.csv", "p/q/2.csv"}),
    "a set": (("p/1.csv", "p/2.csv"), "p/[1].csv", {"p/1.csv"}),
    "a bucket": (("x.csv",), "s3://bucket/*.csv", set()),
    "a name of the hub": (("x.csv",), "fancyzhx/ag_news", set()),
}


@pytest.mark.parametrize("name", FILES)
def test_the_files_of_the_data_are_sent(name: str, here: Path) -> None:
    files, dataset, expected = FILES[name]
    write(here, *files)
    made = experiment("a", data={"dataset": dataset})
    assert list(path_problems(made)) == []
    source = here / "sent"
    source.mkdir()
    write_source(source, made, JOB)
    sent = {str(path.relative_to(source)) for path in source.rglob("*.csv")}
    assert sent == expected


@pytest.mark.parametrize(
    "dataset", ["../all.csv", "{}/../all.csv", "{}/*.csv", "../*.csv", "job.json", "raycompare"]
)
def test_files_that_a_job_would_not_have_are_refused(dataset: str, here: Path) -> None:
    write(here, "../all.csv", "x.csv", "job.json", "raycompare/a.csv")
    made = experiment("a", data={"dataset": dataset.format(here)})
    assert {problem.where for problem in path_problems(made)} == {"data.dataset"}


def sent_code(here: Path, made: Any) -> set[str]:
    source = here / "sent"
    source.mkdir()
    write_source(source, made, JOB)
    own = (p for p in source.rglob("*") if p.is_file() and "raycompare" not in p.parts[-2])
    files = {str(path.relative_to(source)) for path in own}
    return {f for f in files if not f.startswith("raycompare") and f.count(".json") == 0}


def a_module(here: Path) -> None:
    write(here, "own_a.py", text="import own_b\nfrom own_c.deep import y\nimport torch, os")
    write(here, "own_b.py", text="import einops_like")
    write(here, "own_c/__init__.py", "own_c/deep.py", "own_c/words.txt", text="")
    write(here, "own_unused.py")


def a_package(here: Path) -> None:
    write(here, "own_a/__init__.py", "own_a/words.txt", text="")
    write(here, "own_a/nets.py", text="import own_b")
    write(here, "own_b.py", text="")


def a_namespace(here: Path) -> None:
    write(here, "own_a/nets.py", text="from own_a import more\nimport own_a.more")
    write(here, "own_a/more.py", "own_a/weights.bin", text="")


CODE: dict[str, tuple[Callable[[Path], None], str, set[str]]] = {
    "module": (a_module, "own_a:M", {"own_a.py", "own_b.py", "own_c/__init__.py", "own_c/deep.py"}),
    "package": (a_package, "own_a.nets:M", {"own_a/__init__.py", "own_a/nets.py", "own_b.py"}),
    "namespace": (a_namespace, "own_a.nets:M", {"own_a/nets.py", "own_a/more.py"}),
}


@pytest.mark.parametrize("name", CODE)
def test_own_classes_are_sent_with_what_they_import(name: str, here: Path) -> None:
    lay, path, expected = CODE[name]
    lay(here)
    made = experiment(model(model_class=path))
    assert "own_a" in {module.partition(".")[0] for module in _modules(needs_of(made))}
    sent = sent_code(here, made)
    assert {file for file in sent if file.endswith(".py")} == expected
    assert not any(file.endswith(".bin") for file in sent)


def test_classes_of_an_installed_package_are_installed(here: Path) -> None:
    made = experiment(model(model_class="optuna.anything:M"))
    needs = needs_of(made)
    assert needs.code.files == {}
    assert needs.distributions == {"optuna"}


def test_code_of_a_checkpoint_brings_what_it_imports(here: Path) -> None:
    write(here, "model/config.json", text="{}")
    write(here, "model/modeling.py", text="import optuna\nimport own_b\nfrom .x import y")
    write(here, "own_b.py", text="")
    trusted = needs_of(experiment(model(checkpoint="model", trust_remote_code=True)))
    assert trusted.distributions == {"optuna"}
    assert set(trusted.code.files) == {"own_b"}
    assert {"optuna", "own_b"} <= set(_modules(trusted))
    assert needs_of(experiment(model(checkpoint="model"))).distributions == set()
    assert _folders(trusted) == (str(here / "model"),)


def test_code_of_the_hub_is_read_from_its_cache(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raycompare.experiment.needs.HF_HUB_CACHE", str(here))
    names = {"auto_map": {"AutoModel": "them/code--modeling.M"}}
    write(here, "models--us--model/snapshots/1/config.json", text=json.dumps(names))
    write(here, "models--them--code/snapshots/2/modeling.py", text="import optuna")
    needs = needs_of(experiment(model(checkpoint="us/model", trust_remote_code=True)))
    assert needs.distributions == {"optuna"}
    assert needs.hub_ids[-1] == "us/model"


def test_a_tokenizer_of_another_format_needs_its_package(here: Path) -> None:
    write(here, "model/config.json", "model/qwen.tiktoken")
    assert modules(needs_of(experiment(model(checkpoint="model")))) == {"tiktoken"}
    write(here, "model/tokenizer.json")
    assert modules(needs_of(experiment(model(checkpoint="model")))) == set()


def test_checkpoints_in_packages_are_installed_or_sent(here: Path) -> None:
    write(here, "own_a/__init__.py", "own_a/model/config.json", text="")
    own = needs_of(experiment(model(checkpoint="package:own_a/model")))
    assert own.code.files == {"own_a": here / "own_a"}
    installed = needs_of(experiment(model(checkpoint="package:optuna/x")))
    assert installed.distributions == {"optuna"}
    assert "optuna" in _modules(installed)


def test_variables_are_those_of_trackers_and_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://hub")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    made = experiment("a", trackers=["mlflow"])
    assert needs_of(made).variables == ["MLFLOW_TRACKING_URI", "HF_ENDPOINT"]
