"""Files of data that can't be used: what is in them, and what is answered."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Content = bytes | str | Callable[[Path], None]
"""What a file holds, or what makes it."""

GOOD = "text,label\n" + "".join(f"text {row},{'ab'[row % 2]}\n" for row in range(60))
UTF8 = "in UTF-8"


@dataclass(frozen=True, kw_only=True)
class Bad:
    """One data set, or one setting, that is wrong."""

    files: Mapping[str, Content] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    """The section of the experiment; `dataset` is by default the first file."""
    where: str = "data.dataset"
    says: str


def csv(*rows: str, header: str = "text,label") -> str:
    return "\n".join([header, *rows]) + "\n"


def parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def rows_of(*labels: Any, texts: list[Any] | None = None) -> bytes:
    return parquet(text=texts or [f"text {row}" for row in range(len(labels))], label=[*labels])


WHOLE = rows_of(*"ab" * 40)
TEXT, LABEL = "data.text", "data.label"

ENCODINGS: dict[str, Bad] = {
    f"{name} {ending}": Bad(files={f"a.{ending}": made}, says=says)
    for ending, text in (
        ("csv", GOOD),
        ("tsv", GOOD.replace(",", "\t")),
        ("jsonl", '{"text": "x", "label": "a"}\n' * 4),
        ("json", '[{"text": "x", "label": "a"}]'),
    )
    for name, made, says in (
        ("utf-16", text.encode("utf-16"), "it is in UTF-16"),
        ("utf-16 big", codecs.BOM_UTF16_BE + text.encode("utf-16-be"), "iconv -f UTF-16"),
        ("utf-32", text.encode("utf-32"), "it is in UTF-32"),
        ("latin-1", text.replace("x", "é").replace("text 7", "é").encode("latin-1"), "LATIN1"),
        ("cut in a character", f"{text}é".encode()[:-1], "can't decode"),
        ("binary", bytes(range(256)) * 4, "can't"),
    )
}

CSV: dict[str, Bad] = {
    name: Bad(files={"a.csv": content}, where=where, says=says)
    for name, (content, where, says) in {
        "nothing in it": ("", "data.dataset", "No columns"),
        "blank lines only": ("\n\n\n", "data.dataset", "No columns"),
        "a header only": ("text,label\n", "data.splits.train", "0 rows"),
        "more fields than columns": (csv("x,a", "y,b,c"), "data.dataset", "line 3, saw 3"),
        "more fields in all rows": (csv("x,a,1", "y,b,2"), "data.dataset", "line 2, saw 3"),
        "an open quote": (csv('"x,a', "y,b"), "data.dataset", "is never closed"),
        "an open quote at the end": (csv("x,a", 'y,"b'), "data.dataset", "is never closed"),
        "fewer fields": (csv("x,a", "y", "z,b"), LABEL, "empty in 1 of its rows (1,"),
        "no header": ("good,a\nbad,b\n", TEXT, "one of: good, a"),
        "semicolons": ("text;label\nx;a\n", TEXT, "one of: text;label"),
        "empty texts": (csv(",a", "x,b", " ,a", "\t,b"), TEXT, "empty in 3 of its rows"),
        "only empty texts": (csv(",a", ",b", ",a"), TEXT, "empty in 3 of its rows"),
        "empty labels": (csv("x,", "y,b"), LABEL, "empty in 1 of its rows"),
        "only empty labels": (csv("x,", "y,"), LABEL, "empty in 2 of its rows"),
        "labels with decimals": (csv("x,0.5", "y,1.5"), LABEL, "of type double"),
        "whole numbers with decimals": (csv("x,0.0", "y,1.0"), LABEL, "integers or strings"),
        "dates as labels": (csv(*["x,2020-01-01"] * 4), LABEL, "one label in split"),
        "one class": (csv(*["x,a"] * 30), LABEL, "one label in split 'train': a"),
        "one row": (csv("x,a"), LABEL, "one label"),
        "one row of each class": (csv("x,a", "y,b"), "data.splits.test", "2 rows of 2 labels"),
        "fewer rows than carved parts": (
            csv("x,a", "y,b", "z,a"),
            "data.splits.validation",
            "0 of 3 rows",
        ),
        "every row its own class": (
            csv(*(f"x,{row}" for row in range(50))),
            "data.splits.test",
            "50 rows of 50 labels",
        ),
        "another name of the label": (GOOD.replace("label", "Label"), LABEL, "'Label'?"),
        "another name of the text": (GOOD.replace("text,", "texts,"), TEXT, "'texts'?"),
        "a thousand columns": (",".join(f"c{n}" for n in range(1000)) + "\n", TEXT, "and 980 more"),
        "a huge first line": ("word " * 400_000, TEXT, "no column 'text'"),
        "a nul in the header": (
            "te\0xt,label\nx,a\n",
            "data.dataset",
            "a.csv:1 can't be read: a NUL",
        ),
        "a huge integer": (csv(f"x,{10**30}.5", "y,1"), LABEL, "of type"),
        "html": ("<html><body>404</body></html>\n", TEXT, "no column"),
        "a git lfs pointer": (
            "version https://git-lfs.github.com/spec/v1\n",
            "data.dataset",
            "git lfs pull",
        ),
    }.items()
}

JSON: dict[str, Bad] = {
    f"{name} ({file})": Bad(files={file: content}, where=where, says=says)
    for name, (file, content, where, says) in {
        "empty": ("a.jsonl", "", TEXT, "there are no columns"),
        "blank": ("a.json", " \n ", TEXT, "there are no columns"),
        "an empty array": ("a.json", "[]", TEXT, "no column 'text'"),
        "no objects": ("a.json", "[1, 2]", "data.dataset", "item 0 is not an object"),
        "lines that are no objects": ("a.jsonl", "1\n2\n", "data.dataset", "a.jsonl:1 can't"),
        "a comma too much": ("a.json", '[{"text": "x"},]', "data.dataset", "can't be read"),
        "cut off": ("a.jsonl", '{"text": "x", "la', "data.dataset", "can't be read"),
        "an open array": ("a.json", '[{"text": "x"}', "data.dataset", "Expecting"),
        "one object": ("a.json", '{"train": [{"text": "x"}]}', TEXT, "one of: train"),
        "texts that are numbers": ("a.jsonl", '{"text": 1, "label": "a"}\n', TEXT, "type int64"),
        "texts that are lists": ("a.jsonl", '{"text": ["x"], "label": 0}\n', TEXT, "list<"),
        "labels that are lists": ("a.jsonl", '{"text": "x", "label": [0]}\n', LABEL, "list<"),
        "labels that are objects": (
            "a.jsonl",
            '{"text": "x", "label": {"a": 1}}\n',
            LABEL,
            "struct",
        ),
        "labels that are null": ("a.jsonl", '{"text": "x", "label": null}\n', LABEL, "empty in 1"),
        "labels that are NaN": ("a.json", '[{"text": "x", "label": NaN}]', LABEL, "empty in 1"),
        "labels of two types": (
            "a.jsonl",
            '{"text": "x", "label": 1}\n{"text": "y", "label": "b"}\n',
            "data.dataset",
            "a number in row 0, text in row 1",
        ),
        "labels of two types in an array": (
            "a.json",
            '[{"text": "x", "label": 1}, {"text": "y", "label": "b"}]',
            "data.dataset",
            "can't be read",
        ),
        "a label too large": (
            "a.json",
            f'[{{"text": "x", "label": {10**40}}}]',
            LABEL,
            "one label in split 'train': 1000",
        ),
        "brackets without end": ("a.json", "[" * 100_000, "data.dataset", "Recursion"),
        "null texts": ("a.jsonl", '{"text": null, "label": 1}\n' * 2, TEXT, "empty in 2"),
        "a surrogate": ("a.json", '[{"text": "\\ud800", "label": "a"}]', "data.dataset", "can't"),
    }.items()
}

PARQUET: dict[str, Bad] = {
    name: Bad(files={"a.parquet": content}, where=where, says=says)
    for name, (content, where, says) in {
        "empty file": (b"", "data.dataset", "can't be read"),
        "cut off": (WHOLE[:-20], "data.dataset", "magic bytes not found"),
        "without its head": (WHOLE[20:], "data.dataset", "can't be read"),
        "only its tail": (WHOLE[-8:], "data.dataset", "can't be read"),
        "text of bytes": (parquet(text=[b"x"], label=["a"]), TEXT, "of type binary"),
        "text of numbers": (parquet(text=[1.5], label=["a"]), TEXT, "of type double"),
        "labels of numbers": (rows_of(0.5, 1.5), LABEL, "of type double"),
        "labels of lists": (rows_of([1], [2]), LABEL, "of type list"),
        "labels of structs": (rows_of({"a": 1}), LABEL, "struct"),
        "labels of nulls": (rows_of(None, None), LABEL, "empty in 2"),
        "some null labels": (rows_of("a", None, "b"), LABEL, "empty in 1"),
        "no rows": (rows_of(), "data.splits.train", "0 rows"),
        "no columns": (parquet(), "data.splits.train", "0 rows"),
        "null texts": (rows_of("a", "b", texts=["x", None]), TEXT, "empty in 1"),
        "texts that are maps": (
            parquet(text=pa.array([[("k", 1)]], pa.map_("string", "int64")), label=["a"]),
            "data.dataset",
            "can't be read",
        ),
        "blank labels": (rows_of("a", " ", "b"), LABEL, "empty in 1"),
    }.items()
}

FILES = {**ENCODINGS, **CSV, **JSON, **PARQUET}
