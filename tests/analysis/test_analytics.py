from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from raycompare.analysis.analytics import (
    METRICS,
    mirrors,
    progress_scores,
    trial_components,
    tuning_job,
)
from raycompare.analysis.comparison import Comparison
from raycompare.report.sections.mirrors import TITLE, mirrors_section
from raycompare.report.write import write_report
from tests import runs

STATISTICS = ["Min", "Max", "Avg", "StdDev", "Last", "Count"]


def typical() -> runs.Run:
    run = runs.typical()
    types = {"minilm-2": "bert", "minilm-3": "bert", "bert|tiny": "bert"}
    run.manifest.data["model_types"] = types
    return run


def component(frame: pd.DataFrame, trial_id: str) -> pd.Series[float]:
    return frame.set_index("TrialComponentName").loc[trial_id]


def test_trial_components_have_sagemakers_columns_in_its_order(tmp_path: Path) -> None:
    frame = trial_components(typical().write(tmp_path))
    metrics = [
        f"{prefix}_{name} - {statistic}"
        for prefix in ("eval", "test")
        for name in ("loss", "accuracy", "f1", "precision", "recall", "mcc")
        for statistic in STATISTICS
    ]
    parameters = ["learning_rate", "model_name", "num_train_epochs", "seed", "warmup_steps"]
    assert list(frame.columns) == [
        *("TrialComponentName", "DisplayName"),
        *parameters,
        *metrics,
        *("Trials", "Experiments"),
    ]


def test_the_statistics_are_those_of_pandas_and_numpy(tmp_path: Path) -> None:
    run = typical()
    frame = trial_components(run.write(tmp_path))
    for trial in run.trials:
        rows = [r for r in run.evaluations if r.trial_id == trial.trial_id]
        own = component(frame, trial.trial_id)
        for name, short in METRICS.items():
            values = [getattr(row, name) for row in rows if row.split == "validation"]
            assert own[f"eval_{short} - Count"] == len(values)
            if not values:
                assert pd.isna(own[f"eval_{short} - Avg"])
                continue
            assert own[f"eval_{short} - Min"] == np.min(values)
            assert own[f"eval_{short} - Max"] == np.max(values)
            assert own[f"eval_{short} - Avg"] == pytest.approx(np.mean(values))
            assert own[f"eval_{short} - StdDev"] == pytest.approx(pd.Series(values).std())
            assert own[f"eval_{short} - Last"] == values[-1]


def test_two_published_evaluations_have_their_published_statistics(tmp_path: Path) -> None:
    """The accuracies of distilroberta-base in marshmellow77/sm-hf-experiments, 3_analysis.ipynb."""
    run = runs.empty("distilroberta-base")
    run.tune("distilroberta-base", 0.9, steps=100)
    for row, accuracy in zip(list(run.evaluations), (0.8964, 0.9428), strict=True):
        run.evaluations.remove(row)
        run.evaluations.append(replace(row, accuracy=accuracy))
    own = trial_components(run.write(tmp_path)).iloc[0]
    found = [own[f"eval_accuracy - {name}"] for name in STATISTICS]
    assert found == pytest.approx([0.8964, 0.9428, 0.9196, 0.032810, 0.9428, 2], abs=5e-7)


def test_one_evaluation_has_no_spread_and_a_failed_trial_has_no_values(tmp_path: Path) -> None:
    run = runs.empty("a")
    run.tune("a", 0.8, steps=50)
    run.fail("a", "tune", "OutOfMemoryError: CUDA out of memory")
    frame = trial_components(run.write(tmp_path))
    one, failed = frame.iloc[0], frame.iloc[1]
    assert (one["eval_loss - StdDev"], one["eval_loss - Count"]) == (0.0, 1)
    assert failed["eval_loss - Count"] == 0
    assert failed[[f"eval_loss - {name}" for name in STATISTICS[:-1]]].isna().all()


def test_what_is_no_number_is_not_counted(tmp_path: Path) -> None:
    run = runs.empty("a")
    run.tune("a", 0.8, steps=150)
    *first, last = run.evaluations
    run.evaluations[:] = [*first, replace(last, loss=float("nan"))]
    own = trial_components(run.write(tmp_path)).iloc[0]
    losses = [row.loss for row in first]
    assert own["eval_loss - Count"] == 2
    assert own["eval_loss - Avg"] == pytest.approx(sum(losses) / 2)
    assert own["eval_loss - Last"] == losses[-1]
    assert own["eval_mcc - Count"] == 3


def test_a_finalists_test_stands_beside_its_evaluations(tmp_path: Path) -> None:
    frame = trial_components(typical().write(tmp_path))
    assert component(frame, "minilm-3-confirm-00")["test_mcc - Last"] == 0.826
    assert component(frame, "minilm-3-confirm-00")["test_mcc - Count"] == 1
    assert component(frame, "minilm-3-tune-02")["test_mcc - Count"] == 0


def test_parameters_are_what_was_searched_over_what_was_fixed(tmp_path: Path) -> None:
    frame = trial_components(typical().write(tmp_path))
    default, tuned = component(frame, "minilm-2-tune-00"), component(frame, "minilm-2-tune-01")
    assert default["learning_rate"] == 5e-5
    assert pd.isna(default["warmup_steps"])
    assert (tuned["learning_rate"], tuned["warmup_steps"]) == (2.469134e-5, 10)
    assert tuned["model_name"] == "minilm-2"
    assert tuned["Trials"] == ["minilm-2"]


def test_tuning_job_is_a_hand_computed_frame(tmp_path: Path) -> None:
    run = runs.empty("a")
    run.tune("a", 0.8)
    run.tune("a", 0.4, status="stopped_early", ending="rung", reason=runs.STOP, steps=100)
    run.fail("a", "tune", "ValueError: no")
    run.tune("a", 0.4, status="not_run", ending="not_run", steps=0, started_at=None)
    run.trials[3] = replace(run.trials[3], train_seconds=None, eval_seconds=None)
    run.confirm("a", [0.7])
    frame = tuning_job(run.write(tmp_path))
    assert list(frame.columns) == [
        "learning_rate",
        "warmup_steps",
        "TrainingJobName",
        "TrainingJobStatus",
        "FinalObjectiveValue",
        "TrainingStartTime",
        "TrainingEndTime",
        "TrainingElapsedTimeSeconds",
        "TrainingJobDefinitionName",
    ]
    assert list(frame["TrainingJobName"]) == [f"a-tune-0{number}" for number in range(4)]
    assert list(frame["TrainingJobStatus"]) == ["Completed", "Stopped", "Failed", "Stopped"]
    assert list(frame["learning_rate"]) == pytest.approx(
        [5e-5, 2.469134e-5, 3.703701e-5, 4.938268e-5]
    )
    # Training, evaluation and the test's 2 s; a stopped trial trained a quarter of 60 s.
    assert list(frame["TrainingElapsedTimeSeconds"])[:2] == pytest.approx([66.2, 21.2])
    began = pd.Timestamp("2026-01-02T03:04:05", tz="UTC")
    assert frame["TrainingStartTime"][0] == began
    assert frame["TrainingEndTime"][1] == began + pd.Timedelta(seconds=21.2)
    assert frame["TrainingEndTime"].isna().tolist() == [False, False, True, True]
    assert frame["TrainingStartTime"].isna().tolist() == [False, False, False, True]
    assert frame["FinalObjectiveValue"][0] == max(
        row.matthews_correlation for row in run.evaluations if row.trial_id == "a-tune-00"
    )
    assert frame["FinalObjectiveValue"].isna().tolist() == [False, False, True, True]


def test_a_run_that_tuned_nothing_has_an_empty_tuning_job(tmp_path: Path) -> None:
    run = runs.empty("a")
    run.confirm("a", [0.7], is_default=True)
    frame = tuning_job(run.write(tmp_path))
    assert len(frame) == 0
    assert frame.columns[0] == "TrainingJobName"


def test_progress_scores_are_those_of_each_models_best_trial(tmp_path: Path) -> None:
    run = typical()
    frames = progress_scores(run.write(tmp_path))
    assert list(frames) == ["minilm-2", "minilm-3", "bert|tiny"]
    frame = frames["minilm-3"]
    assert list(frame.columns) == ["global_step", "mcc", "train_loss", "eval_loss", "acc", "f1"]
    rows = [row for row in run.evaluations if row.trial_id == "minilm-3-tune-03"]
    assert list(frame["global_step"]) == [row.step for row in rows]
    assert list(frame["mcc"]) == [row.matthews_correlation for row in rows]
    assert list(frame["eval_loss"]) == [row.loss for row in rows]
    assert frame["train_loss"].isna().all()


def test_the_report_writes_the_frames_as_csv_with_safe_names(tmp_path: Path) -> None:
    folder = typical().write(tmp_path)
    write_report(folder)
    assert folder.names("analytics") == [
        "bert-bert-tiny-training_progress_scores.csv",
        "bert-minilm-2-training_progress_scores.csv",
        "bert-minilm-3-training_progress_scores.csv",
        "trial_components.csv",
        "tuning_job.csv",
    ]
    for name, frame in {
        "trial_components": trial_components(folder).drop(columns=["Trials", "Experiments"]),
        "tuning_job": tuning_job(folder).select_dtypes(exclude="datetimetz"),
        "bert-minilm-2-training_progress_scores": progress_scores(folder)["minilm-2"],
    }.items():
        text = folder.read_text(f"analytics/{name}.csv")
        again = pd.read_csv(io.StringIO(text))[list(frame.columns)]
        pd.testing.assert_frame_equal(again, frame, check_exact=True, check_dtype=False)


def test_models_whose_safe_names_are_one_have_files_of_their_own() -> None:
    run = runs.empty("org/a", "org a", "org-a")
    for model in ("org/a", "org a", "org-a"):
        run.tune(model, 0.8)
    files = [name for name in mirrors(run.records) if "progress" in name]
    assert files == [
        "analytics/org-a-training_progress_scores.csv",
        "analytics/org-a-2-training_progress_scores.csv",
        "analytics/org-a-3-training_progress_scores.csv",
    ]


def reordered(quick: Sequence[float], slow: Sequence[float]) -> Comparison:
    """Compare a model that learns sooner with one that is better on the test."""
    run = runs.empty("quick", "slow")
    for model, values in {"quick": quick, "slow": slow}.items():
        run.tune(model, 0.8, steps=50 * len(values))
        own = [row for row in run.evaluations if row.model == model]
        for row, value in zip(own, values, strict=True):
            place = run.evaluations.index(row)
            run.evaluations[place] = replace(row, **runs.scores(value))
        run.trials[-1] = replace(run.trials[-1], best_value=max(values))
    run.confirm("quick", [0.80, 0.81, 0.82])
    run.confirm("slow", [0.84, 0.85, 0.86])
    return run.compare()


def test_where_the_average_names_another_model_the_report_says_why_with_the_numbers() -> None:
    section = mirrors_section(reordered([0.7, 0.8, 0.8], [0.2, 0.8, 0.86]))
    assert section.startswith(TITLE)
    assert (
        "The average over evaluations would rank quick first, because it learns earlier, not "
        "better. Its average validation MCC is 0.767, compared to 0.620 for slow; on the test it "
        "reaches 0.810 ± 0.010, compared to 0.850 ± 0.010."
    ) in section
    assert "| quick | 1 | 2 | 0.767 | 3 | 0.810\xa0±\xa00.010 |" in section
    assert "| slow | 2 | 1 | 0.620 | 3 | 0.850\xa0±\xa00.010 |" in section


def test_a_better_best_value_is_not_called_learning_sooner() -> None:
    section = mirrors_section(reordered([0.7, 0.8, 0.9], [0.2, 0.8, 0.86]))
    assert "its best trial is ahead on the validation split, though not on the test" in section
    assert "earlier, not better" not in section.partition("<details>")[0]


def test_where_the_orders_agree_one_sentence_says_so() -> None:
    section = mirrors_section(reordered([0.2, 0.3, 0.4], [0.7, 0.8, 0.9]))
    assert section.startswith("Ordered by `eval_mcc - Avg`")
    assert "\n" not in section


def test_without_a_second_evaluation_or_model_there_is_nothing_to_say() -> None:
    assert mirrors_section(reordered([0.5], [0.4])) == ""
    run = runs.empty("a")
    run.tune("a", 0.8)
    run.confirm("a", [0.7])
    assert mirrors_section(run.compare()) == ""


def test_parameters_of_other_kinds_are_json(tmp_path: Path) -> None:
    run = runs.empty("a", training={"learning_rate": 5e-5, "bf16": True, "optim": "sgd"})
    run.tune("a", 0.8)
    run.trials[0] = replace(run.trials[0], hyperparameters=json.dumps({"adam_beta1": 0.9}))
    own = trial_components(run.write(tmp_path)).iloc[0]
    assert (own["bf16"], own["optim"], own["adam_beta1"]) == ("true", "sgd", 0.9)
