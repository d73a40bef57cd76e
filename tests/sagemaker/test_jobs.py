"""Training jobs from submit to report: the real SDK, and hosts that run what SageMaker would.

As root, on Linux: `make test-sagemaker`. The user is this process; each instance is a namespace
with the container's contract (tests/rig).
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

pytest.importorskip("sagemaker.train", reason="pip install -e '.[sagemaker]'")

from raycompare.records.run_folder import RunFolder
from tests.rig.sagemaker import BUCKET, TrainingJob
from tests.sagemaker.cloud import Cloud, has_ended, log_of, opened_cloud, raycompare, wait

pytestmark = [
    pytest.mark.sagemaker,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore"),  # the SDK's; jobs run in processes of their own
]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with opened_cloud(tmp_path_factory.mktemp("user")) as opened:
        yield opened


@pytest.fixture(scope="module")
def undisturbed(cloud: Cloud) -> TrainingJob:
    """A job on two instances, from its start to its end."""
    job = cloud.submit("--instances", "2")
    wait(job, has_ended)
    assert job.status == "Completed", f"{job.reason}\n{log_of(job)}"
    return job


def folder_of(job: TrainingJob) -> RunFolder:
    return RunFolder.at(job.asked["Environment"]["RAYCOMPARE_RUN_DIR"])


def outcomes(job: TrainingJob) -> tuple[list[tuple[object, ...]], ...]:
    """What the trials found, without when and where."""
    folder = folder_of(job)
    trials = [(t.trial_id, t.status, t.hyperparameters, t.best_step) for t in folder.read_trials()]
    rows = [(row.trial_id, row.split, row.step, row.loss) for row in folder.read_evaluations()]
    return trials, sorted(rows)


def test_a_job_on_two_instances_is_one_cluster_with_one_report(undisturbed: TrainingJob) -> None:
    folder = folder_of(undisturbed)
    assert folder.read_manifest().complete
    assert len(folder.read_manifest().hardware) == 2
    trials = folder.read_trials()
    assert {trial.status for trial in trials} == {"completed"}
    assert {trial.hostname for trial in trials} == {"algo-1", "algo-2"}
    assert "one-layer" in folder.read_text("report.md")


def test_the_job_has_its_metrics_and_a_log_of_each_instance(undisturbed: TrainingJob) -> None:
    metrics = {metric["MetricName"] for metric in undisturbed.metrics}
    assert {"eval_mcc", "test_mcc", "one-layer:eval_mcc", "two-layers:test_mcc"} <= metrics
    assert set(undisturbed.logs) == {"algo-1", "algo-2"}
    done = raycompare("logs", undisturbed.name)
    assert "algo-2: " in done.stdout
    assert "Completed" in done.stdout


def test_the_model_of_the_job_is_the_winner_with_real_labels(undisturbed: TrainingJob) -> None:
    key = undisturbed.model_uri.removeprefix(f"s3://{BUCKET}/")
    packed = boto3.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        names = set(archive.getnames())
        config = json.loads(archive.extractfile("config.json").read())  # type: ignore[union-attr]
    assert {"model.safetensors", "tokenizer.json", "README.md"} <= names
    assert set(config["id2label"].values()) == set(
        folder_of(undisturbed).read_manifest().data["labels"]
    )


def test_report_and_records_are_fetched(undisturbed: TrainingJob, tmp_path: Path) -> None:
    done = raycompare("fetch", undisturbed.name, str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).read_text() == folder_of(undisturbed).read_text("report.md")


def test_a_stopped_job_is_resumed_to_the_same_records(
    cloud: Cloud, undisturbed: TrainingJob
) -> None:
    """On a head that only drives, and one instance for the trials."""
    options = ("--instances", "1", "--head-type", "ml.m5.large")
    job = cloud.submit(*options)
    wait(job, lambda job: any("[metrics]" in line for line in job.logs.get("algo-1", ())))
    assert raycompare("stop", job.name).returncode == 0
    wait(job, has_ended)
    assert job.status == "Stopped"
    assert (job.seconds_to_end or 0) < 115  # in order: SIGKILL would come at 120
    resumed = cloud.submit("--resume", folder_of(job).uri, *options)
    wait(resumed, has_ended)
    assert resumed.status == "Completed", f"{resumed.reason}\n{log_of(resumed)}"
    trials = folder_of(resumed).read_trials()
    assert {trial.hostname for trial in trials} == {"algo-2"}
    assert outcomes(resumed) == outcomes(undisturbed)


def test_a_spot_interruption_goes_on_in_the_same_folder(
    cloud: Cloud, undisturbed: TrainingJob
) -> None:
    job = cloud.submit("--instances", "1", "--spot")
    wait(job, lambda job: any("[metrics]" in line for line in job.logs.get("algo-1", ())))
    job.interrupt = True
    wait(job, has_ended)
    assert job.status == "Completed", f"{job.reason}\n{log_of(job)}"
    assert sum("the head is algo-1" in line for line in job.logs["algo-1"]) == 2
    assert outcomes(job) == outcomes(undisturbed)
