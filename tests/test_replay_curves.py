from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.replay.curves import SCHEMA, load
from raycompare.errors import UserError
from tests.synthetic_curves import BUDGET, CONFIGS, MODELS, SEEDS, synthetic_rows, write_curves


def test_the_loader_keeps_curves_times_and_manifest(tmp_path: Path) -> None:
    recording = load(write_curves(tmp_path / "curves.parquet", list(synthetic_rows())))
    assert recording.manifest == {"made": "up"}
    assert recording.models == tuple(MODELS)
    assert len(recording.curves) == len(MODELS) * CONFIGS * len(SEEDS)
    assert recording.budget_of("slow") == BUDGET
    pace = recording.pace_of("slow")
    assert pace.seconds_per_step == pytest.approx(0.10)
    assert pace.seconds_per_evaluation == pytest.approx(1.0)


def test_a_file_without_some_columns_is_refused(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(list(synthetic_rows()), schema=SCHEMA)
    table = table.drop_columns(["macro_f1", "eval_seconds"])
    table = table.set_column(0, "model", pa.array([1] * len(table)))
    pq.write_table(table, tmp_path / "curves.parquet")
    with pytest.raises(UserError, match="columns missing: eval_seconds, macro_f1") as caught:
        load(tmp_path / "curves.parquet")
    assert "column model is int64, expected string" in str(caught.value)


def test_a_file_with_half_a_curve_is_refused(tmp_path: Path) -> None:
    good = list(synthetic_rows())
    no_test = [r for r in good if r["split"] == "validation"]
    falling = [{**r, "step": BUDGET - r["step"] + 1} for r in good]
    no_default = [r for r in good if r["config"]]
    for rows, said in (
        (no_test, "fast, configuration 0, seed 1: expected one row on test at step 320, found"),
        (falling, "fast, configuration 0, seed 1: steps on validation don't rise"),
        (no_default, "fast has no configuration 0"),
        ([], "it has no rows"),
    ):
        with pytest.raises(UserError, match=said):
            load(write_curves(tmp_path / "curves.parquet", rows))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.parquet does not exist"):
        load(tmp_path / "nowhere.parquet")
