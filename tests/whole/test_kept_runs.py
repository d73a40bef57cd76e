"""Run folders that an earlier raycompare wrote, in tests/kept, with the code of today."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoTokenizer

import raycompare
from raycompare.cli import main
from tests import ROOT
from tests.real_runs import finish
from tests.serving.test_serve import ask, end_by_sigterm, service

KEPT = ROOT / "tests" / "kept"
LABELS = ["animals", "plants", "rocks"]
MODELS = ["one layer", "two layers"]
LEADERBOARD = "tables/leaderboard.csv"
ENDED = ("completed", "stopped_early")

Command = Callable[..., str]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy what is kept; the copy is the current directory, from which paths are relative."""
    ignored = shutil.ignore_patterns("*.py", "__pycache__")
    copy = shutil.copytree(KEPT, tmp_path / "kept", ignore=ignored)
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def finished(place: Path) -> Path:
    return run_of(place, "finished")


@pytest.fixture
def interrupted(place: Path) -> Path:
    return run_of(place, "interrupted")


def run_of(place: Path, name: str) -> Path:
    (manifest,) = (place / "reports" / name).glob("*/manifest.json")
    return manifest.parent.relative_to(place)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Call the command in this process; returns what it prints."""

    def call(*arguments: str | Path) -> str:
        monkeypatch.setattr(sys, "argv", ["raycompare", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        printed = capsys.readouterr()
        assert exit_.value.code == 0, printed.err
        return printed.out

    return call


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in the precision in which the answers were made."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize("name", ["finished", "interrupted"])
def test_the_records_are_read_as_they_are(place: Path, name: str) -> None:
    folder = run_of(place, name)
    run = raycompare.load_run(folder)
    trials = pd.read_parquet(folder / "trials.parquet")
    searched = [json.loads(text) for text in trials.pop("hyperparameters")]
    pd.testing.assert_frame_equal(run.trials[list(trials)], trials)
    assert run.trials["config/learning_rate"].dropna().tolist() == [
        row["learning_rate"] for row in searched if "learning_rate" in row
    ]
    evaluations = pd.read_parquet(folder / "evaluations.parquet")
    pd.testing.assert_frame_equal(run.evaluations[list(evaluations)], evaluations)
    assert len(run.predictions) == 60 * len(list(folder.glob("predictions/*")))
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {key: asdict(run.manifest)[key] for key in manifest} == manifest
    experiment = raycompare.Experiment.from_file(folder / "experiment.yaml")
    assert experiment.content_hash == manifest["experiment_hash"]


@pytest.mark.parametrize("name", ["finished", "interrupted"])
def test_the_report_has_the_numbers_that_it_had(place: Path, name: str, command: Command) -> None:
    folder = run_of(place, name)
    before = pd.read_csv(folder / LEADERBOARD)
    (folder / LEADERBOARD).unlink()
    command("report", folder)
    now = pd.read_csv(folder / LEADERBOARD)
    # What is claimed about these scores follows today's statistics.
    claims = [
        name for name in before if name.endswith(("_low", "_high", "_rank", "tied_with_first"))
    ]
    kept = before.drop(columns=[*claims, "tier"])
    pd.testing.assert_frame_equal(now[list(kept)], kept)
    assert (folder / "report.html").exists()


def test_the_report_has_the_means_of_the_evaluations(finished: Path, command: Command) -> None:
    command("report", finished)
    report = (finished / "report.md").read_text()
    evaluations = pd.read_parquet(finished / "evaluations.parquet")
    tests = evaluations[evaluations["split"] == "test"]
    for model in MODELS:
        lines = [line for line in report.splitlines() if f"| {model} |" in line]
        for metric in ("loss", "accuracy", "macro_f1", "matthews_correlation"):
            mean = tests.loc[tests["model"] == model, metric].mean()
            assert f"| {mean:.3f}\xa0±\xa0" in lines[0]
    assert "no dropout" in report, "a model that the screen left out"


def test_the_runs_are_listed_and_compared(
    finished: Path, interrupted: Path, command: Command
) -> None:
    runs = json.loads(command("ls", "--json"))
    assert {run["name"]: run["state"] for run in runs["runs"]} == {
        "finished": "finished",
        "interrupted": "interrupted",
    }
    assert runs["broken"] == []
    assert json.loads(command("status", finished, "--json"))["complete"]
    assert not json.loads(command("status", interrupted, "--json"))["complete"]
    difference = json.loads(command("diff", finished, interrupted, "--json"))
    assert "screen.keep" in [line["where"] for line in difference["experiment"]]
    for words in (["ls"], ["status", finished], ["diff", finished, interrupted]):
        assert finished.name in command(*words)


@pytest.mark.parametrize("model", MODELS)
def test_a_finalist_predicts_what_it_did_in_its_test(
    model: str, finished: Path, command: Command, on_cpu: None
) -> None:
    options = ("--model", model, "--file", "data/test.csv", "--out", "answers.parquet")
    command("predict", finished, *options)
    assert_same(pd.read_parquet("answers.parquet"), stored_answers(finished, model))


def test_the_winner_predicts_without_the_weights_of_the_run(
    finished: Path, command: Command, on_cpu: None
) -> None:
    stored = stored_answers(finished, winner(finished))
    shutil.rmtree(finished / "weights")
    command("predict", finished, "--file", "data/test.csv", "--out", "answers.parquet")
    assert_same(pd.read_parquet("answers.parquet"), stored)


def test_the_winner_is_loaded_in_python(finished: Path) -> None:
    model = raycompare.load_model(finished / "best")
    tokenizer = AutoTokenizer.from_pretrained(finished / "best")
    with torch.no_grad():
        tokens = tokenizer(texts(), padding=True, return_tensors="pt")
        probabilities = model(**tokens).logits.softmax(-1).numpy()
    stored = stored_answers(finished, winner(finished))
    np.testing.assert_allclose(probabilities, np.stack(stored["probabilities"]), atol=1e-5)


@pytest.mark.serve
@pytest.mark.timeout(300)
def test_the_winner_is_served_until_the_service_is_ended(finished: Path) -> None:
    with service(raycompare.load_run(finished).folder) as (url, started):
        answers = ask(url, {"text": texts()}).json()["predictions"]
        end_by_sigterm(url, started)
    stored = stored_answers(finished, winner(finished))
    assert [answer["label"] for answer in answers] == [LABELS[i] for i in stored["prediction"]]


@pytest.mark.ray
@pytest.mark.timeout(240)
def test_the_interrupted_run_is_finished(place: Path, interrupted: Path) -> None:
    trials, evaluations = records(interrupted)
    ended = trials[trials["status"].isin(ENDED)]
    assert 0 < len(ended) < len(trials)
    (checkpoint,) = interrupted.glob("checkpoints/*/checkpoint-*")
    step = int(checkpoint.name.removeprefix("checkpoint-"))

    path = os.pathsep.join([str(with_versions(place, interrupted)), str(ROOT)])
    code, printed = finish(["run", "--resume", str(interrupted)], place, PYTHONPATH=path)
    assert code == 0, printed

    trials_now, evaluations_now = records(interrupted)
    pd.testing.assert_frame_equal(trials_now.loc[ended.index], ended, check_dtype=False)
    assert trials_now["status"].isin(ENDED).all()
    assert sorted(trials_now.loc[trials_now["stage"] == "confirm", "model"]) == MODELS
    # Seconds among them: what was trained before the checkpoint was not trained again.
    trial = checkpoint.parent.name
    before, now = (until(frame, trial, step) for frame in (evaluations, evaluations_now))
    assert len(before)
    pd.testing.assert_frame_equal(now, before)
    assert json.loads((interrupted / "manifest.json").read_text())["complete"]
    assert (interrupted / "best" / "config.json").exists()


def records(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    trials = pd.read_parquet(folder / "trials.parquet").set_index("trial_id")
    return trials, pd.read_parquet(folder / "evaluations.parquet")


def until(evaluations: pd.DataFrame, trial: str, step: int) -> pd.DataFrame:
    rows = evaluations[(evaluations["trial_id"] == trial) & (evaluations["step"] <= step)]
    return rows.reset_index(drop=True)


def with_versions(place: Path, run: Path) -> Path:
    """Make a folder for PYTHONPATH that has Python report the versions with which a run began.

    A run is not resumed with other versions, which is not what is tested here.
    """
    versions = json.loads((run / "started.json").read_text())["code"]
    for package in ("torch", "transformers", "tokenizers"):
        metadata = place / "versions" / f"{package}-{versions[package]}.dist-info" / "METADATA"
        metadata.parent.mkdir(parents=True)
        lines = ("Metadata-Version: 2.1", f"Name: {package}", f"Version: {versions[package]}", "")
        metadata.write_text("\n".join(lines))
    return place / "versions"


def winner(folder: Path) -> str:
    rows = pd.read_csv(folder / LEADERBOARD)
    return str(rows.loc[rows["rank"] == 1, "model"].item())


def texts() -> list[str]:
    return pd.read_csv("data/test.csv")["text"].tolist()


def stored_answers(folder: Path, model: str) -> pd.DataFrame:
    """Read what the finalist whose weights are kept answered in its test."""
    (weights,) = folder.glob(f"weights/{model.replace(' ', '-')}-confirm-*")
    return pd.read_parquet(folder / "predictions" / f"{weights.name}.parquet")


def assert_same(answers: pd.DataFrame, stored: pd.DataFrame) -> None:
    assert answers["predicted_label"].tolist() == [LABELS[i] for i in stored["prediction"]]
    columns = [f"probability_{label}" for label in LABELS]
    probabilities = np.stack(stored["probabilities"])
    np.testing.assert_allclose(answers[columns].to_numpy(), probabilities, atol=1e-5)
