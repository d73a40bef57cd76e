from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets.exceptions import DatasetNotFoundError

from raycompare.data import sources
from raycompare.data.problems import DataProblems
from raycompare.data.sources import open_source
from raycompare.errors import Problem
from raycompare.experiment.spec import DataSpec

ROWS: dict[str, list[Any]] = {
    "text": ['good, "really" good', "two\nlines", "None", "007", "tab\there", "naïve 模型 🙂"],
    "label": [1, 0, 0, 1, 0, 1],
}
WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    "csv": lambda frame, path: frame.to_csv(path, index=False),
    "tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "json": lambda frame, path: frame.to_json(path, orient="records"),
    "jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    "parquet": lambda frame, path: frame.to_parquet(path),
}


def write(path: Path, rows: Mapping[str, Any] = ROWS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    WRITERS[path.suffix[1:]](pd.DataFrame(rows), path)
    return path


def opened(path: Path | str, **more: Any) -> datasets.DatasetDict:
    return open_source(DataSpec(dataset=str(path), **more))


def contents(path: Path, **more: Any) -> dict[str, dict[str, list[Any]]]:
    return {name: split[:] for name, split in opened(path, **more).items()}


def problem(dataset: Path | str, **more: Any) -> Problem:
    with pytest.raises(DataProblems) as caught:
        opened(dataset, **more)
    assert len(caught.value.problems) == 1
    assert str(caught.value.problems[0]) in str(caught.value)
    return caught.value.problems[0]


@pytest.mark.parametrize("ending", WRITERS)
def test_a_file_is_the_train_split(tmp_path: Path, ending: str) -> None:
    assert contents(write(tmp_path / f"my data é 模.{ending}")) == {"train": ROWS}


@pytest.mark.parametrize("ending", WRITERS)
def test_a_folder_has_a_file_for_each_split(tmp_path: Path, ending: str) -> None:
    for split in ("train", "dev", "test"):
        write(tmp_path / "a=b" / f"{split}.{ending}")
    (tmp_path / "a=b" / "README.md").write_text("about it")
    (tmp_path / "a=b" / "info.json").write_text('{"rows": 6}')
    (tmp_path / "a=b" / "labels.json").write_text("not even json")
    assert contents(tmp_path / "a=b") == {"train": ROWS, "dev": ROWS, "test": ROWS}


def test_a_split_that_the_experiment_names_counts(tmp_path: Path) -> None:
    write(tmp_path / "train.csv")
    write(tmp_path / "gold.csv")
    write(tmp_path / "silver.csv")
    assert set(contents(tmp_path, splits={"test": "gold"})) == {"train", "gold"}


def test_save_to_disk(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_dict(ROWS)
    rows.select([2, 1, 5]).save_to_disk(tmp_path / "one")
    datasets.DatasetDict(train=rows, test=rows).save_to_disk(tmp_path / "two splits")
    some = {column: [values[row] for row in (2, 1, 5)] for column, values in ROWS.items()}
    assert contents(tmp_path / "one") == {"train": some}
    assert contents(tmp_path / "two splits") == {"train": ROWS, "test": ROWS}


def test_reading_leaves_nothing_beside_the_data_and_holds_no_file(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet")
    datasets.Dataset.from_dict(ROWS).save_to_disk(tmp_path / "saved")
    before = sorted(tmp_path.rglob("*"))
    for path in (tmp_path, tmp_path / "saved"):
        assert opened(path)["train"].cache_files == []
    assert sorted(tmp_path.rglob("*")) == before


def test_parquet_keeps_class_labels(tmp_path: Path) -> None:
    names = datasets.ClassLabel(names=["neg", "pos"])
    features = datasets.Features(text=datasets.Value("string"), label=names)
    rows = datasets.Dataset.from_dict(ROWS, features=features)
    pq.write_table(rows.with_format("arrow")[:], tmp_path / "train.parquet")
    assert opened(tmp_path)["train"].features["label"] == names


def test_parquet_categories_are_read_as_their_values(tmp_path: Path) -> None:
    labels = pd.Categorical(["b", "a", "b"])
    write(tmp_path / "a.parquet", {"text": ["x", "y", "z"], "label": labels})
    assert opened(tmp_path / "a.parquet")["train"]["label"][:] == ["b", "a", "b"]


def test_json_may_be_objects_one_a_line_and_lack_keys(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"text": "x"}\n\n{"text": "y", "label": 1}\n')
    (tmp_path / "b.json").write_text('[{"text": "x"}, {"text": "y", "label": 1}]')
    expected = {"train": {"text": ["x", "y"], "label": [None, 1]}}
    assert contents(tmp_path / "a.json") == contents(tmp_path / "b.json") == expected


def test_a_long_json_line(tmp_path: Path) -> None:
    text = "word " * 600_000
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": text}))
    assert opened(tmp_path / "a.jsonl")["train"]["text"][:] == [text]


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "a.csv")
    assert contents(Path("~/a.csv")) == {"train": ROWS}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", b"text,label\nx,1,2\ny,1,2\n", "line 2, saw 3"),
        ("a.csv", b"text,label\nx,1\ny,1,2\n", "Expected 2 fields in line 3, saw 3"),
        ("a.csv", b'text,label\n"x,1\n', "is never closed"),
        ("a.csv", b"", "No columns"),
        ("a.json", b'[{"text": "x",}]', "line 1 column 1"),
        ("a.json", b'["x"]', "item 0 is not an object"),
        ("a.jsonl", b'{"text": "x"}\n{"text" "y"}\n', ":2 can't be read: JSONDecodeError"),
        ("a.jsonl", b'{"text": "x"}\n{"text": 1}\n', "text in row 0, a number in row 1"),
        ("a.parquet", b"PAR", "arquet"),
    ],
)
def test_unreadable_files_show_what_the_parser_says(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    found = problem(path)
    assert found.where == "data.dataset"
    assert found.found.startswith(str(path))
    assert "can't be read" in found.found
    assert reason in found.found
    assert f"well-formed {path.suffix[1:]} file" in found.allowed


def test_all_unreadable_files_of_a_folder_are_named(tmp_path: Path) -> None:
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).touch()
    write(tmp_path / "dev.csv")
    write(tmp_path / "dev.jsonl")
    with pytest.raises(DataProblems) as caught:
        opened(tmp_path)
    text = str(caught.value)
    assert len(caught.value.problems) == 3
    assert all(name in text for name in ("train.csv", "test.csv", "second file of split 'dev'"))


def test_a_broken_save_to_disk(tmp_path: Path) -> None:
    datasets.Dataset.from_dict(ROWS).save_to_disk(tmp_path)
    next(tmp_path.glob("*.arrow")).unlink()
    found = problem(tmp_path)
    assert "can't be read" in found.found
    assert "save_to_disk" in found.allowed


def test_a_file_of_another_type(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").touch()
    found = problem(tmp_path / "a.xlsx")
    assert "'.xlsx'" in found.found
    assert ".csv, .tsv, .json, .jsonl, .parquet" in found.allowed


def test_a_folder_without_split_files(tmp_path: Path) -> None:
    assert "nothing in it" in problem(tmp_path).found
    write(tmp_path / "reviews.csv")
    found = problem(tmp_path)
    assert "reviews.csv" in found.found
    assert "train.csv" in found.allowed
    assert found.hint == f"to use a single file, name it: {tmp_path / 'reviews.csv'}"
    write(tmp_path / "Reviews_Train.csv")
    assert problem(tmp_path).hint == (
        f"to use a single file, name it: {tmp_path / 'Reviews_Train.csv'}"
    )
    write(tmp_path / "reviews_test.csv")
    hint = problem(tmp_path).hint
    assert hint is not None
    assert "data.splits: {train: Reviews_Train, test: reviews_test}" in hint
    splits = {"train": "Reviews_Train", "test": "reviews_test"}
    assert set(contents(tmp_path, splits=splits)) == {"Reviews_Train", "reviews_test"}


def test_splits_are_named_in_any_case(tmp_path: Path) -> None:
    for name in ("Train.csv", "TEST-00000-of-00001.csv", "Dev/1.csv"):
        write(tmp_path / name)
    assert contents(tmp_path) == {"train": ROWS, "test": ROWS, "dev": ROWS}


def test_a_misspelled_path_names_files_nearby(tmp_path: Path) -> None:
    write(tmp_path / "reviews.csv")
    found = problem(tmp_path / "review.csv")
    assert "as a hub id it can't be loaded" in found.found
    assert "builtin:docstrings" in found.allowed
    assert found.hint == f"did you mean {tmp_path / 'reviews.csv'}?"


def test_a_path_in_a_folder_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert problem("data/train.csv").hint == f"there is no folder data in {tmp_path}"


def test_a_hub_id_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = problem("nobody/nothing")
    assert "can't be reached or has no such data set" in found.found
    assert "OfflineModeIsEnabled" in found.found
    assert found.hint is None


def test_the_name_of_a_file_type_does_not_read_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write(tmp_path / "train.csv").parent)
    assert "the name of a file type" in problem("csv").found


def test_hub_data_sets_are_asked_for_by_config_and_revision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    expected = datasets.DatasetDict(train=datasets.Dataset.from_dict(ROWS))

    def load(*args: Any, **options: Any) -> datasets.DatasetDict:
        asked.append((args, options))
        return expected

    monkeypatch.setattr(sources, "load_dataset", load)
    assert opened("org/name", config="de") is expected
    found = problem("org/name", config="de", revision="v1").found
    assert "revision v1 isn't in the cache" in found, "what is loaded without a hub is any revision"
    revisions = [options["revision"] for _, options in asked]
    assert (asked[0][0], revisions) == (("org/name", "de"), [None, "v1"])


@pytest.mark.parametrize(
    ("error", "where", "words"),
    [
        (ValueError("BuilderConfig 'x' not found. Available: ['en']"), "data.config", "['en']"),
        (RuntimeError("Dataset scripts are no longer supported"), "data.dataset", "scripts"),
        (DatasetNotFoundError("doesn't exist on the Hub"), "data.dataset", "doesn't exist"),
    ],
)
def test_what_the_hub_says_is_shown(
    monkeypatch: pytest.MonkeyPatch, error: Exception, where: str, words: str
) -> None:
    def fail(*_args: Any, **_options: Any) -> None:
        raise error

    monkeypatch.setattr(sources, "load_dataset", fail)
    found = problem("org/name", config="x")
    assert found.where == where
    assert words in found.found


@pytest.mark.parametrize("option", ["config", "revision"])
def test_options_of_the_hub_for_a_file(tmp_path: Path, option: str) -> None:
    found = problem(write(tmp_path / "a.csv"), **{option: "main"})
    assert (found.where, found.found) == (f"data.{option}", "'main'")
    assert "hub" in found.allowed


def test_builtin(monkeypatch: pytest.MonkeyPatch) -> None:
    made = (["a text", "b text"], ["a", "b"])
    monkeypatch.setitem(sources.BUILTINS, "builtin:docstrings", lambda: made)
    rows = opened("builtin:docstrings")["train"]
    assert rows[:] == {"text": made[0], "label": made[1]}


def test_an_unknown_builtin() -> None:
    found = problem("builtin:docstring")
    assert found.allowed == "one of: builtin:docstrings"
    assert found.hint == "did you mean 'builtin:docstrings'?"


def test_a_column_type_that_datasets_lacks(tmp_path: Path) -> None:
    odd = pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))
    pq.write_table(pa.table({"text": ["x"], "odd": odd}), tmp_path / "a.parquet")
    assert opened(tmp_path / "a.parquet")["train"]["text"][:] == ["x"]
    assert "map<string, int64" in problem(tmp_path / "a.parquet", label="odd").found
