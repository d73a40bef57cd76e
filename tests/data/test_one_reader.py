"""A table in any format and dialect comes back the same through each door that reads it."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raycompare.data.sources import open_source
from raycompare.data.splits import PARTS, load_splits
from raycompare.errors import UserError
from raycompare.experiment.spec import DataSpec
from raycompare.serving.http_api import PredictRequest
from raycompare.serving.input_files import FAULT, ROW, Columns, open_input

Rows = Sequence[tuple[str, Any]]
BOM = b"\xef\xbb\xbf"
ODD_IDS = [10**4000, None, "x", [1], {"a": 1}, 2.5, "2024-01-05", True, float("nan")]


def delimited(rows: Rows, separator: str, quoting: Any, end: str) -> bytes:
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=separator, quoting=quoting, lineterminator=end)
    writer.writerow(["id", "text", "label"])
    writer.writerows([10**30 + row, *both] for row, both in enumerate(rows))
    return sink.getvalue().encode()


def unquoted(rows: Rows) -> bytes:
    lines = [f"{number}\t{text}\t{label}\n" for number, (text, label) in enumerate(rows)]
    return "".join(["id\ttext\tlabel\n", *lines]).encode()


def objects(rows: Rows) -> list[dict[str, Any]]:
    return [
        {"id": ODD_IDS[row % len(ODD_IDS)], "text": text, "label": label}
        for row, (text, label) in enumerate(rows)
    ]


def lines(rows: Rows, ascii_only: bool) -> bytes:
    made = [json.dumps(each, ensure_ascii=ascii_only) for each in objects(rows)]
    return ("\n\n".join(made) + "\n \n").encode()


def parquet(rows: Rows, kind: pa.DataType) -> bytes:
    texts, labels = zip(*rows, strict=True)
    odd = pa.array([[("k", 1)]] * len(rows), pa.map_(pa.string(), pa.int64()))
    table = pa.table({"id": odd, "text": pa.array(texts, kind), "label": list(labels)})
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=5)
    return sink.getvalue()


TSV = ("tsv", False)
WRITERS: dict[str, tuple[str, Callable[[Rows], bytes]]] = {
    "csv": ("csv", lambda rows: delimited(rows, ",", csv.QUOTE_MINIMAL, "\n")),
    "csv of Windows": ("csv", lambda rows: delimited(rows, ",", csv.QUOTE_ALL, "\r\n")),
    "tsv": ("tsv", lambda rows: delimited(rows, "\t", csv.QUOTE_MINIMAL, "\n")),
    "tsv, all in quotes": ("tsv", lambda rows: delimited(rows, "\t", csv.QUOTE_ALL, "\r\n")),
    "tsv of GLUE": ("tsv", unquoted),
    "jsonl": ("jsonl", lambda rows: lines(rows, False)),
    "jsonl in ASCII": ("jsonl", lambda rows: lines(rows, True)),
    "json": ("json", lambda rows: json.dumps(objects(rows), indent=1).encode()),
    "parquet": ("parquet", lambda rows: parquet(rows, pa.string())),
    "large parquet": ("parquet", lambda rows: parquet(rows, pa.large_string())),
    "categories": ("parquet", lambda rows: parquet(rows, pa.dictionary(pa.int32(), pa.string()))),
}
letters = st.sampled_from([*"ab \"',;|\t\n\r\\/{[#", "é", "\u0301", "模", "🙂", "\u2028", "\x85"])
texts = st.text(letters, min_size=1, max_size=8).filter(lambda text: text.strip() != "")
labels = st.sampled_from(
    [
        ("pos", "neg"),
        ("0", "1"),
        ("01", "1"),
        ("true", "false"),
        ("True", "False"),
        ("-1", "10"),
        (str(10**30), "7"),
        ("tiêu cực", "a,b"),
        (0, 1),
        (True, False),
    ]
)


def through_training(path: Path) -> list[tuple[str, str]]:
    split = open_source(DataSpec(dataset=str(path)))["train"]
    return list(zip(split["text"][:], map(str, split["label"][:]), strict=True))


def through_data(path: Path) -> list[tuple[str, str]]:
    data = load_splits(DataSpec(dataset=str(path)), 0)
    rows: dict[int, tuple[str, str]] = {}
    for part in PARTS:
        split = getattr(data, part)
        own = zip(split["example_id"][:], split["text"][:], split["label"][:], strict=True)
        rows |= {row: (text, data.label_names[label]) for row, text, label in own}
    return [rows[row] for row in range(len(rows))]


def through_predict(path: Path) -> list[tuple[str, str]]:
    source = open_input(str(path), Columns(text=("text",), label="label"))
    tables = [table for piece in source.pieces for table in source.read(piece, 7)]
    table = pa.concat_tables(tables)
    assert table[ROW].to_pylist() == list(range(table.num_rows))
    assert table[FAULT].null_count == table.num_rows
    return list(zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True))


def through_http(rows: Rows) -> list[str]:
    body = json.dumps({"text": [text for text, _ in rows]})
    return [text for (text,) in PredictRequest.model_validate_json(body).rows]


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=10, derandomize=True)
@given(st.lists(texts, min_size=24, max_size=30), labels, st.booleans(), st.booleans())
def test_a_table_comes_back_the_same(
    name: str, found: list[str], pair: tuple[Any, Any], marked: bool, compressed: bool
) -> None:
    ending, write = WRITERS[name]
    if ending in ("csv", "tsv"):
        pair = (str(pair[0]), str(pair[1]))
    if name == "tsv of GLUE":
        found = ['"Quite, a film', *(" ".join(text.split()) for text in found)]
    rows = [(text, pair[row % 2]) for row, text in enumerate(found)]
    content = write(rows)
    if marked and ending != "parquet":
        content = BOM + content
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{ending}{'.gz' if compressed else ''}"
        path.write_bytes(gzip.compress(content, 1, mtime=0) if compressed else content)
        expected = [(text, str(label)) for text, label in rows]
        assert through_training(path) == expected
        assert through_data(path) == expected
        assert through_predict(path) == expected
    assert through_http(rows) == found


HEADER = "text\tlabel\n"


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ('"Quite bad\t0\ngood\t1\n"Quite good\t1\n', ['"Quite bad', "good", '"Quite good']),
        ('"all of it"\t0\ngood\t1\n', ['"all of it"', "good"]),
        ('he said "no"\t0\n"no" he said\t1\n', ['he said "no"', '"no" he said']),
        ('"he said ""no"""\t0\ngood\t1\n', ['he said "no"', "good"]),
        ('"two\nlines"\t0\ngood\t1\n', ["two\nlines", "good"]),
        ('"a tab\tin it"\t0\n"good"\t1\n', ["a tab\tin it", "good"]),
        ("bad\rfilm\t0\ngood\t1\n", ["bad\rfilm", "good"]),
        ('"a\tb\nc"\t0\n' + "good\t1\n" * 3, ["a\tb\nc", "good", "good", "good"]),
        ('"so\t0\nand so"\t0\n' + "good\t1\n" * 2, ['"so', 'and so"', "good", "good"]),
        ('"so\t1\nx\t0\nand so"\t0\n' + "good\t1\n", ['"so', "x", 'and so"', "good"]),
    ],
)
def test_quotation_marks_of_a_tsv_enclose_fields_only_if_it_is_written_so(
    tmp_path: Path, rows: str, expected: list[str]
) -> None:
    path = tmp_path / "a.tsv"
    path.write_text(HEADER + rows)
    assert [text for text, _ in through_training(path)] == expected
    assert [text for text, _ in through_predict(path)] == expected


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "text,text,label\nx,y,0\n", "'text' twice"),
        ("a.tsv", "label\ttext\tlabel\n0\tx\t1\n", "'label' twice"),
        ("a.jsonl", '{"text": "x", "label": 0}\n{"text": "x", "text": "y"}\n', ":2 can't be read"),
        ("a.json", '[{"text": "x", "label": 1, "label": 0}]', "the key 'label' twice"),
        ("a.parquet", pa.table([["x"], ["y"], [0]], names=["text", "text", "label"]), "twice"),
        ("a.csv", 'text,label\n"x,0\ny,1\n', "a.csv:2 can't be read: a quotation mark"),
        ("a.csv", 'text,label\nx,0\n"y,1\nz" z,0\n', "a.csv:3 can't be read: a quotation mark"),
        ("a.tsv", 'text\tlabel\n"x\t0\nlabelless\n"y\t1\n', "a.tsv:2 can't be read"),
        ("a.csv", "text,label\nx,0\ny,1,2\n", "a.csv:3 can't be read: Expected 2 fields"),
        ("a.csv", b"text,label\nit\x92s,0\n", "iconv -f WINDOWS-1252"),
        ("a.jsonl", b'{"text": "caf\xe9", "label": 0}\n', "iconv -f LATIN1"),
        ("a.jsonl", '{"text": "x", "label": 0}\n'.encode("utf-16"), "it is in UTF-16"),
        ("a.csv", "text,label\nx,0\n".encode("utf-16"), "it is in UTF-16"),
        ("a.csv", "text,label\nx,0\n".encode("utf-16-be"), "iconv -f UTF-16BE"),
        ("a.csv.gz", gzip.compress(b"text,label\nx,0\n", mtime=0)[:-6], "a complete gzip file"),
        ("a.parquet", b"PAR1", "well-formed parquet"),
        *[
            (
                f"a.{ending}",
                "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
                "lfs pull",
            )
            for ending in ("csv", "tsv", "jsonl", "json", "parquet", "csv.gz")
        ],
        ("a.csv", "text;label\nx;0\n", "separated by semicolons"),
        ("a.csv", "text;label\nx, y;0\n", "separated by semicolons"),
        ("a.csv", "sep=;\ntext;label\nx, y;0\n", "remove the first line"),
        ("a.csv", "text\tlabel\nx\t0\n", "separated by tabs"),
        ("a.tsv", "text,label\nx,0\n", "separated by commas"),
        ("a.csv", "sep=;\ntext;label\nx;0\n", "remove the first line"),
        ("a.tsv", "a film that is not good\t0\na good film\t1\n", "a header is missing"),
    ],
)
def test_what_can_not_be_read_is_told_alike_by_training_and_predict(
    tmp_path: Path, name: str, content: Any, words: str
) -> None:
    path = tmp_path / name
    if isinstance(content, pa.Table):
        pq.write_table(content, path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError) as training:
        load_splits(DataSpec(dataset=str(path)), 0)
    with pytest.raises(UserError) as predict:
        through_predict(path)
    assert words in str(training.value)
    assert words in str(predict.value)


def test_fields_of_jsonl_may_appear_later(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"note": 1}, *({"text": f"text {row}", "label": row % 2} for row in range(40))]
    path.write_text("\n".join(map(json.dumps, rows)))
    source = open_input(str(path), Columns(text=("text",), label="label"))
    (table,) = [table for piece in source.pieces for table in source.read(piece, 100)]
    assert table["label"].to_pylist() == [None, *("01"[row % 2] for row in range(40))]
    assert table[FAULT].to_pylist()[:2] == ["text is missing", None]
    split = open_source(DataSpec(dataset=str(path)))["train"]
    assert split["text"][:2] == [None, "text 0"]


def test_half_a_surrogate_pair_is_a_row_without_a_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "so good \\ud83d", "label": "a\\ud83d"}\n{"text": "x", "label": "a"}')
    source = open_input(str(path), Columns(text=("text",), label="label"))
    (table,) = [table for piece in source.pieces for table in source.read(piece, 100)]
    assert "not valid Unicode" in table[FAULT].to_pylist()[0]
    assert table["label"].to_pylist() == [None, "a"]
    with pytest.raises(UserError, match=r"'text' has text that is not valid Unicode in 1 of its"):
        load_splits(DataSpec(dataset=str(path)), 0)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([b"x"]),
        pa.array([0], pa.timestamp("s")),
        pa.array([0], pa.time64("us")),
        pa.array([1], pa.decimal128(5, 2)),
        pa.array([1]),
        pa.array([["x"]]),
    ],
    ids=lambda column: str(column.type),
)
def test_a_text_of_another_type_is_told_once_and_before_anything_is_read(
    tmp_path: Path, column: pa.Array
) -> None:
    pq.write_table(pa.table({"text": column, "label": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(UserError) as raised:
        open_input(str(tmp_path / "a.parquet"), Columns(text=("text",)))
    assert "--text-column\n  found    column 'text' of" in str(raised.value)
    written = pq.read_schema(tmp_path / "a.parquet").field("text").type
    assert f"of type {written}\n  allowed  strings" in str(raised.value)
    with pytest.raises(UserError, match="of type"):
        load_splits(DataSpec(dataset=str(tmp_path / "a.parquet")), 0)


def test_labels_of_a_csv_are_text_and_whole_numbers_are_ordered_as_numbers(tmp_path: Path) -> None:
    def names(*labels: str) -> tuple[str, ...]:
        rows = [f"text {row},{label}\n" for row, label in enumerate(labels * 20)]
        (tmp_path / "a.csv").write_text("".join(["text,label\n", *rows]))
        return load_splits(DataSpec(dataset=str(tmp_path / "a.csv")), 0).label_names

    assert names("10", "9", "-1") == ("-1", "9", "10")
    assert names("10", "09", "1") == ("09", "1", "10")
    assert names("10", "9", "many") == ("10", "9", "many")
    assert names("1" * 23, "2" * 23) == ("1" * 23, "2" * 23)
    with pytest.raises(UserError, match="of type double"):
        names("0.5", "1")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_lines_end_as_the_header_does(tmp_path: Path, end: str) -> None:
    rows = ["text,label", "x,a", "", '"two' + end + 'lines",b', "y,a"]
    (tmp_path / "a.csv").write_bytes((end.join(rows) + end).encode())
    lines = "two" + end + "lines"
    assert through_training(tmp_path / "a.csv") == [("x", "a"), (lines, "b"), ("y", "a")]
    assert through_predict(tmp_path / "a.csv") == [("x", "a"), (lines, "b"), ("y", "a")]
