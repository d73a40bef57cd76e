"""The labels of a file mean to `raycompare predict` what they meant to training."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest

from raycompare.data.splits import PARTS, load_splits
from raycompare.experiment.spec import DataSpec
from raycompare.serving.input_files import Columns, open_input
from raycompare.serving.label_names import LabelRules
from raycompare.serving.predict import Tally

NAMES = ("neg", "pos")


def write(folder: Path, ending: str, labels: list[Any], names: list[str] | None) -> Path:
    path = folder / f"train.{ending}"
    texts = [f"text {row}" for row in range(len(labels))]
    if ending == "csv":
        with path.open("w", newline="") as stream:
            csv.writer(stream).writerows([("text", "label"), *zip(texts, labels, strict=True)])
    elif ending == "jsonl":
        rows = [{"text": t, "label": label} for t, label in zip(texts, labels, strict=True)]
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        kind = datasets.ClassLabel(names=names) if names else datasets.Value("int64")
        features = datasets.Features(text=datasets.Value("string"), label=kind)
        made = datasets.Dataset.from_dict({"text": texts, "label": labels}, features)
        pq.write_table(made.with_format("arrow")[:], path)
    return path


@pytest.mark.parametrize(
    ("ending", "labels", "spec", "names"),
    [
        ("csv", ["0", "1"], {"label_map": {"0": "negative", "1": "a_positive"}}, None),
        ("csv", ["0", "1"], {"label_map": {"0": "1", "1": "0"}}, None),
        ("csv", ["0", "1"], {"label_names": NAMES}, None),
        ("csv", ["0", "1", "2"], {"label_names": ("1", "2", "3")}, None),
        ("csv", ["true", "false"], {}, None),
        ("csv", ["True", "FALSE"], {"label_map": {"true": "yes", "false": "no"}}, None),
        ("csv", ["01", "02"], {}, None),
        ("csv", ["5", "1", "10"], {}, None),
        ("csv", ["-1", "0", "1"], {}, None),
        ("csv", ["pos", "neg", "1"], {"label_map": {"1": "pos"}}, None),
        ("csv", ["1", "0"], {"label_map": {"0": "b", "1": "a"}, "label_names": ("b", "a")}, None),
        ("jsonl", [True, False], {}, None),
        ("jsonl", [True, False], {"label_map": {"true": "yes"}}, None),
        ("jsonl", ["0", "1"], {}, None),
        ("jsonl", [1, 5], {}, None),
        ("jsonl", [0, 1], {"label_names": NAMES}, None),
        ("parquet", [0, 1], {}, ["pos", "neg"]),
        ("parquet", [0, 1], {}, ["5", "1"]),
        ("parquet", [0, 1, 2], {"label_map": {"very bad": "bad"}}, ["very bad", "good", "bad"]),
        ("parquet", [3, 1], {"label_map": {"3": "x"}}, None),
    ],
)
def test_the_training_file_has_the_ids_of_training(
    tmp_path: Path, ending: str, labels: list[Any], spec: dict[str, Any], names: list[str] | None
) -> None:
    path = write(tmp_path, ending, labels * 20, names)
    made = DataSpec(dataset=str(path), **spec)
    data = load_splits(made, 0)
    trained: dict[int, int] = {}
    for part in PARTS:
        split = getattr(data, part)
        trained |= dict(zip(split["example_id"][:], split["label"][:], strict=True))
    source = open_input(str(path), Columns(text=("text",), label="label"))
    rows = [
        label
        for piece in source.pieces
        for table in source.read(piece, 7)
        for label in table["label"].to_pylist()
    ]
    rules = LabelRules(names=data.label_names, data=made)
    ids = rules.match(set(rows)).ids
    assert [ids[label] for label in rows] == [trained[row] for row in range(len(rows))]
    right = Tally(rules)
    right.add([data.label_names[trained[row]] for row in range(len(rows))], rows)
    assert right.scores() == {"accuracy": 1.0, "MCC": pytest.approx(1.0)}


@pytest.mark.parametrize(
    ("names", "labels", "known", "as_ids"),
    [
        (("neg", "pos"), {"neg", "pos"}, {"neg": 0, "pos": 1}, False),
        (("neg", "pos"), {"0", "1"}, {"0": 0, "1": 1}, True),
        (("neg", "pos"), {"1"}, {"1": 1}, True),
        (("neg", "pos"), {"0", "pos"}, {"pos": 1}, False),
        (("neg", "pos"), {"0", "2"}, {}, False),
        (("1", "5"), {"0", "5"}, {"5": 1}, False),
        (("1", "5"), {"0"}, {}, False),
        (("-1", "0", "1"), {"-1", "0", "1", "2"}, {"-1": 0, "0": 1, "1": 2}, False),
        (("01", "02"), {"0", "1"}, {"0": 0, "1": 1}, True),
        (("neg", "pos"), {"True", "False"}, {}, False),
        (("neg", "pos"), set(), {}, False),
    ],
)
def test_labels_are_names_or_ids_once_for_the_whole_file(
    names: tuple[str, ...], labels: set[str], known: dict[str, int], as_ids: bool
) -> None:
    rules = LabelRules(names=names)
    matched = rules.match(labels)
    assert (matched.ids, matched.as_ids) == (known, as_ids)
    lines = "\n".join(rules.lines(matched, dict.fromkeys(labels, 3)))
    assert ("were taken as ids" in lines) == as_ids
    assert all(f"{label!r} in 3 rows" in lines for label in labels - known.keys())
