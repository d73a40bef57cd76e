"""A stand-in for SageMaker: moto, with training jobs that really run their containers on hosts.

moto has S3, IAM, STS, the logs and the list of jobs. What is here beside it:

* CreateTrainingJob starts a thread that does the work; `sagemaker_machines` has one that runs the
  containers on hosts;
* StopTrainingJob asks it to stop;
* InvokeEndpoint asks the container that a test has started for the endpoint, where there is one;
* Describe* answers have no empty objects, which the SDK refuses; that of a training job tells what
  became of it.

The server listens at the switch, where the hosts find it, and on the loopback for the tests.
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.error import HTTPError
from urllib.parse import parse_qs
from urllib.request import Request, urlopen

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from tests.rig.hosts import SUBNET, Network

BUCKET, ACCOUNT, ROLE = "runs", "123456789012", "raycompare-sagemaker"
SWITCH_PORT, CLONE_NEWNET = 5000, 0x40000000
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
QUOTAS = [
    {"QuotaName": f"ml.g5.xlarge for {kind} usage", "Value": value}
    for kind, value in (("training job", 8.0), ("spot training job", 2.0))
]
ENDPOINT_FAILURE: str | None = None
"""Why endpoints do not come up; None if they do."""
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def environment(endpoint: str) -> dict[str, str]:
    """What makes a process take the stand-in for AWS."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@dataclass
class TrainingJob:
    """A job, as it stands."""

    asked: Mapping[str, Any]
    status: str = "InProgress"
    detail: str = "Starting"
    reason: str | None = None
    stop: bool = False
    interrupt: bool = False
    """Set it for a spot interruption: the instances end, and new ones start."""
    first_failed: str | None = None
    """The instance whose container has left first with another code than 0."""
    seconds_to_end: float | None = None
    """Between SIGTERM and the end of the last container."""
    began: float | None = None
    ended: float | None = None
    metrics: list[dict[str, Any]] = field(default_factory=list)
    logs: dict[str, list[str]] = field(default_factory=dict)
    """What each instance has said, by its name; of all starts."""

    @property
    def name(self) -> str:
        """As SageMaker knows it."""
        return str(self.asked["TrainingJobName"])

    @property
    def model_uri(self) -> str:
        """Where the model goes."""
        output = self.asked["OutputDataConfig"]["S3OutputPath"].rstrip("/")
        return f"{output}/{self.name}/output/model.tar.gz"

    def groups(self) -> Iterator[tuple[str, str, list[str]]]:
        """Yield each instance group: name, type, hosts."""
        config, number = self.asked["ResourceConfig"], 0
        given = config.get("InstanceGroups") or [
            {"InstanceGroupName": "homogeneousCluster", **config}
        ]
        for group in given:
            count = group["InstanceCount"]
            hosts = [f"algo-{number + i + 1}" for i in range(count)]
            yield group["InstanceGroupName"], group["InstanceType"], hosts
            number += count

    def hosts(self) -> list[str]:
        """Return the names of all instances."""
        return [host for _, _, hosts in self.groups() for host in hosts]

    def config(self, me: str) -> dict[str, Any]:
        """Return resourceconfig.json; like the SDK's own list, the hosts are sorted as text."""
        mine = next(group for group in self.groups() if me in group[2])
        return {
            "current_host": me,
            "current_instance_type": mine[1],
            "current_group_name": mine[0],
            "hosts": sorted(self.hosts()),
            "instance_groups": [
                {"instance_group_name": name, "instance_type": kind, "hosts": hosts}
                for name, kind, hosts in self.groups()
            ],
            "network_interface_name": "eth0",
        }

    def described(self) -> dict[str, Any]:
        """Return what DescribeTrainingJob has beside moto's answer."""
        known = {
            "TrainingJobStatus": self.status,
            "SecondaryStatus": self.detail,
            "FailureReason": self.reason,
            "TrainingStartTime": self.began,
            "TrainingEndTime": self.ended,
            "FinalMetricDataList": self.metrics,
            "AlgorithmSpecification": self.asked["AlgorithmSpecification"],
            "Environment": self.asked.get("Environment"),
            "ResourceConfig": self.asked["ResourceConfig"],
            "ModelArtifacts": {"S3ModelArtifacts": self.model_uri},
            "SecondaryStatusTransitions": [
                {"Status": self.detail, "StartTime": self.began or 0, "StatusMessage": self.detail}
            ],
        }
        return {key: value for key, value in known.items() if value not in (None, [], {})}


Run = Callable[[TrainingJob], None]


class Application:
    """moto's server, with training jobs of ours."""

    def __init__(self, run: Run | None) -> None:
        """Have `run` do the work of each job; without it jobs stay as they are created."""
        self._moto = DomainDispatcherApplication(create_backend_app)
        self.run = run
        self.jobs: dict[str, TrainingJob] = {}
        self.containers: dict[str, str] = {}
        """The URL of the container that serves an endpoint, by the endpoint's name."""

    def __call__(self, call: dict[str, Any], start: Callable[..., Any]) -> Sequence[bytes]:
        """Answer a request."""
        action = call.get("HTTP_X_AMZ_TARGET", "").removeprefix("SageMaker.")
        if call.get("HTTP_AUTHORIZATION", "").find("/iam/") > 0:
            return self._iam(call, start)
        served = re.fullmatch("/endpoints/(.+)/invocations", call["PATH_INFO"])
        if served and served[1] in self.containers:
            return _invoked(self.containers[served[1]], call, start)
        if action.endswith("ListServiceQuotas"):
            return _answer(start, "200 OK", {"Quotas": QUOTAS})
        if not action.startswith(("CreateTrainingJob", "Describe", "StopTrainingJob")):
            return self._moto(call, start)  # type: ignore[no-any-return]
        raw = call["wsgi.input"].read(int(call.get("CONTENT_LENGTH") or 0))
        asked = json.loads(raw or b"{}")
        if action == "StopTrainingJob":
            self.jobs[asked["TrainingJobName"]].stop = True
            return _answer(start, "200 OK", {})
        call["wsgi.input"] = io.BytesIO(raw)
        got: dict[str, Any] = {}
        body = b"".join(self._moto(call, lambda status, headers, _=None: got.update(s=status)))
        told = json.loads(body)
        if got["s"].startswith("200"):
            told = self._told(action, asked, told)
        return _answer(start, got["s"], told)

    def _iam(self, call: dict[str, Any], start: Callable[..., Any]) -> Sequence[bytes]:
        """Allow what the SDK asks whether the role may do it; moto can't tell."""
        raw = call["wsgi.input"].read(int(call.get("CONTENT_LENGTH") or 0))
        call["wsgi.input"] = io.BytesIO(raw)
        asked = parse_qs(raw.decode())
        if asked.get("Action") != ["SimulatePrincipalPolicy"]:
            return self._moto(call, start)  # type: ignore[no-any-return]
        actions = [values[0] for key, values in asked.items() if key.startswith("ActionNames")]
        allowed = "".join(
            f"<member><EvalActionName>{action}</EvalActionName>"
            "<EvalDecision>allowed</EvalDecision></member>"
            for action in actions
        )
        body = (
            "<SimulatePrincipalPolicyResponse><SimulatePrincipalPolicyResult><EvaluationResults>"
            f"{allowed}</EvaluationResults><IsTruncated>false</IsTruncated>"
            "</SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
        ).encode()
        start("200 OK", [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))])
        return [body]

    def _told(self, action: str, asked: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
        if action == "CreateTrainingJob":
            job = self.jobs[asked["TrainingJobName"]] = TrainingJob(asked)
            if self.run:
                threading.Thread(target=self.run, args=(job,), daemon=True).start()
            return told
        if action == "DescribeTrainingJob" and asked["TrainingJobName"] in self.jobs:
            for key in ("TrainingStartTime", "TrainingEndTime", "FinalMetricDataList"):
                told.pop(key, None)
            told |= self.jobs[asked["TrainingJobName"]].described()
        if action == "DescribeEndpoint" and ENDPOINT_FAILURE:
            told |= {"EndpointStatus": "Failed", "FailureReason": ENDPOINT_FAILURE}
        return {key: value for key, value in told.items() if value not in (None, {}, [])}


def _invoked(url: str, call: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    """Pass a request on to a container; one that it refuses is SageMaker's ModelError."""
    body = call["wsgi.input"].read(int(call.get("CONTENT_LENGTH") or 0))
    headers = {"Content-Type": call["CONTENT_TYPE"], "Accept": call.get("HTTP_ACCEPT", "*/*")}
    try:
        with urlopen(Request(f"{url}/invocations", body, headers)) as answer:
            said = answer.read()
    except HTTPError as error:
        told = {"Message": f"Received client error ({error.code}) from primary: {error.read()!r}"}
        return _answer(start, "424 Failed Dependency", {**told, "code": "ModelError"})
    start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(said)))])
    return [said]


def _answer(start: Callable[..., Any], status: str, told: Mapping[str, Any]) -> list[bytes]:
    body = json.dumps(told).encode()
    start(
        status, [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(body)))]
    )
    return [body]


@contextmanager
def serving(application: Application, listener: socket.socket) -> Iterator[None]:
    """Serve requests at a socket that listens."""
    host, port = listener.getsockname()
    server: BaseWSGIServer = make_server(
        host, port, application, threaded=True, fd=listener.fileno()
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        listener.close()


@contextmanager
def control_plane(run: Run | None = None) -> Iterator[Application]:
    """Serve an account with a bucket and a role on the loopback, and take it for AWS here."""
    application = Application(run)
    listener = socket.create_server(("127.0.0.1", 0))
    endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with serving(application, listener), mock.patch.dict(os.environ, environment(endpoint)):
        # moto keeps what it has for as long as the process is there.
        urlopen(Request(f"{endpoint}/moto-api/reset", method="POST")).close()
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        boto3.client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(TRUST))
        boto3.client("logs").create_log_group(logGroupName=LOG_GROUP)
        yield application


def at_switch(network: Network) -> socket.socket:
    """Listen at the switch: a socket belongs to the network it was made in, whoever serves it."""
    made: list[socket.socket] = []

    def listen() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path(f"/proc/{network._switch.pid}/ns/net").open("rb") as place:
            failed = libc.setns(place.fileno(), CLONE_NEWNET)
        assert not failed, os.strerror(ctypes.get_errno())
        made.append(socket.create_server((f"{SUBNET}.1", SWITCH_PORT)))

    thread = threading.Thread(target=listen)  # only this thread moves
    thread.start()
    thread.join()
    return made[0]
