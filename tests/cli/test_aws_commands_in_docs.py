"""The `aws` commands of the docs: moto's AWS carries them out, in the order of the pages.

The program `aws` is not installed here. Its names of services, operations and options are those
of botocore with hyphens, so each command is turned into the call that it would make.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore import xform_name
from moto import mock_aws

from tests import ROOT
from tests.doc_commands import blocks, commented, inline

OF_THE_PROGRAM = {"--region", "--query", "--output", "--max-items", "--profile"}
"""Options of `aws` itself, which every command takes."""
SHOWN = [command for block in blocks() for command in block.commands]
COMMANDS = [
    command
    for command in dict.fromkeys([*SHOWN, *inline(), *commented()])
    if re.match(r"aws (?!configure\b)\S+ \S", command)
]
PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
NOT_IN_MOTO = {
    "get_service_quota": "moto has the quotas of a few other services",
    "request_service_quota_increase": "moto knows no requests",
    "get_parameter": "moto has none of the parameters that AWS itself keeps",
}
"""Calls that are only checked against the API's description, and why."""


@pytest.fixture(scope="module")
def aws() -> Iterator[None]:
    with mock_aws():
        yield


def options(words: list[str]) -> dict[str, list[str]]:
    """Group the words after the operation by option."""
    named: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            named[word] = []
        else:
            named[list(named)[-1]].append(word)
    return named


def value(shape: Any, words: list[str]) -> Any:
    """Convert the words of an option as `aws` does."""
    if shape.type_name == "list":
        return words
    (word,) = words
    if word.startswith("file://"):
        name = re.escape(word.removeprefix("file://"))
        (content,) = re.findall(rf"`{name}`.*?```json\n(.*?)```", PAGE, re.DOTALL)
        return str(content)
    if shape.type_name in ("integer", "long", "double", "float"):
        return float(word) if shape.type_name in ("double", "float") else int(word)
    return re.sub(r"\$\(date .*\)", "2026-01-01T00:00:00Z", word)


def call(command: str) -> tuple[Any, str, dict[str, Any]]:
    """Return client, method and parameters of a command."""
    _, service, operation, *words = shlex.split(command, comments=True)
    if (service, operation) == ("s3", "mb"):
        return boto3.client("s3", "us-east-1"), "create_bucket", {"Bucket": words[0][5:]}
    service = {"s3api": "s3"}.get(service, service)
    client, method = boto3.client(service, "us-east-1"), operation.replace("-", "_")
    shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
    members = {f"--{xform_name(name, '-')}": name for name in shape.input_shape.members}
    named = {o: w for o, w in options(words).items() if o not in OF_THE_PROGRAM}
    assert named.keys() <= members.keys(), f"{service} {operation} has {sorted(members)}"
    shapes = shape.input_shape.members
    return client, method, {members[o]: value(shapes[members[o]], w) for o, w in named.items()}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.usefixtures("aws")
def test_aws_takes_the_command(command: str) -> None:
    client, method, parameters = call(command)
    if not parameters and command not in SHOWN:
        return  # named in passing, without its options
    if method in NOT_IN_MOTO:
        operation = client.meta.service_model.operation_model(
            client.meta.method_to_api_mapping[method]
        )
        client._serializer.serialize_to_request(parameters, operation)
        return
    status = getattr(client, method)(**parameters)["ResponseMetadata"]["HTTPStatusCode"]
    assert status == 200


def test_the_docs_show_such_commands() -> None:
    assert {command.split()[1] for command in COMMANDS} >= {"iam", "s3", "ec2", "service-quotas"}
    assert NOT_IN_MOTO.keys() <= {call(command)[1] for command in COMMANDS}


@pytest.mark.parametrize("command", ["aws iam create-rolle", "aws iam create-role --nmae x"])
def test_a_command_that_aws_does_not_have_is_found_out(command: str) -> None:
    with pytest.raises((KeyError, AssertionError)):
        call(command)
