"""Files that name only hub ids, against a hub on the loopback: online, then from the cache alone.

The models are tiny, under the ids of real ones and with their tokenizers (tests/hub_content.py).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from raycompare.experiment.file import parse_draft, read_draft
from raycompare.experiment.needs import needs_of
from raycompare.experiment.spec import Experiment
from raycompare.models.fingerprints import COMMIT
from raycompare.records.run_folder import RunFolder
from tests import ROOT
from tests.doc_commands import blocks, synced_tree
from tests.hub_content import AG_NEWS, DATA_SETS, fill, save_data
from tests.real_runs import outcomes, predictions
from tests.rig.hub import Commit, serving

pytestmark = [pytest.mark.docs, pytest.mark.timeout(600)]

SHIPPED = sorted((ROOT / "jobs" / "experiments").glob("*.yaml"))
(EXAMPLE,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
CHECKED = sorted({path.name for path in SHIPPED} - {"quickstart.yaml", "ag_news_seven_models.yaml"})
QUICK = (
    *("data.max_length=32", "data.limit.train=48", "training.num_train_epochs=1"),
    *("tune.num_samples=1", "confirm.seeds=[1]", "inference.measure=false", "baselines=[]"),
)
FIRST_TEXTS = """
import json, sys
from raycompare.data.problems import DataProblems
from raycompare.data.sources import open_source
from raycompare.experiment.spec import DataSpec
texts = []
for revision in json.loads(sys.argv[1]):
    try:
        source = open_source(DataSpec(dataset="fancyzhx/ag_news", revision=revision))
        texts.append(source["train"][0]["text"])
    except DataProblems as error:
        texts.append(None if "isn't in the cache" in str(error) else str(error))
print(json.dumps(texts))
"""
CHECK_EACH = """
import sys
from raycompare.cli.app import app
for path in sys.argv[1:]:
    app(["check", path], standalone_mode=False)
"""


@dataclass(frozen=True)
class Stranger:
    """A clone on a machine that reaches nothing but the hub."""

    tree: Path
    endpoint: str
    hub: Path
    asked: list[str]

    def run(self, *words: str, **environment: str) -> str:
        """Run a program in the clone, with the code of the clone."""
        done = subprocess.run(
            words,
            cwd=self.tree,
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": str(self.tree),
                "HF_HOME": str(self.tree.parent / "hub-cache"),
                "HF_ENDPOINT": self.endpoint,
                "HF_HUB_OFFLINE": "0",
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def compare(self, out: str, **environment: str) -> RunFolder:
        """Run the example of the README, with less training."""
        settings = [word for setting in QUICK for word in ("--set", setting)]
        words = ["raycompare", "run", "example.yaml", "--out", out, *settings]
        self.run(*words, **environment)
        (manifest,) = (self.tree / out / "ag-news").glob("*/manifest.json")
        return RunFolder.at(manifest.parent)

    def commits(self) -> dict[str, str]:
        """Return the commit of each model on the hub."""
        every = (self.hub / "models").rglob("main")
        return {str(p.parent.relative_to(self.hub / "models")): Commit(p).sha for p in every}


def shipped() -> Iterator[Experiment]:
    for draft in (*map(read_draft, SHIPPED), parse_draft(EXAMPLE, "README.md")):
        yield draft.experiment()


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    place = tmp_path_factory.mktemp("stranger")
    fill(place / "hub", {name for each in shipped() for name in needs_of(each).hub_ids})
    tree = synced_tree(place / "clone")
    (tree / "example.yaml").write_text(EXAMPLE)
    with serving(place / "hub") as (endpoint, asked):
        yield Stranger(tree, endpoint, place / "hub", asked)


def test_shipped_experiments_are_right_in_a_clone(stranger: Stranger) -> None:
    """All but the quickstart, which needs no hub and CI runs, and the one with seven models."""
    said = stranger.run("python", "-c", CHECK_EACH, *(f"jobs/experiments/{n}" for n in CHECKED))
    assert said.count("no problems found") == len(CHECKED)


def test_data_and_models_are_downloaded_as_the_docs_say(stranger: Stranger) -> None:
    (commands,) = (block.commands for block in blocks() if "hf download" in str(block.commands))
    for command in commands:
        stranger.run("bash", "-ec", command)
    data = pq.read_table(stranger.tree / "data" / "ag_news" / "train.parquet")
    assert data.column_names == ["text", "label"]
    assert (stranger.tree / "models" / "paraphrase-minilm-l3" / "model.safetensors").is_file()


def test_a_revision_of_the_data_is_that_revision_offline_too(stranger: Stranger) -> None:
    save_data(stranger.hub / "datasets" / AG_NEWS / "older", DATA_SETS[AG_NEWS], seed=5)
    commit = Commit(stranger.hub / "datasets" / AG_NEWS / "older").sha

    def first_texts(revisions: list[str | None], **environment: str) -> list[str | None]:
        said = stranger.run("python", "-c", FIRST_TEXTS, json.dumps(revisions), **environment)
        texts: list[str | None] = json.loads(said)
        return texts

    main, older = first_texts(["main", "older"])
    assert main != older
    asked = [None, "main", "older", commit, "no-such-revision"]
    assert first_texts(asked, HF_HUB_OFFLINE="1") == [main, main, older, older, None]


def test_the_example_runs_from_the_hub_and_then_from_its_cache(stranger: Stranger) -> None:
    online = stranger.compare("online")
    assert any(AG_NEWS in line for line in stranger.asked)
    commits = stranger.commits()
    models = parse_draft(EXAMPLE, "README.md").experiment().models
    pinned = {model.name: f"{COMMIT}{commits[model.checkpoint]}" for model in models}
    assert online.read_manifest().data["checkpoints"] == pinned
    before = list(stranger.asked)
    offline = stranger.compare("offline", HF_HUB_OFFLINE="1")
    assert stranger.asked == before
    assert offline.read_manifest().data["checkpoints"] == pinned
    assert {trial.status for trial in offline.read_trials()} == {"completed"}
    assert outcomes(offline) == outcomes(online)
    assert predictions(offline) == predictions(online)
