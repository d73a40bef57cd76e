"""Training jobs that were sent: how they stand, what they say, where their run folder is."""

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
    """What SageMaker says of a job."""

    name: str
    status: str
    detail: str
    """The secondary status, such as Starting, Downloading, Interrupted."""
    reason: str | None
    run_dir: str | None
    instances: str
    seconds: float | None
    """Billable, where SageMaker says, else since the training began."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    model: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come."""
        return self.status in ENDED

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """Understand DescribeTrainingJob."""
        config = told["ResourceConfig"]
        groups = config.get("InstanceGroups") or [config]
        final = told.get("FinalMetricDataList") or ()
        return cls(
            name=told["TrainingJobName"],
            status=told["TrainingJobStatus"],
            detail=told["SecondaryStatus"],
            reason=told.get("FailureReason"),
            run_dir=(told.get("Environment") or {}).get(RUN_DIR),
            instances=" + ".join(f"{g['InstanceCount']} x {g['InstanceType']}" for g in groups),
            seconds=told.get("BillableTimeInSeconds") or _seconds(told),
            metrics={metric["MetricName"]: metric["Value"] for metric in final},
            model=(told.get("ModelArtifacts") or {}).get("S3ModelArtifacts"),
        )

    def lines(self) -> list[str]:
        """Say it in a few lines."""
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
        told = [f"  {name:<11} {value}" for name, value in facts.items() if value]
        return [f"{self.name}: {self.status}{detail}", *told]

    def _hint(self) -> str | None:
        if self.status not in ("Failed", "Stopped") or not self.run_dir:
            return None
        return f"raycompare sagemaker submit --resume {self.run_dir}"


def _seconds(told: Mapping[str, Any]) -> float | None:
    began, ended = told.get("TrainingStartTime"), told.get("TrainingEndTime")
    if not isinstance(began, datetime) or not isinstance(ended, datetime):
        return None
    return (ended - began).total_seconds()


def state_of(name: str, aws: Aws) -> JobState:
    """Ask how a job stands.

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
    """Ask SageMaker to stop a job, which then has two minutes to leave a folder to be resumed.

    Raises:
        UserError: there is no such job.
    """
    state = state_of(name, aws)
    if not state.has_ended:
        aws.client("sagemaker").stop_training_job(TrainingJobName=name)
    return state_of(name, aws)


def recent(aws: Aws) -> list[tuple[str, str, datetime]]:
    """Return name, status and time of this program's last jobs, the newest first."""
    told = aws.client("sagemaker").list_training_jobs(
        NameContains=PREFIX, SortBy="CreationTime", SortOrder="Descending", MaxResults=MOST_LISTED
    )
    return [
        (job["TrainingJobName"], job["TrainingJobStatus"], job["CreationTime"])
        for job in told["TrainingJobSummaries"]
        if job["TrainingJobName"].startswith(PREFIX)
    ]


@dataclass
class Logs:
    """The log streams of a job, one for each instance."""

    name: str
    aws: Aws
    _tokens: dict[str, str] = field(default_factory=dict)

    def new_lines(self) -> Iterator[str]:
        """Yield what has come since the last call, the instance before each line of several."""
        client = self.aws.client("logs")
        streams = self._streams(client)
        for stream in streams:
            host = stream.rpartition("/")[2].rpartition("-")[0]
            for message in self._messages(client, stream):
                yield f"{host}: {message}" if len(streams) > 1 else message

    def _streams(self, client: Any) -> list[str]:
        from botocore.exceptions import ClientError

        try:
            told = client.describe_log_streams(
                logGroupName=LOG_GROUP, logStreamNamePrefix=f"{self.name}/"
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return []
        return sorted(stream["logStreamName"] for stream in told["logStreams"])

    def _messages(self, client: Any, stream: str) -> Iterator[str]:
        while True:
            before = self._tokens.get(stream)
            given = {"nextToken": before} if before else {}
            told = client.get_log_events(
                logGroupName=LOG_GROUP, logStreamName=stream, startFromHead=True, **given
            )
            yield from (event["message"] for event in told["events"])
            self._tokens[stream] = told["nextForwardToken"]
            if told["nextForwardToken"] == before or not told["events"]:
                return


def follow(name: str, aws: Aws, say: Callable[[str], None], until_end: bool) -> JobState:
    """Say what the job's instances log; until its end, or what there is by now.

    Raises:
        UserError: there is no such job.
    """
    logs = Logs(name, aws)
    while True:
        state = state_of(name, aws)  # before the lines: those of the end come with it
        for line in logs.new_lines():
            say(line)
        if state.has_ended or not until_end:
            return state
        sleep(POLL_SECONDS)


def run_dir_of(name: str, aws: Aws) -> str:
    """Return the run folder of a job.

    Raises:
        UserError: there is no such job, or it is none of this program's.
    """
    run_dir = state_of(name, aws).run_dir
    if run_dir is None:
        raise UserError(f"{name} is no job of raycompare: its environment has no {RUN_DIR}.")
    return run_dir
