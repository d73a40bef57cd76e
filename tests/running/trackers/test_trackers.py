from __future__ import annotations

import json
import logging
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from tensorboardX.proto import event_pb2
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from raycompare.metrics import MODES
from raycompare.records.messages import (
    Evaluation,
    Stop,
    TrialEnd,
    TrialFailure,
    TrialPlan,
    TrialStart,
)
from raycompare.records.rows import EvalRecord, TrialRecord
from raycompare.records.run_folder import RunFolder
from raycompare.report.write import write_report
from raycompare.running.trackers import checks as tracker_checks
from raycompare.running.trackers.checks import tracker_problems
from raycompare.running.trackers.mlflow import MLflow
from raycompare.running.trackers.tensorboard import TensorBoard
from raycompare.running.trackers.threads import Lane, TrackedJournal, Trackers, without_secrets
from raycompare.running.trackers.tracker import Outcome, TrackedRun, Tracker, numbers_of
from raycompare.running.trackers.wandb import WandB
from tests import real_runs, runs

WANTED = runs.experiment("a", "b", trackers=[])
PLAN = TrialPlan(
    trial_id="a-1",
    stage="confirm",
    model="a",
    order=0,
    seed=3,
    is_default=False,
    hyperparameters={"learning_rate": 1e-4, "optim": "sgd"},
)


@dataclass
class Noted:
    """A tracker that notes what it is told."""

    fails_at: str = ""
    told: list[tuple[Any, ...]] = field(default_factory=list)
    kept: tuple[str, ...] = ()
    last_step: int = -1

    def _note(self, *words: Any) -> None:
        if self.fails_at == words[0]:
            raise ConnectionError("no answer from https://me:secret@server/api\nand more")
        self.told.append(words)

    def open(self) -> None:
        self._note("open")

    def has(self, trial_id: str) -> bool:
        return trial_id in self.kept

    def begin(self, trial: TrialRecord) -> int:
        self._note("begin", trial.trial_id)
        return self.last_step

    def log(self, trial: TrialRecord, rows: Sequence[EvalRecord]) -> None:
        self._note("log", *((row.split, row.step) for row in rows))

    def end(self, trial: TrialRecord) -> None:
        self._note("end", trial.trial_id, trial.status)

    def finish(self, outcome: Outcome) -> None:
        self._note("finish", outcome.leader)

    def close(self) -> None:
        self._note("close")


def journal_with(
    tracker: Tracker, said: list[str] | None = None, name: str = "noted"
) -> tuple[TrackedJournal, Trackers]:
    trackers = Trackers([Lane(name, tracker)], [].append if said is None else said.append)
    return TrackedJournal("loss", "min", trackers), trackers


def start(*earlier: Evaluation) -> TrialStart:
    return TrialStart(
        started_at="2026-01-02T03:04:05+00:00",
        startup_seconds=0.1,
        planned_steps=40,
        examples_per_step=16.0,
        num_parameters=10,
        device="cpu",
        precision="fp32",
        hostname="here",
        num_threads=1,
        earlier=earlier,
    )


def at(step: int) -> Evaluation:
    mcc = step / 100
    return Evaluation(
        step=step,
        epoch=step / 10,
        examples_seen=16 * step,
        train_seconds=0.5 * step,
        eval_seconds=0.1,
        metrics=runs.scores(mcc),
    )


def end(step: int, test: float | None = None) -> TrialEnd:
    metrics = None if test is None else runs.scores(test)
    return TrialEnd(
        reason="full_budget", step=step, train_seconds=2.0, eval_seconds=0.1, test_metrics=metrics
    )


def play(journal: TrackedJournal, plan: TrialPlan = PLAN, test: float | None = 0.5) -> None:
    """Have a trial start, be evaluated twice, and end well."""
    journal.add(plan)
    journal.started(plan.trial_id)
    for message in (start(), at(10), at(20), end(20, test)):
        journal.heard(plan.trial_id, message)
    journal.ended(plan.trial_id)


def test_a_tracker_hears_each_evaluation_once_and_the_test_at_the_end() -> None:
    noted = Noted()
    journal, trackers = journal_with(noted)
    play(journal)
    trackers.close()
    assert noted.told == [
        ("open",),
        ("begin", "a-1"),
        ("log", ("validation", 10)),
        ("log", ("validation", 20)),
        ("log", ("test", 20)),
        ("end", "a-1", "completed"),
        ("close",),
    ]


def test_a_trial_that_goes_on_from_a_checkpoint_logs_no_step_twice() -> None:
    noted = Noted()
    journal, trackers = journal_with(noted)
    journal.add(PLAN)
    journal.started("a-1")
    for message in (start(), at(10), at(20)):
        journal.heard("a-1", message)
    journal.lost("a-1", "OutOfMemoryError")
    journal.started("a-1")
    for message in (start(at(10)), at(20), at(30)):
        journal.heard("a-1", message)
    journal.ended("a-1", Stop("rung", "not in the best part"))
    trackers.close()
    logged = [words[1:] for words in noted.told if words[0] == "log"]
    assert logged == [(("validation", 10),), (("validation", 20),), (("validation", 30),)]
    assert ("end", "a-1", "stopped_early") in noted.told


def test_a_resumed_trial_goes_on_after_the_last_step_that_its_tracker_has() -> None:
    noted = Noted(last_step=10)
    journal, trackers = journal_with(noted)
    play(journal, test=None)
    trackers.close()
    assert [words for words in noted.told if words[0] == "log"] == [("log", ("validation", 20))]


def test_what_an_earlier_run_finished_is_logged_only_where_it_is_missing() -> None:
    journal, trackers = journal_with(Noted())
    play(journal)
    play(journal, TrialPlan(**{**vars(PLAN), "trial_id": "a-2", "order": 1}))
    trackers.close()
    noted = Noted(kept=("a-1",))
    resumed, again = journal_with(noted)
    resumed.keep(journal.trials(), journal.evaluations())
    again.close()
    assert noted.told[1:] == [
        ("begin", "a-2"),
        ("log", ("validation", 10), ("validation", 20), ("test", 20)),
        ("end", "a-2", "completed"),
        ("close",),
    ]


@pytest.mark.parametrize("where", ["open", "begin", "log", "end", "finish", "close"])
def test_a_tracker_that_fails_is_off_and_the_user_is_told_once(where: str) -> None:
    said: list[str] = []
    noted = Noted(fails_at=where)
    journal, trackers = journal_with(noted, said)
    play(journal)
    trackers.finish(Outcome(verdict="", leader="a"))
    trackers.close()
    failure = "ConnectionError: no answer from https://...@server/api"
    assert said == [f"noted is off for the rest of this run: {failure}"]
    assert trackers.failures == {"noted": failure}
    assert journal.trials()[0].status == "completed", "the records are whole"


def test_no_message_shows_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "k3y-of-forty-characters")
    error = ValueError("bad key k3y-of-forty-characters for http://u:p@host")
    assert without_secrets(error) == "ValueError: bad key ... for http://...@host"


def test_the_report_says_which_tracker_was_off(tmp_path: Path) -> None:
    run = runs.typical()
    run.manifest.trackers.update({"tensorboard": "", "mlflow": "ConnectionError: no answer"})
    folder = run.write(tmp_path)
    write_report(folder)
    report = folder.read_text("report.md")
    assert "- mlflow was off and has not all of this run: ConnectionError: no answer" in report
    assert "tensorboard was off" not in report


# --- TensorBoard


def events(folder: Path) -> Iterator[Any]:
    """Read the events of every file: framed as TFRecords, each a length, two checks, the data."""
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            yield event_pb2.Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]


def scalars(folder: Path) -> dict[tuple[str, int], float]:
    found: dict[tuple[str, int], float] = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                assert (value.tag, event.step) not in found, "logged twice"
                found[value.tag, event.step] = value.simple_value
    return found


def hyperparameters(folder: Path) -> tuple[dict[str, Any], int]:
    values = [value for event in events(folder) for value in event.summary.value]
    data = {v.tag: v.metadata.plugin_data.content for v in values if "_hparams_" in v.tag}
    assert set(data) == {"_hparams_/session_start_info", "_hparams_/session_end_info"}
    begun = HParamsPluginData.FromString(data["_hparams_/session_start_info"])
    ended = HParamsPluginData.FromString(data["_hparams_/session_end_info"])
    kinds = begun.session_start_info.hparams
    own = {name: getattr(kinds[name], kinds[name].WhichOneof("kind")) for name in kinds}
    return own, ended.session_end_info.status


def tracked(place: Path) -> TrackedRun:
    return TrackedRun(run_id="run-1", experiment=WANTED, folder=RunFolder.at(place))


def expected(rows: Sequence[EvalRecord]) -> dict[tuple[str, int], float]:
    numbers = {(name, r.step): v for r in rows for name, v in numbers_of(r).items()}
    return {key: pytest.approx(value, rel=1e-6) for key, value in numbers.items()}


def test_the_event_files_hold_what_evaluations_parquet_holds(tmp_path: Path) -> None:
    journal, trackers = journal_with(TensorBoard(tracked(tmp_path)))
    play(journal)
    trackers.close()
    assert trackers.failures == {"noted": ""}
    rows = journal.evaluations()
    best = {("best/matthews_correlation", 20): pytest.approx(rows[1].loss)}
    assert scalars(tmp_path / "tensorboard" / "a-1") == {**expected(rows), **best}
    own, status = hyperparameters(tmp_path / "tensorboard" / "a-1")
    assert own == {
        "model": "a",
        "checkpoint": "a",
        "stage": "confirm",
        "seed": 3.0,
        "learning_rate": 1e-4,
        "num_train_epochs": 4.0,
        "optim": "sgd",
    }
    assert status == 1, "STATUS_SUCCESS"


def test_a_failed_trial_is_a_failure_in_tensorboard(tmp_path: Path) -> None:
    journal, trackers = journal_with(TensorBoard(tracked(tmp_path)))
    journal.add(PLAN)
    journal.started("a-1")
    journal.heard("a-1", start())
    journal.failed("a-1", TrialFailure(cause="ValueError: no", error="Traceback"))
    trackers.close()
    assert hyperparameters(tmp_path / "tensorboard" / "a-1")[1] == 2, "STATUS_FAILURE"


def test_a_resumed_run_begins_the_log_of_an_unfinished_trial_anew(tmp_path: Path) -> None:
    journal, trackers = journal_with(TensorBoard(tracked(tmp_path)))
    journal.add(PLAN)
    journal.started("a-1")
    for message in (start(), at(10)):
        journal.heard("a-1", message)
    trackers.close()
    assert ("validation/loss", 10) in scalars(tmp_path / "tensorboard" / "a-1")

    later = TensorBoard(tracked(tmp_path))
    later.open()
    assert not later.has("a-1")

    resumed, again = journal_with(TensorBoard(tracked(tmp_path)))
    resumed.keep(journal.trials(), journal.evaluations())
    play(resumed)
    again.close()
    assert later.has("a-1")
    steps = [s for name, s in scalars(tmp_path / "tensorboard" / "a-1") if name == "epoch"]
    assert steps == [10, 20]


def test_more_trials_at_a_time_than_files_may_be_open_are_logged_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raycompare.running.trackers.tensorboard.MOST_OPEN", 2)
    journal, trackers = journal_with(TensorBoard(tracked(tmp_path)))
    plans = [TrialPlan(**{**vars(PLAN), "trial_id": f"a-{n}", "order": n}) for n in range(4)]
    for plan in plans:
        journal.add(plan)
        journal.started(plan.trial_id)
    for message in (start(), at(10), at(20), end(20, 0.5)):
        for plan in plans:
            journal.heard(plan.trial_id, message)
    for plan in plans:
        journal.ended(plan.trial_id)
    trackers.close()
    assert trackers.failures == {"noted": ""}
    for plan in plans:
        rows = [row for row in journal.evaluations() if row.trial_id == plan.trial_id]
        logged = scalars(tmp_path / "tensorboard" / plan.trial_id)
        assert {key: logged[key] for key in expected(rows)} == expected(rows)


def test_a_remote_run_folder_gets_the_event_files_when_the_trial_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunFolder, "local_path", lambda self, name: None)
    journal, trackers = journal_with(TensorBoard(tracked(tmp_path)))
    play(journal)
    trackers.close()
    assert trackers.failures == {"noted": ""}
    own = scalars(tmp_path / "tensorboard" / "a-1")
    assert {key: own[key] for key in expected(journal.evaluations())} == expected(
        journal.evaluations()
    )


# --- MLflow

Client = Any
MLFLOW_WARNS = pytest.mark.filterwarnings("ignore::DeprecationWarning")
"""Of its own use of SQLAlchemy."""


@pytest.fixture
def mlflow_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Client]:
    import mlflow  # noqa: PLC0415 - slow, and with warnings of its own

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return lambda run: mlflow.MlflowClient(f"sqlite:///{run / 'mlflow' / 'mlflow.db'}")


def mlflow_runs(client: Client, name: str = WANTED.name) -> dict[str, Any]:
    experiment = client.get_experiment_by_name(name)
    found = client.search_runs([experiment.experiment_id])
    by_name = {run.info.run_name: run for run in found}
    assert len(by_name) == len(found), "a trial was logged twice"
    return by_name


def history(client: Client, run: Any, name: str) -> dict[int, float]:
    points = client.get_metric_history(run.info.run_id, name)
    assert len({point.step for point in points}) == len(points)
    return {point.step: point.value for point in points}


@MLFLOW_WARNS
def test_mlflow_has_a_child_for_each_trial_and_the_report(
    mlflow_at: Callable[[Path], Client], tmp_path: Path
) -> None:
    folder = runs.typical().write(tmp_path)
    comparison = write_report(folder)
    journal, trackers = journal_with(MLflow(tracked(tmp_path)))
    play(journal)
    trackers.finish(Outcome.of(comparison))
    assert trackers.failures == {"noted": ""}

    client = mlflow_at(tmp_path)
    parent, child = (mlflow_runs(client)[name] for name in ("run-1", "a-1"))
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.tags["status"] == "completed"
    assert child.data.params["learning_rate"] == "0.0001"
    assert child.info.status == parent.info.status == "FINISHED"
    rows = journal.evaluations()
    for name in MODES:
        own = {row.step: getattr(row, name) for row in rows if row.split == "validation"}
        assert history(client, child, f"validation/{name}") == own
        assert history(client, child, f"test/{name}") == {20: getattr(rows[-1], name)}
    leader = comparison.leaderboard[0]
    assert parent.data.tags["leader"] == leader.model
    assert parent.data.metrics["test/accuracy"] == leader.test["accuracy"].mean
    artifacts = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert artifacts == {"report.md", "tables", "figures", "analytics"}


@MLFLOW_WARNS
def test_a_resumed_run_goes_on_with_its_own_mlflow_runs(
    mlflow_at: Callable[[Path], Client], tmp_path: Path
) -> None:
    journal, trackers = journal_with(MLflow(tracked(tmp_path)))
    play(journal, TrialPlan(**{**vars(PLAN), "trial_id": "a-0"}))
    cut = TrialPlan(**{**vars(PLAN), "order": 1})
    journal.add(cut)
    journal.started("a-1")
    for message in (start(), at(10)):
        journal.heard("a-1", message)
    trackers.close()
    statuses = {name: run.info.status for name, run in mlflow_runs(mlflow_at(tmp_path)).items()}
    assert statuses == {"run-1": "KILLED", "a-0": "FINISHED", "a-1": "KILLED"}

    resumed, again = journal_with(MLflow(tracked(tmp_path)))
    resumed.keep(journal.trials(), journal.evaluations())
    RunFolder.at(tmp_path).write_text("report.md", "# nothing")
    play(resumed, cut)
    again.finish(Outcome(verdict="none"))
    assert again.failures == {"noted": ""}
    client = mlflow_at(tmp_path)
    found = mlflow_runs(client)
    assert {name: run.info.status for name, run in found.items()} == dict.fromkeys(
        ("run-1", "a-0", "a-1"), "FINISHED"
    )
    assert set(history(client, found["a-1"], "validation/loss")) == {10, 20}


@MLFLOW_WARNS
def test_a_server_that_is_away_turns_mlflow_off(
    mlflow_at: Callable[[Path], Client], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    said: list[str] = []
    journal, trackers = journal_with(MLflow(tracked(tmp_path)), said, name="mlflow")
    play(journal)
    trackers.close()
    (line,) = said
    assert line.startswith("mlflow is off for the rest of this run: ")
    assert "secret" not in line


# --- Weights & Biases


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_PROJECT", raising=False)


def wandb_log(path: Path) -> Iterator[bytes]:
    """Read a LevelDB log after W&B's header of 7 bytes: blocks of 32 KiB, each record with a check,
    its length and its part of the whole (1 all of it, 2 the first, 3 the middle, 4 the last).
    """
    data, place, whole = path.read_bytes(), 7, b""
    while place < len(data):
        if 2**15 - place % 2**15 < 7:
            place += 2**15 - place % 2**15
            continue
        length, part = struct.unpack("<HB", data[place + 4 : place + 7])
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if part in (1, 4):
            yield whole
            whole = b""


def wandb_records(place: Path) -> dict[str, list[Any]]:
    """Read the records of each offline run, by the run's name."""
    from wandb.proto.wandb_internal_pb2 import Record  # noqa: PLC0415 - slow

    found: dict[str, list[Any]] = {}
    for path in sorted(place.glob("wandb/offline-run-*/*.wandb")):
        records = [Record.FromString(data) for data in wandb_log(path)]
        names = {r.run.display_name for r in records if r.WhichOneof("record_type") == "run"}
        if not names:  # of a trial that was cut off before W&B's own process had begun to write
            continue
        (name,) = names
        assert name not in found, "a trial was logged twice"
        found[name] = records
    return found


def wandb_history(records: Sequence[Any]) -> list[dict[str, Any]]:
    items = [r.history.item for r in records if r.WhichOneof("record_type") == "history"]
    return [
        {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in row} for row in items
    ]


@pytest.mark.usefixtures("offline")
def test_wandb_writes_a_run_for_each_trial_without_a_network(tmp_path: Path) -> None:
    folder = runs.typical().write(tmp_path)
    comparison = write_report(folder)
    journal, trackers = journal_with(WandB(tracked(tmp_path)))
    play(journal)
    trackers.finish(Outcome.of(comparison))
    assert trackers.failures == {"noted": ""}
    found = wandb_records(tmp_path)
    assert set(found) == {"a-1", "run-1"}
    (run, *_) = [r.run for r in found["a-1"] if r.WhichOneof("record_type") == "run"]
    assert (run.project, run.run_group, run.job_type) == (WANTED.name, "run-1", "confirm")
    points = wandb_history(found["a-1"])
    assert [point["_step"] for point in points] == [10, 20]
    rows = [row for row in journal.evaluations() if row.split == "validation"]
    for row, point in zip(rows, points, strict=True):
        assert {name: point[name] for name in numbers_of(row)} == pytest.approx(numbers_of(row))
    (artifact,) = [r.artifact for r in found["run-1"] if r.WhichOneof("record_type") == "artifact"]
    names = {entry.path for entry in artifact.manifest.contents}
    assert {"report.md", "tables/leaderboard.csv", "figures/learning_curves.png"} <= names


@pytest.mark.usefixtures("offline")
def test_a_resumed_run_writes_an_unfinished_trial_of_wandb_whole(tmp_path: Path) -> None:
    journal, trackers = journal_with(WandB(tracked(tmp_path)))
    journal.add(PLAN)
    journal.started("a-1")
    for message in (start(), at(10)):
        journal.heard("a-1", message)
    trackers.close()
    resumed, again = journal_with(WandB(tracked(tmp_path)))
    resumed.keep(journal.trials(), journal.evaluations())
    play(resumed)
    again.close()
    assert again.failures == {"noted": ""}
    points = wandb_history(wandb_records(tmp_path)["a-1"])
    assert [point["_step"] for point in points] == [10, 20]


# --- what `check` finds


def problems(out: str, *names: str) -> list[str]:
    experiment = runs.experiment("a", trackers=list(names))
    return [f"{p.found} | {p.hint}" for p in tracker_problems(experiment, out)]


def test_a_tracker_that_is_not_installed_is_a_mistake_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tracker_checks, "find_spec", lambda name: None)
    assert problems(str(tmp_path), "mlflow", "wandb") == [
        "mlflow, whose package mlflow is not installed | pip install 'raycompare[mlflow]'",
        "wandb, whose package wandb is not installed | pip install 'raycompare[wandb]'",
    ]


def test_mlflow_needs_a_server_where_run_folders_are_remote(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tracker_checks, "find_spec", lambda name: object())
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert problems(str(tmp_path), "mlflow") == []
    (problem,) = problems("mock://bucket/runs", "mlflow")
    assert "set MLFLOW_TRACKING_URI" in problem
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server")
    assert problems("mock://bucket/runs", "mlflow") == []


def test_wandb_needs_a_key_unless_it_is_offline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tracker_checks, "find_spec", lambda name: object())
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    (problem,) = problems(str(tmp_path), "wandb")
    assert problem == "wandb, and no key for https://api.wandb.ai | wandb login"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert problems(str(tmp_path), "wandb") == []


def test_trackers_are_no_part_of_what_is_run() -> None:
    assert runs.experiment("a").trackers == ("tensorboard",)
    hashes = {runs.experiment("a", trackers=names).content_hash for names in ([], ["mlflow"])}
    assert hashes == {runs.experiment("a").content_hash}


def test_a_lane_that_is_slow_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck(Noted):
        def open(self) -> None:
            stuck.wait()

    stuck = Event()
    monkeypatch.setattr("raycompare.running.trackers.threads.CLOSE_SECONDS", 0.1)
    said: list[str] = []
    journal, trackers = journal_with(Stuck(), said)
    with closing(trackers):
        play(journal)
    stuck.set()
    assert said == ["noted is off for the rest of this run: not all was sent within 0.1 s"]


# --- a whole run


@MLFLOW_WARNS
@pytest.mark.ray
@pytest.mark.timeout(240)
@pytest.mark.usefixtures("offline")
def test_all_trackers_hear_the_same_of_a_whole_run(
    mlflow_at: Callable[[Path], Client], tiny_model: str, tiny_data: str, tmp_path: Path
) -> None:
    content = real_runs.tiny_experiment(tiny_model, tiny_data)
    content |= {"trackers": ["tensorboard", "mlflow", "wandb"], "confirm": {"seeds": [1]}}
    content["tune"]["num_samples"] = 3
    folder, said = real_runs.go(content, tmp_path)
    assert " is off " not in said
    assert folder.read_manifest().trackers == dict.fromkeys(content["trackers"], "")
    assert set(folder.read_manifest().data["model_types"].values()) == {"bert"}
    assert "analytics" in {path.name for path in Path(folder.uri).iterdir()}

    started = {trial.trial_id: trial for trial in folder.read_trials() if trial.starts}
    rows: dict[str, list[EvalRecord]] = {name: [] for name in started}
    for row in folder.read_evaluations():
        rows.setdefault(row.trial_id, []).append(row)
    assert {path.name for path in Path(folder.uri, "tensorboard").iterdir()} == set(started)
    for name in started:
        logged = scalars(Path(folder.uri, "tensorboard", name))
        assert {key: logged[key] for key in expected(rows[name])} == expected(rows[name])

    client = mlflow_at(Path(folder.uri))
    found = mlflow_runs(client, "tiny")
    run_id = folder.read_manifest().run_id
    assert set(found) == {*started, run_id}
    for name in started:
        own = {row.step: row.loss for row in rows[name] if row.split == "validation"}
        assert history(client, found[name], "validation/loss") == own
    assert set(wandb_records(Path(folder.uri))) == {*started, run_id}
