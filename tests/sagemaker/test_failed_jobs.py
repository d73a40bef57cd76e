"""Training jobs that fail, and the reason that the user is told; on hosts as in test_jobs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

pytest.importorskip("sagemaker.train", reason="pip install -e '.[sagemaker]'")

from raycompare.sagemaker.request import Machines
from tests.rig.sagemaker import TrainingJob
from tests.sagemaker.cloud import Cloud, has_ended, log_of, opened_cloud, raycompare, wait
from tests.user import planned

pytestmark = [
    pytest.mark.sagemaker,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore"),  # the SDK's; jobs run in processes of their own
]
ALONE = Machines(instance_type="ml.g5.xlarge", count=1)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with opened_cloud(tmp_path_factory.mktemp("user")) as opened:
        yield opened


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
        job = cloud.submit("--instances", "2", "--join-minutes", "0.1")
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
