"""Endpoints: what is packed, made and deleted; the archive is loaded as the container loads it."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import boto3
import pytest
from transformers import AutoConfig, pipeline

pytest.importorskip("sagemaker.core", reason="pip install -e '.[sagemaker]'")

from raycompare.errors import RunError, UserError
from raycompare.models.pretrained import MADE_BY
from raycompare.models.saved import OWN_CODE, TEXTS_PER_ROW
from raycompare.records.run_folder import RunFolder
from raycompare.sagemaker.aws import Aws
from raycompare.sagemaker.deploy import Choice, Deployment, deployment, pack
from raycompare.sagemaker.endpoint import (
    delete,
    endpoints,
    inference_image,
    parse_answer,
    parts,
    predict,
)
from raycompare.serving.winner import card, lay_out, winner
from tests.rig.sagemaker import BUCKET, ROLE, Application
from tests.runs import typical
from tests.tiny import save_tiny_bert
from tests.user import user

pytestmark = [
    pytest.mark.sagemaker,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
LABELS = {0: "World", 1: "Sports"}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    with user(tmp_path_factory.mktemp("user")) as application:
        yield application


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run whose finalists have left the weights of a tiny model."""
    made = typical().write(tmp_path / "run")
    for trial in made.read_trials():
        if trial.stage == "confirm" and trial.seed == 2:
            give_weights(tmp_path / "run" / "weights" / trial.trial_id)
    return made


def give_weights(place: Path) -> None:
    save_tiny_bert(place)
    config = AutoConfig.from_pretrained(place)
    setattr(config, TEXTS_PER_ROW, 1)
    config.id2label, config.label2id = LABELS, {name: key for key, name in LABELS.items()}
    config.save_pretrained(place)


def deployed(folder: RunFolder, **changes: str | None) -> Deployment:
    given = {"role": ROLE, "instance_type": "ml.g4dn.xlarge", "out": f"s3://{BUCKET}/served"}
    return deployment(folder.uri, Choice(**{**given, **changes}), Aws())  # type: ignore[arg-type]


def test_the_winner_is_the_leader_of_the_report(folder: RunFolder) -> None:
    assert winner(folder).model == "minilm-3"
    assert winner(folder, "minilm-2").trial_id.startswith("minilm-2-confirm")


def test_a_model_without_weights_is_named(folder: RunFolder) -> None:
    folder.delete("weights")
    with pytest.raises(UserError, match="no weights of minilm-3; found nothing"):
        winner(folder)


def test_the_archive_is_loaded_by_the_containers_pipeline(
    folder: RunFolder, tmp_path: Path
) -> None:
    with tarfile.open(fileobj=BytesIO(pack(folder, winner(folder)))) as archive:
        assert {"config.json", "model.safetensors", "code/inference.py"} <= {*archive.getnames()}
        archive.extractall(tmp_path / "served", filter="data")
    classify = pipeline("text-classification", model=str(tmp_path / "served"))
    body = json.dumps(classify(["the old cat", "a rose"])).encode()
    answers = parse_answer(body, "raycompare-x")
    assert len(answers) == 2
    assert {answer["label"] for answer in answers} <= set(LABELS.values())


def test_the_card_says_from_what_for_what_and_how_well(folder: RunFolder, tmp_path: Path) -> None:
    found = winner(folder)
    lay_out(folder, found, tmp_path / "model")
    text = card(folder, found).text()
    assert text == (tmp_path / "model" / "README.md").read_text()
    assert "2 labels: World, Sports" in text
    assert found.trial_id in text
    assert f"over {found.row.test['matthews_correlation'].n} seeds" in text


@pytest.mark.parametrize("fields", [{MADE_BY: "mine:Model"}, {OWN_CODE: True}])
def test_a_model_with_code_that_the_container_lacks_is_refused(
    folder: RunFolder, fields: dict[str, object]
) -> None:
    found = winner(folder)
    name = f"weights/{found.trial_id}/config.json"
    config = json.loads(folder.read_text(name))
    folder.write_text(name, json.dumps({**config, **fields}))
    with pytest.raises(UserError, match="the inference container can't load this model"):
        pack(folder, found)


@pytest.mark.parametrize("kind", ["ml.g4dn.xlarge", None])
def test_an_endpoint_comes_and_goes_and_leaves_nothing(
    account: Application, folder: RunFolder, kind: str | None
) -> None:
    made = deployed(folder, instance_type=kind)
    made.make()
    name = made.serving.name
    assert parts(name, Aws()) == ["endpoint", "endpoint_config", "model"]
    assert name in [found for found, _, _ in endpoints(Aws())]
    config = boto3.client("sagemaker").describe_endpoint_config(EndpointConfigName=name)
    assert ("ServerlessConfig" in config["ProductionVariants"][0]) == (kind is None)
    key = made.serving.archive.removeprefix(f"s3://{BUCKET}/")
    assert boto3.client("s3").head_object(Bucket=BUCKET, Key=key)["ContentLength"] > 0
    assert delete(name, Aws()) == ["endpoint", "endpoint_config", "model"]
    assert parts(name, Aws()) == []
    with pytest.raises(UserError, match="no endpoint, configuration or model"):
        delete(name, Aws())


def test_what_was_left_half_made_is_deleted_too(account: Application, folder: RunFolder) -> None:
    made = deployed(folder, name="raycompare-half")
    made.make()
    boto3.client("sagemaker").delete_endpoint(EndpointName="raycompare-half")
    with pytest.raises(UserError, match="taken by: endpoint_config, model"):
        made.make()
    assert delete("raycompare-half", Aws()) == ["endpoint_config", "model"]


def test_a_role_that_is_not_there_makes_nothing(account: Application, folder: RunFolder) -> None:
    with pytest.raises(UserError, match="--role"):
        deployed(folder, role="nobody", name="raycompare-nobody")
    assert parts("raycompare-nobody", Aws()) == []


def test_an_endpoint_that_fails_says_why(
    account: Application, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = deployed(folder, name="raycompare-fails")
    monkeypatch.setattr("tests.rig.sagemaker.ENDPOINT_FAILURE", "no model.safetensors")
    with pytest.raises(RunError, match=r"no model\.safetensors\. To remove it"):
        made.make()
    monkeypatch.undo()
    delete("raycompare-fails", Aws())


def test_a_folder_of_this_machine_needs_a_bucket(account: Application, folder: RunFolder) -> None:
    with pytest.raises(UserError, match="loads models from a bucket"):
        deployed(folder, out=None)


def test_an_answer_of_another_kind_is_no_prediction(account: Application) -> None:
    with pytest.raises(UserError, match="expected a list of label and score"):
        predict("raycompare-any", ["text"], Aws())  # moto answers every endpoint with a word


@pytest.mark.parametrize("body", [b"{}", b"[[1]]", b'[{"label": "World"}]', b"not json"])
def test_only_label_and_score_are_an_answer(body: bytes) -> None:
    with pytest.raises(UserError, match="expected a list"):
        parse_answer(body, "raycompare-any")


def test_the_image_is_that_of_the_processor(account: Application) -> None:
    assert "-gpu-" in inference_image("us-east-1", "ml.g4dn.xlarge")
    assert "-cpu-" in inference_image("us-east-1", None)


def test_the_price_is_said_before(account: Application, folder: RunFolder) -> None:
    assert "$0.74 per hour until it is deleted" in "\n".join(deployed(folder).lines())
    assert "per request" in "\n".join(deployed(folder, instance_type=None).lines())


def test_an_endpoint_is_one_or_the_other(folder: RunFolder) -> None:
    command = [sys.executable, "-m", "raycompare", "sagemaker", "deploy", folder.uri, "--role", "r"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "--instance-type TYPE or --serverless" in done.stderr
