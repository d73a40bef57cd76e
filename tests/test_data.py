from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow.parquet as pq
import pytest
from ray import cloudpickle
from transformers import PreTrainedTokenizerBase

from raycompare.data import LabelledData, TokenizedData, facts, label_counts, load_splits, tokenize
from raycompare.errors import Problem
from raycompare.sources import DataProblems
from raycompare.spec import DataSpec
from tests.tiny import FILLER, SPECIAL, tokenizer_for

SHARED = Path(__file__).parents[2] / "shared"
AG_NEWS = SHARED / "data_small" / "ag_news"
LABELS = ["a"] * 60 + ["b"] * 30 + ["c"] * 13


def rows(labels: list[Any] = LABELS, **more: list[Any]) -> dict[str, list[Any]]:
    return {"text": [f"text {row}" for row in range(len(labels))], "label": labels, **more}


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., LabelledData]:
    """Load splits given as keyword arguments; `spec` has the rest of the DataSpec."""

    def save_and_load(
        spec: dict[str, Any] | None = None, seed: int = 42, **splits: Any
    ) -> LabelledData:
        for name, split in splits.items():
            made = (
                split if isinstance(split, datasets.Dataset) else datasets.Dataset.from_dict(split)
            )
            pq.write_table(made.with_format("arrow")[:], tmp_path / f"{name}.parquet")
        data = load_splits(DataSpec(dataset=str(tmp_path), **(spec or {})), seed)
        for name in splits:
            (tmp_path / f"{name}.parquet").unlink()
        return data

    return save_and_load


Load = Callable[..., LabelledData]


def parts(data: LabelledData | TokenizedData) -> dict[str, datasets.Dataset]:
    return {"train": data.train, "validation": data.validation, "test": data.test}


def ids(data: LabelledData) -> dict[str, list[int]]:
    return {part: split["example_id"][:] for part, split in parts(data).items()}


def problems(load: Load, *args: Any, **splits: Any) -> list[Problem]:
    with pytest.raises(DataProblems) as caught:
        load(*args, **splits)
    return caught.value.problems


def problem(load: Load, *args: Any, **splits: Any) -> Problem:
    found = problems(load, *args, **splits)
    assert len(found) == 1, found
    return found[0]


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


def class_labels(names: list[str], labels: list[int | None]) -> datasets.Dataset:
    features = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)}
    return datasets.Dataset.from_dict(rows(labels), datasets.Features(features))


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


# Problems

TWO = rows(["a", "b"])
FINE = {"train": TWO, "validation": TWO, "test": TWO}
NO_TEXT = {"text": ["x", None, " ", "y", "", None, "\t", None], "label": ["a", "b"] * 4}
IN_TEXT = "column 'text' of split 'train'"
ROOMY = "a split of its own, or a share of train"
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
    "label of another type": ({}, {"train": SCORES}, ("data.label", "double", "integers", None)),
    "empty texts": (
        {},
        {"train": NO_TEXT},
        ("data.text", "6 of its rows (number 1, 2, 4, 5, 6 and 1 more", "every row", "remove"),
    ),
    "missing labels": (
        {},
        {"test": rows(["a", None])},
        ("data.label", "of split 'test', empty in 1 of its rows (number 1,", "every row", "fill"),
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
        ("data.splits.test", "'validation', which data.splits.validation is", ROOMY, None),
    ),
    "one label": (
        {},
        dict.fromkeys(FINE, rows(["a", "a"])),
        ("data.label", "one label in split 'train': a", "two labels", None),
    ),
    "a label that train lacks": (
        {},
        {"test": rows(["a", "bb", "bb"])},
        ("data.label", "'bb' in split 'test', 2 of its rows (number 1, 2", "'train': a, b", "'b'?"),
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
            "left out: the data set itself names them neg, pos",
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
    "too few rows to carve two splits": (
        {"splits": {"test": 0.2, "validation": 0.2}},
        {"train": rows([*LABELS, "d", "d"])},
        ("data.splits.test", "'train': 2 of 'd'", "3 or more", "name a split"),
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
        ("data.limit.train", "2 rows to train on, none of them of 'c'", "each label", "more rows"),
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


# Tokens


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    """Words are tokens; 64 at most, two of them special, three for pairs."""
    made = tokenizer_for([*SPECIAL, *FILLER])
    made.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    return made


def sentences(lengths: list[int]) -> dict[str, list[Any]]:
    texts = [" ".join(["old"] * length) for length in lengths]
    return {"text": texts, "label": ["a", "b"] * (len(lengths) // 2)}


@pytest.fixture
def long_and_short(load: Load) -> LabelledData:
    short = sentences([1, 8])
    return load(train=sentences([*range(1, 101)]), validation=short, test=short)


def test_tokens_are_cut_and_not_padded(
    long_and_short: LabelledData, tokenizer: PreTrainedTokenizerBase
) -> None:
    tokens = tokenize(long_and_short, tokenizer, 10)
    assert [len(ids) for ids in tokens.train["input_ids"]] == [*range(3, 10), *[10] * 93]
    assert tokens.max_length == 10
    assert tokens.truncated_share == 92 / 104
    assert tokens.test[0] == {
        "input_ids": tokenizer("old")["input_ids"],
        "token_type_ids": [0, 0, 0],
        "attention_mask": [1, 1, 1],
        "labels": 0,
    }
    assert tokens.train["labels"][:] == long_and_short.train["label"][:]
    assert tokens.example_ids == (0, 1)


@pytest.mark.parametrize(
    ("asked", "resolved"), [("p1", 4), ("p50", 53), ("p99", 64), (64, 64), (65, 64), (10**6, 64)]
)
def test_max_length(
    long_and_short: LabelledData,
    tokenizer: PreTrainedTokenizerBase,
    asked: int | str,
    resolved: int,
) -> None:
    assert tokenize(long_and_short, tokenizer, asked).max_length == resolved


def test_percentiles_are_those_of_the_training_texts(
    load: Load, tokenizer: PreTrainedTokenizerBase
) -> None:
    other = sentences([30] * 4)
    data = load(train=sentences([3, 5, 4, 6]), validation=other, test=other)
    tokens = tokenize(data, tokenizer, "p100")
    assert (tokens.max_length, tokens.truncated_share) == (8, 8 / 12)


def test_max_length_needs_room_beside_the_special_tokens(
    load: Load, tokenizer: PreTrainedTokenizerBase
) -> None:
    pairs = rows(pair=["near"] * len(LABELS))
    assert tokenize(load(train=pairs), tokenizer, 3).max_length == 3
    with pytest.raises(DataProblems, match=r"data\.max_length\n.*3\n.*more than the 3 special"):
        tokenize(load({"text": ("text", "pair")}, train=pairs), tokenizer, 3)


def test_tokens_of_pairs(load: Load, tokenizer: PreTrainedTokenizerBase) -> None:
    pairs = {"text": ["old", "small"], "label": ["a", "b"], "pair": ["far", "near here"]}
    data = load({"text": ("text", "pair")}, train=pairs, validation=pairs, test=pairs)
    tokens = tokenize(data, tokenizer, 16)
    assert tokens.test["input_ids"][:] == tokenizer(pairs["text"], pairs["pair"])["input_ids"]
    assert tokens.test["token_type_ids"][1] == [0, 0, 0, 1, 1, 1]


def test_tokens_are_in_memory_and_survive_pickling(
    load: Load, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    tokens = tokenize(load(train=sentences([*range(1, 51)] * 40)), tokenizer, 16)
    pickled = cloudpickle.dumps(tokens)
    assert str(tmp_path).encode() not in pickled
    assert all(split.cache_files == [] for split in parts(tokens).values())
    again = cloudpickle.loads(pickled)
    for part, split in parts(tokens).items():
        assert parts(again)[part][:] == split[:]
    assert (again.max_length, again.example_ids) == (tokens.max_length, tokens.example_ids)
    assert sum(map(len, parts(again).values())) == 2000


def test_tokenizing_prints_nothing_and_leaves_progress_bars_on(
    long_and_short: LabelledData,
    tokenizer: PreTrainedTokenizerBase,
    capfd: pytest.CaptureFixture[str],
) -> None:
    tokenize(long_and_short, tokenizer, "p99")
    assert capfd.readouterr() == ("", "")
    assert not datasets.are_progress_bars_disabled()


def test_data_modules_import_neither_ray_nor_torch() -> None:
    code = (
        "import sys, raycompare.data, raycompare.sources, raycompare.docstrings;"
        "print({'ray', 'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
