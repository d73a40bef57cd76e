from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest

from raycompare.data.splits import facts, label_counts, load_splits, texts_to_store
from raycompare.experiment.spec import DataSpec
from tests import SHARED
from tests.splits import LABELS, Load, class_labels, ids, parts, rows

AG_NEWS = SHARED / "data_small" / "ag_news"


# Splits


def test_named_splits_are_used_whole_and_in_order(load: Load) -> None:
    data = load(train=rows(), test=rows(["c", "a", "b"]), validation=rows(["b", "a"]))
    assert ids(data) == {"train": [*range(103)], "validation": [0, 1], "test": [0, 1, 2]}
    assert data.test["text"][:] == ["text 0", "text 1", "text 2"]
    assert data.test["label"][:] == [2, 0, 1]
    assert data.label_names == ("a", "b", "c")


@pytest.mark.parametrize("name", ["valid", "val", "dev"])
def test_other_names_of_the_validation_split(load: Load, name: str) -> None:
    data = load(train=rows(), **{name: rows(["b", "a"])})
    assert len(data.validation) == 2
    assert len(data.test) == round(0.2 * 103)


def test_shares_left_out_are_a_tenth_and_a_fifth_of_train(load: Load) -> None:
    drawn = ids(load(train=rows()))
    assert {part: len(of) for part, of in drawn.items()} == {
        "train": 72,
        "validation": 10,
        "test": 21,
    }
    assert sorted(row for of in drawn.values() for row in of) == [*range(103)]
    assert all(of == sorted(of) for of in drawn.values())


@pytest.mark.parametrize("seed", range(20))
def test_shares_are_stratified_and_share_no_row(load: Load, seed: int) -> None:
    splits = {"validation": 0.15, "test": 0.25}
    data = load({"splits": splits}, seed, train=rows())
    for part, share in {**splits, "train": 0.6}.items():
        counts = label_counts(parts(data)[part])
        for label, count in Counter(LABELS).items():
            assert abs(counts[label] - share * count) <= 1
    drawn = [row for of in ids(data).values() for row in of]
    assert len(drawn) == len(set(drawn)) == len(LABELS)


def test_carved_rows_keep_their_text_and_label(load: Load) -> None:
    for split in parts(load(train=rows())).values():
        for row in split:
            assert row["text"] == f"text {row['example_id']}"
            assert split.features["label"].int2str(row["label"]) == LABELS[row["example_id"]]


def test_the_splits_of_the_source_are_known(load: Load) -> None:
    carved = load(train=rows())
    assert carved.source_splits == {"train": "train", "validation": "train", "test": "train"}
    own = load(train=rows(), dev=rows(), test=rows())
    assert facts(own)["source_splits"] == {"train": "train", "validation": "dev", "test": "test"}


def test_texts_of_the_test_are_stored_with_their_index(load: Load) -> None:
    pairs = rows(second=[f"second {row}" for row in range(len(LABELS))])
    data = load({"text": ("text", "second")}, train=pairs)
    texts = texts_to_store(data)
    assert [text.example_id for text in texts] == data.test["example_id"][:]
    assert all(text.text == f"text {text.example_id}" for text in texts)
    assert all(text.text_pair == f"second {text.example_id}" for text in texts)
    assert {text.text_pair for text in texts_to_store(load(train=rows()))} == {None}


def test_the_seed_decides_the_split(load: Load) -> None:
    first, same, other = (load(None, seed, train=rows()) for seed in (1, 1, 2))
    assert (ids(first), first.content_hash) == (ids(same), same.content_hash)
    assert ids(first)["test"] != ids(other)["test"]
    assert first.content_hash != other.content_hash


def test_limits_are_stratified_samples_and_do_not_move_the_split(load: Load) -> None:
    whole = load(train=rows())
    limit = {"train": 40, "validation": 5, "test": 500}
    some = load({"limit": limit}, train=rows())
    assert label_counts(some.train) == pytest.approx({"a": 23.3, "b": 11.7, "c": 5}, abs=1)
    assert [len(some.train), len(some.validation)] == [40, 5]
    assert set(ids(some)["train"]) < set(ids(whole)["train"])
    assert set(ids(some)["validation"]) < set(ids(whole)["validation"])
    assert ids(some)["test"] == ids(whole)["test"]


def test_a_limit_of_one_row_less_than_there_are(load: Load) -> None:
    assert len(load({"limit": {"train": 102}}, train=rows(), test=rows(), dev=rows()).train) == 102


# Labels


@pytest.mark.parametrize(
    ("labels", "spec", "names", "numbers"),
    [
        (["no", "yes", "no"], {}, ("no", "yes"), [0, 1, 0]),
        ([True, False, True], {}, ("False", "True"), [1, 0, 1]),
        ([True, False, True], {"label_names": ["bad", "good"]}, ("bad", "good"), [1, 0, 1]),
        ([10, 2, 10], {}, ("2", "10"), [1, 0, 1]),
        ([0, 1, 1], {"label_names": ["neg", "pos"]}, ("neg", "pos"), [0, 1, 1]),
        (["no", "yes", "no"], {"label_names": ["yes", "no"]}, ("yes", "no"), [1, 0, 1]),
    ],
)
def test_kinds_of_labels(
    load: Load, labels: list[Any], spec: dict[str, Any], names: tuple[str, ...], numbers: list[int]
) -> None:
    spec = {key: tuple(value) for key, value in spec.items()}
    data = load(spec, train=rows(labels), validation=rows(labels), test=rows(labels))
    assert data.label_names == names
    assert data.train["label"][:] == data.test["label"][:] == numbers


def test_class_labels_of_splits_are_matched_by_name(load: Load) -> None:
    train = class_labels(["neg", "pos", "never"], [0, 1, 1])
    test = class_labels(["pos", "neg"], [0, 0, 1])
    data = load(train=train, test=test, dev=train)
    assert data.label_names == ("neg", "pos", "never")
    assert data.test["label"][:] == [1, 1, 0]
    assert label_counts(data.train) == {"neg": 1, "pos": 2, "never": 0}


def test_pairs(load: Load) -> None:
    pairs = rows(second=[f"second {row}" for row in range(len(LABELS))])
    data = load({"text": ("text", "second")}, train=pairs)
    assert all(row["text_pair"] == f"second {row['example_id']}" for row in data.test)
    assert "text_pair" not in load(train=rows()).test.column_names


# The same content


def test_every_format_gives_the_same_data(tmp_path: Path) -> None:
    frame = pd.DataFrame(rows())
    folder = tmp_path / "with space é 模"
    folder.mkdir()
    frame.to_csv(folder / "a.csv", index=False)
    frame.to_csv(folder / "a.tsv", index=False, sep="\t")
    frame.to_json(folder / "a.json", orient="records")
    frame.to_json(folder / "a.jsonl", orient="records", lines=True)
    frame.to_parquet(folder / "a.parquet")
    datasets.Dataset.from_dict(rows()).save_to_disk(folder / "saved")
    loaded = [load_splits(DataSpec(dataset=str(path)), 42) for path in sorted(folder.iterdir())]
    assert len(loaded) == 6
    assert len({data.content_hash for data in loaded}) == 1
    assert all(ids(data) == ids(loaded[0]) for data in loaded)


def test_the_hash_is_that_of_texts_labels_and_splits(load: Load) -> None:
    one, two, three = rows(["a", "b"]), rows(["b", "a"]), rows(["a", "b", "b"])
    others = [
        load(train=two, validation=one, test=two),
        load(train=one, validation=two, test=one),
        load(train=three, validation=one, test=two),
        load(train=one | {"text": ["x", "y"]}, validation=one, test=two),
        load(train=rows(["a", "c"]), validation=rows(["a", "c"]), test=rows(["c", "a"])),
    ]
    first = load(None, 1, train=one, validation=one, test=two)
    assert first.content_hash == load(None, 2, train=one, validation=one, test=two).content_hash
    assert first.content_hash == "799984ce907758fb"
    assert len({first.content_hash, *(other.content_hash for other in others)}) == 6


def test_facts_are_plain_values(load: Load) -> None:
    data = load(train=rows(), validation=rows(["a", "b"]), test=rows(["c", "a", "c"]))
    assert facts(data) == {
        "hash": data.content_hash,
        "labels": ["a", "b", "c"],
        "source_splits": {part: part for part in ("train", "validation", "test")},
        "rows": {"train": 103, "validation": 2, "test": 3},
        "test_label_counts": {"a": 1, "b": 0, "c": 2},
    }
    assert len(data.content_hash) == 16


@pytest.mark.skipif(not AG_NEWS.is_dir(), reason=f"needs the AG News sample in {AG_NEWS}")
def test_ag_news() -> None:
    data = load_splits(DataSpec(dataset=str(AG_NEWS)), 42)
    assert data.label_names == ("World", "Sports", "Business", "Sci/Tech")
    assert facts(data)["rows"] == {"train": 2000, "validation": 500, "test": 1000}
    assert facts(data)["test_label_counts"] == dict.fromkeys(data.label_names, 250)
    carved = load_splits(DataSpec(dataset=str(AG_NEWS / "train.parquet")), 42)
    assert facts(carved)["rows"] == {"train": 1400, "validation": 200, "test": 400}
    assert carved.label_names == data.label_names


def test_data_modules_import_neither_ray_nor_torch() -> None:
    code = (
        "import sys, raycompare.data.splits, raycompare.data.sources, raycompare.data.docstrings;"
        "print({'ray', 'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
