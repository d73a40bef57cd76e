"""Limits of SageMaker's API, read from botocore's description of it before a request is sent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from math import isfinite
from typing import Any

from raycompare.errors import Problem, near
from raycompare.formatting import SECONDS_PER_HOUR
from raycompare.sagemaker.request import Request
from raycompare.uris import ALLOWED, has_credentials, hide_credentials

MOST_HOURS = 28 * 24
"""Longest run time of a training job (SageMaker API reference, StoppingCondition)."""
LONGEST_SHOWN = 60
_ACCOUNT = "arn:aws:iam::123456789012:role/"
"""Makes an ARN of the name of a role, to check its characters and length."""
Path = tuple[str | int, ...]
TRAINING: Mapping[Path, str] = {
    ("Tags",): "--tag",
    ("VpcConfig", "Subnets"): "--subnet",
    ("VpcConfig", "SecurityGroupIds"): "--security-group",
    ("Environment", "MLFLOW_TRACKING_URI"): "--mlflow",
    ("Environment", "RAYCOMPARE_RUN_DIR"): "--out",
    ("OutputDataConfig", "S3OutputPath"): "--out",
    ("OutputDataConfig", "KmsKeyId"): "--kms-key",
    ("StoppingCondition",): "--max-hours",
    ("RoleArn",): "--role",
    ("AlgorithmSpecification", "TrainingImage"): "--image",
    ("ResourceConfig", "InstanceGroups", 0): "--head-type",
    ("ResourceConfig", "InstanceGroups", 1): "--instance-type",
    ("ResourceConfig", "VolumeSizeInGB"): "--volume-gb",
}
"""Options that the parts of CreateTrainingJob come from."""


def training_problems(request: Request, out: str) -> Iterator[Problem]:
    """Find options of a training job that the API would refuse, or read in another way."""
    yield from _time_problems(request)
    yield from _credential_problems({"--mlflow": request.mlflow, "--out": out})
    yield from shape_problems("CreateTrainingJob", _parameters(request, out), TRAINING)
    reserved = [key for key in request.tags if key.lower().startswith("aws:")]
    if reserved:
        yield Problem(
            where="--tag", found=", ".join(reserved), allowed="keys that don't begin with aws:"
        )


def endpoint_problems(name: str, role: str, instance_type: str | None) -> Iterator[Problem]:
    """Find options of an endpoint that the API would refuse."""
    yield from shape_problems(
        "CreateEndpoint", {"EndpointName": name}, {("EndpointName",): "--name"}
    )
    yield from shape_problems(
        "CreateModel", {"ExecutionRoleArn": arn_of(role)}, {("ExecutionRoleArn",): "--role"}
    )
    if instance_type is not None:
        variants = [{"InstanceType": instance_type}]
        yield from shape_problems(
            "CreateEndpointConfig",
            {"ProductionVariants": variants},
            {("ProductionVariants",): "--instance-type"},
        )


def arn_of(role: str) -> str:
    """Return an ARN with the name of a role, unless it is one already."""
    return role if role.startswith("arn:") else _ACCOUNT + role


def _parameters(request: Request, out: str) -> dict[str, Any]:
    """Return the parts of CreateTrainingJob that options decide."""
    machines, network = request.machines, request.network
    groups = [{"InstanceType": kind} for kind in (machines.head_type, machines.instance_type)]
    given: dict[str, Any] = {
        "Tags": [{"Key": key, "Value": value} for key, value in request.tags.items()],
        "RoleArn": arn_of(request.role),
        "ResourceConfig": {
            "VolumeSizeInGB": machines.volume_gb,
            "InstanceGroups": groups if machines.head_type else [{}, groups[1]],
        },
        "OutputDataConfig": {"KmsKeyId": request.kms_key or ""},
        "Environment": {"MLFLOW_TRACKING_URI": request.mlflow or "", "RAYCOMPARE_RUN_DIR": out},
    }
    if "://" in out:
        given["OutputDataConfig"]["S3OutputPath"] = out
    if network.subnets and network.security_groups:
        groups_of = list(network.security_groups)
        given["VpcConfig"] = {"Subnets": list(network.subnets), "SecurityGroupIds": groups_of}
    if request.image:
        given["AlgorithmSpecification"] = {"TrainingImage": request.image}
    if isfinite(machines.max_hours):
        given["StoppingCondition"] = {"MaxRuntimeInSeconds": machines.max_seconds}
    return given


def _time_problems(request: Request) -> Iterator[Problem]:
    hours, minutes = request.machines.max_hours, request.machines.join_minutes
    if not isfinite(hours) or not 1 / SECONDS_PER_HOUR <= hours <= MOST_HOURS:
        yield Problem(
            where="--max-hours",
            found=f"{hours:g}",
            allowed=f"a number above 0 and up to {MOST_HOURS}, which is 28 days; at least a second",
        )
    if not isfinite(minutes) or not 0 < minutes <= MOST_HOURS * 60:
        yield Problem(
            where="--join-minutes", found=f"{minutes:g}", allowed="a number of minutes above 0"
        )


def _credential_problems(options: Mapping[str, str | None]) -> Iterator[Problem]:
    for option, uri in options.items():
        if uri and has_credentials(uri):
            yield Problem(where=option, found=hide_credentials(uri), allowed=ALLOWED)


def shape_problems(
    operation: str, parameters: Mapping[str, Any], options: Mapping[Path, str]
) -> Iterator[Problem]:
    """Find values that the API refuses by their length, number, characters or choices.

    `options` names the option that each path of a parameter comes from.
    """
    shape = _api().operation_model(operation).input_shape
    problems = {
        (_option_of(path, options), shown, allowed): hint
        for path, shown, allowed, hint in _walk(shape, parameters, ())
    }
    for (option, shown, allowed), hint in problems.items():
        yield Problem(where=option, found=hide_credentials(shown), allowed=allowed, hint=hint)


@cache
def _api() -> Any:
    """Return botocore's description of SageMaker, which takes a second to load."""
    import botocore.session

    return botocore.session.get_session().get_service_model("sagemaker")


def _option_of(path: Path, options: Mapping[Path, str]) -> str:
    prefixes = [path[:length] for length in range(len(path), 0, -1)]
    found = next((options[prefix] for prefix in prefixes if prefix in options), None)
    return found or ".".join(map(str, path))


Fault = tuple[Path, str, str, str | None]
"""Path of a parameter, what was found, what is allowed, and a hint."""


def _walk(shape: Any, value: Any, path: Path) -> Iterator[Fault]:
    if shape.type_name == "structure":
        for name, part in value.items():
            yield from _walk(shape.members[name], part, (*path, name))
    elif shape.type_name == "list":
        yield from _size(shape, len(value), path, "items")
        for number, part in enumerate(value):
            yield from _walk(shape.member, part, (*path, number))
    elif shape.type_name == "map":
        for name, part in value.items():
            yield from _walk(shape.value, part, (*path, name))
    elif shape.type_name == "string":
        yield from _text(shape, value, path)
    else:
        yield from _size(shape, value, path, "")


def _size(shape: Any, number: int, path: Path, unit: str, shown: str = "") -> Iterator[Fault]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    found = shown or f"{number:,} {unit}".rstrip()
    if most is not None and number > most:
        yield path, found, f"at most {most:,} {unit}".rstrip(), None
    elif least is not None and number < least:
        yield path, found, f"at least {least:,} {unit}".rstrip(), None


def _text(shape: Any, text: str, path: Path) -> Iterator[Fault]:
    is_long = len(text) > LONGEST_SHOWN
    short = repr(f"{text[:LONGEST_SHOWN]}..." if is_long else text)
    shown = f"{short}, {len(text):,} characters" if is_long else short
    pattern = _compile(shape.metadata.get("pattern"))
    if shape.enum:
        if text not in shape.enum:
            allowed = "an instance type that SageMaker offers here, such as ml.g5.xlarge"
            yield path, short, allowed, near(text, shape.enum)
    elif faults := list(_size(shape, len(text), path, "characters", shown)):
        yield from faults
    elif pattern is not None and not pattern.fullmatch(text):
        yield path, shown, f"text that matches {shape.metadata['pattern']}", None


def _compile(pattern: str | None) -> re.Pattern[str] | None:
    """Compile a pattern of the API; None if it is unknown or has classes that re doesn't have."""
    if pattern is None:
        return None
    text = pattern.replace(r"\p{L}", r"\w").replace(r"\p{N}", r"\d")
    text = text.replace(r"\p{Z}", " \u00a0\u2000-\u200a\u2028\u2029\u3000")
    try:
        return None if r"\p" in text else re.compile(text)
    except re.error:
        return None
