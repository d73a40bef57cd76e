"""Whole runs on a Ray of their own, with a model that trains in a second."""

from __future__ import annotations

import csv
import io
import json
import signal
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from raycompare import Experiment, load_run, run
from raycompare.data.splits import load_splits
from raycompare.errors import RunError, UserError
from raycompare.records.rows import FINISHED, PREDICTIONS_SCHEMA, BaselineRecord, InferenceRecord
from raycompare.records.run_folder import RunFolder
from tests.real_runs import Content, WholeRun, go, job, tiny_experiment, write

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture
def content(tiny_model: str, tiny_data: str) -> Content:
    return tiny_experiment(tiny_model, tiny_data)


def leaderboard(folder: RunFolder) -> list[dict[str, str]]:
    rows = csv.DictReader(io.StringIO(folder.read_text("tables/leaderboard.csv")))
    # A trial whose stop is decided at its last report may have been completed before.
    by_chance = ("seconds", "completed", "stopped_early")
    return [{key: row[key] for key in row if not key.endswith(by_chance)} for row in rows]


def test_a_run_from_end_to_end(whole_run: WholeRun) -> None:
    folder, said = whole_run.folder, whole_run.said

    trials = folder.read_trials()
    assert Counter(trial.stage for trial in trials) == {"tune": 10, "confirm": 4}
    assert [trial.is_default for trial in trials[:3]] == [True, True, False]
    stopped = [trial for trial in trials if trial.status == "stopped_early"]
    assert stopped
    # A decision that waits for an earlier trial can come as late as the last report, at step 60.
    assert all("rung at step" in trial.reason for trial in stopped)
    assert not any(trial.is_default for trial in stopped)
    assert Counter(t.status for t in trials if t.stage == "confirm") == {"completed": 4}

    tested = [row for row in folder.read_evaluations() if row.split == "test"]
    assert sorted(row.model for row in tested) == ["one layer"] * 2 + ["two layers"] * 2
    predictions = pq.read_table(folder.child("predictions"))
    assert predictions.schema.equals(PREDICTIONS_SCHEMA)
    assert predictions.num_rows == 5 * 60
    check_baseline(folder, said)

    manifest = folder.read_manifest()
    stages = {"check", "tokenize", "tune", "confirm", "inference", "total"}
    assert set(manifest.seconds) == stages
    assert set(manifest.resources) == {"two layers", "one layer"}
    assert manifest.resources["one layer"] == {"cpu": 1.0, "gpu": 0.0}
    assert not folder.exists("ray")
    check_inference(folder, said)
    assert "| " in folder.read_text("report.md")
    assert "tune: 10 trials" in said
    assert "report.md" in said.splitlines()[-1]


def test_the_same_again_from_python(whole_run: WholeRun, in_tmp: Path) -> None:
    (tokens,) = Path(whole_run.folder.parent.child("tokens")).glob("*.arrow")
    made = Experiment(**whole_run.changed(inference={"measure": False}, trackers=[]))
    done = run(made, out="reports")
    assert Path("reports", "tiny", "tokens", tokens.name).exists(), "named by content"
    assert leaderboard(done.folder) == leaderboard(whole_run.folder)
    assert set(done.leaderboard["model"]) >= {"two layers", "one layer"}
    assert done.folder.exists("report.html")
    assert load_run(done.folder).verdict == done.verdict
    rows = len(load_splits(made.data, made.seed).test)
    assert len(done.predictions) == 5 * rows, "of two models with two seeds, and of the baseline"


def check_baseline(folder: RunFolder, said: str) -> None:
    (row,) = folder.read_rows(BaselineRecord)
    assert row.accuracy > 0.9
    assert json.loads(row.hyperparameters)["rows"] == 120
    answers = pq.read_table(folder.child(f"predictions/{row.trial_id}.parquet"))
    assert set(answers["model"].to_pylist()) == {row.name}
    assert answers["example_id"].to_pylist() == list(range(60))
    assert f"baseline: {row.name}  test loss {row.loss:.4f}" in said
    assert f"| baseline | {row.name} |" in folder.read_text("report.md")
    assert not folder.exists("baseline_failures.parquet")


def check_inference(folder: RunFolder, said: str) -> None:
    rows = folder.read_rows(InferenceRecord)
    trials = {trial.model: trial for trial in folder.read_trials() if trial.stage == "confirm"}
    assert [row.model for row in rows] == ["two layers", "one layer"]
    for row in rows:
        assert (row.num_parameters, row.device, row.texts, row.batch_size) == (
            trials[row.model].num_parameters,
            "cpu",
            25,
            60,
        )
        assert row.num_threads == trials[row.model].num_threads
        (kept,) = Path(folder.child("weights")).glob(f"{row.model.split()[0]}-*/*.safetensors")
        assert row.weight_bytes == kept.stat().st_size
        assert f"{row.model}  {row.latency_p50_ms:.1f} ms per text" in said
    assert not folder.exists("inference_failures.parquet")
    assert "## Inference" in folder.read_text("report.md")


def test_one_configuration_per_model_is_not_tuned(
    content: Content, in_tmp: Path, tiny_model: str
) -> None:
    tmp_path = in_tmp
    (in_tmp / "model").symlink_to(tiny_model)
    content["models"][0]["checkpoint"] = "model"  # relative: trials have directories of their own
    del content["search_space"]
    content["confirm"]["seeds"] = [1]
    content["training"]["early_stopping_patience"] = 1
    folder, said = go(content, tmp_path)
    trials = folder.read_trials()
    assert {trial.stage for trial in trials} == {"confirm"}
    assert all(trial.is_default for trial in trials)
    assert "tune:" not in said


@pytest.fixture
def no_package_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check as on a machine that has the package of an optimizer, unlike the workers."""
    monkeypatch.setattr("raycompare.running.check.requirement_problems", lambda *_: [])


@pytest.mark.usefixtures("no_package_asked_for")
def test_a_trial_that_fails_does_not_end_the_run(content: Content, tmp_path: Path) -> None:
    content["models"] = content["models"][:1]
    content["search_space"] = {"optim": {"choice": ["sgd", "adamw_bnb_8bit"]}}
    content["tune"] = {"num_samples": 3, "scheduler": "fifo"}
    content["confirm"]["seeds"] = [1]
    folder, said = go(content, tmp_path)
    tune = [trial for trial in folder.read_trials() if trial.stage == "tune"]
    assert Counter(trial.status for trial in tune) == {"completed": 2, "errored": 1}
    (failed,) = [trial for trial in tune if trial.status == "errored"]
    assert "bitsandbytes" in failed.reason
    assert failed.error is not None
    assert "create_optimizer" in failed.error
    assert "errored" in said
    assert "bitsandbytes" in folder.read_text("report.md")


@pytest.mark.usefixtures("no_package_asked_for")
def test_when_all_trials_fail_the_first_cause_is_told(content: Content, tmp_path: Path) -> None:
    content["training"]["optim"] = "adamw_bnb_8bit"
    content["tune"]["num_samples"] = 1
    with pytest.raises(RunError, match=r"none of \d+ trials? completed. First cause: .*bitsandb"):
        go(content, tmp_path)
    (report,) = (tmp_path / "reports").glob("tiny/*/report.md")
    assert "bitsandbytes" in report.read_text()


def test_an_interrupted_run_is_finished_by_resuming_it(content: Content, tmp_path: Path) -> None:
    content["training"] |= {"num_train_epochs": 12, "eval_steps": 15}
    content["tune"]["num_samples"] = 3
    content["confirm"]["seeds"] = [1]
    write(content, tmp_path)
    with job(["run", "experiment.yaml"], tmp_path) as driver:
        assert driver.stdout is not None
        next(line for line in driver.stdout if "[2/6]" in line)
        driver.send_signal(signal.SIGINT)
        rest = driver.stdout.read()
    assert driver.returncode == 1, rest
    command = rest.split("Continue with: raycompare ")[1].split()
    folder = RunFolder.at(tmp_path / command[-1])
    kept = {t.trial_id: t.started_at for t in folder.read_trials() if t.status in FINISHED}
    assert 2 <= len(kept) < 6
    assert not folder.read_manifest().complete

    with job(command, tmp_path) as driver:
        assert driver.stdout is not None
        said = driver.stdout.read()
    assert driver.returncode == 0, said
    trials = {trial.trial_id: trial for trial in folder.read_trials()}
    assert all(trial.status in FINISHED for trial in trials.values())
    assert {name: trials[name].started_at for name in kept} == kept


def test_a_folder_of_another_experiment_is_not_resumed(whole_run: WholeRun, tmp_path: Path) -> None:
    folder = whole_run.copy(tmp_path)
    with pytest.raises(UserError, match="another experiment"):
        go(whole_run.changed(seed=7, trackers=[]), tmp_path, resume=folder.uri)
