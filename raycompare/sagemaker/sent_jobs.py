"""Status, logs and run folders of submitted training jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from time import sleep
from typing import Any, Self

from raycompare.errors import UserError
from raycompare.formatting import duration
from raycompare.sagemaker.aws import Aws
from raycompare.sagemaker.submit import PREFIX, RUN_DIR

ENDED = ("Completed", "Failed", "Stopped")
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
POLL_SECONDS = 5.0
MOST_LISTED = 100


@dataclass(frozen=True, kw_only=True)
class JobState:
    """The state of a job, from DescribeTrainingJob."""

    name: str
    status: str
    detail: str
    """The secondary status, such as Starting, Downloading, Interrupted."""
    reason: str | None
    run_dir: str | None
    instances: str
    seconds: float | None
    """Billable time if SageMaker reports it, else the time since training started."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    model: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the job has ended."""
        return self.status in ENDED

    @classmethod
    def of(cls, response: Mapping[str, Any]) -> Self:
        """Parse a response of DescribeTrainingJob."""
        config = response["ResourceConfig"]
        groups = config.get("InstanceGroups") or [config]
        final = response.get("FinalMetricDataList") or ()
        return cls(
            name=response["TrainingJobName"],
            status=response["TrainingJobStatus"],
            detail=response["SecondaryStatus"],
            reason=response.get("FailureReason"),
            run_dir=(response.get("Environment") or {}).get(RUN_DIR),
            instances=" + ".join(f"{g['InstanceCount']} x {g['InstanceType']}" for g in groups),
            seconds=response.get("BillableTimeInSeconds") or _seconds(response),
            metrics={metric["MetricName"]: metric["Value"] for metric in final},
            model=(response.get("ModelArtifacts") or {}).get("S3ModelArtifacts"),
        )

    def lines(self) -> list[str]:
        """Describe the job in a few lines."""
        detail = "" if self.detail == self.status else f" ({self.detail})"
        facts = {
            "reason": self.reason,
            "instances": self.instances,
            "time": duration(self.seconds) if self.seconds else None,
            "run folder": self.run_dir,
            "model": self.model if self.status == "Completed" else None,
            "metrics": ", ".join(f"{k} {v:.4f}" for k, v in sorted(self.metrics.items())),
            "resume": self._hint(),
        }
        lines = [f"  {name:<11} {value}" for name, value in facts.items() if value]
        return [f"{self.name}: {self.status}{detail}", *lines]

    def _hint(self) -> str | None:
        if self.status not in ("Failed", "Stopped") or not self.run_dir:
            return None
        return f"raycompare sagemaker submit --resume {self.run_dir}"


def _seconds(response: Mapping[str, Any]) -> float | None:
    began, ended = response.get("TrainingStartTime"), response.get("TrainingEndTime")
    if not isinstance(began, datetime) or not isinstance(ended, datetime):
        return None
    return (ended - began).total_seconds()


def state_of(name: str, aws: Aws) -> JobState:
    """Get the state of a job.

    Raises:
        UserError: there is no such job.
    """
    from botocore.exceptions import ClientError

    client = aws.client("sagemaker")
    try:
        return JobState.of(client.describe_training_job(TrainingJobName=name))
    except ClientError as error:
        raise UserError(
            f"{name}: {error.response['Error'].get('Message', error)} (region {aws.region}). "
            "`raycompare sagemaker ls` lists the jobs."
        ) from error


def stop(name: str, aws: Aws) -> JobState:
    """Ask SageMaker to stop a job, which then has two minutes to save its run folder.

    Raises:
        UserError: there is no such job.
    """
    state = state_of(name, aws)
    if not state.has_ended:
        aws.client("sagemaker").stop_training_job(TrainingJobName=name)
    return state_of(name, aws)


def recent(aws: Aws) -> list[tuple[str, str, datetime]]:
    """Return name, status and creation time of raycompare's recent jobs, newest first."""
    response = aws.client("sagemaker").list_training_jobs(
        NameContains=PREFIX, SortBy="CreationTime", SortOrder="Descending", MaxResults=MOST_LISTED
    )
    return [
        (job["TrainingJobName"], job["TrainingJobStatus"], job["CreationTime"])
        for job in response["TrainingJobSummaries"]
        if job["TrainingJobName"].startswith(PREFIX)
    ]


@dataclass
class Logs:
    """The log streams of a job, one for each instance."""

    name: str
    aws: Aws
    _tokens: dict[str, str] = field(default_factory=dict)

    def new_lines(self) -> Iterator[str]:
        """Yield new lines since the last call, prefixed with the instance if there are several."""
        client = self.aws.client("logs")
        streams = self._streams(client)
        for stream in streams:
            host = stream.rpartition("/")[2].rpartition("-")[0]
            for message in self._messages(client, stream):
                yield f"{host}: {message}" if len(streams) > 1 else message

    def _streams(self, client: Any) -> list[str]:
        from botocore.exceptions import ClientError

        try:
            response = client.describe_log_streams(
                logGroupName=LOG_GROUP, logStreamNamePrefix=f"{self.name}/"
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return []
        return sorted(stream["logStreamName"] for stream in response["logStreams"])

    def _messages(self, client: Any, stream: str) -> Iterator[str]:
        while True:
            before = self._tokens.get(stream)
            token = {"nextToken": before} if before else {}
            response = client.get_log_events(
                logGroupName=LOG_GROUP, logStreamName=stream, startFromHead=True, **token
            )
            yield from (event["message"] for event in response["events"])
            self._tokens[stream] = response["nextForwardToken"]
            if response["nextForwardToken"] == before or not response["events"]:
                return


def follow(name: str, aws: Aws, say: Callable[[str], None], until_end: bool) -> JobState:
    """Print the logs of a job: those until now, or with `until_end`, until the job ends.

    Raises:
        UserError: there is no such job.
    """
    logs = Logs(name, aws)
    while True:
        state = state_of(name, aws)  # before the lines, so that none of the last ones are missed
        for line in logs.new_lines():
            say(line)
        if state.has_ended or not until_end:
            return state
        sleep(POLL_SECONDS)


def run_dir_of(name: str, aws: Aws) -> str:
    """Return the run folder of a job.

    Raises:
        UserError: there is no such job, or raycompare didn't submit it.
    """
    run_dir = state_of(name, aws).run_dir
    if run_dir is None:
        raise UserError(f"{name} is not a raycompare job: its environment has no {RUN_DIR}.")
    return run_dir
