from __future__ import annotations

import io

import pytest
from rich.console import Console

from raycompare.records.messages import Stop, TrialFailure
from raycompare.records.trial_state import TrialState
from raycompare.running.display import Display, StageView
from tests.records.test_journal import END, START, evaluation, journal


def drawn(view: StageView) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(view.table())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def lines_of(view: StageView) -> list[str]:
    """Return the lines that come to be printed."""
    lines: list[str] = []

    def add(trial: TrialState) -> None:
        lines.extend(filter(None, [view.describe_change(trial)]))

    view.journal.observers.append(add)
    return lines


def test_the_table_says_where_each_trial_is() -> None:
    made = journal(3)
    view = StageView("tune", made, lambda _: (10, 20, 40), 3)
    made.start("t0")
    made.record("t0", START)
    made.record("t0", evaluation(20, 0.5))
    made.start("t1")
    text = drawn(view)
    assert "step 20/40 rung 2/3, starting" in text
    assert "2 running, 1 waiting" in text
    assert "0.5000" in text
    assert "0 of 3 trials" in text


def test_each_end_is_told_once() -> None:
    made = journal(2)
    lines = lines_of(StageView("tune", made, None, 2))
    made.start("t0")
    for message in (START, evaluation(40, 0.5), END):
        made.record("t0", message)
    assert lines == []
    made.end("t0")
    made.end("t0")
    (line,) = lines
    assert line.startswith("  [1/2] t0  step 40  accuracy 0.5000")
    assert line.endswith("completed (full budget)")


def test_plain_lines_where_there_is_no_terminal() -> None:
    made, file = journal(1), io.StringIO()
    with Display(Console(file=file)).stage(StageView("tune", made, None, 1)):
        made.start("t0")
        made.fail("t0", TrialFailure(cause="ValueError: no [bold]markup[/bold]", error="Traceback"))
    made.end("t0")
    said = file.getvalue()
    assert said.count("errored (ValueError: no [bold]markup[/bold])") == 1
    assert "\x1b" not in said


def test_a_change_costs_the_same_whatever_the_number_of_trials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the trial that changed is looked at; the table is drawn a few times a second."""
    made = journal(300)
    view = StageView("tune", made, None, 300)
    lines = lines_of(view)
    with monkeypatch.context() as patched:
        patched.setattr(StageView, "_by_model", None)
        for number in range(300):
            made.start(f"t{number}")
            made.fail(f"t{number}", TrialFailure(cause="ValueError", error="Traceback"))
            assert len(lines) == number + 1
    assert "300 of 300 trials" in drawn(view)


def test_a_lost_worker_is_told() -> None:
    made = journal(1)
    view = StageView("tune", made, None, 1)
    lines = lines_of(view)
    made.start("t0")
    made.lose("t0", "ActorDiedError: its node is gone")
    assert "1 waiting" in drawn(view)
    made.start("t0")
    made.record("t0", START)
    assert lines == ["  t0 lost its worker and starts again (ActorDiedError: its node is gone)"]


def test_paused_trials_are_counted() -> None:
    made = journal(2)
    made.start("t0")
    made.record("t0", START)
    made.pause("t0")
    assert "1 paused, 1 waiting" in drawn(StageView("tune", made, None, 2))


def test_a_refused_trial_does_not_wait() -> None:
    made = journal(2)
    made.refuse("t0", Stop("max_usd", "the budget is spent"))
    assert "1 not run, 1 waiting" in drawn(StageView("tune", made, None, 2))
