"""Endpoints: a model's archive behind SageMaker's Hugging Face inference container, and its end.

An endpoint, its configuration and its model have one name, so that what was left half made is found
by it too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic, sleep
from typing import Any

from raycompare.errors import RunError, UserError
from raycompare.sagemaker.aws import Aws
from raycompare.sagemaker.job_environment import natural

PREFIX = "raycompare-"
TASK = {"HF_TASK": "text-classification"}
"""What the inference container makes a pipeline of (Hugging Face's inference toolkit)."""
START_SECONDS, POLL_SECONDS = 1800.0, 5.0
SERVERLESS_MB = 3072
SERVERLESS_AT_ONCE = 1
FOUND_BY = {
    "endpoint": "EndpointName",
    "endpoint_config": "EndpointConfigName",
    "model": "ModelName",
}
"""What an endpoint consists of, in the order in which it is deleted: boto3's word and parameter."""


@dataclass(frozen=True, kw_only=True)
class Serving:
    """An endpoint as it is asked for."""

    name: str
    role: str
    archive: str
    """The URI of model.tar.gz."""
    image: str
    instance_type: str | None = None
    """None for serverless, which has no GPU."""

    def variant(self) -> dict[str, Any]:
        """Return the production variant."""
        common = {"VariantName": "all", "ModelName": self.name}
        if self.instance_type is None:
            memory = {"MemorySizeInMB": SERVERLESS_MB, "MaxConcurrency": SERVERLESS_AT_ONCE}
            return {**common, "ServerlessConfig": memory}
        return {**common, "InstanceType": self.instance_type, "InitialInstanceCount": 1}


def inference_image(region: str | None, instance_type: str | None) -> str:
    """Return the URI of the newest Hugging Face inference image that the SDK knows."""
    from sagemaker.core import image_uris

    found = image_uris.config_for_framework("huggingface")["inference"]["versions"]
    version = max(found, key=natural)
    base = max((key for key in found[version] if key.startswith("pytorch")), key=natural)
    uri: str = image_uris.retrieve(
        framework="huggingface",
        region=region,
        version=version,
        base_framework_version=base,
        py_version=found[version][base]["py_versions"][-1],
        image_scope="inference",
        instance_type=instance_type or "ml.m5.large",  # serverless computes on CPUs
    )
    return uri


def create(serving: Serving, aws: Aws) -> None:
    """Create model, configuration and endpoint, and wait until it answers.

    Raises:
        UserError: the name is taken.
        RunError: the endpoint does not come up; the message has SageMaker's reason.
    """
    taken = parts(serving.name, aws)
    if taken:
        raise UserError(
            f"{serving.name}: there is a {' and a '.join(taken)} of this name. Choose another with "
            f"--name, or `raycompare sagemaker delete {serving.name}` first."
        )
    client = aws.client("sagemaker")
    container = {"Image": serving.image, "ModelDataUrl": serving.archive, "Environment": TASK}
    client.create_model(
        ModelName=serving.name,
        ExecutionRoleArn=role_arn(serving.role, aws),
        PrimaryContainer=container,
    )
    client.create_endpoint_config(
        EndpointConfigName=serving.name, ProductionVariants=[serving.variant()]
    )
    client.create_endpoint(EndpointName=serving.name, EndpointConfigName=serving.name)
    _await_service(serving.name, client)


def role_arn(role: str, aws: Aws) -> str:
    """Return the ARN of a role that may be given by its name.

    Raises:
        UserError: there is no such role.
    """
    from botocore.exceptions import ClientError

    if role.startswith("arn:"):
        return role
    try:
        return str(aws.client("iam").get_role(RoleName=role)["Role"]["Arn"])
    except ClientError as error:
        raise UserError(f"--role: {error.response['Error'].get('Message', error)}") from error


def _await_service(name: str, client: Any) -> None:
    until = monotonic() + START_SECONDS
    while True:
        told = client.describe_endpoint(EndpointName=name)
        status = told["EndpointStatus"]
        if status == "InService":
            return
        if status == "Failed" or monotonic() > until:
            why = told.get("FailureReason", f"{status} after {START_SECONDS:g} s")
            raise RunError(f"{name}: {why}. Away with it: raycompare sagemaker delete {name}")
        sleep(POLL_SECONDS)


def predict(name: str, texts: Sequence[str], aws: Aws) -> list[Mapping[str, Any]]:
    """Return label and score of each text.

    Raises:
        UserError: there is no such endpoint, or it does not answer as the container does.
    """
    from botocore.exceptions import ClientError

    try:
        answer = aws.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=name,
            ContentType="application/json",
            Accept="application/json",
            Body=json.dumps({"inputs": list(texts)}).encode(),
        )
    except ClientError as error:
        raise UserError(f"{name}: {error.response['Error'].get('Message', error)}") from error
    return parse_answer(answer["Body"].read(), name)


def parse_answer(body: bytes, name: str) -> list[Mapping[str, Any]]:
    """Read the container's answer: an object with label and score for each text.

    Raises:
        UserError: it is something else.
    """
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and {"label", "score"} <= set(one) for one in found
    ):
        said = body[:200].decode(errors="replace")
        raise UserError(f"{name}: expected a list of label and score, found {said!r}")
    return found


def endpoints(aws: Aws) -> Iterator[tuple[str, str, datetime]]:
    """Yield name, status and time of this program's endpoints."""
    pages = aws.client("sagemaker").get_paginator("list_endpoints")
    for page in pages.paginate(NameContains=PREFIX):
        for told in page["Endpoints"]:
            if told["EndpointName"].startswith(PREFIX):
                yield told["EndpointName"], told["EndpointStatus"], told["CreationTime"]


def parts(name: str, aws: Aws) -> list[str]:
    """Return which of endpoint, endpoint_config and model there are under a name."""
    from botocore.exceptions import ClientError

    client, found = aws.client("sagemaker"), []
    for kind, parameter in FOUND_BY.items():
        try:
            getattr(client, f"describe_{kind}")(**{parameter: name})
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationException":
                raise
            continue
        found.append(kind)
    return found


def delete(name: str, aws: Aws) -> list[str]:
    """Delete what there is under a name, and look until nothing is left; return what it was.

    Raises:
        UserError: there is nothing.
        RunError: something is still there after `START_SECONDS`.
    """
    there = parts(name, aws)
    if not there:
        raise UserError(f"{name}: no endpoint, no configuration and no model of this name.")
    client = aws.client("sagemaker")
    for kind in there:
        getattr(client, f"delete_{kind}")(**{FOUND_BY[kind]: name})
    until = monotonic() + START_SECONDS
    while left := parts(name, aws):
        if monotonic() > until:
            raise RunError(f"{name}: still there: {', '.join(left)}. Look at it in the console.")
        sleep(POLL_SECONDS)
    return there
