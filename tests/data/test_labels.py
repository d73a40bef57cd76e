"""Labels that are renamed and merged, and notes on labels that look alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raycompare.data.splits import label_counts, load_splits
from raycompare.experiment.spec import DataSpec
from raycompare.running.check import CheckedExperiment
from raycompare.running.survey import survey
from tests.runs import experiment
from tests.splits import Load, class_labels, problem, problems, rows


def same(labels: list[Any]) -> dict[str, Any]:
    return dict.fromkeys(("train", "validation", "test"), rows(labels))


def counts(load: Load, labels: Any, **spec: Any) -> dict[str, int]:
    splits = labels if isinstance(labels, dict) else same(labels)
    return label_counts(load(spec, **splits).train)


MAP = {"pos": "positive", "1": "positive", "neg": "negative"}


def test_labels_are_renamed_and_merged(load: Load) -> None:
    found = counts(load, ["pos", "1", "neg", "pos"], label_map=MAP)
    assert found == {"negative": 1, "positive": 3}


@pytest.mark.parametrize(
    ("labels", "map_", "names"),
    [
        ([1, 2, 5], {"5": "high", "2": "low", "1": "low"}, {"high": 1, "low": 2}),
        ([True, False], {"true": "yes", "false": "no"}, {"no": 1, "yes": 1}),
        ([True, False], {"True": "yes"}, {"False": 1, "yes": 1}),
        (["true", "false"], {"true": "yes"}, {"false": 1, "yes": 1}),
    ],
)
def test_integers_and_booleans_are_named_as_they_are_written(
    load: Load, labels: list[Any], map_: dict[str, str], names: dict[str, int]
) -> None:
    assert counts(load, labels, label_map=map_) == names


def test_the_names_of_a_class_label_keep_their_order(load: Load) -> None:
    own = class_labels(["very bad", "good", "bad"], [0, 1, 2, 1])
    splits = dict.fromkeys(("train", "validation", "test"), own)
    assert counts(load, splits, label_map={"very bad": "bad"}) == {"bad": 2, "good": 2}


def test_label_names_are_the_order_of_the_new_names(load: Load) -> None:
    spec = {"label_map": {"1": "pos", "2": "neg"}, "label_names": ("pos", "neg")}
    assert counts(load, [1, 2, 2], **spec) == {"pos": 1, "neg": 2}
    found = problem(load, spec | {"label_names": ("pos", "neu", "neg")}, **same([1, 2, 2]))
    assert (found.where, found.allowed) == (
        "data.label_names",
        "2 different names, for neg, pos",
    )


def test_labels_that_the_map_does_not_name_stay_and_are_told(load: Load) -> None:
    data = load({"label_map": {"a": "x"}}, **same(["a", "b", "c"]))
    assert data.label_names == ("b", "c", "x")
    assert data.notes == ("labels that are not in data.label_map keep their names: 'b', 'c'",)


def test_an_entry_that_no_row_has_is_an_error(load: Load) -> None:
    found = problem(load, {"label_map": {"postive": "x", "neg": "y"}}, **same(["positive", "neg"]))
    assert found.where == "data.label_map.postive"
    assert found.hint == "did you mean 'positive'?"


def test_an_entry_that_only_the_test_split_has_is_none(load: Load) -> None:
    splits = same(["a", "b"]) | {"test": rows(["a", "B"])}
    assert load({"label_map": {"B": "b"}}, **splits).test["label"][:] == [0, 1]


def test_a_map_that_leaves_one_label_is_an_error(load: Load) -> None:
    found = problems(load, {"label_map": {"a": "b"}}, **same(["a", "b"]))
    assert [one.found for one in found] == ["one label in split 'train': b"]


def test_two_labels_of_one_text_are_one_when_they_are_merged(load: Load, tiny_model: str) -> None:
    train = {"text": ["same", "same", "other"], "label": ["pos", "1", "neg"]}
    splits = {"train": train, "validation": train, "test": train}
    given = experiment({"name": "m", "checkpoint": tiny_model})
    assert survey(given, load(None, **splits)).contradictory_texts == 1
    assert survey(given, load({"label_map": MAP}, **splits)).contradictory_texts == 0


def test_what_is_told_is_in_the_summary_of_a_check(load: Load, tiny_model: str) -> None:
    data = load({"label_map": {"a": "x"}}, **same(["a", "b", "c"]))
    said = CheckedExperiment(experiment({"name": "m", "checkpoint": tiny_model}), data).summary
    assert "\n  note     labels that are not in data.label_map keep their names: 'b', 'c'\n" in said


def test_labels_that_differ_in_case_or_blanks_are_told(load: Load) -> None:
    data = load(**same(["Pos", "pos ", "neg", "po s"]))
    assert data.label_names == ("Pos", "neg", "po s", "pos ")
    (note,) = data.notes
    assert "'Pos', 'pos '" in note
    assert "po s" not in note


@pytest.mark.parametrize(
    "alike",
    [
        ("tiêu cực", "tie\u0302u cu\u031b\u0323c"),
        ("ok", "o\u200bk"),
        ("ok", "\ufeffok"),
        ("ﬁne", "fine"),
        ("STRASSE", "straße"),
        ("①", "1 "),
        ("a b", "a\xa0b"),
        ("ok", "o\x00k"),
    ],
)
def test_labels_that_look_the_same_are_told_with_what_differs(
    load: Load, alike: tuple[str, str]
) -> None:
    (note,) = load(**same([*alike, "other"])).notes
    assert note.startswith("labels that look alike")
    assert all(ascii(label) in note for label in alike)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "it\x92s good", "control characters U+0080 to U+009F in 1 of its rows (7,"),
        ("a.tsv", '"a\tb\nc\td"', "a tab and a line break inside a text in 1 of its rows (7,"),
        ("a.csv", '"so good,0\nand so,1\nbad"', "a label at a line end inside a text in 1 of"),
        ("a.csv", '"a list, of\ntwo lines"', None),
    ],
)
def test_texts_that_the_file_did_not_mean_are_told(
    tmp_path: Path, name: str, text: str, words: str | None
) -> None:
    separator = "\t" if name.endswith(".tsv") else ","
    rows = [[text if row == 7 else f"text {row}", str(row % 2)] for row in range(40)]
    lines = [separator.join(row) for row in [["text", "label"], *rows]]
    (tmp_path / name).write_text("\n".join(lines))
    notes = load_splits(DataSpec(dataset=str(tmp_path / name)), 0).notes
    assert len(notes) == (words is not None)
    assert words is None or words in notes[0]


# Few rows of a label


def test_a_label_with_too_few_rows_to_be_carved_is_trained_on_and_told(load: Load) -> None:
    labels = ["a"] * 60 + ["b"] * 30 + ["one", "two", "two"]
    data = load(train=rows(labels))
    assert label_counts(data.train)["one"] == 1
    assert label_counts(data.train)["two"] == 2
    assert {*label_counts(data.test).values()} >= {0}
    assert data.notes == (
        "labels with too few rows to split are in train only: 'one' (1), 'two' (2)",
    )


@pytest.mark.parametrize("rare", [1, 2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_every_label_is_in_train_however_few_rows_it_has(load: Load, rare: int, seed: int) -> None:
    labels = [f"label {n}" for n in range(20) for _ in range(rare)] + ["common"] * 200
    assert min(label_counts(load(None, seed, train=rows(labels)).train).values()) >= 1


def test_hundreds_of_labels_are_carved(load: Load) -> None:
    labels = [f"label {n}" for n in range(300) for _ in range(10)]
    data = load(train=rows(labels))
    assert set(label_counts(data.test).values()) == {2}
    assert set(label_counts(data.validation).values()) == {1}


def test_labels_with_control_characters_are_told(load: Load) -> None:
    (note,) = load(**same(["don\x92t", "do"])).notes
    assert note.startswith("labels with control characters")
    assert r"don\x92t" in note
