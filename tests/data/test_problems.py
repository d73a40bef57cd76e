from __future__ import annotations

from typing import Any

import pytest

from tests.splits import Load, class_labels, problem, problems, rows

TWO = rows(["a", "b"])
FINE = {"train": TWO, "validation": TWO, "test": TWO}
NO_TEXT = {"text": ["x", None, " ", "y", "", None, "\t", None], "label": ["a", "b"] * 4}
IN_TEXT = "column 'text' of split 'train'"
ROOMY = "a different split, or a share of train"
SCORES = {"text": ["x", "y"], "label": [0.5, 1.5]}
PROBLEMS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, str, str, str | None]]] = {
    "no such text column": (
        {"text": "txt"},
        {},
        ("data.text", "no column 'txt' in split train, validation, test", "text, label", "'text'"),
    ),
    "no second text column": (
        {"text": ("text", "pair")},
        {"test": TWO | {"pair": ["x", "y"]}},
        ("data.text", "no column 'pair' in split train, validation", "one of: text, label", None),
    ),
    "no such label column": (
        {"label": "labels"},
        {},
        ("data.label", "no column 'labels'", "one of: text, label", "did you mean 'label'?"),
    ),
    "text of another type": (
        {},
        {"train": {"text": [1, 2], "label": ["a", "b"]}},
        ("data.text", f"{IN_TEXT}, of type int64", "strings", None),
    ),
    "label of another type": (
        {},
        {"train": SCORES},
        ("data.label", "double", "integers", "to integers or strings"),
    ),
    "empty texts": (
        {},
        {"train": NO_TEXT},
        ("data.text", "6 of its rows (1, 2, 4, 5, 6 and 1 more", "every row", "remove"),
    ),
    "missing labels": (
        {},
        {"test": rows(["a", None])},
        ("data.label", "of split 'test', empty in 1 of its rows (1,", "every row", "fill"),
    ),
    "no such split": (
        {"splits": {"test": "tset"}},
        {},
        ("data.splits.test", "'tset'", "one of: test, train, validation", "did you mean 'test'?"),
    ),
    "an empty split": ({}, {"test": rows([])}, ("data.splits.test", "0 rows", "with rows", None)),
    "an empty train split": (
        {"splits": {"test": 0.5}},
        {"train": rows([])},
        ("data.splits.train", "0 rows", "", None),
    ),
    "a split used twice": (
        {"splits": {"test": "validation"}},
        {},
        ("data.splits.test", "'validation', already used for data.splits.validation", ROOMY, None),
    ),
    "one label": (
        {},
        dict.fromkeys(FINE, rows(["a", "a"])),
        ("data.label", "one label in split 'train': a", "at least two labels", None),
    ),
    "a label that train lacks": (
        {},
        {"test": rows(["a", "bb", "bb"])},
        ("data.label", "'bb' in split 'test', 2 of its rows (1, 2", "'train': a, b", "'b'?"),
    ),
    "hidden labels": (
        {},
        {"test": {"text": ["x", "y"]}},
        (
            "data.label",
            "no column 'label' in split test",
            "one of: text",
            "train has it; the labels of test may be hidden on purpose: data.splits.test: 0.2",
        ),
    ),
    "too few names": (
        {"label_names": ("x", "y")},
        dict.fromkeys(FINE, rows([0, 1, 2])),
        ("data.label_names", "2 names: x, y", "3 different names", None),
    ),
    "a name twice": (
        {"label_names": ("x", "x")},
        dict.fromkeys(FINE, rows([0, 1])),
        ("data.label_names", "x, x", "2 different names", None),
    ),
    "names that the data set gives": (
        {"label_names": ("bad", "good")},
        dict.fromkeys(FINE, class_labels(["neg", "pos"], [0, 1])),
        (
            "data.label_names",
            "bad, good",
            "none: the data set itself names its labels neg, pos",
            None,
        ),
    ),
    "a number without a name": (
        {"label_names": ("x", "y")},
        dict.fromkeys(FINE, rows([0, 1])) | {"train": rows([0, 0, 1])} | {"test": rows([0, 2])},
        ("data.label", "'2 (out of range)' in split 'test', 1 of its rows", "x, y", None),
    ),
    "an unlabelled test split": (
        {},
        {
            "train": class_labels(["neg", "pos"], [0, 1]),
            "validation": rows(["pos"]),
            "test": class_labels(["neg", "pos"], [-1, -1]),
        },
        ("data.label", "'-1 (out of range)' in split 'test', 2 of its rows", "neg, pos", None),
    ),
    "no label has rows enough to carve two splits": (
        {"splits": {"test": 0.2, "validation": 0.2}},
        {"train": rows([f"label {row // 2}" for row in range(100)])},
        ("data.splits.test", "100 rows of 50 labels in 'train'", "at least 3 rows of some", "name"),
    ),
    "a share with fewer rows than labels": (
        {"splits": {"test": 0.01}},
        {"train": rows(), "validation": TWO},
        ("data.splits.test", "1 of 103 rows", "each of its 3 labels", "another share"),
    ),
    "shares that leave nothing": (
        {"splits": {"test": 0.5, "validation": 0.5}},
        {"train": rows()},
        ("data.splits.train", "-1 of 103 rows", "each of its 3 labels", "another share"),
    ),
    "a limit that loses a label": (
        {"limit": {"train": 2}},
        {"train": rows()},
        (
            "data.limit.train",
            "2 rows to train on, none of them with 'c'",
            "each label",
            "more rows",
        ),
    ),
}


@pytest.mark.parametrize(("spec", "splits", "words"), PROBLEMS.values(), ids=PROBLEMS)
def test_problems(
    load: Load,
    spec: dict[str, Any],
    splits: dict[str, Any],
    words: tuple[str, str, str, str | None],
) -> None:
    carving = "splits" in spec or "limit" in spec
    found = problem(load, spec, **(splits if carving and splits else FINE | splits))
    where, what, allowed, hint = words
    assert found.where == where
    assert what in found.found
    assert allowed in found.allowed
    assert (hint in found.hint) if hint and found.hint else found.hint == hint


def test_all_problems_are_found_at_once(load: Load) -> None:
    found = problems(
        load,
        {"text": ("text", "pair"), "splits": {"validation": "dev"}},
        train={"text": ["x", None, "y"], "label": ["a", None, "b"]},
        test=rows(["a", "c"]),
    )
    assert [(problem.where, problem.found.split(",")[0]) for problem in found] == [
        ("data.splits.validation", "'dev'"),
        ("data.text", "column 'text' of split 'train'"),
        ("data.text", "no column 'pair' in split train"),
        ("data.label", "column 'label' of split 'train'"),
        ("data.label", "'c' in split 'test'"),
    ]
