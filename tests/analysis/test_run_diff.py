from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raycompare.analysis.run_diff import NOT_THERE, RunDiff, diff, holm
from raycompare.errors import UserError
from raycompare.records.run_folder import RunFolder
from raycompare.report.terminal.diff import text
from tests import runs

SAME = {"a": [0.80, 0.81, 0.82], "b": [0.70, 0.71, 0.72]}


def made(tests: dict[str, list[float]], **sections: Any) -> runs.Run:
    run = runs.empty(*tests, **sections)
    for model, values in tests.items():
        run.confirm(model, values)
    return run


def differing(place: Path, first: runs.Run, second: runs.Run) -> RunDiff:
    return diff(first.write(place / "first"), second.write(place / "second"))


def test_two_runs_of_the_same_differ_in_nothing(tmp_path: Path) -> None:
    found = differing(tmp_path, made(SAME), made(SAME))
    assert (found.experiment, found.data, found.versions, found.machines) == ((), (), (), ())
    assert found.caveats == ()
    assert not any(model.apart for model in found.models)
    assert "experiment: the same" in text(found)
    assert "not significantly different" in text(found)


def test_settings_go_by_dotted_paths_with_defaults_filled_in(tmp_path: Path) -> None:
    found = differing(
        tmp_path,
        made(SAME),
        made(SAME, seed=7, tune={"num_samples": 99}, training={"num_train_epochs": 9}),
    )
    changed = {change.where: (change.first, change.second) for change in found.experiment}
    assert changed["seed"] == (42, 7)
    assert changed["tune.num_samples"][1] == 99
    assert changed["tune.num_samples"][0] != NOT_THERE
    assert changed["training.num_train_epochs"] == (4, 9)
    assert changed["training.learning_rate"] == (5e-05, NOT_THERE)
    assert "  training.learning_rate: 5e-05 -> (not there)" in text(found)
    assert len(changed) == 4


def test_a_model_of_one_run_is_one_line_and_one_of_both_is_spelled_out(tmp_path: Path) -> None:
    second = made({"a": SAME["a"], "c": SAME["b"]})
    models = (
        second.experiment.models[0].model_copy(update={"training": {"weight_decay": 0.1}}),
        second.experiment.models[1],
    )
    second.experiment = second.experiment.model_copy(update={"models": models})
    found = differing(tmp_path, made(SAME), second)
    changed = {change.where: (change.first, change.second) for change in found.experiment}
    assert changed == {
        "models.a.training": ({}, NOT_THERE),
        "models.a.training.weight_decay": (NOT_THERE, 0.1),
        "models.b": ("b", NOT_THERE),
        "models.c": (NOT_THERE, "c"),
    }
    assert (found.only_first, found.only_second) == (("b",), ("c",))
    assert [model.model for model in found.models] == ["a"]


def test_data_versions_and_machines_are_compared(tmp_path: Path) -> None:
    second = made(SAME)
    data = {**second.manifest.data, "hash": "another", "checkpoints": {"a": "content 2"}}
    hardware = [*second.manifest.hardware, {**second.manifest.hardware[0], "hostname": "node-2"}]
    versions = {**second.manifest.versions, "torch": "3.0"}
    second.manifest = replace(
        second.manifest, data=data, hardware=hardware, versions=versions, git_revision=None
    )
    found = differing(tmp_path, made(SAME), second)
    assert [(c.where, c.second) for c in found.data] == [
        ("hash", "another"),
        ("checkpoints.a", "content 2"),
    ]
    assert [(c.where, c.second) for c in found.versions] == [
        ("torch", "3.0"),
        ("raycompare's git revision", None),
    ]
    (machine,) = found.machines
    assert (machine.first, machine.second) == (1, 2)
    assert machine.where == "Example 9000, 16 CPUs, 1 GPUs"
    assert any("the data differs" in caveat for caveat in found.caveats)


def test_a_better_model_is_said_to_be_better_by_the_reports_test(tmp_path: Path) -> None:
    found = differing(tmp_path, made(SAME), made({**SAME, "a": [0.90, 0.91, 0.92]}))
    a, b = found.models
    assert (a.apart, b.apart) == (True, False)
    assert a.test is not None
    assert b.test is not None
    assert a.differences["matthews_correlation"] == pytest.approx(0.1)
    assert a.test.interval.low < 0.1 < a.test.interval.high
    assert [a.p_holm, b.p_holm] == holm([a.test.p_corrected, b.test.p_corrected])
    assert "a: better in the second run (MCC" in text(found)
    back = diff(RunFolder.at(tmp_path / "second"), RunFolder.at(tmp_path / "first"))
    assert "a: worse in the second run (MCC" in text(back)


def test_other_test_rows_are_not_paired(tmp_path: Path) -> None:
    second = made(SAME).write(tmp_path / "second")
    for name in second.names("predictions"):
        (tmp_path / "second" / "predictions" / name).unlink()
    for trial_id, table in made(SAME).predictions():
        short = table.slice(0, 900)
        ids = runs.pa.array([trial_id] * 900)
        second.write_table(f"predictions/{trial_id}.parquet", short.append_column("trial_id", ids))
    found = diff(made(SAME).write(tmp_path / "first"), second)
    assert all(model.test is None for model in found.models)
    assert "not tested on the same examples" in str(found.models[0].untested)
    assert found.models[0].differences["accuracy"] == 0


def test_other_data_sets_are_never_paired(tmp_path: Path) -> None:
    found = differing(tmp_path, made(SAME), made(SAME, data={"dataset": "other"}))
    assert (
        found.models[0].untested
        == "the test rows come from different data: fancyzhx/ag_news, other"
    )


def test_one_seed_is_too_few(tmp_path: Path) -> None:
    found = differing(tmp_path, made({"a": [0.8]}), made({"a": [0.9]}))
    assert found.models[0].untested == "one seed does not show how much the score varies"


def test_a_model_without_a_test_says_where(tmp_path: Path) -> None:
    second = made({"a": SAME["a"], "b": []})
    second.manifest = replace(second.manifest, run_id="the-second")
    found = differing(tmp_path, made(SAME), second)
    b = next(model for model in found.models if model.model == "b")
    assert b.untested == "it was not tested in the-second"
    assert b.differences == {}
    assert "-> -" in text(found)


def test_a_run_that_has_not_ended_is_compared_with_a_caveat(tmp_path: Path) -> None:
    second = made(SAME).write(tmp_path / "second")
    (tmp_path / "second" / "manifest.json").unlink()
    found = diff(made(SAME).write(tmp_path / "first"), second)
    assert found.second.state == "killed"
    assert any("has not finished (killed)" in caveat for caveat in found.caveats)


def test_runs_that_chose_by_loss_are_compared_by_loss(tmp_path: Path) -> None:
    by_loss = made(SAME, tune={"metric": "loss"})
    found = differing(tmp_path, by_loss, by_loss)
    assert found.metric == "loss"
    assert found.models[0].test is not None


def test_what_is_no_run_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Expected a run folder"):
        diff(made(SAME).write(tmp_path / "first"), RunFolder.at(tmp_path / "nowhere"))


def test_holm_is_right_for_a_case_done_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_lies_between_no_correction_and_bonferronis(p: list[float]):
    adjusted = holm(p)
    for raw, found in zip(p, adjusted, strict=True):
        assert raw <= found <= min(1, len(p) * raw + 1e-12)
    assert adjusted[int(np.argmin(p))] == pytest.approx(min(1, len(p) * min(p)))
