"""Submits a training job with the SageMaker SDK."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from packaging.version import Version

from raycompare.errors import UserError
from raycompare.experiment.needs import needs_of
from raycompare.experiment.spec import Experiment
from raycompare.records.layout import JOB
from raycompare.sagemaker.aws import Aws, explain_aws
from raycompare.sagemaker.job_environment import HEAD_GROUP, Job
from raycompare.sagemaker.request import Request
from raycompare.sagemaker.source import REQUIREMENTS, write_source
from raycompare.uris import has_credentials

ENTRY = "exec python -m raycompare.sagemaker.entry"
FRAMEWORK = "pytorch-amzn2023"
HUB = "HF_ENDPOINT"
RUN_DIR = "RAYCOMPARE_RUN_DIR"
"""Environment variable of a job that holds its run folder."""
MLFLOW = "MLFLOW_TRACKING_URI"
PREFIX = "raycompare"
MOST_NAME = 40
"""Maximum length of a name; the SDK appends a time, and SageMaker allows 63 characters."""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """Everything a job consists of, after all checks."""

    experiment: Experiment
    request: Request
    job: Job
    image: str
    metrics: Mapping[str, str]
    """Regular expression of each metric, keyed by metric name."""


def default_image(request: Request, aws: Aws) -> str:
    """Return the URI of AWS's PyTorch image for the torch version installed here.

    Raises:
        UserError: there is no such image.
    """
    from sagemaker.core import image_uris

    torch = ".".join(str(part) for part in Version(version("torch")).release[:2])
    try:
        uri: str = image_uris.retrieve(
            framework=FRAMEWORK,
            region=aws.region,
            version=torch,
            instance_type=request.machines.instance_type,
            image_scope="training",
        )
    except ValueError as error:
        first = str(error).splitlines()[0]
        raise UserError(
            f"AWS has no training image for torch {torch} on {request.machines.instance_type} in "
            f"{aws.region}: {first} Choose one with --image; its torch version should match."
        ) from error
    return uri


def base_name(experiment: Experiment) -> str:
    """Return the prefix of the names of an experiment's jobs."""
    name = re.sub("[^A-Za-z0-9]+", "-", f"{PREFIX}-{experiment.name}")
    return name[:MOST_NAME].strip("-")


def send(submission: Submission, aws: Aws, bucket: str) -> str:
    """Upload the source and create the job; return its name.

    Raises:
        UserError: AWS refuses it; the message says why, and what may be left in the bucket.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    base = base_name(submission.experiment)
    with TemporaryDirectory() as place, _quiet_logs():
        folder = Path(place)
        more = ["sagemaker-mlflow"] if submission.request.mlflow else []
        write_source(folder, submission.experiment, submission.job, more)
        prefix = source_place(submission).removeprefix(f"s3://{bucket}/")
        made = trainer(submission, folder, aws.session(bucket, prefix))
        try:
            made.train(wait=False, logs=False)
        except (BotoCoreError, ClientError) as error:
            raise UserError(
                f"the job was not created. {explain_aws(error)}\nIts source may be left in the "
                f"bucket: aws s3 rm --recursive {source_place(submission)}/{base}"
            ) from error
        return str(made._latest_training_job.training_job_name)


def source_place(submission: Submission) -> str:
    """Return the URI for source and output of the job: a subfolder of its run folder."""
    return f"{submission.job.run_dir}/{JOB}"


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """Suppress SDK logs that repeat the output of the command."""
    import logging

    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)


def trainer(submission: Submission, source: Path, session: Any) -> Any:
    """Return the SDK's ModelTrainer.

    It has no hyperparameters, because the SDK writes them unquoted into a shell script, where an
    apostrophe would end the container before it starts.
    """
    from sagemaker.core.training.configs import (
        MetricDefinition,
        OutputDataConfig,
        SourceCode,
        StoppingCondition,
        Tag,
    )
    from sagemaker.train import ModelTrainer

    request, machines = submission.request, submission.request.machines
    longest = machines.max_seconds
    waiting = {"max_wait_time_in_seconds": machines.max_wait_seconds} if machines.spot else {}
    made = ModelTrainer(
        sagemaker_session=session,
        role=request.role,
        training_image=submission.image,
        base_job_name=base_name(submission.experiment),
        source_code=SourceCode(source_dir=str(source), requirements=REQUIREMENTS, command=ENTRY),
        compute=_compute(request),
        networking=_networking(request),
        stopping_condition=StoppingCondition(max_runtime_in_seconds=longest, **waiting),
        output_data_config=OutputDataConfig(
            s3_output_path=source_place(submission), **_key(request)
        ),
        environment=job_environment(submission),
        tags=[Tag(key=key, value=value) for key, value in request.tags.items()] or None,
    )
    definitions = [
        MetricDefinition(name=name, regex=regex) for name, regex in submission.metrics.items()
    ]
    return made.with_metric_definitions(definitions)


def job_environment(submission: Submission) -> dict[str, str]:
    """Return the container's variables, visible to everyone who may describe the job."""
    mlflow = {MLFLOW: submission.request.mlflow} if submission.request.mlflow else {}
    hub = os.environ.get(HUB) if HUB in needs_of(submission.experiment).variables else None
    other_hub = {HUB: hub} if hub and not has_credentials(hub) else {}
    return {RUN_DIR: submission.job.run_dir, "PIP_QUIET": "1", **mlflow, **other_hub}


def _key(request: Request) -> dict[str, str]:
    return {"kms_key_id": request.kms_key} if request.kms_key else {}


def _compute(request: Request) -> Any:
    from sagemaker.core.training.configs import Compute, InstanceGroup

    machines = request.machines
    shared: dict[str, Any] = {
        "volume_size_in_gb": machines.volume_gb,
        "enable_managed_spot_training": machines.spot,
    }
    if request.kms_key and not machines.with_local_storage:
        shared["volume_kms_key_id"] = request.kms_key
    if machines.head_type is None:
        return Compute(
            instance_type=machines.instance_type, instance_count=machines.count, **shared
        )
    groups: Sequence[tuple[str, str, int]] = [
        (HEAD_GROUP, machines.head_type, 1),
        ("trials", machines.instance_type, machines.count),
    ]
    return Compute(
        instance_groups=[
            InstanceGroup(instance_group_name=name, instance_type=kind, instance_count=count)
            for name, kind, count in groups
        ],
        **shared,
    )


def _networking(request: Request) -> Any:
    from sagemaker.core.training.configs import Networking

    if not request.network.subnets:
        return None
    return Networking(
        subnets=list(request.network.subnets),
        security_group_ids=list(request.network.security_groups),
    )
