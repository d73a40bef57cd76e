"""Predictions of new texts: what is read, answered, told and written."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import pipeline
from typer.testing import CliRunner

from raycompare.cli.use import app as use_app
from raycompare.cluster.connection import connect
from raycompare.data import input_file
from raycompare.errors import UserError
from raycompare.records.run_folder import RunFolder
from raycompare.serving.input_files import Columns, open_input
from raycompare.serving.label_names import LabelRules
from raycompare.serving.loaded_model import LoadedModel
from raycompare.serving.output_files import open_output, require_free
from raycompare.serving.predict import (
    Prediction,
    Tally,
    columns_of,
    describe_predictions,
    predict_here,
    write_predictions,
)
from raycompare.serving.predict_on_ray import predict_on_ray
from raycompare.serving.winner import keep_best, model_files, saved_at, trained_on
from tests.real_runs import WholeRun
from tests.runs import typical
from tests.serving.test_winner import LABELS, run_with_weights
from tests.tiny import rows

TEXTS = ["the old cat", "a rose is here", "granite", "a b c d e f g h i j k l m n o p q r s t"]
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run_with_weights(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def loaded(folder: RunFolder) -> LoadedModel:
    return LoadedModel.at(model_files(folder.uri))


def write(place: Path, content: Rows) -> str:
    if place.suffix == ".jsonl":
        place.write_text("\n".join(map(json.dumps, content)) + "\n")
    elif place.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(content), place, row_group_size=3)
    else:
        separator = "\t" if place.suffix == ".tsv" else ","
        pd.DataFrame(content).to_csv(place, index=False, sep=separator)
    return str(place)


def asked(folder: RunFolder, file: str, out: Path, **columns: Any) -> Prediction:
    files = model_files(folder.uri)
    return Prediction(
        source=open_input(file, Columns(**{"text": ("text",), "label": "label", **columns})),
        model=files,
        labels=tuple(saved_at(files).labels.values()),
        out=str(out),
        batch_size=2,
    )


def predicted(prediction: Prediction) -> tuple[Tally, list[str]]:
    said: list[str] = []
    return write_predictions(prediction, predict_here(prediction), said.append), said


def read(place: Path) -> pd.DataFrame:
    if place.suffix == ".jsonl":
        return pd.read_json(place, lines=True)
    return pd.read_csv(place) if place.suffix == ".csv" else pd.read_parquet(place)


@pytest.mark.parametrize("of", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("to", [".csv", ".jsonl", ".parquet"])
def test_every_kind_of_file_gets_the_same_answers(
    folder: RunFolder, loaded: LoadedModel, tmp_path: Path, of: str, to: str
) -> None:
    file = write(tmp_path / f"in{of}", [{"text": text} for text in TEXTS])
    predicted(asked(folder, file, tmp_path / f"out{to}"))
    table = read(tmp_path / f"out{to}")
    assert list(table["row"]) == [0, 1, 2, 3]
    assert list(table["text"]) == TEXTS
    found = table[[f"probability_{name}" for name in LABELS]].to_numpy()
    assert found == pytest.approx(loaded.probabilities([TEXTS]), abs=1e-6)
    assert list(table["predicted_label"]) == [LABELS[i] for i in found.argmax(axis=1)]
    assert "label" not in table


def test_a_pipeline_gives_the_same_probabilities(folder: RunFolder, loaded: LoadedModel) -> None:
    keep_best(folder, typical().compare())
    classify = pipeline("text-classification", f"{folder.uri}/best", truncation=True, top_k=None)
    for text, row in zip(TEXTS, loaded.probabilities([TEXTS]), strict=True):
        answers = {answer["label"]: answer["score"] for answer in classify([text])[0]}
        assert [answers[name] for name in LABELS] == pytest.approx(row.tolist(), abs=1e-6)


def test_rows_that_are_no_text_are_named_and_kept_without_a_label(
    folder: RunFolder, tmp_path: Path
) -> None:
    lines = ['{"text": "a cat"}', '{"text": 5}', '{"text": null}', "{}", '{"text": " "}', "no json"]
    (tmp_path / "in.jsonl").write_text("\n".join([*lines, '{"text": "a rose"}']))
    prediction = asked(folder, str(tmp_path / "in.jsonl"), tmp_path / "out.jsonl")
    tally, said = predicted(prediction)
    assert tally.faults == 5
    assert said[:5] == [
        "row 1: text is 5, which is not text",
        "row 2: text is missing",
        "row 3: text is missing",
        "row 4: text is empty",
        "row 5: text is missing: the line is not a JSON object",
    ]
    assert tally.lines() == ["5 rows could not be predicted and have null labels"]
    written_rows = list(map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines()))
    assert [row["predicted_label"] is None for row in written_rows] == [
        *[False, True, True, True, True, True, False]
    ]
    assert {row["probability_World"] is None for row in written_rows[1:6]} == {True}


def test_many_faults_are_counted_and_not_all_named(folder: RunFolder, tmp_path: Path) -> None:
    content = [{"text": None, "n": number} for number in range(200)] + [{"text": "cat", "n": 0}]
    file = write(tmp_path / "in.csv", content)
    tally, said = predicted(asked(folder, file, tmp_path / "out.csv"))
    assert tally.faults == 200
    assert len([line for line in said if line.startswith("row ")]) == 20
    assert len([line for line in said if line.startswith("more rows")]) == 1


def test_faults_after_the_last_that_is_named_are_told_of(folder: RunFolder, tmp_path: Path) -> None:
    """Twenty in the first 50 rows, which are read at once, and one more behind them."""
    content = [{"text": None if n < 20 or n == 60 else "cat", "n": n} for n in range(100)]
    file = write(tmp_path / "in.csv", content)
    _, said = predicted(replace(asked(folder, file, tmp_path / "out.csv"), batch_size=1))
    assert len([line for line in said if line.startswith("row ")]) == 20
    assert len([line for line in said if line.startswith("more rows")]) == 1


def test_labels_of_the_file_are_scored_as_names_or_ids(folder: RunFolder, tmp_path: Path) -> None:
    content = [{"text": text, "label": label} for text, label in zip(TEXTS, "0123", strict=True)]
    names = [{**row, "label": LABELS[int(row["label"])]} for row in content]
    by_id, _ = predicted(asked(folder, write(tmp_path / "i.csv", content), tmp_path / "oi.csv"))
    by_name, _ = predicted(asked(folder, write(tmp_path / "n.csv", names), tmp_path / "on.csv"))
    table = read(tmp_path / "on.csv")
    right = (table["label"] == table["predicted_label"]).mean()
    assert by_name.scores()["accuracy"] == pytest.approx(right)
    assert by_id.scores() == by_name.scores()


def test_scores_over_chunks_are_those_of_all_rows_at_once() -> None:
    from sklearn.metrics import matthews_corrcoef  # noqa: PLC0415

    chance = np.random.default_rng(0)
    labels = [LABELS[i] for i in chance.integers(0, 4, 90)]
    answers = [LABELS[i] for i in chance.integers(0, 4, 90)]
    tally = Tally(LabelRules(names=LABELS))
    for at in range(0, 90, 30):
        tally.add(answers[at : at + 30], labels[at : at + 30])
    assert tally.scores()["MCC"] == pytest.approx(matthews_corrcoef(labels, answers))


def test_a_label_that_the_model_has_not_is_told_and_not_scored() -> None:
    tally = Tally(LabelRules(names=LABELS))
    tally.add(["World", "Sports", None], ["World", "Weather", "World"])
    assert tally.scores() == {"accuracy": 1.0}  # with one label there is no correlation
    assert "'Weather' in 1 row; labels of the model: World" in "\n".join(tally.lines())
    assert "over 1 labelled row" in tally.lines()[-1]


def test_pairs_are_answered_as_pairs(
    folder: RunFolder, loaded: LoadedModel, tmp_path: Path
) -> None:
    content = [{"one": "a cat", "two": "a rose"}, {"one": "granite", "two": None}]
    file = write(tmp_path / "in.parquet", content)
    tally, said = predicted(asked(folder, file, tmp_path / "o.parquet", text=("one", "two")))
    table = read(tmp_path / "o.parquet")
    expected = loaded.probabilities([["a cat"], ["a rose"]])[0]
    assert table.loc[0, "probability_World"] == pytest.approx(expected[0], abs=1e-6)
    assert said[0] == "row 1: two is missing"
    assert tally.faults == 1


def test_the_order_of_rows_does_not_depend_on_their_length(
    folder: RunFolder, loaded: LoadedModel
) -> None:
    texts = list(rows(41, seed=1)["text"])
    together = loaded.probabilities([texts], batch_size=7)
    alone = np.concatenate([loaded.probabilities([[text]]) for text in texts])
    assert together == pytest.approx(alone, abs=1e-6)


def test_nothing_is_left_of_a_file_that_turns_out_malformed(
    folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_file, "BLOCK_BYTES", 64)
    rows_before = "a cat,World\n" * 20
    (tmp_path / "in.csv").write_text(f"text,label\n{rows_before}a,b,c,d\n")
    prediction = asked(folder, str(tmp_path / "in.csv"), tmp_path / "out.csv")
    with pytest.raises(UserError, match=r"can't be read after row 0; nothing was written"):
        predicted(prediction)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv"]


@pytest.mark.parametrize("of", [".csv", ".jsonl", ".parquet"])
def test_a_file_is_read_a_few_rows_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    monkeypatch.setattr(input_file, "BLOCK_BYTES", 256)
    texts = [f"text {number}" for number in range(100)]
    file = write(tmp_path / f"in{of}", [{"text": text} for text in texts])
    source = open_input(file, Columns(text=("text",)))
    tables = [table for piece in source.pieces for table in source.read(piece, 7)]
    assert max(table.num_rows for table in tables) <= 7
    whole = pa.concat_tables(tables)
    assert whole["text"].to_pylist() == texts
    assert whole["row"].to_pylist() == list(range(100))


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("row", pa.int64())])

    def interrupted() -> None:
        with open_output(str(tmp_path / "out.parquet"), schema) as sink:
            sink.write(pa.table({"row": [1]}, schema=schema))
            assert len(list(tmp_path.iterdir())) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_column_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    file = write(tmp_path / "in.csv", [{"txt": "a", "y": 1}])
    with pytest.raises(UserError) as raised:
        open_input(file, Columns(text=("text",), label="class", is_labelled=True))
    assert "--text-column\n  found    no column 'text'" in str(raised.value)
    assert "did you mean 'txt'" in str(raised.value)
    assert "--label-column" in str(raised.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [("in.xlsx", "allowed a file ending in one of: .csv"), ("nowhere.csv", "does not exist")],
)
def test_a_file_that_can_not_be_read_is_refused_at_once(
    tmp_path: Path, name: str, says: str
) -> None:
    with pytest.raises(UserError, match=says):
        open_input(str(tmp_path / name), Columns(text=("text",)))


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("mine")
    with pytest.raises(UserError, match=r"exists\. Choose another file"):
        require_free(str(tmp_path / "out.csv"))
    with pytest.raises(UserError, match="allowed a file ending in one of"):
        require_free(str(tmp_path / "out.xlsx"))


def test_a_column_with_a_name_of_ours_is_refused(folder: RunFolder, tmp_path: Path) -> None:
    file = write(tmp_path / "in.csv", [{"row": "a cat"}])
    with pytest.raises(UserError, match="add a column 'row'"):
        _ = asked(folder, file, tmp_path / "out.csv", text=("row",)).schema


def test_the_columns_are_those_of_the_experiment_where_there_is_one(folder: RunFolder) -> None:
    data = trained_on(folder.uri)
    assert data == trained_on(model_files(folder.uri).uri)
    assert columns_of(data, (), None) == Columns(text=("text",), label="label")
    assert columns_of(data, ("a",), "c") == Columns(text=("a",), label="c", is_labelled=True)
    assert columns_of(None, ("a", "b"), None) == Columns(text=("a", "b"), label="label")
    with pytest.raises(UserError, match="one, or two for pairs"):
        columns_of(data, ("a", "b", "c"), None)
    with pytest.raises(UserError, match="--text-column: found pairs of texts, allowed single"):
        columns_of(data, ("a", "b"), None, 1)
    with pytest.raises(UserError, match="--text-column: found single texts, allowed pairs"):
        columns_of(None, (), None, 2)


def test_the_best_model_of_a_fetched_run_is_used_where_the_weights_are_not(tmp_path: Path) -> None:
    folder = run_with_weights(tmp_path)
    keep_best(folder, typical().compare())
    folder.delete("weights")
    assert model_files(folder.uri).uri.endswith("/best")
    assert model_files(folder.child("best")).uri.endswith("/best")
    with pytest.raises(UserError, match="no weights of minilm-2"):
        model_files(folder.uri, "minilm-2")


def test_a_folder_of_one_model_has_no_other(tmp_path: Path, tiny_model: str) -> None:
    with pytest.raises(UserError, match="is the folder of a single model"):
        model_files(tiny_model, "minilm-2")
    with pytest.raises(UserError, match="neither a run folder"):
        model_files(tmp_path)


def test_texts_of_the_command_line_get_a_line_each(loaded: LoadedModel) -> None:
    lines = describe_predictions(loaded, [["a cat", "a rose"]])
    assert len(lines) == 2
    assert all(name in lines[0] for name in LABELS)


def test_the_command_writes_a_file_and_says_where(folder: RunFolder, tmp_path: Path) -> None:
    file, out = write(tmp_path / "in.csv", [{"text": "a cat"}]), str(tmp_path / "out.csv")
    command = [sys.executable, "-m", "raycompare", "predict", folder.uri]
    done = subprocess.run(
        [*command, "--file", file, "--out", out], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"{out}\n")
    again = subprocess.run([*command, "--file", file], capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "--file with --out" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--text", "a", "--ray", "--text-column", "b"], "--text-column, --ray: found without --f"),
        (["--file", "a.csv", "--out", "b.csv", "--text-pair", "c"], "--text-pair: found without"),
        (["--text", "a", "--file", "a.csv", "--out", "b.csv"], "Give one of the two"),
        (["--text", "a", "--batch-size", "32"], "--batch-size: found without --file"),
        (["--text", " "], "--text: found ' ', allowed a text that is not empty"),
        (["--text", "caf\udce9"], r"--text: found 'caf\udce9', allowed a text in UTF-8"),
        (["--text", "a", "--text-pair", "\ud83d"], r"--text-pair: found '\ud83d'"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(arguments: list[str], says: str) -> None:
    answer = CliRunner().invoke(use_app, ["predict", "nowhere", *arguments])
    assert isinstance(answer.exception, UserError)
    assert says in str(answer.exception)


@pytest.mark.ray
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Ray Data, about itself
def test_the_answers_are_those_of_the_runs_own_test(
    whole_run: WholeRun, tiny_data: str, tmp_path: Path
) -> None:
    folder = whole_run.folder
    assert 'pipeline("text-classification"' in whole_run.said
    files = model_files(folder.uri)
    trial = files.uri.rpartition("/")[2]
    (table,) = [
        pq.read_table(f"{folder.uri}/predictions/{name}")
        for name in folder.names("predictions")
        if trial in name
    ]
    prediction = asked(folder, f"{tiny_data}/test.csv", tmp_path / "here.parquet")
    predicted(prediction)
    with connect():
        spread = asked(folder, f"{tiny_data}/test.csv", tmp_path / "ray.parquet")
        write_predictions(spread, predict_on_ray(spread), str)
    names = [f"probability_{name}" for name in prediction.labels]
    stored = np.array(table["probabilities"].to_pylist())
    for out in ("here", "ray"):
        found = pd.read_parquet(tmp_path / f"{out}.parquet")
        assert found[names].to_numpy() == pytest.approx(stored, abs=1e-5)
        assert list(found["row"]) == table["example_id"].to_pylist()
    classify = pipeline("text-classification", folder.child("best"), truncation=True)
    texts = pd.read_csv(f"{tiny_data}/test.csv")["text"].tolist()
    answers = [answer["label"] for answer in classify(texts)]
    assert answers == [prediction.labels[i] for i in table["prediction"].to_pylist()]
