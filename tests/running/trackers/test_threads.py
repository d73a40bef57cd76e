from __future__ import annotations

from contextlib import closing
from pathlib import Path
from threading import Event

import pytest

from raycompare.records.messages import Stop, TrialPlan
from raycompare.report.write import write_report
from raycompare.running.trackers.threads import without_secrets
from raycompare.running.trackers.tracker import Outcome
from tests import runs
from tests.running.trackers.played import PLAN, Noted, at, journal_with, play, start


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
    journal.start("a-1")
    for message in (start(), at(10), at(20)):
        journal.record("a-1", message)
    journal.lose("a-1", "OutOfMemoryError")
    journal.start("a-1")
    for message in (start(at(10)), at(20), at(30)):
        journal.record("a-1", message)
    journal.end("a-1", Stop("rung", "not in the best part"))
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


def test_a_trial_that_never_reported_is_not_logged() -> None:
    noted = Noted()
    journal, trackers = journal_with(noted)
    journal.add(PLAN)
    journal.refuse("a-1", Stop("max_usd", "the budget is spent"))
    trackers.close()
    assert noted.told == [("open",), ("close",)]


def test_what_an_earlier_run_finished_is_logged_only_where_it_is_missing() -> None:
    journal, trackers = journal_with(Noted())
    play(journal)
    play(journal, TrialPlan(**{**vars(PLAN), "trial_id": "a-2", "order": 1}))
    trackers.close()
    noted = Noted(kept=("a-1",))
    _, again = journal_with(noted, earlier=journal)
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
    assert "- mlflow was turned off during the run and is incomplete: ConnectionError: no" in report
    assert "tensorboard was off" not in report


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
    assert said == ["noted is off for the rest of this run: not all data was sent within 0.1 s"]
