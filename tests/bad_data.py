"""Places and settings of data that are wrong, beside the files of `bad_files`."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import datasets

from tests.bad_files import FILES, GOOD, LABEL, TEXT, Bad, csv


def zipped(**files: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)
    return sink.getvalue()


def saved(path: Path) -> None:
    datasets.Dataset.from_dict({"text": ["x"], "label": ["a"]}).save_to_disk(path)


def broken(path: Path) -> None:
    saved(path)
    next(path.glob("*.arrow")).write_bytes(b"not arrow")


def fifo(path: Path) -> None:
    os.mkfifo(path)


def dangling(path: Path) -> None:
    path.symlink_to(path.parent / "gone.csv")


def circular(path: Path) -> None:
    path.symlink_to(path)


PLACES: dict[str, Bad] = {
    "nothing there": Bad(data={"dataset": "./gone.csv"}, says="no such file or folder"),
    "no folder there": Bad(data={"dataset": "./gone/a.csv"}, says="there is no folder gone"),
    "a misspelt name": Bad(
        files={"reviews.csv": GOOD}, data={"dataset": "./review.csv"}, says="reviews.csv?"
    ),
    "no name": Bad(data={"dataset": ""}, says="at least 1 character"),
    "a number": Bad(data={"dataset": 3}, says="string"),
    "a list": Bad(data={"dataset": ["a.csv"]}, says="string"),
    "a nul": Bad(data={"dataset": "a\0.csv"}, says="a\\x00.csv"),
    "a very long name": Bad(data={"dataset": "x" * 5000}, says="xxx ... xxx"),
    "another type": Bad(files={"a.xlsx": b"PK"}, says="a file of type '.xlsx'"),
    "no type": Bad(files={"data": GOOD}, says="a file of type ''"),
    "a pipe": Bad(files={"a.csv": fifo}, says="a pipe or a device"),
    "a device": Bad(data={"dataset": "/dev/zero"}, says="a pipe or a device"),
    "a terminal": Bad(data={"dataset": "/dev/null"}, says="a pipe or a device"),
    "a link to nothing": Bad(files={"a.csv": dangling}, says="which doesn't exist"),
    "a link to itself": Bad(files={"a.csv": circular}, says="a.csv"),
    "a pipe in a folder": Bad(files={"d/train.csv": fifo}, says="a pipe or a device"),
    "a link to nothing in a folder": Bad(
        files={"d/train.csv": dangling}, data={"dataset": "d"}, says="there is no such file"
    ),
    "a folder named as a file": Bad(
        files={"d/train.csv/x": ""}, data={"dataset": "d"}, says="it is not a file, but a folder"
    ),
    "an empty folder": Bad(files={"d/.keep": ""}, data={"dataset": "d"}, says="the folder"),
    "a folder of other names": Bad(
        files={"d/a.csv": GOOD}, data={"dataset": "d"}, says="to use a single file, name it"
    ),
    "a folder with two formats": Bad(
        files={"d/train.csv": GOOD, "d/train.jsonl": "{}"},
        data={"dataset": "d"},
        says="a second file of split 'train'",
    ),
    "a folder with a file twice": Bad(
        files={"d/train.csv": GOOD, "d/train.csv.gz": gzip.compress(GOOD.encode())},
        data={"dataset": "d"},
        says="a second file of split 'train'",
    ),
    "a folder without train": Bad(
        files={"d/test.csv": GOOD}, data={"dataset": "d"}, where="data.splits.train", says="'train'"
    ),
    "a folder of broken files": Bad(
        files={"d/train.csv": "", "d/test.csv": ""}, data={"dataset": "d"}, says="train.csv can't"
    ),
    "a pattern without a match": Bad(data={"dataset": "*.csv"}, says="no files that match"),
    "a pattern of other files": Bad(
        files={"a.txt": "x"}, data={"dataset": "a.*"}, says="a.txt, matched by"
    ),
    "a pattern of unlike files": Bad(
        files={"a.csv": GOOD, "b.csv": "x,y\n1,2\n"}, data={"dataset": "*.csv"}, says="columns x, y"
    ),
    "half of a save_to_disk": Bad(files={"d": broken}, says="a complete folder of save_to_disk"),
    "a broken state": Bad(
        files={"d": saved, "d/state.json": "{"}, data={"dataset": "d"}, says="can't be read"
    ),
    "a broken list of splits": Bad(
        files={"d/dataset_dict.json": "{"}, data={"dataset": "d"}, says="can't be read"
    ),
    "a list of splits that are gone": Bad(
        files={"d/dataset_dict.json": '{"splits": ["train"]}'},
        data={"dataset": "d"},
        says="can't be read",
    ),
    "a zip that is none": Bad(files={"a.zip": b"no zip"}, says="not a zip file"),
    "a cut zip": Bad(files={"a.zip": zipped(a_csv=GOOD)[:-30]}, says="not a zip file"),
    "an empty zip": Bad(files={"a.zip": zipped()}, says="nothing in it"),
    "a zip of other files": Bad(files={"a.zip": zipped(a_txt="x")}, says="a.txt"),
    "a zip of some splits": Bad(
        files={"a.zip": zipped(train_csv=GOOD, more_csv=GOOD)}, says="belong to no split"
    ),
    "a zip of a broken file": Bad(files={"a.zip": zipped(a_csv="")}, says="a.zip/a.csv can't"),
    "a gzip that is none": Bad(files={"a.csv.gz": GOOD}, says="Not a gzipped file"),
    "a cut gzip": Bad(files={"a.csv.gz": gzip.compress(GOOD.encode())[:-12]}, says="EOFError"),
    "a damaged gzip": Bad(
        files={"a.csv.gz": gzip.compress(GOOD.encode())[:-8] + bytes(8)}, says="CRC check failed"
    ),
    "a gzip of nothing": Bad(files={"a.csv.gz": gzip.compress(b"")}, says="No columns"),
    "a gzip of another type": Bad(files={"a.txt.gz": gzip.compress(b"x")}, says="type '.txt'"),
    "a web page": Bad(data={"dataset": "https://host/a.csv"}, says="download it"),
    "a scheme that is none": Bad(data={"dataset": "nowhere://b/a.csv"}, says="nowhere://b/a.csv"),
    "a scheme of nothing": Bad(data={"dataset": "://"}, says="://"),
    "an unknown builtin": Bad(data={"dataset": "builtin:docs"}, says="builtin:docstrings"),
    "a hub id": Bad(data={"dataset": "nobody/nothing"}, says="as a hub id it can't be loaded"),
    "the name of a loader": Bad(data={"dataset": "csv"}, says="the name of a file type"),
}


def setting(where: str, says: str, **data: Any) -> Bad:
    """Return a setting that is wrong for data that is not."""
    files = {f"d/{split}.csv": GOOD for split in ("train", "validation", "test")}
    return Bad(files=files, data={"dataset": "d", **data}, where=where, says=says)


SETTINGS: dict[str, Bad] = {
    "no such text column": setting(TEXT, "did you mean 'text'?", text="txt"),
    "no such label column": setting(LABEL, "did you mean 'label'?", label="lable"),
    "text and label are one": setting(LABEL, "which is also in data.text", label="text"),
    "text twice": setting(TEXT, "'text' twice", text=["text", "text"]),
    "three texts": setting(TEXT, "at most 2", text=["a", "b", "c"]),
    "no text": setting(TEXT, "at least 1", text=[]),
    "a text of a number": setting(TEXT, "valid", text=3),
    "a label of a list": setting(LABEL, "valid string", label=["label"]),
    "a label of null": setting(LABEL, "valid string", label=None),
    "no such split": setting("data.splits.test", "did you mean 'test'?", splits={"test": "tets"}),
    "no such train": setting("data.splits.train", "one of", splits={"train": "learn"}),
    "a split twice": setting("data.splits.test", "already", splits={"test": "validation"}),
    "train as test": setting("data.splits.test", "already", splits={"test": "train"}),
    "a share above 1": setting("data.splits.test", "between 0 and 1", splits={"test": 1.5}),
    "a share of 0": setting("data.splits.test", "between 0 and 1", splits={"test": 0.0}),
    "a share below 0": setting("data.splits.test", "between 0 and 1", splits={"test": -0.1}),
    "a share of NaN": setting("data.splits.test", "nan", splits={"test": float("nan")}),
    "train as a share": setting("data.splits.train", "valid string", splits={"train": 0.5}),
    "shares of everything": setting(
        "data.splits.train", "0 of 60 rows", splits={"test": 0.5, "validation": 0.5}
    ),
    "a share without rows": setting("data.splits.test", "0 of 60 rows", splits={"test": 0.001}),
    "an unknown split": setting("data.splits.dev", "one of", splits={"dev": "x"}),
    "a limit of nothing": setting("data.limit.train", "greater than", limit={"train": 0}),
    "a limit of one row": setting("data.limit.train", "greater than", limit={"train": 1}),
    "a limit of a share": setting("data.limit.train", "valid integer", limit={"train": 0.5}),
    "a map of nothing": setting("data.label_map", "at least 1", label_map={}),
    "a map of a list": setting("data.label_map", "an object", label_map=["a"]),
    "a map to a number": setting("data.label_map.a", "valid string", label_map={"a": 1}),
    "a map to a blank": setting("data.label_map.a", "match pattern", label_map={"a": " "}),
    "a map of another label": setting(
        "data.label_map.A", "'A', which is not the label", label_map={"A": "x"}
    ),
    "a map of a number": setting(
        "data.label_map.0", "labels of the data: a, b", label_map={0: "x"}
    ),
    "a map to one label": setting(LABEL, "one label", label_map={"a": "b"}),
    "names too few": setting("data.label_names", "at least 2", label_names=["a"]),
    "names too many": setting("data.label_names", "3 names", label_names=["a", "b", "c"]),
    "names twice": setting("data.label_names", "2 different names", label_names=["a", "a"]),
    "names of others": setting(LABEL, "'a', 'b' in split 'train'", label_names=["x", "y"]),
    "no such group": setting("data.group", "no column 'author'", group="author"),
    "a group of a number": setting("data.group", "valid string", group=3),
    "a group without a value": Bad(
        files={"a.csv": csv("x,a,1", "y,b,", header="text,label,author")},
        data={"group": "author"},
        where="data.group",
        says="empty in 1",
    ),
    "groups too few": Bad(
        files={"a.csv": csv(*["x,a,1", "y,b,1"] * 30, header="text,label,author")},
        data={"group": "author"},
        where="data.group",
        says="1 groups by column 'author'",
    ),
    "a max_length of no text": setting("data.max_length", "p99", max_length=1),
    "a max_length of a word": setting("data.max_length", "p99", max_length="long"),
    "a padding that is none": setting("data.padding", "longest", padding="some"),
    "a config of a file": setting("data.config", "only hub data sets", config="en"),
    "a revision of a file": setting("data.revision", "only hub data sets", revision="main"),
    "an unknown key": setting("data.labels", "did you mean 'label'", labels="x"),
    "a label only in test": Bad(
        files={"d/train.csv": GOOD, "d/test.csv": csv("x,a", "y,c")},
        data={"dataset": "d"},
        where=LABEL,
        says="'c' in split 'test', 1 of its rows (1",
    ),
    "a label of other case in test": Bad(
        files={"d/train.csv": GOOD, "d/test.csv": csv("x,A", "y,b")},
        data={"dataset": "d"},
        where=LABEL,
        says="'A' in split 'test'",
    ),
    "a text column that test lacks": Bad(
        files={"d/train.csv": GOOD, "d/test.csv": csv("x,a", header="words,label")},
        data={"dataset": "d"},
        where=TEXT,
        says="no column 'text' in split test",
    ),
    "a label column that test lacks": Bad(
        files={"d/train.csv": GOOD, "d/test.csv": csv("x,a", header="text,class")},
        data={"dataset": "d"},
        where=LABEL,
        says="no column 'label' in split test",
    ),
    "labels of another type in test": Bad(
        files={"d/train.csv": GOOD, "d/test.csv": csv("x,0", "y,1")},
        data={"dataset": "d"},
        where=LABEL,
        says="'0', '1' in split 'test'",
    ),
    "a limit that loses a label": Bad(
        files={"d/train.csv": GOOD + "z,c\n", "d/test.csv": GOOD},
        data={"dataset": "d", "limit": {"train": 5}},
        where="data.limit.train",
        says="none of them with 'c'",
    ),
}

CASES = {**FILES, **PLACES, **SETTINGS}
