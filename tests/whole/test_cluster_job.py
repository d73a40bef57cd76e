"""A run on a cluster of three nodes that are all on this machine, refused by the first of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT
from tests.real_runs import finish, tiny_experiment, write

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture
def address() -> Iterator[str]:
    """The address of a head without CPUs and two nodes of one CPU each."""
    words = [sys.executable, "-m", "tests.two_machines"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(words, cwd=ROOT, text=True, **pipes) as cluster:  # type: ignore[call-overload]
        told = (line.split() for line in cluster.stdout)
        yield next(words[1] for words in told if words[:1] == ["address"])


def test_what_no_machine_holds_is_refused_before_anything_is_tokenised(
    tiny_model: str, tiny_data: str, tmp_path: Path, address: str
) -> None:
    write(tiny_experiment(tiny_model, tiny_data), tmp_path)
    asked = ["--set", "resources.gpu=1", "--wait-nodes", "3"]
    code, said = finish(["run", "experiment.yaml", *asked], tmp_path, RAY_ADDRESS=address)
    assert code == 2, said
    assert "tiny on this cluster: 1 mistake; nothing was started." in said
    assert "found    cpu 1, gpu 1" in said
    assert "it is unknown whether an autoscaler could start larger machines" in said
    assert "--out" not in said, "the nodes share the folder, and it has been tried"
    assert not list(tmp_path.glob("reports/*/tokens"))
    assert not list(tmp_path.glob("reports/*/*/.machines"))
