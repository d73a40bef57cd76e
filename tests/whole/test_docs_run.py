"""Every command of the docs is run as it stands, but for those in tests/doc_command_tests.py.

A shell runs them page by page, the same command once, in a copy of the project as a clone has it,
with the code of the copy. There it has what the pages speak of: `experiment.yaml` with models that
train in a second, two runs of it, and the bucket `my-bucket` on the loopback. Targets of `make`
are those that CI calls.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import boto3
import httpx
import pytest

from raycompare.models.saved import TEXTS_PER_ROW
from raycompare.records.run_folder import RunFolder
from raycompare.serving.start import require_port
from tests.doc_commands import ROOT, blocks, synced_tree
from tests.real_runs import go, tiny_experiment, write
from tests.records.test_s3 import s3
from tests.signals import hear_ctrl_c
from tests.tiny import rows, save_tiny_bert

__all__ = ["s3"]

pytestmark = [pytest.mark.docs, pytest.mark.timeout(600)]

BUCKET = "my-bucket"
SERVED = "http://127.0.0.1:8000"
PATIENCE_S = 300.0
LEFT = [
    "DIR/model.onnx",
    "ag-news-refined.yaml",
    "models/small/model.safetensors",
    "models/small-onnx/model.onnx",
    "predicted.csv",
    "predicted.parquet",
    "reports/ag-news-extended",
    "reports/ag-news-refined",
]
"""What the commands are there for, of which they leave files."""


def without_comment(command: str) -> str:
    return re.sub(r"\s+#.*", "", command)


SHOWN = {
    without_comment(command): None
    for block in blocks()
    if not block.needs_others
    for command in block.commands
}
"""In the order of the pages; the server last, for what asks it."""
ASKING = [command for command in SHOWN if command.startswith("curl ")]
SERVING = [command for command in SHOWN if command.startswith("raycompare serve ")]
REST = [command for command in SHOWN if command not in {*ASKING, *SERVING}]


@dataclass(frozen=True)
class Site:
    """A user's clone after two runs, and the shell in it."""

    folder: Path
    runs: tuple[str, ...]

    def shell(self, command: str) -> subprocess.Popen[str]:
        """Start a command of the docs with the ids of real runs in it."""
        first, second = self.runs
        for word, run_id in {"RUN_ID": first, "RUN_A": first, "RUN_B": second}.items():
            command = command.replace(word, run_id)
        if command.startswith("pip install "):
            command += " --dry-run --no-deps"  # CI installs what is in the environment
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.Popen(
            ["bash", "-ec", f"exec {command}"],
            cwd=self.folder,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=hear_ctrl_c,  # noqa: PLW1509 - the child does nothing else before bash is there
        )

    def run(self, command: str) -> str:
        """Run a command to its end, which must be a good one; return what it said."""
        with self.shell(command) as started:
            said, _ = started.communicate(timeout=PATIENCE_S)
        assert started.returncode == 0, f"{command}\n{said}"
        return said

    @contextmanager
    def serving(self, command: str) -> Iterator[None]:
        """Start a command that serves until Ctrl-C."""
        with self.shell(command) as started:
            try:
                await_health(started)
                yield
            finally:
                started.send_signal(signal.SIGINT)
                said, _ = started.communicate(timeout=PATIENCE_S)
        assert started.returncode == 0, said
        assert "Traceback" not in said
        require_port("127.0.0.1", httpx.URL(SERVED).port or 0)


def await_health(started: subprocess.Popen[str]) -> None:
    until = monotonic() + PATIENCE_S
    while monotonic() < until:
        assert started.poll() is None, started.communicate()[0]
        try:
            if httpx.get(f"{SERVED}/health", timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            sleep(0.5)
    raise AssertionError("the service does not answer")


@pytest.fixture(scope="module")
def site(
    s3: None, tiny_model: str, tiny_data: str, tmp_path_factory: pytest.TempPathFactory
) -> Site:
    folder = synced_tree(tmp_path_factory.mktemp("site"))
    content = tiny_experiment(tiny_model, tiny_data)
    content["name"] = "ag-news"
    content["models"][0]["name"] = "minilm-2-layers"
    content["tune"]["num_samples"] = 4
    first, _ = go(content, folder)
    second, _ = go(content | {"search_space": {}, "confirm": {"seeds": [1, 3]}}, folder)
    runs = [run.uri.rpartition("/")[2] for run in (first, second)]
    write(content, folder)
    write_texts(folder)
    save_model_of_pairs(folder / "models" / "pairs")
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    boto3.client("s3").upload_file(str(folder / "new.parquet"), BUCKET, "new.parquet")
    remote = RunFolder.at(f"s3://{BUCKET}/raycompare/ag-news")
    remote.put_folder(folder / "reports" / "ag-news" / runs[0], runs[0])
    return Site(folder, tuple(runs))


def write_texts(folder: Path) -> None:
    new = rows(30, seed=9)
    new.to_csv(folder / "new.csv", index=False)
    new.to_parquet(folder / "new.parquet")
    pairs = new.assign(premise=new.text, hypothesis=new.text.iloc[::-1].to_list())
    pairs.to_json(folder / "pairs.jsonl", orient="records", lines=True)


def save_model_of_pairs(folder: Path) -> None:
    save_tiny_bert(folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {TEXTS_PER_ROW: 2, "id2label": {"0": "apart", "1": "alike"}}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("command", REST)
def test_a_command_does_what_it_is_there_for(command: str, site: Site) -> None:
    program, *words = shlex.split(command)
    if program == "make":
        assert set(words) <= called_by_ci()
    else:
        assert program in {"raycompare", "pip"}, "run it here, or see doc_command_tests.py"
        assert site.run(command)


def called_by_ci() -> set[str]:
    steps = re.findall(r"^step (.*)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    return {word for words in steps for word in words.split()}


def test_what_the_commands_leave_is_there(site: Site) -> None:
    assert REST
    assert [path for path in LEFT if not list(site.folder.glob(path))] == []
    assert boto3.client("s3").head_object(Bucket=BUCKET, Key="predicted.parquet")["ContentLength"]


@pytest.mark.parametrize("command", SERVING)
def test_what_is_served_answers_the_questions_of_the_docs(command: str, site: Site) -> None:
    assert ASKING
    with site.serving(command):
        answers = [site.run(asking) for asking in ASKING]
    assert [
        answer for answer in answers if '"labels"' not in answer and "label" not in answer
    ] == []
