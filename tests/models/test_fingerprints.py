"""Checkpoints are known by their content: weights of folders, commits of the hub."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from huggingface_hub import HfApi, ResolvedRevision
from safetensors.torch import load_file, save_file

from raycompare.experiment.file import parse_draft
from raycompare.experiment.spec import Experiment
from raycompare.models import hub
from raycompare.models.checks import model_problems
from raycompare.models.fingerprints import fingerprints, pin_commits
from raycompare.models.pretrained import load_pretrained
from tests import ROOT

A, B = "a" * 40, "b" * 40


def of(checkpoint: Path | str, **fields: Any) -> Experiment:
    models = [{"name": "it", "checkpoint": str(checkpoint)}]
    content = {"name": "x", "data": {"dataset": "d"}, "models": models}
    experiment: Experiment = parse_draft(json.dumps(content), "x").experiment()
    model = experiment.models[0].model_copy(update=fields)
    return experiment.model_copy(update={"models": (model,)})


def fingerprint(checkpoint: Path | str, **fields: Any) -> str | None:
    return fingerprints(of(checkpoint, **fields)).get("it")


@pytest.fixture
def folder(tiny_model: str, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_model, tmp_path / "it")


def fill(folder: Path, value: float) -> None:
    file = folder / "model.safetensors"
    filled = {name: torch.full_like(weight, value) for name, weight in load_file(file).items()}
    save_file(filled, file, metadata={"format": "pt"})


def append(name: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        file = folder / name
        file.write_text((file.read_text() if file.exists() else "") + " ")

    return apply


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: fill(folder, 0.5),
        *map(append, ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")),
    ],
)
def test_other_content_is_another_checkpoint(
    change: Callable[[Path], None], folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    before = fingerprint(folder)
    assert before == fingerprint(copy)
    change(folder)
    assert before != fingerprint(folder)


def test_what_no_trial_reads_does_not_count(folder: Path) -> None:
    before = fingerprint(folder)
    for name in ("README.md", "trainer_state.json", "pytorch_model.bin"):
        append(name)(folder)
    (folder / "config.json").touch()
    assert before == fingerprint(folder)
    random = fingerprint(folder, init="random")
    fill(folder, 0.5)
    assert random == fingerprint(folder, init="random")


def test_the_code_of_a_class_counts(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (ROOT / "tests" / "own_models.py").read_text()
    monkeypatch.syspath_prepend(str(tmp_path))
    made = [fingerprint(folder)]
    for extra in ("", "# changed\n"):
        (tmp_path / "copied_models.py").write_text(source + extra)
        made.append(fingerprint(folder, model_class="copied_models:MeanOfTokens"))
    assert len(set(made)) == len(made)


@pytest.fixture
def cache(tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of a hub with two commits of me/enc, of which main is at the first."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    root = tmp_path / "models--me--enc"
    for number, commit in enumerate((A, B)):
        shutil.copytree(tiny_model, root / "snapshots" / commit)
        fill(root / "snapshots" / commit, number + 1)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(A)
    hub.hub_headers.cache_clear()
    return root


def test_a_run_stays_at_the_commit_of_its_start(cache: Path) -> None:
    experiment = of("me/enc")
    started = fingerprints(experiment)
    assert started == {"it": f"commit {A}"}
    pinned = pin_commits(experiment, started)
    (cache / "refs" / "main").write_text(B)
    assert fingerprints(experiment) == {"it": f"commit {B}"}
    labels = ("yes", "no")
    was, now = (load_pretrained(e.models[0], labels) for e in (pinned, experiment))
    assert (was.get_input_embeddings().weight == 1).all()
    assert (now.get_input_embeddings().weight == 2).all()
    assert pin_commits(experiment, {}) == experiment


def test_weights_of_the_hub_are_compared_where_they_are_in_the_cache(cache: Path) -> None:
    (model,) = of("me/enc").models
    assert model_problems("models.0", model) == []
    file = cache / "snapshots" / A / "model.safetensors"
    save_file({f"module.{name}": w for name, w in load_file(file).items()}, file)
    hub.hub_headers.cache_clear()
    (problem,) = model_problems("models.0", model)
    assert "which the file calls module.bert" in problem.found


def test_without_a_hub_and_a_cache_nothing_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert fingerprints(of("me/unknown")) == {}
    assert fingerprints(of("me/unknown", revision=B)) == {"it": f"commit {B}"}


def test_pickled_weights_of_the_hub_are_read_from_its_conversion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heads = {"main": A, "refs/pr/7": B}
    files = {A: ["config.json", "pytorch_model.bin"], B: ["config.json", "model.safetensors"]}

    def resolve(_: HfApi, repo: str, revision: str, **__: Any) -> ResolvedRevision:
        return SimpleNamespace(resolved=heads.get(revision, revision))  # type: ignore[return-value]

    monkeypatch.setattr(HfApi, "resolve_revision", resolve)
    monkeypatch.setattr(HfApi, "list_repo_files", lambda _, repo, revision: files[revision])
    monkeypatch.setattr(hub, "get_conversion_pr_reference", lambda api, repo: "refs/pr/7")
    assert hub.commit_to_train("me/pickled", None) == B
    assert hub.commit_to_train("me/pickled", A) == A, "a revision that the user has chosen"
    files[A].append("model.safetensors")
    assert hub.commit_to_train("me/pickled", "main") == A
