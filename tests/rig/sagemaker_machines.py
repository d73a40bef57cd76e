"""Training jobs as SageMaker runs them: a host for each instance, and the container on it.

/opt/ml has the channels and resourceconfig.json; the entry point is process 1 of a namespace. The
log goes to CloudWatch's streams, /opt/ml/model to the bucket, /opt/ml/output/failure to
FailureReason. A job that is stopped, interrupted or too long gets SIGTERM, then SIGKILL.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from tests.rig.hosts import SUBNET, Host, Network
from tests.rig.sagemaker import LOG_GROUP, SWITCH_PORT, TrainingJob, environment

FIRST_ADDRESS = 20
GRACE_S = 120.0
"""Between SIGTERM and SIGKILL, as SageMaker's developer guide has it."""
LONGEST_CHAIN = 6
"""Processes between the one that is started and the container's first."""


@dataclass
class Container:
    """The container of one instance, and its log."""

    job: TrainingJob
    name: str
    host: Host
    more: Mapping[str, str]
    _shipped: int = 0
    _has_stream: bool = False

    def start(self) -> None:
        """Run the entry point, in an environment of its own."""
        variables = {
            **environment(f"http://{SUBNET}.1:{SWITCH_PORT}"),
            "TRAINING_JOB_NAME": self.job.name,
            "PATH": f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            **self.more,
            **(self.job.asked.get("Environment") or {}),
        }
        algorithm = self.job.asked["AlgorithmSpecification"]
        entry = [*algorithm["ContainerEntrypoint"], *algorithm.get("ContainerArguments", ())]
        clean = ["env", "-i", *(f"{key}={value}" for key, value in variables.items())]
        alone = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
        descriptor, name = tempfile.mkstemp(prefix=f"{self.name}-", suffix=".log")
        self._log = Path(name)
        with os.fdopen(descriptor, "wb") as log:
            self._process = subprocess.Popen(
                self.host.inside(*clean, *alone, *entry),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to process 1, as Docker does."""
        if self.code is None:
            os.kill(self._first(), number)

    def _first(self) -> int:
        """Return the pid, outside, of the container's first process: the child of unshare."""
        pid = self._process.pid
        for _ in range(LONGEST_CHAIN):
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            assert children, f"{name} has started nothing yet"
            pid = int(children[0])
            if name == "unshare":
                return pid
        raise AssertionError("no container found")

    def ship_log(self) -> None:
        """Send the lines that are new to CloudWatch, and keep them."""
        text = self._log.read_text(errors="replace")
        whole = text if self.code is not None else text[: text.rfind("\n") + 1]
        lines = [line for line in whole[self._shipped :].splitlines() if line.strip()]
        self._shipped = len(whole)
        if not lines:
            return
        self.job.logs.setdefault(self.name, []).extend(lines)
        client = boto3.client("logs")
        stream = {"logGroupName": LOG_GROUP, "logStreamName": f"{self.job.name}/{self.name}-1"}
        if (
            not self._has_stream
            and not client.describe_log_streams(
                logGroupName=LOG_GROUP, logStreamNamePrefix=stream["logStreamName"]
            )["logStreams"]
        ):
            client.create_log_stream(**stream)
        self._has_stream = True
        now = int(time.time() * 1000)
        client.put_log_events(
            **stream, logEvents=[{"timestamp": now, "message": line[:8000]} for line in lines]
        )

    def drop_log(self) -> None:
        """Remove the file: the job and CloudWatch have its lines."""
        self._log.unlink()


@dataclass
class Machines:
    """Runs the containers of jobs on hosts of a network, one job at a time."""

    network: Network
    more: Mapping[str, str] = field(default_factory=dict)
    """More variables of the containers."""
    never_joins: str | None = None
    """An instance whose network is cut before its container starts."""
    _number: int = FIRST_ADDRESS

    def run(self, job: TrainingJob) -> None:
        """Run a job to its end; after an interruption on new instances."""
        try:
            while self._was_interrupted(job):
                job.detail = "Interrupted"
        except BaseException as error:
            job.detail, job.status = "Failed", "Failed"
            job.reason = f"InternalServerError: {error!r}"
            raise
        finally:
            job.ended = time.time()

    def _was_interrupted(self, job: TrainingJob) -> bool:
        job.interrupt = False
        hosts = {name: self._host(name) for name in job.hosts()}
        try:
            job.detail = "Downloading"
            for name, host in hosts.items():
                _lay_out(job, name, host)
            if self.never_joins in hosts:
                hosts[self.never_joins].unplug()
            job.detail, job.began = "Training", job.began or time.time()
            codes = _run_containers(
                [Container(job, n, h, self.more) for n, h in hosts.items()], job
            )
            if not job.interrupt:
                _finish(job, hosts, codes)
            return job.interrupt
        finally:
            for name, host in hosts.items():
                host.power_off()
                del self.network.hosts[name]

    def _host(self, name: str) -> Host:
        self._number += 1
        return self.network.host(name, self._number)


def _lay_out(job: TrainingJob, name: str, host: Host) -> None:
    root, channels = host.path("/opt/ml"), job.asked.get("InputDataConfig", ())
    for folder in ("input/config", "input/data", "model", "output/data", "code"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for channel in channels:
        uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
        _download(uri, root / "input/data" / channel["ChannelName"])
    written = {
        "hyperparameters.json": job.asked.get("HyperParameters") or {},
        "resourceconfig.json": job.config(name),
        "inputdataconfig.json": {c["ChannelName"]: {"TrainingInputMode": "File"} for c in channels},
    }
    for file, content in written.items():
        (root / "input/config" / file).write_text(json.dumps(content))


def _download(uri: str, place: Path) -> None:
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    client = boto3.client("s3")
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", ()):
            file = place / (item["Key"][len(prefix) :].lstrip("/") or Path(prefix).name)
            file.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(bucket, item["Key"], str(file))


def _run_containers(containers: list[Container], job: TrainingJob) -> dict[str, int]:
    """Run them to their end, in order or forced; return the exit codes of those that left."""
    longest = job.asked.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", 86400)
    for container in containers:
        container.start()
    began, told = time.time(), None
    while any(container.code is None for container in containers):
        if told is None and (_is_over(job, containers) or time.time() > began + longest):
            told = time.time()
            job.detail = "Stopping"
            for container in containers:
                container.signal(signal.SIGTERM)
        if told and time.time() > told + GRACE_S:
            for container in containers:
                container.signal(signal.SIGKILL)
        for container in containers:
            container.ship_log()
        time.sleep(0.5)
    for container in containers:
        container.ship_log()
        container.drop_log()
    if time.time() > began + longest:
        job.stop, job.detail = True, "MaxRuntimeExceeded"
    job.seconds_to_end = time.time() - told if told else None
    return {container.name: container.code or 0 for container in containers}


def _is_over(job: TrainingJob, containers: list[Container]) -> bool:
    """Say whether the others are to end: somebody said so, or one container has failed."""
    failed = [container for container in containers if container.code]
    if failed and job.first_failed is None and not job.stop:
        job.first_failed = failed[0].name
    return job.stop or job.interrupt or bool(failed)


def _finish(job: TrainingJob, hosts: Mapping[str, Host], codes: Mapping[str, int]) -> None:
    job.metrics = _metrics(job)
    if job.stop:
        job.status = job.detail = "Stopped"
        return
    if job.first_failed is not None or any(codes.values()):
        name = job.first_failed or next(name for name, code in codes.items() if code)
        file = hosts[name].path("/opt/ml/output/failure")
        reason = file.read_text()[:1024] if file.exists() else "ExecuteUserScriptError"
        job.reason = f"AlgorithmError: {reason}, exit code: {codes[name]}"
        job.status = job.detail = "Failed"
        return
    job.detail = "Uploading"
    _upload_model(job, hosts)
    job.status = job.detail = "Completed"


def _metrics(job: TrainingJob) -> list[dict[str, Any]]:
    found = []
    lines = [line for own in job.logs.values() for line in own]
    for known in job.asked["AlgorithmSpecification"].get("MetricDefinitions", ()):
        values = [float(hit) for line in lines for hit in re.findall(known["Regex"], line)]
        if values:
            value = {"MetricName": known["Name"], "Value": values[-1], "Timestamp": time.time()}
            found.append(value)
    return found


def _upload_model(job: TrainingJob, hosts: Mapping[str, Host]) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for host in hosts.values():
            for path in sorted(host.path("/opt/ml/model").iterdir()):
                archive.add(path, path.name)
    bucket, _, key = job.model_uri.removeprefix("s3://").partition("/")
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=packed.getvalue())
