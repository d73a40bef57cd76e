"""From a run folder to answers and back to nothing, with the commands that a user gives.

Control plane and bucket are moto's; the archive in the bucket is served by the handler of the
inference container (tests/rig/inference_container.py).
"""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from transformers import pipeline
from typer.testing import CliRunner, Result

pytest.importorskip("sagemaker.core", reason="pip install -e '.[sagemaker]'")

from raycompare.cli.app import app
from raycompare.errors import UserError
from raycompare.records.run_folder import RunFolder
from raycompare.serving.winner import winner
from tests.rig.inference_container import serving
from tests.rig.sagemaker import BUCKET, ROLE, Application
from tests.runs import typical
from tests.sagemaker.test_deploy import LABELS, give_weights
from tests.user import user

pytestmark = [
    pytest.mark.sagemaker,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
TEXTS = ["the old cat", "a rose"]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    with user(tmp_path_factory.mktemp("user")) as application:
        yield application


def raycompare(*words: str) -> Result:
    return CliRunner().invoke(app, ["sagemaker", *words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    place = tmp_path_factory.mktemp("run")
    made = typical().write(place)
    give_weights(place / "weights" / winner_id(made))
    return made


def winner_id(folder: RunFolder) -> str:
    return next(
        t.trial_id for t in folder.read_trials() if t.trial_id.startswith("minilm-3-confirm")
    )


def archive_of(name: str) -> tuple[bytes, str]:
    """Return the archive that SageMaker would unpack, and the task it would tell the container."""
    client = boto3.client("sagemaker")
    container = client.describe_model(ModelName=name)["PrimaryContainer"]
    key = container["ModelDataUrl"].removeprefix(f"s3://{BUCKET}/")
    body = boto3.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return body, container["Environment"]["HF_TASK"]


def test_an_endpoint_answers_with_the_names_of_the_labels_until_it_is_deleted(
    account: Application, folder: RunFolder
) -> None:
    out = f"s3://{BUCKET}/served"
    how = ["--role", ROLE, "--instance-type", "ml.g4dn.xlarge", "--out", out, "--yes"]
    done = raycompare("deploy", folder.uri, *how)
    assert done.exit_code == 0, done.output
    (told,) = boto3.client("sagemaker").list_endpoints()["Endpoints"]
    name = told["EndpointName"]
    assert name in done.output
    assert name in raycompare("endpoints").output

    texts = [word for text in TEXTS for word in ("--text", text)]
    with serving(*archive_of(name)) as url:
        account.containers[name] = url
        answered = raycompare("predict", name, *texts)
    assert answered.exit_code == 0, answered.output
    found = winner(folder)
    classify = pipeline("text-classification", model=f"{folder.uri}/weights/{found.trial_id}")
    for line, text, expected in zip(
        answered.output.splitlines(), TEXTS, classify(TEXTS), strict=True
    ):
        assert expected["label"] in LABELS.values()
        assert expected["label"] in line
        assert f"{expected['score']:.3f}" in line
        assert text in line

    gone = raycompare("delete", name, "--yes")
    assert gone.exit_code == 0, gone.output
    client = boto3.client("sagemaker")
    assert client.list_endpoints()["Endpoints"] == []
    assert client.list_endpoint_configs()["EndpointConfigs"] == []
    assert client.list_models()["Models"] == []


def test_a_request_that_the_container_refuses_is_told(
    account: Application, folder: RunFolder
) -> None:
    out, name = f"s3://{BUCKET}/served", "raycompare-refuses"
    how = ["--role", ROLE, "--serverless", "--name", name, "--out", out, "--yes"]
    assert raycompare("deploy", folder.uri, *how).exit_code == 0
    archive, _ = archive_of(name)
    with serving(archive, "text-classification") as url:
        account.containers[name] = url
        refused = raycompare("predict", name, "--text", "the old cat", "--text-pair", "a rose")
    assert isinstance(refused.exception, UserError)
    assert f"{name}: Received client error (400)" in str(refused.exception)
    assert "allowed a text" in str(refused.exception)
    assert raycompare("delete", name, "--yes").exit_code == 0
