from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from filelock import FileLock
from rich.console import Console

from raycompare.cli.console import say_json
from raycompare.errors import UserError
from raycompare.records.layout import LOCK, MANIFEST, STARTED
from raycompare.records.run_folder import RunFolder
from raycompare.records.snapshot import FRESH, Snapshot, is_locked
from raycompare.report.terminal.follow import follow, looks
from raycompare.report.terminal.status import (
    RunStatus,
    heading,
    remarks,
    status_of,
    view,
)
from tests import runs
from tests.signals import hear_ctrl_c

BLOCKED = ("ray", "torch", "transformers", "datasets")
PROGRAM = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Blocker())
from raycompare.cli import main

sys.argv = ["raycompare", *sys.argv[1:]]
main()
"""


def raycompare(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command where neither Ray nor torch can be imported."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"}
    )


def now() -> datetime:
    return datetime.now(UTC)


def under_way(place: Path) -> RunFolder:
    """Write what a run has left by the middle of its tune stage."""
    run = runs.empty("a", "b", cost={"usd_per_hour": 3.6})
    run.tune("a", 0.5, 0.8)
    run.tune("b", 0.6, steps=100, status="interrupted", ending="cut_short", reason="cut short")
    waiting = run.tune
    waiting("b", 0.6, steps=0, status="not_run", ending="not_run", reason="not run", hostname=None)
    folder = run.write(place)
    (place / MANIFEST).unlink()
    begun = {"run_id": "ID", "created_at": "2026-01-02T03:04:05+00:00"}
    begun |= {"data_hash": "0", "experiment_hash": "0"}
    folder.write_text(STARTED, json.dumps(begun))
    return folder


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[None]:
    with FileLock(tmp_path / LOCK):
        yield


def look(folder: RunFolder) -> RunStatus:
    return status_of(Snapshot.of(folder, now()), now())


def shown(status: RunStatus) -> str:
    console = Console(file=StringIO(), width=150)
    console.print(view(status))
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("locked")
def test_a_run_that_holds_its_lock_is_running(tmp_path: Path) -> None:
    status = look(under_way(tmp_path))
    assert status.state == "running"
    assert status.resume is None
    assert not status.complete
    tune = status.stages[0]
    assert (tune.trials, tune.ended) == (4, 2)
    a, b = status.models
    assert a.trials["tune"] == {"completed": 2}
    assert b.trials["tune"] == {"running": 1, "waiting": 1}
    assert status.to_confirm == 6


@pytest.mark.usefixtures("locked")
def test_what_is_left_is_at_the_pace_so_far(tmp_path: Path) -> None:
    status = look(under_way(tmp_path))
    last = 0.17 * runs.PLANNED_STEPS  # seconds, by tests.runs
    assert status.seconds == pytest.approx(last)
    assert status.stages[0].left_seconds == pytest.approx(last / 2 * 2)
    assert status.usd == pytest.approx(last * 3.6 / 3600)


def test_a_run_without_manifest_and_lock_was_killed(tmp_path: Path) -> None:
    folder = under_way(tmp_path)
    status = look(folder)
    assert status.state == "killed"
    assert status.models[1].trials["tune"] == {"interrupted": 1, "not run": 1}
    assert status.stages[0].left_seconds is None
    assert f"raycompare run --resume {folder.shown}" in remarks(status)[-1]


def test_a_partial_manifest_is_that_of_an_interrupted_run(tmp_path: Path) -> None:
    run = runs.typical()
    run.manifest = replace(run.manifest, complete=False)
    status = look(run.write(tmp_path))
    assert status.state == "interrupted"
    assert not status.complete
    assert status.resume is not None


def test_a_finished_run_says_what_it_came_to(tmp_path: Path) -> None:
    status = look(runs.typical().write(tmp_path))
    assert (status.state, status.complete, status.resume) == ("finished", True, None)
    assert status.seconds == 1200.2
    assert status.usd is None
    assert [row.model for row in status.models] == ["minilm-3", "minilm-2", "bert|tiny"]
    assert status.models[0].test is not None
    assert status.models[0].test.mean == pytest.approx(0.8307, abs=1e-4)
    assert status.models[0].best_validation == pytest.approx(0.85, abs=1e-2)
    assert status.to_confirm == 0


def test_the_first_cause_is_told_beside_the_number_of_failures(tmp_path: Path) -> None:
    run = runs.empty("a", "[bold]b[/bold]")
    run.fail("a", "tune", "ValueError: [red]first[/red]\nmore")
    run.fail("[bold]b[/bold]", "tune", "ValueError: second")
    text = shown(look(run.write(tmp_path)))
    assert "2 trials failed; first cause: a-tune-00: ValueError: [red]first[/red]\n" in text
    assert "[bold]b[/bold]" in text


def test_a_trial_that_was_refused_does_not_wait(tmp_path: Path) -> None:
    run = runs.empty("a")
    spent = "the budget is spent (max_usd: 1)"
    run.tune("a", 0.5, steps=0, status="not_run", ending="max_usd", reason=spent)
    folder = run.write(tmp_path)
    with FileLock(tmp_path / LOCK):
        status = look(folder)
    assert status.models[0].trials["tune"] == {"not run": 1}
    assert status.stages[0].ended == 1


@pytest.mark.parametrize(
    ("age", "state"),
    [(timedelta(seconds=20), "running"), (FRESH + timedelta(minutes=1), "silent")],
)
def test_in_a_bucket_the_time_of_the_last_record_has_to_do(
    age: timedelta, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = under_way(tmp_path)
    monkeypatch.setattr(RunFolder, "local_path", lambda *_: None)
    at = Snapshot.of(folder, now()).written_at
    assert at is not None
    assert Snapshot.of(folder, at + age).state == state


def test_a_look_leaves_the_lock_free_and_makes_none(tmp_path: Path) -> None:
    folder = under_way(tmp_path)
    assert is_locked(folder) is False
    assert not (tmp_path / LOCK).exists()
    with FileLock(tmp_path / LOCK):
        assert is_locked(folder) is True
    (tmp_path / LOCK).touch()
    assert is_locked(folder) is False
    FileLock(tmp_path / LOCK).acquire(blocking=False)


def test_a_folder_before_its_first_records_has_a_status(tmp_path: Path) -> None:
    folder = under_way(tmp_path)
    for name in ("trials.parquet", "evaluations.parquet"):
        (tmp_path / name).unlink()
    status = look(folder)
    assert remarks(status)[0] == "no trials are planned yet; at most 6 more to confirm"
    assert [row.model for row in status.models] == ["a", "b"]


def test_another_folder_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Expected a run folder"):
        look(RunFolder.at(tmp_path))


def test_json_has_null_for_what_is_no_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = look(runs.typical().write(tmp_path))
    say_json(replace(status, seconds=float("nan")))
    content = json.loads(capsys.readouterr().out)
    assert content["seconds"] is None
    assert content["models"][0]["test"]["n"] == 3


def test_follow_says_each_change_once_and_ends_with_the_run(tmp_path: Path) -> None:
    folder = under_way(tmp_path)
    lock = FileLock(tmp_path / LOCK)
    lock.acquire()
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            runs.typical().write(tmp_path)
            lock.release()

    console = Console(file=StringIO(), width=150)
    follow(folder, console, wait)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(waits) == 3
    assert "tune 2/4, confirm 0/0 trials ended; best validation MCC: a" in lines[0]
    assert "tune 12/12, confirm 9/9 trials ended" in lines[1]
    assert "finished" in lines[2]


def test_follow_redraws_a_table_in_a_terminal(tmp_path: Path) -> None:
    folder = runs.typical().write(tmp_path)
    console = Console(file=StringIO(), width=150, force_terminal=True)
    follow(folder, console)
    assert "minilm-3" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_user_who_has_seen_enough_stops_nothing(tmp_path: Path) -> None:
    folder = under_way(tmp_path)

    def stop(_: float) -> None:
        raise KeyboardInterrupt

    console = Console(file=StringIO(), width=150)
    with FileLock(tmp_path / LOCK):
        follow(folder, console, stop)
    assert "the run continues." in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_run_that_is_over_is_looked_at_once(tmp_path: Path) -> None:
    assert len(list(looks(runs.typical().write(tmp_path)))) == 1


@pytest.mark.parametrize("command", ["status", "ls", "diff"])
def test_the_commands_need_neither_ray_nor_torch(command: str, tmp_path: Path) -> None:
    first, second = tmp_path / "ag-news" / "1", tmp_path / "ag-news" / "2"
    runs.typical().write(first)
    runs.typical().write(second)
    places = {"status": [first], "ls": [tmp_path], "diff": [first, second]}[command]
    done = raycompare(command, *map(str, places))
    assert done.returncode == 0, done.stderr
    assert "minilm-3" in done.stdout
    done = raycompare(command, *map(str, places), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["status", "nowhere"], "Expected a run folder"),
        (["ls", "nowhere"], "nowhere does not exist"),
        (["diff", "nowhere", "nowhere"], "Expected a run folder"),
    ],
)
def test_the_users_mistakes_exit_with_2(arguments: list[str], says: str, in_tmp: Path) -> None:
    done = raycompare(*arguments)
    assert done.returncode == 2
    assert says in done.stderr


def test_control_c_while_following_exits_with_0(tmp_path: Path) -> None:
    folder = under_way(tmp_path)
    with FileLock(tmp_path / LOCK):
        command = [sys.executable, "-c", PROGRAM, "status", folder.uri, "--follow"]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=hear_ctrl_c,  # noqa: PLW1509 - the child is replaced at once
        )
        assert process.stdout is not None
        assert "tune 2/4" in process.stdout.readline()
        time.sleep(0.2)
        process.send_signal(2)
        rest, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "the run continues" in rest


def test_the_heading_says_when_records_were_written(tmp_path: Path) -> None:
    status = look(runs.typical().write(tmp_path))
    assert (
        "finished, records written 1 h 00 m ago"
        in heading(replace(status, silent_seconds=3600.0))[0]
    )
