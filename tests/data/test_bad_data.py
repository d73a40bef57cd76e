"""A check of a data set that can't be used ends with one clear message and no other effect."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from raycompare.cli import main
from tests.bad_data import CASES
from tests.bad_files import GOOD, Bad

MOST_CHARACTERS = 3000
"""Longest message, for data of any size."""
NOBODY = 65534


def make(files: Mapping[str, Any], folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)


def write_experiment(folder: Path, data: Mapping[str, Any], model: str) -> Path:
    path = folder / "experiment.yaml"
    with path.open("w") as stream:
        YAML().dump({"name": "bad", "data": dict(data), "models": [model]}, stream)
    return path


def check(path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the command in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["raycompare", "check", str(path), "--out", "out"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 120


@pytest.mark.parametrize("bad", CASES.values(), ids=CASES)
@pytest.mark.timeout(30)
def test_bad_data(
    bad: Bad,
    tiny_model: str,
    in_tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make(bad.files, in_tmp)
    first = next(iter(bad.files), "").partition("/")[0]
    path = write_experiment(in_tmp, {"dataset": first, **bad.data}, tiny_model)
    before = sorted(in_tmp.rglob("*"))
    assert check(path, monkeypatch) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert bad.says in said.err
    assert re.search(rf"^{re.escape(bad.where)} \(line \d+\)$", said.err, re.MULTILINE)
    assert "nothing was started" in said.err
    assert "Traceback" not in said.err
    assert len(said.err) < MOST_CHARACTERS
    assert sorted(in_tmp.rglob("*")) == before


@pytest.mark.skipif(os.getuid() != 0, reason="takes root to become a user who may read nothing")
@pytest.mark.parametrize("closed", ["d", "d/train.csv"])
def test_files_that_may_not_be_read(
    closed: str,
    tiny_model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make({"d/train.csv": GOOD}, tmp_path)
    (tmp_path / closed).chmod(0)
    path = write_experiment(tmp_path, {"dataset": str(tmp_path / "d")}, tiny_model)
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(0o755)
    before = os.geteuid()
    os.seteuid(NOBODY)
    try:
        code = check(path, monkeypatch)
    finally:
        os.seteuid(before)
    assert code == 2
    assert "Permission denied" in (said := capsys.readouterr().err)
    assert "Traceback" not in said
    assert str(tmp_path / closed) in said


# Large, odd and right


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bom.csv", b"\xef\xbb\xbf" + GOOD.encode()),
        ("windows.csv", GOOD.replace("\n", "\r\n").encode()),
        ("quotes.csv", GOOD.replace("text 1,", '"a ""quote"", and more",').encode()),
        ("large.csv", GOOD.replace("text 1,", f"{'word ' * 2_000_000},").encode()),
        ("none.csv", GOOD.replace("text 1,", "None,").replace("text 2,", "nan,").encode()),
        (
            "bom.jsonl",
            b"\xef\xbb\xbf" + b'{"text": "x", "label": 0}\n{"text": "y", "label": 1}\n' * 20,
        ),
        (
            "line.json",
            json.dumps([{"text": "x", "label": n % 2} for n in range(9999)]).encode(),
        ),
        ("blank lines.csv", GOOD.replace("text 7,", "\n\ntext 7,").encode()),
        ("one column more.csv", GOOD.replace(",", ",9,").replace("text,9", "text,id").encode()),
    ],
)
def test_what_looks_odd_but_is_well_formed_is_read(
    name: str, content: bytes, tiny_model: str, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make({name: content}, in_tmp)
    assert check(write_experiment(in_tmp, {"dataset": name}, tiny_model), monkeypatch) == 0
