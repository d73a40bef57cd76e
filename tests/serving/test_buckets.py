"""The winner of a run in a bucket: kept there, brought home, exported and asked."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from raycompare.errors import UserError
from raycompare.records.fetch import fetch
from raycompare.records.run_folder import RunFolder
from raycompare.serving.export import export
from raycompare.serving.input_files import Columns, open_input
from raycompare.serving.loaded_model import LoadedModel
from raycompare.serving.output_files import require_free
from raycompare.serving.predict import Prediction, predict_here, write_predictions
from raycompare.serving.winner import keep_best, model_files
from tests.records.test_s3 import BUCKET, keys, s3
from tests.runs import typical
from tests.serving.test_winner import run_with_weights

__all__ = ["s3"]

TEXTS = ["the old cat", "granite is here", "a rose"]


@pytest.fixture
def local(tmp_path: Path) -> RunFolder:
    return run_with_weights(tmp_path / "run")


@pytest.fixture
def remote(local: RunFolder, request: pytest.FixtureRequest) -> RunFolder:
    request.getfixturevalue("s3")
    RunFolder.at(f"s3://{BUCKET}").put_folder(Path(local.uri), request.node.name)
    return RunFolder.at(f"s3://{BUCKET}/{request.node.name}")


def test_the_winner_is_kept_in_the_bucket_and_comes_home(remote: RunFolder, tmp_path: Path) -> None:
    keep_best(remote, typical().compare())
    keep_best(remote, typical().compare())  # as a run that is resumed does
    best = {key for key in keys(remote) if key.startswith("best/")}
    assert {"best/config.json", "best/model.safetensors", "best/README.md"} <= best
    assert not [key for key in best if key.endswith(".tmp")]
    home = fetch(remote, RunFolder.at(tmp_path / "home"))
    assert LoadedModel.at(model_files(home.uri)).probabilities([TEXTS]).shape == (3, 4)


def test_a_finalist_is_exported_from_one_place_of_the_bucket_to_another(remote: RunFolder) -> None:
    target = f"{remote.uri}-exported"
    export(remote.uri, "minilm-2", target)
    assert "model.safetensors" in keys(RunFolder.at(target))
    with pytest.raises(UserError, match="files or folders"):
        export(remote.uri, "minilm-2", target)


def test_a_file_in_the_bucket_is_predicted_into_the_bucket(
    remote: RunFolder, local: RunFolder, tmp_path: Path
) -> None:
    pd.DataFrame({"text": TEXTS}).to_csv(tmp_path / "in.csv", index=False)
    remote.write_bytes("in.csv", (tmp_path / "in.csv").read_bytes())
    files, out = model_files(remote.uri), remote.child("out.csv")
    require_free(out)
    asked = Prediction(
        source=open_input(remote.child("in.csv"), Columns(text=("text",))),
        model=files,
        labels=LoadedModel.at(files).labels,
        out=out,
    )
    write_predictions(asked, predict_here(asked), str)
    (tmp_path / "out.csv").write_bytes(remote.read_bytes("out.csv"))
    found = pd.read_csv(tmp_path / "out.csv")
    expected = LoadedModel.at(model_files(local.uri)).probabilities([TEXTS])
    assert found.filter(like="probability_").to_numpy() == pytest.approx(expected, abs=1e-6)
    with pytest.raises(UserError, match="exists"):
        require_free(out)
