"""What goes wrong inside a run: no memory, bad models, a spent budget; and a second process."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from raycompare.records.run_folder import RunFolder
from tests import ROOT
from tests.real_runs import Content, finish, folder_in, go, job, slow_experiment, write

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

INJECTED = str(ROOT / "tests" / "injected")


@pytest.fixture
def content(tiny_model: str, tiny_data: str) -> Content:
    return slow_experiment(tiny_model, tiny_data)


def test_a_second_process_is_kept_out_of_a_run(content: Content, tmp_path: Path) -> None:
    write(content, tmp_path)
    with job(["run", "experiment.yaml"], tmp_path):
        folder = folder_in(tmp_path)
        code, said = finish(["run", "--resume", folder.uri], tmp_path)
    assert code == 2
    assert "another process is running" in said


def test_where_memory_runs_out_fewer_texts_are_computed_at_once(
    content: Content, tmp_path: Path
) -> None:
    content["tune"] |= {"num_samples": 2, "scheduler": "fifo"}
    del content["tune"]["top_k"]
    content["models"] = content["models"][:1]
    content["confirm"]["seeds"] = [1]
    write(content, tmp_path)
    code, said = finish(["run", "experiment.yaml"], tmp_path, INJECT="memory", PYTHONPATH=INJECTED)
    assert code == 0, said
    trials = folder_in(tmp_path).read_trials()
    assert {trial.status for trial in trials} == {"completed"}
    assert all(trial.halvings == 2 for trial in trials), "8 texts, 4, 2"
    assert {trial.examples_per_step for trial in trials} == {8.0}


@pytest.fixture(scope="module")
def troubled(
    tiny_model: str, tiny_data: str, tmp_path_factory: pytest.TempPathFactory
) -> RunFolder:
    """A run with a model that can't be trained, and one that a learning rate makes diverge."""
    made = slow_experiment(tiny_model, tiny_data)
    sound, broken = made["models"]
    sound["search_space"] = {"learning_rate": {"choice": [1e30, 2e-3]}}
    broken["search_space"] = made.pop("search_space")
    broken["training"] = {"optim": "adamw_bnb_8bit"}
    made["tune"] |= {"num_samples": 6, "max_concurrent_trials": 1}
    made["failure"] |= {"max_model_failures": 2}
    with pytest.MonkeyPatch.context() as patch:
        # As on a machine that has the package of the optimizer, unlike the workers.
        patch.setattr("raycompare.running.check.requirement_problems", lambda *_: [])
        folder, _ = go(made, tmp_path_factory.mktemp("troubled"))
    return folder


def test_a_model_that_always_fails_is_taken_out_and_the_rest_go_on(troubled: RunFolder) -> None:
    trials = [trial for trial in troubled.read_trials() if trial.model == "one layer"]
    counts = Counter(trial.status for trial in trials)
    assert counts == {"errored": 2, "not_run": 4}
    assert all(trial.starts == 1 for trial in trials if trial.status == "errored"), "no retries"
    reasons = {trial.reason for trial in trials if trial.status == "not_run"}
    (reason,) = reasons
    assert "was dropped because its first 2 trials failed" in reason
    assert "bitsandbytes" in reason
    others = [trial for trial in troubled.read_trials() if trial.model == "two layers"]
    assert Counter(t.status for t in others if t.stage == "confirm") == {"completed": 2}
    assert "bitsandbytes" in troubled.read_text("report.md")


def test_a_loss_that_is_no_number_ends_a_trial_and_no_other(troubled: RunFolder) -> None:
    tune = [t for t in troubled.read_trials() if (t.stage, t.model) == ("tune", "two layers")]
    diverged = [trial for trial in tune if trial.ending == "diverged"]
    assert len(diverged) == 1
    assert "loss is nan" in diverged[0].reason
    assert "1e+30" in diverged[0].hyperparameters
    assert Counter(t.status for t in tune)["completed"] == 2


def test_a_spent_budget_ends_the_search_and_confirm_still_runs(
    content: Content, tmp_path: Path
) -> None:
    content["tune"] |= {"num_samples": 40, "time_budget_s": 20, "scheduler": "fifo"}
    del content["tune"]["top_k"]
    folder, _ = go(content, tmp_path)
    trials = folder.read_trials()
    tune = [trial for trial in trials if trial.stage == "tune"]
    refused = [trial for trial in tune if trial.status == "not_run"]
    assert len(tune) == 80
    assert refused
    assert all("the budget is spent (time_budget_s: 20" in trial.reason for trial in refused)
    assert Counter(t.status for t in trials if t.stage == "confirm") == {"completed": 4}
    done = Counter(trial.model for trial in tune if trial.starts)
    assert abs(done["one layer"] - done["two layers"]) <= 1
    assert folder.read_manifest().complete
