"""`raycompare predict` as a command: JSON, signals, and options that need each other."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from raycompare.cli.app import app
from tests.serving.test_winner import LABELS, give_weights


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("model")
    give_weights(place)
    return str(place)


def test_predictions_of_texts_are_printed_as_json(model: str) -> None:
    texts = ["a cat", "[bold]a rose[/bold] " + "x" * 300]
    words = [word for text in texts for word in ("--text", text)]
    done = CliRunner().invoke(app, ["predict", model, *words, "--json"])
    assert done.exit_code == 0
    printed = json.loads(done.stdout)
    assert [each["text"] for each in printed] == texts
    for each in printed:
        assert list(each["probabilities"]) == list(LABELS)
        assert each["probabilities"][each["predicted_label"]] == max(each["probabilities"].values())


def test_a_signal_leaves_no_file_behind(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.csv").write_text("text\na cat\n")

    def terminated(_: Any) -> Iterator[pa.Table]:
        assert [path.suffix for path in (tmp_path / "out").iterdir()] == [".tmp"]
        os.kill(os.getpid(), signal.SIGTERM)
        yield from ()

    monkeypatch.setattr("raycompare.serving.predict.predict_here", terminated)
    files = ["--file", str(tmp_path / "in.csv"), "--out", str(tmp_path / "out" / "out.csv")]
    assert CliRunner().invoke(app, ["predict", model, *files]).exit_code != 0
    assert list((tmp_path / "out").iterdir()) == []
