"""Runs `raycompare check` in this process, and requires that a mistake ends it in the right way."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from raycompare.cli import main

Content = dict[str, Any]


def content_of(model: str, data: str) -> Content:
    """Return an experiment that nothing is wrong with."""
    return {
        "name": "tiny",
        "seed": 1,
        "data": {"dataset": data, "max_length": 32},
        "models": [{"name": "tiny", "checkpoint": model}],
        "training": {"num_train_epochs": 1},
        "search_space": {"learning_rate": {"loguniform": [1e-4, 1e-2]}},
        "tune": {"num_samples": 2},
    }


def refused(
    text: str | bytes | Content,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...] = (),
) -> str:
    """Return the message of `raycompare check`, which must refuse and leave nothing behind."""
    path = folder / "experiment.yaml"
    if isinstance(text, dict):
        text = json.dumps(text)  # JSON is YAML
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    before = sorted(folder.rglob("*"))
    code, out, message = checked([str(path), *options, "--out", str(folder / "out")], capsys)
    assert (code, out) == (2, ""), message
    assert "Traceback" not in message
    assert sorted(folder.rglob("*")) == before
    return message


def checked(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[object, str, str]:
    """Return the exit code of `raycompare check`, and what it printed on stdout and stderr."""
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["raycompare", "check", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err
