"""Data sets in patterns, folders of splits, archives, and a bucket (moto's S3)."""

from __future__ import annotations

import gzip
import sys
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from unittest import mock

import boto3
import datasets
import pandas as pd
import pytest
from moto.server import ThreadedMotoServer

from tests.data.test_sources import ROWS, WRITERS, contents, opened, problem, write

BUCKET = "data"
ENDPOINT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def csv_of(*texts: str) -> bytes:
    return pd.DataFrame({"text": texts, "label": ["a"] * len(texts)}).to_csv(index=False).encode()


def texts(path: Path | str, **more: str) -> dict[str, list[str]]:
    return {name: split["text"][:] for name, split in opened(path, **more).items()}


def zipped(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_csv", ".csv"), content)
    return path


# Patterns


def test_files_that_match_are_train_in_the_order_of_their_names(tmp_path: Path) -> None:
    for number in (2, 1, 10):
        (tmp_path / f"part-{number:02}.csv").write_bytes(csv_of(f"text {number}"))
    (tmp_path / "notes.txt").write_text("no data")
    assert texts(tmp_path / "part-*.csv") == {"train": ["text 1", "text 2", "text 10"]}


def test_files_that_are_named_for_splits_are_those_splits(tmp_path: Path) -> None:
    for split in ("train", "dev", "gold"):
        (tmp_path / f"{split}.csv").write_bytes(csv_of(split))
    found = texts(tmp_path / "*.csv", splits={"test": "gold"})  # type: ignore[arg-type]
    assert found == {"train": ["train"], "dev": ["dev"], "gold": ["gold"]}


def test_a_pattern_may_reach_into_folders_of_splits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for number in (1, 2):
            (tmp_path / split / str(number)).mkdir(parents=True)
            (tmp_path / split / f"{number}.csv").write_bytes(csv_of(f"{split} {number}"))
    assert texts(tmp_path / "*" / "*.csv") == {
        "test": ["test 1", "test 2"],
        "train": ["train 1", "train 2"],
    }
    assert texts(tmp_path / "**" / "*.csv") == texts(tmp_path / "*" / "*.csv")


def test_files_of_which_only_some_are_named_for_splits_are_refused(tmp_path: Path) -> None:
    for name in ("train", "test", "more"):
        (tmp_path / f"{name}.csv").write_bytes(csv_of(name))
    found = problem(tmp_path / "*.csv")
    assert "more.csv belong to no split" in found.found


def test_a_pattern_that_nothing_matches(tmp_path: Path) -> None:
    assert "no files that match" in problem(tmp_path / "*.csv").found


def test_a_pattern_that_matches_what_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(csv_of("x"))
    (tmp_path / "a.txt").touch()
    assert "a.txt" in problem(tmp_path / "a.*").found


def test_files_of_one_split_have_the_same_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(csv_of("x"))
    (tmp_path / "b.csv").write_text("text,class\nx,a\n")
    found = problem(tmp_path / "*.csv")
    assert "b.csv with the columns text, class" in found.found
    assert "a.csv: text, label" in found.allowed


def test_files_of_one_split_whose_columns_differ_in_type(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(csv_of("x"))
    (tmp_path / "b.csv").write_text("text,label\nx,1\n")
    assert contents(tmp_path / "*.csv")["train"]["label"] == ["a", "1"]  # both are text
    (tmp_path / "a.jsonl").write_text('{"text": "x", "label": "a"}')
    (tmp_path / "b.jsonl").write_text('{"text": "x", "label": 1}')
    assert "a.jsonl and 1 more can't be read" in problem(tmp_path / "*.jsonl").found


# Folders


def test_a_folder_may_have_a_folder_for_each_split(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for number in (1, 2):
            (tmp_path / split / f"{number}.csv").write_bytes(csv_of(f"{split} {number}"))
        (tmp_path / split / "README.md").touch()
    assert texts(tmp_path) == {"test": ["test 1", "test 2"], "train": ["train 1", "train 2"]}


def test_numbered_files_of_a_split_are_joined(tmp_path: Path) -> None:
    for number in (0, 1):
        write(tmp_path / f"train-0000{number}-of-00002.parquet")
    write(tmp_path / "test-00000-of-00001.parquet")
    found = contents(tmp_path)
    assert found["train"]["text"] == ROWS["text"] * 2
    assert found["test"] == ROWS


# Compressed files


@pytest.mark.parametrize("ending", WRITERS)
def test_a_compressed_file_is_the_same_file(tmp_path: Path, ending: str) -> None:
    plain = write(tmp_path / "plain" / f"train.{ending}")
    (tmp_path / f"train.{ending}.gz").write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    assert contents(tmp_path / f"train.{ending}.gz") == {"train": ROWS}
    assert contents(tmp_path) == {"train": ROWS}


def test_one_file_in_an_archive_is_train(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", reviews_csv=csv_of("x"))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/._reviews.csv", b"\0")
        archive.writestr("README.md", b"about it")
    assert texts(path) == {"train": ["x"]}


def test_an_archive_has_splits_as_a_folder_has(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", data__train_csv=csv_of("x"), data__test_csv=csv_of("y"))
    assert texts(path) == {"train": ["x"], "test": ["y"]}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.zip", b"PK\3\4 cut off", "not a zip file"),
        ("a.zip", b"", "not a zip file"),
        ("a.csv.gz", b"text,label\n", "Not a gzipped file"),
        ("a.csv.gz", gzip.compress(csv_of("x" * 1000), mtime=0)[:40], "EOFError"),
        ("a.csv.gz", gzip.compress(b"", mtime=0)[:-4], "a.csv.gz can't be read"),
    ],
)
def test_damaged_archives(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    found = problem(tmp_path / name)
    assert words in found.found
    assert "complete" in found.allowed


def test_a_damaged_file_in_an_archive_is_named(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", train_csv=csv_of("x" * 50))
    path.write_bytes(path.read_bytes().replace(b"xxxx", b"yyyy", 1))
    found = problem(path)
    assert f"{path}/train.csv can't be read" in found.found
    assert "Bad CRC-32" in found.found


def test_an_archive_without_data(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", readme=b"")
    assert "a.zip with readme" in problem(path).found


# Buckets


@pytest.fixture(scope="module")
def s3() -> Iterator[None]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with mock.patch.dict("os.environ", {**ENDPOINT, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}):
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield
    server.stop()


def put(name: str, content: bytes) -> None:
    boto3.client("s3").put_object(Bucket=BUCKET, Key=name, Body=content)


def test_files_folders_and_patterns_in_a_bucket(s3: None, tmp_path: Path) -> None:
    for split in ("train", "test"):
        put(f"news/{split}.csv", csv_of(split))
        put(f"parts/{split}-x/1.csv.gz", gzip.compress(csv_of(split), mtime=0))
    packed = BytesIO(zipped(tmp_path / "a.zip", train_csv=csv_of("x")).read_bytes())
    put("a.zip", packed.getvalue())
    assert texts(f"s3://{BUCKET}/news/train.csv") == {"train": ["train"]}
    assert texts(f"s3://{BUCKET}/news") == texts(f"s3://{BUCKET}/news/*.csv")
    assert texts(f"s3://{BUCKET}/news/") == {"test": ["test"], "train": ["train"]}
    assert texts(f"s3://{BUCKET}/parts/*/*.csv.gz") == {"train": ["test", "train"]}
    assert texts(f"s3://{BUCKET}/a.zip") == {"train": ["x"]}


def test_save_to_disk_in_a_bucket(s3: None, tmp_path: Path) -> None:
    datasets.DatasetDict(train=datasets.Dataset.from_dict(ROWS)).save_to_disk(tmp_path / "d")
    for file in (tmp_path / "d").rglob("*"):
        if file.is_file():
            put(f"saved/{file.relative_to(tmp_path / 'd')}", file.read_bytes())
    assert opened(f"s3://{BUCKET}/saved")["train"][:] == ROWS


@pytest.mark.parametrize("place", ["nothing.csv", "nothing/*.csv", "nothing"])
def test_what_a_bucket_has_not(s3: None, place: str) -> None:
    found = problem(f"s3://{BUCKET}/{place}")
    assert found.where == "data.dataset"
    assert f"s3://{BUCKET}/{place}" in found.found
    assert "hub" not in str(found)


def test_a_damaged_file_in_a_bucket_is_named_by_its_uri(s3: None) -> None:
    put("bad.csv", b"text,label\nx,1\ny,1,2\n")
    assert f"s3://{BUCKET}/bad.csv:3 can't be read" in problem(f"s3://{BUCKET}/bad.csv").found


def test_a_uri_of_a_local_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(csv_of("x"))
    assert texts(f"file://{tmp_path}/a.csv") == {"train": ["x"]}
    assert texts(f"file://{tmp_path}/*.csv") == {"train": ["x"]}


@pytest.mark.parametrize("uri", ["http://host/a.csv", "https://host/a.csv", "nowhere://a/b.csv"])
def test_a_uri_that_is_no_filesystem(uri: str) -> None:
    found = problem(uri)
    assert uri in found.found
    assert "s3://" in found.allowed
    assert (found.hint == "download it and use its path") == uri.startswith("http")


def test_no_s3fs_is_needed_or_taken(s3: None) -> None:
    put("one.csv", csv_of("x"))
    with mock.patch.dict(sys.modules, {"s3fs": None, "gcsfs": None}):
        assert texts(f"s3://{BUCKET}/one.csv") == {"train": ["x"]}
