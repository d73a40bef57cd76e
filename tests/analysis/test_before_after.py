from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from raycompare.analysis.before_after import RunPredictions, describe_gain, judge_runs
from raycompare.analysis.extend import finalist
from raycompare.analysis.statistics.estimate import ONE_SEED
from raycompare.analysis.statistics.judgement import Judgement
from raycompare.metrics import MetricName
from raycompare.records.run_folder import RunFolder
from raycompare.records.run_records import Records
from tests import runs

BEFORE = [0.80, 0.81, 0.82]


def written(place: Path, tests: list[float], epochs: int, **sections: Any) -> RunFolder:
    run = runs.empty("m", training={"num_train_epochs": epochs}, **sections)
    run.confirm("m", tests)
    return run.write(place)


def sentence(place: Path, before: list[float], after: list[float], metric: str = "") -> str:
    sections = {"tune": {"metric": metric}} if metric else {}
    folders = (
        written(place / "before", before, 2, **sections),
        written(place / "after", after, 6, **sections),
    )
    decides = folders[0].read_experiment().tune.metric
    trained = [finalist(Records.of(folder)) for folder in folders]
    return describe_gain(*trained, judged(*folders, decides), decides)


def judged(before: RunFolder, after: RunFolder, metric: MetricName) -> Judgement:
    tested = [RunPredictions.of(folder, Records.of(folder)) for folder in (before, after)]
    return judge_runs(*tested, "m", metric)


def test_longer_training_is_better_where_the_test_says_so(tmp_path: Path):
    found = sentence(tmp_path, BEFORE, [0.90, 0.91, 0.92])
    assert found.startswith("MCC 0.810 ± 0.010 after 2 epochs, 0.910 ± 0.010 after 6, 3 seeds each")
    assert ": longer training is better (p" in found


def test_longer_training_can_be_worse(tmp_path: Path):
    assert "longer training is worse (p" in sentence(tmp_path, BEFORE, [0.70, 0.71, 0.72])


def test_a_small_gain_can_not_be_told_and_its_interval_is_given(tmp_path: Path):
    found = sentence(tmp_path, BEFORE, [0.81, 0.80, 0.825])
    assert "they are not significantly different; the difference lies between -0.0" in found
    assert found.endswith(" (95 % interval).")


def test_a_loss_is_judged_by_the_loss(tmp_path: Path):
    found = sentence(tmp_path, BEFORE, [0.90, 0.91, 0.92], metric="loss")
    assert found.startswith("loss 0.266")
    assert "longer training is better (p" in found


def test_one_seed_says_nothing_of_others(tmp_path: Path):
    found = sentence(tmp_path, [0.5], [0.9])
    assert found.endswith(f"1 seed each: they cannot be compared, because {ONE_SEED}.")


@pytest.mark.parametrize("lost", ["all", "one"])
def test_without_predictions_nothing_is_claimed(tmp_path: Path, lost: str):
    sentence(tmp_path, BEFORE, BEFORE)
    files = sorted((tmp_path / "before" / "predictions").iterdir())
    for file in files if lost == "all" else files[:1]:
        file.unlink()
    folders = RunFolder.at(tmp_path / "before"), RunFolder.at(tmp_path / "after")
    assert "no predictions of" in str(judged(*folders, "accuracy").gap)


def test_other_test_rows_can_not_be_compared(tmp_path: Path):
    sentence(tmp_path, BEFORE, BEFORE)
    for file in (tmp_path / "before" / "predictions").iterdir():
        pq.write_table(pq.read_table(file).slice(10), file)
    folders = RunFolder.at(tmp_path / "before"), RunFolder.at(tmp_path / "after")
    assert "not tested on the same examples" in str(judged(*folders, "accuracy").gap)
