"""Errors of AWS, of filesystems and of named places become one line, for every command."""

from __future__ import annotations

import errno
import importlib
import sys
from pathlib import Path
from typing import Any

import botocore.exceptions as aws
import pyarrow as pa
import pytest

from raycompare.cli.app import main
from raycompare.cli.boundary import explain, named_places
from raycompare.errors import UserError
from raycompare.records.run_folder import RunFolder
from raycompare.records.storage import open_filesystem

MAIN = importlib.import_module("raycompare.cli.app")


def client_error(code: str) -> aws.ClientError:
    return aws.ClientError({"Error": {"Code": code, "Message": "as it is"}}, "DoSomething")


AWS_ERRORS: dict[str, tuple[Exception, str]] = {
    "region": (aws.NoRegionError(), "AWS_DEFAULT_REGION"),
    "credentials": (aws.NoCredentialsError(), "aws configure"),
    "half of them": (
        aws.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
        "aws configure",
    ),
    "profile": (aws.ProfileNotFound(profile="nobody"), "AWS_PROFILE"),
    "sso": (aws.TokenRetrievalError(provider="sso", error_msg="expired"), "aws sso login"),
    "endpoint": (aws.EndpointConnectionError(endpoint_url="https://x"), "region"),
    "expired": (client_error("ExpiredToken"), "aws sso login"),
    "denied": (client_error("AccessDeniedException"), "administrator"),
    "quota": (client_error("ResourceLimitExceeded"), "Service Quotas"),
    "any other": (client_error("ValidationException"), "as it is"),
}


@pytest.mark.parametrize("name", AWS_ERRORS)
@pytest.mark.parametrize("command", ["sagemaker", "report"])
def test_errors_of_aws_are_one_line(
    name: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error, advice = AWS_ERRORS[name]

    def fail(obj: Any) -> None:
        raise error

    monkeypatch.setattr(MAIN, "app", fail)
    monkeypatch.setattr(sys, "argv", ["raycompare", command])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("AWS: ")
    assert advice in said
    assert said.count("\n") == 1


def test_a_region_that_boto3_does_not_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    explained = explain(aws.NoRegionError(), ())
    assert explained is not None
    assert "boto3 doesn't read AWS_REGION" in explained.message
    assert "export AWS_DEFAULT_REGION=eu-central-1" in explained.message


PLACES: dict[str, tuple[list[str], Exception, int | None]] = {
    "a file as a folder": (["export", "R", "afile"], NotADirectoryError(20, "no", "afile/x"), None),
    "a path": (["predict", "--out", "a/x.csv"], NotADirectoryError(20, "no", "a/x.csv"), 2),
    "a made path": (["predict", "--out=a/x.csv"], FileNotFoundError(2, "no", "a/x.csv"), 2),
    "pyarrow": (
        ["refine", "--out", "/no/x.yaml"],
        OSError(2, "Failed to open local file '/no/x.yaml'"),
        2,
    ),
    "a bucket": (
        ["ls", "s3://nosuch/x"],
        OSError("When listing objects under key 'x' in bucket 'nosuch': AWS Error NO_SUCH_BUCKET"),
        2,
    ),
    "an outage": (
        ["ls", "s3://there/x"],
        OSError("When listing bucket 'there': AWS Error NETWORK_CONNECTION during ListObjects"),
        1,
    ),
    "a scheme": (["report", "http://x/y"], pa.ArrowInvalid("Unrecognized type: http://x/y"), 2),
    "read only": (["status", "R"], OSError(errno.EROFS, "read-only", "/mnt/.lock"), 2),
    "full": (["run", "x.yaml"], OSError(errno.ENOSPC, "full", "/tmp/ray"), 1),
    "a fault of the program": (["ls"], FileNotFoundError(2, "no", "/internal"), None),
    "another error": (["ls", "reports"], ValueError("reports"), None),
}


@pytest.mark.parametrize("name", PLACES)
def test_errors_of_named_places_are_one_line_and_others_are_not(name: str) -> None:
    arguments, error, code = PLACES[name]
    explained = explain(error, named_places(arguments))
    assert (explained and explained.code) == code


def test_the_place_for_runs_may_be_named_by_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAYCOMPARE_OUT", "/shared/runs")
    assert explain(OSError(2, "no", "/shared/runs/a"), named_places(["run"])) is not None


@pytest.mark.parametrize("command", ["report", "status", "ls", "fetch", "diff", "refine"])
def test_credentials_of_a_uri_are_refused_and_not_repeated(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = "s3://AKIAKEY:SECRETSECRET@bucket/runs"
    words = [command, uri, *([uri] if command == "diff" else [])]
    monkeypatch.setattr(sys, "argv", ["raycompare", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    said = captured.out + captured.err
    assert ended.value.code == 2
    assert "found credentials" in said
    assert "SECRET" not in said


def test_no_filesystem_is_opened_with_credentials(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="credentials"):
        open_filesystem("hdfs://user:password@host/x")
    with pytest.raises(UserError, match="credentials"):
        RunFolder.at("s3://a:b@bucket/x").exists("report.md")
    for uri in ("s3://", "s3:///x", "gs://"):
        with pytest.raises(UserError, match="found no bucket"):
            open_filesystem(uri)
