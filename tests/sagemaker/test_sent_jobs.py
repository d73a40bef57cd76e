"""Training jobs after they were sent: status, logs, stop; the real clients against the stand-in."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import boto3
import pytest

pytest.importorskip("sagemaker.train", reason="pip install -e '.[sagemaker]'")

from raycompare.errors import UserError
from raycompare.sagemaker import sent_jobs as sagemaker_jobs
from raycompare.sagemaker.aws import Aws
from raycompare.sagemaker.sent_jobs import follow, recent, run_dir_of, state_of, stop
from tests.rig.sagemaker import LOG_GROUP, ROLE, Application, TrainingJob
from tests.user import EXPERIMENT, OUT, planned, user

pytestmark = [
    pytest.mark.sagemaker,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    with user(tmp_path_factory.mktemp("user")) as application:
        yield application


def job_of(account: Application) -> TrainingJob:
    """Send a job and return it as the stand-in has it."""
    return account.jobs[planned().send()]


def test_status_says_why_a_job_has_failed_and_how_to_go_on(account: Application) -> None:
    job = job_of(account)
    job.status, job.detail, job.reason = "Failed", "Failed", "AlgorithmError: no data, exit code: 2"
    state = state_of(job.name, Aws())
    told = "\n".join(state.lines())
    assert state.has_ended
    assert "AlgorithmError: no data" in told
    assert f"submit --resume {state.run_dir}" in told
    assert "2 x ml.g5.xlarge" in told


def test_a_job_that_is_not_there_is_named(account: Application) -> None:
    with pytest.raises(UserError, match="raycompare sagemaker ls"):
        state_of("nothing", Aws())


def test_a_job_is_stopped_once(account: Application) -> None:
    job = job_of(account)
    stop(job.name, Aws())
    assert job.stop
    job.stop, job.status = False, "Completed"
    stop(job.name, Aws())
    assert not job.stop


def test_the_newest_jobs_are_listed_and_no_others(account: Application) -> None:
    job = job_of(account)
    names = [name for name, _, _ in recent(Aws())]
    assert job.name in names
    assert all(name.startswith("raycompare") for name in names)


def log(job: TrainingJob, host: str, *lines: str) -> None:
    """Add to the log stream of an instance."""
    client = boto3.client("logs")
    stream = {"logGroupName": LOG_GROUP, "logStreamName": f"{job.name}/{host}-1"}
    with suppress(client.exceptions.ResourceAlreadyExistsException):
        client.create_log_stream(**stream)
    now = int(time.time() * 1000)
    client.put_log_events(**stream, logEvents=[{"timestamp": now, "message": m} for m in lines])


def test_each_line_of_the_log_is_told_once_until_the_end(
    account: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, said = job_of(account), list[str]()
    log(job, "algo-1", "first")

    def later(seconds: float) -> None:
        log(job, "algo-2", "from the second")
        log(job, "algo-1", "last")
        job.status = job.detail = "Completed"

    monkeypatch.setattr(sagemaker_jobs, "sleep", later)
    state = follow(job.name, Aws(), said.append, until_end=True)
    assert state.status == "Completed"
    assert said == ["first", "algo-1: last", "algo-2: from the second"]


def test_without_a_log_yet_nothing_is_told(account: Application) -> None:
    said: list[str] = []
    assert not follow(job_of(account).name, Aws(), said.append, until_end=False).has_ended
    assert said == []


def test_a_job_without_a_run_folder_is_not_ours(account: Application) -> None:
    job = job_of(account)
    job.asked = {**job.asked, "Environment": {}}
    with pytest.raises(UserError, match="is not a raycompare job"):
        run_dir_of(job.name, Aws())


def test_the_commands_say_where_the_sdk_is_to_be_had(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['sagemaker'] = sys.modules['boto3'] = None; "
    command = "from raycompare.cli import main; main()"
    asked = ["sagemaker", "status", "job"]
    script = f"import sys; sys.argv = ['raycompare', *{asked!r}]; {hidden}{command}"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "[sagemaker]'" in done.stderr


def test_the_help_imports_no_sdk() -> None:
    script = (
        "import sys; from raycompare.cli import app; "
        "sys.exit(any(name in sys.modules for name in ('sagemaker', 'boto3', 'ray', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0


def test_nothing_is_sent_without_consent(account: Application) -> None:
    before = set(account.jobs)
    Path("small.yaml").write_text(EXPERIMENT)
    given = ["small.yaml", "--role", ROLE, "--instance-type", "ml.g5.xlarge", "--out", OUT]
    command = [sys.executable, "-m", "raycompare", "sagemaker", "submit", *given]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, input="n\n"
    )
    assert done.returncode == 2, done.stderr
    assert "1 x ml.g5.xlarge: $1.41 per hour" in done.stdout
    assert set(account.jobs) == before
