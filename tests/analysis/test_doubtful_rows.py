"""Rows whose labels may be wrong: which are listed, in which order, and what is shown of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raycompare.analysis.doubtful_rows import DoubtfulRow, DoubtfulRows, DoubtfulRowSearch
from raycompare.records.rows import StoredText, TrialRecord
from raycompare.report.sections.doubtful_rows import MOST_CHARACTERS, doubtful_rows_section
from raycompare.report.tables import tables
from raycompare.report.write import write_report
from tests import runs

NAMES = ("World", "Sports", "Business")
LABELS = [0, 0, 1, 1, 2, 2]
RIGHT = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]


def finalists(*models: str) -> list[TrialRecord]:
    run = runs.empty(*dict.fromkeys(models))
    for model in dict.fromkeys(models):
        run.confirm(model, [0.5] * models.count(model))
    return run.trials


def doubtful_rows(
    trials: list[TrialRecord],
    predictions: Iterable[tuple[str, pa.Table]],
    names: Sequence[str] = (),
) -> DoubtfulRows | None:
    search = DoubtfulRowSearch(finalists=trials)
    named = list(predictions)
    assert list(search.watch(named)) == named
    return search.result(names)


def predicted(**rows: Sequence[float]) -> pa.Table:
    """Return predictions that are right but for some rows, with their probabilities."""
    probabilities = [RIGHT[label] for label in LABELS]
    for name, own in rows.items():
        probabilities[int(name.removeprefix("row"))] = list(own)
    order = [3, 0, 5, 1, 4, 2]  # any
    return pa.table(
        {
            "example_id": [10 + row for row in order],
            "label": [LABELS[row] for row in order],
            "prediction": [int(np.argmax(probabilities[row])) for row in order],
            "probabilities": pa.array(
                [probabilities[row] for row in order], pa.list_(pa.float32())
            ),
        }
    )


def find(*made: pa.Table, models: Sequence[str] = ("a", "b")) -> DoubtfulRows:
    trials = finalists(*models)
    named = [(trial.trial_id, table) for trial, table in zip(trials, made, strict=True)]
    doubtful = doubtful_rows(trials, named, NAMES)
    assert doubtful is not None
    return doubtful


SURE, SURER, UNSURE = [0.05, 0.9, 0.05], [0.01, 0.98, 0.01], [0.2, 0.5, 0.3]


def test_all_must_predict_the_same_other_label() -> None:
    doubtful = find(
        predicted(row0=SURE, row1=SURER, row4=SURE),
        predicted(row0=SURE, row1=SURER, row5=SURE),
    )
    assert [(row.example_id, row.label, row.predicted) for row in doubtful.rows] == [
        (11, "World", "Sports"),
        (10, "World", "Sports"),
    ]
    assert [row.confidence for row in doubtful.rows] == pytest.approx([0.98, 0.9])
    assert (doubtful.finalists, doubtful.models, doubtful.examples) == (2, 2, 6)
    other = [0.05, 0.05, 0.9]
    assert find(predicted(row0=SURE), predicted(row0=other)).rows == ()


def test_a_guess_is_not_listed() -> None:
    """Of Sports the finalists are 80 % sure on average where it is the label."""
    assert find(predicted(row0=UNSURE), predicted(row0=UNSURE)).rows == ()
    assert find(predicted(row0=UNSURE), predicted(row0=SURE)).rows == ()
    less = {"row2": [0.3, 0.4, 0.3], "row3": [0.3, 0.4, 0.3]}
    assert len(find(predicted(row0=UNSURE, **less), predicted(row0=UNSURE, **less)).rows) == 1


def test_seeds_of_one_model_are_finalists_too() -> None:
    doubtful = find(predicted(row0=SURE), predicted(row0=SURE), models=("a", "a"))
    assert (doubtful.finalists, doubtful.models) == (2, 1)


def test_nothing_is_said_of_one_finalist_or_of_different_rows() -> None:
    one, other = finalists("a", "b")
    tables_ = predicted(row0=SURE), predicted(row0=SURE).slice(0, 5)
    assert doubtful_rows([one], [(one.trial_id, tables_[0])]) is None
    both = zip((one.trial_id, other.trial_id), tables_, strict=True)
    assert doubtful_rows([one, other], both) is None
    assert doubtful_rows([one, other], [(one.trial_id, tables_[0])]) is None
    blind = [(t.trial_id, tables_[0].drop_columns("probabilities")) for t in (one, other)]
    assert doubtful_rows([one, other], blind) is None


def test_baselines_and_others_do_not_count() -> None:
    trials = finalists("a", "b")
    named = [(trial.trial_id, predicted(row0=SURE)) for trial in trials]
    doubtful = doubtful_rows(trials, [*named, ("baseline-tf-idf", predicted())], NAMES)
    assert doubtful is not None
    assert [row.example_id for row in doubtful.rows] == [10]


def test_labels_without_names_or_rows() -> None:
    trials = finalists("a", "b")
    table = predicted(row0=[0.01, 0.01, 0.98]).slice(0)
    kept = table.filter(pa.compute.not_equal(table["label"], 2))
    assert doubtful_rows(trials, [(t.trial_id, kept) for t in trials]).rows == ()  # type: ignore[union-attr]
    sure = doubtful_rows(trials, [(t.trial_id, predicted(row0=SURE)) for t in trials])
    assert sure is not None
    assert (sure.rows[0].label, sure.rows[0].predicted) == ("0", "1")


# The section


def section(rows: int, text: str | None = None, splits: dict[str, str] | None = None) -> str:
    comparison = runs.typical().compare()
    if splits is not None:
        comparison.manifest.data["source_splits"] = splits
    row = DoubtfulRow(
        example_id=1234, label="a|b", predicted="Sports", confidence=0.9876, text=text
    )
    doubtful = DoubtfulRows(rows=(row,) * rows, finalists=9, models=3, examples=1000)
    return doubtful_rows_section(replace(comparison, doubtful_rows=doubtful))


def test_ten_rows_are_shown_and_the_others_counted() -> None:
    shown = section(13, splits={"test": "held_out"})
    assert shown.count("\n| 1234 | a\\|b | Sports | 0.988 |") == 10
    assert "13 of 1,000 test rows are predicted as the same other label by all 9 final" in shown
    assert "tables/doubtful_rows.csv has 3 more rows." in shown
    assert "*Row* is the index in split held_out of fancyzhx/ag_news, from 0" in shown
    assert "more row" not in section(10)
    assert "1 of 1,000 test rows is predicted" in section(1)


def test_of_older_runs_the_split_is_not_known() -> None:
    assert "the split of fancyzhx/ag_news that the test rows were taken from" in section(1)


def test_without_such_rows_it_says_so_and_without_finalists_nothing() -> None:
    assert section(0).endswith(
        "No test row is predicted as the same other label by all 9 finalists of 3 models with "
        "confidence."
    )
    assert doubtful_rows_section(runs.empty("a").compare()) == ""


def test_texts_are_one_short_line_of_plain_text() -> None:
    text = "<b>an *odd*\n\ttext</b> \x1b[31m &lt;i&gt; | " + "x" * 1000
    shown = section(1, text)
    (line,) = (line for line in shown.splitlines() if line.startswith("| 1234"))
    assert line.startswith(
        r"| 1234 | a\|b | Sports | \<b\>an \*odd\* text\</b\> \[31m \&lt;i\&gt; \| xxx"
    )
    assert line.endswith("xxx… | 0.988 |")
    assert len(line) < MOST_CHARACTERS + 60
    assert "| row | label | predicted as | text | confidence |" in shown
    assert "text |" not in section(1)


# The run folder


def mislabelled(**sections: object) -> runs.Run:
    """Return a run in which all finalists are sure that the first row has another label."""
    run = runs.empty("a", "b", **sections)
    run.confirm("a", [0.8, 0.8])
    run.confirm("b", [0.7, 0.7])
    return run


def written(run: runs.Run, place: Path, with_file: bool) -> str:
    folder = run.write(place)
    for path in place.glob("predictions/*"):
        table = pa.parquet.read_table(path)
        wrong = np.asarray(table["prediction"]).copy()
        wrong[0] = 3
        probabilities = table["probabilities"].to_pylist()
        probabilities[0] = [0.0, 0.0, 0.0, 1.0]
        columns = {"prediction": wrong, "probabilities": probabilities}
        for name, values in columns.items():
            table = table.set_column(table.schema.names.index(name), name, pa.array(values))
        folder.write_table(f"predictions/{path.name}", table)
    if with_file:
        texts = [StoredText(example_id=0, text="a secret", text_pair="and another")]
        folder.write_rows(texts, StoredText)
    write_report(folder)
    return (place / "report.md").read_text()


def test_texts_are_shown_if_the_experiment_says_so(tmp_path: Path) -> None:
    report = written(mislabelled(report={"texts": True}), tmp_path, with_file=True)
    assert "| 0 | World | Sci/Tech | a secret / and another | 1.000 |" in report
    content = (tmp_path / "tables" / "doubtful_rows.csv").read_text()
    assert '"a secret","and another"' in content
    for name in ("summary.md", "manifest.json", "experiment.yaml"):
        assert "secret" not in (tmp_path / name).read_text()


def test_a_stored_text_is_not_shown_if_the_experiment_does_not_say_so(tmp_path: Path) -> None:
    report = written(mislabelled(), tmp_path, with_file=True)
    assert "| 0 | World | Sci/Tech | 1.000 |" in report
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name != "test_texts.parquet":
            assert b"secret" not in path.read_bytes()


def test_a_folder_whose_texts_were_deleted_has_a_report(tmp_path: Path) -> None:
    report = written(mislabelled(report={"texts": True}), tmp_path, with_file=False)
    assert "| 0 | World | Sci/Tech | 1.000 |" in report


def test_the_table_has_all_rows() -> None:
    comparison = runs.typical().compare()
    row = DoubtfulRow(example_id=7, label="a", predicted="b", confidence=0.9)
    rows = DoubtfulRows(rows=(row,) * 25, finalists=9, models=3, examples=1000)
    table = tables(replace(comparison, doubtful_rows=rows))["doubtful_rows"]
    assert table.num_rows == 25
    assert table.column_names == ["example_id", "label", "predicted", "confidence"]
