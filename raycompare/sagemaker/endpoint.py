"""Creates, queries and deletes endpoints with SageMaker's Hugging Face inference container.

An endpoint, its configuration and its model share one name, by which incomplete ones can be
identified too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic, sleep
from typing import Any

from raycompare.errors import RunError, UserError
from raycompare.sagemaker.aws import Aws, explain_aws
from raycompare.sagemaker.job_environment import natural

PREFIX = "raycompare-"
TAG, MOST_TAG = "raycompare", 256
"""Key of the tag of everything that `deploy` makes, whatever its name; its value is the run."""
TASK = {"HF_TASK": "text-classification"}
"""Selects the pipeline of the inference container (Hugging Face's inference toolkit)."""
START_SECONDS, POLL_SECONDS = 1800.0, 5.0
SERVERLESS_MB = 3072
SERVERLESS_AT_ONCE = 1
FOUND_BY = {
    "endpoint": "EndpointName",
    "endpoint_config": "EndpointConfigName",
    "model": "ModelName",
}
"""The parts of an endpoint in the order of deletion: boto3's term and parameter."""


@dataclass(frozen=True, kw_only=True)
class Serving:
    """An endpoint to create."""

    name: str
    role: str
    archive: str
    """URI of model.tar.gz."""
    image: str
    run_id: str
    instance_type: str | None = None
    """None for serverless inference, which has no GPU."""

    def variant(self) -> dict[str, Any]:
        """Return the production variant."""
        common = {"VariantName": "all", "ModelName": self.name}
        if self.instance_type is None:
            memory = {"MemorySizeInMB": SERVERLESS_MB, "MaxConcurrency": SERVERLESS_AT_ONCE}
            return {**common, "ServerlessConfig": memory}
        return {**common, "InstanceType": self.instance_type, "InitialInstanceCount": 1}


def inference_image(region: str | None, instance_type: str | None) -> str:
    """Return the URI of the newest Hugging Face inference image in the SDK."""
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


class NotCreatedError(UserError):
    """AWS refused the endpoint; the message says why, and what may be left of it."""


def require_free(name: str, aws: Aws) -> None:
    """Check that no endpoint, configuration or model has a name.

    Raises:
        UserError: the name is taken.
    """
    taken = parts(name, aws)
    if taken:
        raise UserError(
            f"{name}: this name is taken by: {', '.join(taken)}. Choose another with "
            f"--name, or run `raycompare sagemaker delete {name}` first."
        )


def create(serving: Serving, aws: Aws) -> None:
    """Create model, configuration and endpoint, and wait until it is in service.

    Raises:
        NotCreatedError: AWS refuses one of them; the others are deleted again.
        RunError: the endpoint does not start; the message has SageMaker's reason.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    name = serving.name
    try:
        _create_parts(serving, aws)
    except (BotoCoreError, ClientError, UserError) as error:
        reason = str(error) if isinstance(error, UserError) else explain_aws(error)
        raise NotCreatedError(
            f"{name}: the endpoint was not created. {reason} {_clean_up(name, aws)}"
        ) from error
    try:
        _await_service(name, aws.client("sagemaker"))
    except (BotoCoreError, ClientError, KeyboardInterrupt) as error:
        raise RunError(
            f"{name}: it was created and costs money, but nobody waits for it any more "
            f"({explain_aws(error) or 'interrupted'}). To remove it: "
            f"raycompare sagemaker delete {name}"
        ) from error


def _create_parts(serving: Serving, aws: Aws) -> None:
    client, name = aws.client("sagemaker"), serving.name
    container = {"Image": serving.image, "ModelDataUrl": serving.archive, "Environment": TASK}
    tags = [{"Key": TAG, "Value": re.sub(r"[^\w.:/=+@ -]", "-", serving.run_id)[:MOST_TAG]}]
    client.create_model(
        ModelName=name,
        ExecutionRoleArn=role_arn(serving.role, aws),
        PrimaryContainer=container,
        Tags=tags,
    )
    client.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[serving.variant()], Tags=tags
    )
    client.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=tags)


def _clean_up(name: str, aws: Aws) -> str:
    """Delete what exists under a name; say whether something is left."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client = aws.client("sagemaker")
        for kind in parts(name, aws):
            getattr(client, f"delete_{kind}")(**{FOUND_BY[kind]: name})
    except (BotoCoreError, ClientError):
        return f"Parts of it may be left; to remove them: raycompare sagemaker delete {name}"
    return "Nothing is left of it."


def role_arn(role: str, aws: Aws) -> str:
    """Return the ARN of a role, from its ARN or name.

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
        response = client.describe_endpoint(EndpointName=name)
        status = response["EndpointStatus"]
        if status == "InService":
            return
        if status == "Failed" or monotonic() > until:
            why = response.get("FailureReason", f"{status} after {START_SECONDS:g} s")
            raise RunError(f"{name}: {why}. To remove it: raycompare sagemaker delete {name}")
        sleep(POLL_SECONDS)


def predict(
    name: str, texts: Sequence[str], aws: Aws, pairs: Sequence[str] | None = None
) -> list[Mapping[str, Any]]:
    """Return label and score of each text, or of each pair if there are second texts.

    Texts are truncated as in training, also by endpoints of earlier versions, which had no code.

    Raises:
        UserError: there is no such endpoint, or its answer has an unexpected form.
    """
    from botocore.exceptions import ClientError

    inputs: list[Any] = list(texts)
    if pairs is not None:
        both = zip(texts, pairs, strict=True)
        inputs = [{"text": text, "text_pair": pair} for text, pair in both]
    try:
        answer = aws.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=name,
            ContentType="application/json",
            Accept="application/json",
            Body=json.dumps({"inputs": inputs, "parameters": {"truncation": True}}).encode(),
        )
    except ClientError as error:
        raise UserError(f"{name}: {error.response['Error'].get('Message', error)}") from error
    return parse_answer(answer["Body"].read(), name)


def parse_answer(body: bytes, name: str) -> list[Mapping[str, Any]]:
    """Parse the container's answer: an object with label and score for each text.

    Raises:
        UserError: the answer has another form.
    """
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(
        isinstance(one, dict) and {"label", "score"} <= set(one) for one in found
    ):
        start = body[:200].decode(errors="replace")
        raise UserError(f"{name}: expected a list of label and score, found {start!r}")
    return found


def endpoints(aws: Aws) -> Iterator[tuple[str, str, datetime]]:
    """Yield name, status and creation time of endpoints that raycompare made.

    They have its tag; those of earlier versions have names that begin with `PREFIX`.
    """
    client = aws.client("sagemaker")
    for page in client.get_paginator("list_endpoints").paginate():
        for endpoint in page["Endpoints"]:
            is_named = endpoint["EndpointName"].startswith(PREFIX)
            if is_named or _has_tag(endpoint["EndpointArn"], client):
                yield endpoint["EndpointName"], endpoint["EndpointStatus"], endpoint["CreationTime"]


def _has_tag(arn: str, client: Any) -> bool:
    """Return whether an endpoint has the tag; False if it has just been deleted."""
    from botocore.exceptions import ClientError

    try:
        pages = client.get_paginator("list_tags").paginate(ResourceArn=arn)
        return any(tag["Key"] == TAG for page in pages for tag in page["Tags"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationException":
            raise
        return False


def parts(name: str, aws: Aws) -> list[str]:
    """Return which of endpoint, endpoint_config and model exist under a name."""
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
    """Delete all parts under a name, wait until they are gone, and return them.

    Raises:
        UserError: there is no part under this name.
        RunError: a part still exists after `START_SECONDS`.
    """
    existing = parts(name, aws)
    if not existing:
        raise UserError(f"{name}: there is no endpoint, configuration or model of this name.")
    client = aws.client("sagemaker")
    for kind in existing:
        getattr(client, f"delete_{kind}")(**{FOUND_BY[kind]: name})
    until = monotonic() + START_SECONDS
    while left := parts(name, aws):
        if monotonic() > until:
            raise RunError(f"{name}: still exists: {', '.join(left)}. Check it in the console.")
        sleep(POLL_SECONDS)
    return existing
