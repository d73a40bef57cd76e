from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from raycompare.records.rows import EvalRecord
from tests.real_runs import WholeRun
from tests.running.trackers.played import expected
from tests.running.trackers.read_back import Client, history, mlflow_runs, scalars, wandb_records


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow, of SQLAlchemy
@pytest.mark.ray
@pytest.mark.timeout(600)
def test_all_trackers_hear_the_same_of_a_whole_run(
    mlflow_at: Callable[[Path], Client], whole_run: WholeRun, tmp_path: Path
) -> None:
    folder = whole_run.copy(tmp_path)  # MLflow's client writes to its database
    assert " is off " not in whole_run.said
    names = ("tensorboard", "mlflow", "wandb")
    assert folder.read_manifest().trackers == dict.fromkeys(names, "")
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
