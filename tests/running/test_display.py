from __future__ import annotations

import io

from rich.console import Console

from raycompare.records.messages import TrialFailure
from raycompare.running.display import Display, StageView
from tests.records.test_journal import END, START, evaluation, journal


def drawn(view: StageView) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(view.table())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_table_says_where_each_trial_is() -> None:
    made = journal(3)
    view = StageView("tune", made, {"a": (10, 20, 40)}, 3)
    made.started("t0")
    made.heard("t0", START)
    made.heard("t0", evaluation(20, 0.5))
    made.started("t1")
    text = drawn(view)
    assert "step 20/40 rung 2/3, starting" in text
    assert "2 running, 1 waiting" in text
    assert "0.5000" in text
    assert "0 of 3 trials" in text


def test_each_end_is_told_once() -> None:
    made = journal(2)
    view = StageView("tune", made, {}, 2)
    made.started("t0")
    for message in (START, evaluation(40, 0.5), END):
        made.heard("t0", message)
    assert view.new_lines() == []
    made.ended("t0")
    (line,) = view.new_lines()
    assert line.startswith("  [1/2] t0  step 40  accuracy 0.5000")
    assert line.endswith("completed (full budget)")
    assert view.new_lines() == []


def test_plain_lines_where_there_is_no_terminal() -> None:
    made, file = journal(1), io.StringIO()
    with Display(Console(file=file)).stage(StageView("tune", made, {}, 1)) as changed:
        made.started("t0")
        changed()
        made.failed(
            "t0", TrialFailure(cause="ValueError: no [bold]markup[/bold]", error="Traceback")
        )
        changed()
    said = file.getvalue()
    assert "errored (ValueError: no [bold]markup[/bold])" in said
    assert "\x1b" not in said


def test_a_report_costs_the_same_whatever_the_number_of_trials() -> None:
    """Only what has ended since is looked at; the table is drawn a few times a second."""
    made = journal(300)
    view = StageView("tune", made, {}, 300)
    for number in range(300):
        made.started(f"t{number}")
        made.failed(f"t{number}", TrialFailure(cause="ValueError", error="Traceback"))
        assert len(made.endings[view._endings_seen :]) == 1
        assert len(view.new_lines()) == 1
    assert "300 of 300 trials" in drawn(view)


def test_a_lost_worker_is_told() -> None:
    made = journal(1)
    view = StageView("tune", made, {}, 1)
    made.started("t0")
    made.lost("t0", "ActorDiedError: its node is gone")
    (line,) = view.new_lines()
    assert line == "  t0 lost its worker and starts again (ActorDiedError: its node is gone)"
    assert view.new_lines() == []


def test_paused_trials_are_counted() -> None:
    made = journal(2)
    made.started("t0")
    made.heard("t0", START)
    made.paused("t0")
    assert "1 paused, 1 waiting" in drawn(StageView("tune", made, {}, 2))
