"""Before an endpoint costs money: all mistakes at once; after a failure: nothing is left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError, EndpointConnectionError
from typer.testing import CliRunner

pytest.importorskip("sagemaker.core", reason="pip install -e '.[sagemaker]'")

from raycompare.cli.app import app
from raycompare.errors import ExperimentError, RunError, UserError
from raycompare.records.run_folder import RunFolder
from raycompare.sagemaker import endpoint as endpoint_module
from raycompare.sagemaker.aws import Aws
from raycompare.sagemaker.deploy import Choice, Deployment, deployment
from raycompare.sagemaker.endpoint import delete, endpoints, parts
from tests.rig.sagemaker import BUCKET, ROLE, Application
from tests.runs import typical
from tests.sagemaker.test_deploy import give_weights
from tests.user import user

pytestmark = [
    pytest.mark.sagemaker,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
OUT = f"s3://{BUCKET}/served"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    with user(tmp_path_factory.mktemp("user")) as application:
        yield application


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    place = tmp_path_factory.mktemp("run")
    made = typical().write(place)
    chosen = (t.trial_id for t in made.read_trials() if t.trial_id.startswith("minilm-3-confirm"))
    give_weights(place / "weights" / next(chosen))
    return made


def deployed(folder: RunFolder, **changes: Any) -> Deployment:
    given = {"role": ROLE, "instance_type": "ml.g4dn.xlarge", "out": OUT, **changes}
    return deployment(folder.uri, Choice(**given), Aws())


def uploaded() -> list[str]:
    listed = boto3.client("s3").list_objects_v2(Bucket=BUCKET)
    return [item["Key"] for item in listed.get("Contents", [])]


def test_all_mistakes_are_told_at_once_and_nothing_is_uploaded(
    account: Application, folder: RunFolder
) -> None:
    with pytest.raises(ExperimentError) as caught:
        deployed(
            folder,
            name="my_endpoint!",
            instance_type="ml.g5.xlrage",
            role="nobody",
            out="s3://no-such-bucket-here/x",
        )
    wheres = [problem.where for problem in caught.value.problems]
    assert sorted(wheres) == ["--instance-type", "--name", "--out", "--role"]
    assert uploaded() == []


def test_a_name_that_is_taken_is_told_before_the_upload(
    account: Application, folder: RunFolder
) -> None:
    deployed(folder, name="taken").make()
    before = uploaded()
    with pytest.raises(UserError, match="taken by: endpoint, endpoint_config, model"):
        deployed(folder, name="taken")
    assert uploaded() == before
    delete("taken", Aws())


def test_an_endpoint_with_a_name_of_its_own_is_listed(
    account: Application, folder: RunFolder
) -> None:
    client = boto3.client("sagemaker")
    deployed(folder, name="foo").make()
    config = client.describe_endpoint(EndpointName="foo")["EndpointConfigName"]
    client.create_endpoint(EndpointName="of-others", EndpointConfigName=config)
    client.create_endpoint(EndpointName="raycompare-of-before", EndpointConfigName=config)
    assert {name for name, _, _ in endpoints(Aws())} == {"foo", "raycompare-of-before"}
    tags = client.list_tags(ResourceArn=client.describe_model(ModelName="foo")["ModelArn"])["Tags"]
    assert [tag["Key"] for tag in tags] == ["raycompare"]
    for name in ("of-others", "raycompare-of-before"):
        client.delete_endpoint(EndpointName=name)
    delete("foo", Aws())


FAILURES = {
    "refused": ClientError(
        {"Error": {"Code": "ResourceLimitExceeded", "Message": "0 instances"}}, "CreateEndpoint"
    ),
    "cut off": EndpointConnectionError(endpoint_url="https://x"),
}


@pytest.mark.parametrize("action", ["CreateModel", "CreateEndpointConfig", "CreateEndpoint"])
@pytest.mark.parametrize("failure", FAILURES)
def test_what_fails_leaves_nothing(
    action: str,
    failure: str,
    account: Application,
    folder: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = deployed(folder, name="fails")
    fail_at(action, FAILURES[failure], monkeypatch)
    with pytest.raises(UserError, match="Nothing is left of it"):
        made.make()
    monkeypatch.undo()
    assert parts("fails", Aws()) == []
    assert not [key for key in uploaded() if "fails" in key]


def fail_at(action: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    call = BaseClient._make_api_call

    def answer(self: Any, name: str, arguments: Any) -> Any:
        if name == action:
            raise error
        return call(self, name, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", answer)


def test_what_could_not_be_deleted_is_named(
    account: Application, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = deployed(folder, name="stays")
    fail_at("CreateEndpoint", FAILURES["refused"], monkeypatch)
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DeleteModel")
    fail_at("DeleteModel", denied, monkeypatch)
    with pytest.raises(UserError, match="raycompare sagemaker delete stays"):
        made.make()
    monkeypatch.undo()
    assert delete("stays", Aws()) == ["model"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), FAILURES["cut off"]])
def test_who_stops_waiting_is_told_what_costs_money(
    error: BaseException, account: Application, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = deployed(folder, name="waits")

    def interrupt(*_: object) -> None:
        raise error

    monkeypatch.setattr(endpoint_module, "_await_service", interrupt)
    with pytest.raises(RunError, match=r"costs money.* raycompare sagemaker delete waits"):
        made.make()
    delete("waits", Aws())


def test_the_place_of_runs_is_not_that_of_the_archive(
    account: Application, folder: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAYCOMPARE_OUT", "s3://of-runs/x")
    words = ["sagemaker", "deploy", folder.uri, "--role", ROLE, "--serverless", "--yes"]
    answer = CliRunner().invoke(app, words)
    assert f"{folder.uri} is not in one" in str(answer.exception)
    assert "of-runs" not in str(answer.exception)
