"""Run folders in a bucket: moto's S3 on the loopback, read and written by pyarrow as on AWS."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import boto3
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.server import ThreadedMotoServer

from raycompare.api import load_run
from raycompare.errors import UserError
from raycompare.records.fetch import fetch
from raycompare.records.layout import ONLY_WHILE_IT_RUNS, WEIGHTS
from raycompare.records.run_folder import RunFolder
from raycompare.records.run_records import Records
from raycompare.records.snapshot import Snapshot
from raycompare.records.trial_files import TrialFiles
from raycompare.report.listing import write_listing
from raycompare.report.terminal.run_list import list_runs
from raycompare.report.terminal.status import status_of
from raycompare.report.write import write_report
from raycompare.running.late_checks import why_not_writable
from tests.runs import typical

BUCKET = "runs"
PLACES = {
    f"s3://{BUCKET}": None,
    f"s3://{BUCKET}/deep/er": None,
    "s3://nosuchbucket/x": "nosuchbucket",
    "s3://key:secret@runs/x": "credentials",
    "http://host/x": "http://host/x",
    "ftp://host/x": "ftp://host/x",
    "s3://": "",
}
"""Places for run folders, and what the reason names why files can't be written there."""


@pytest.fixture(scope="module")
def s3() -> Iterator[None]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with mock.patch.dict("os.environ", environment):
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield
    server.stop()


@pytest.fixture
def bucket(s3: None, request: pytest.FixtureRequest) -> RunFolder:
    """A folder of its own for each test."""
    return RunFolder.at(f"s3://{BUCKET}/{request.node.name}")


def keys(folder: RunFolder) -> set[str]:
    """Return what S3 has, asked without pyarrow; a folder's marker ends with a slash."""
    prefix = folder.uri.removeprefix(f"s3://{BUCKET}/") + "/"
    found = boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    names = {str(item["Key"]).removeprefix(prefix) for item in found}
    return {name for name in names if name and not name.endswith("/")}


def test_a_file_is_replaced_whole_and_no_other_is_left(bucket: RunFolder) -> None:
    bucket.write_text("a/b.txt", "one")
    bucket.write_text("a/b.txt", "two")
    assert bucket.read_text("a/b.txt") == "two"
    assert keys(bucket) == {"a/b.txt"}


def test_a_folder_goes_there_and_comes_back(bucket: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "from" / "deep").mkdir(parents=True)
    (tmp_path / "from" / "a.bin").write_bytes(bytes(2**20))
    (tmp_path / "from" / "deep" / "b.txt").write_text("b")
    bucket.put_folder(tmp_path / "from", "weights/x")
    assert bucket.names("weights") == ["x"]
    assert bucket.names("weights/x") == ["a.bin", "deep"]
    back = bucket.get_folder("weights/x", tmp_path / "back")
    assert (back / "a.bin").read_bytes() == bytes(2**20)
    assert (back / "deep" / "b.txt").read_text() == "b"


def test_what_is_deleted_is_gone_and_the_rest_stays(bucket: RunFolder) -> None:
    bucket.write_text("a/b.txt", "b")
    bucket.write_text("ab/c.txt", "c")
    bucket.delete("a")
    bucket.delete("a")
    assert not bucket.exists("a")
    assert bucket.names("a") == []
    assert keys(bucket) == {"ab/c.txt"}


def test_a_checkpoint_takes_the_place_of_the_one_before(bucket: RunFolder, tmp_path: Path) -> None:
    files = TrialFiles(bucket, "t-0")
    for step in (1, 2):
        local = tmp_path / f"step-{step}"
        local.mkdir()
        (local / "state").write_text(str(step))
        files.save_checkpoint(local)
    found = files.checkpoint(tmp_path / "found")
    assert found is not None
    assert (found / "state").read_text() == "2"
    assert keys(bucket) == {"checkpoints/t-0/latest", "checkpoints/t-0/step-2/state"}


def test_a_report_of_a_bucket_is_that_of_a_disk(bucket: RunFolder, tmp_path: Path) -> None:
    here = typical().write(tmp_path)
    for file in here.files():
        here.copy_file(file, bucket)
    write_report(here)
    write_report(bucket)
    assert bucket.files() == here.files()
    assert [f for f in here.files() if bucket.read_bytes(f) != here.read_bytes(f)] == []


def run_in(folder: RunFolder, tmp_path: Path) -> None:
    """Leave a run there, with its report and what only a run that goes on needs."""
    here = typical().write(tmp_path / "run")
    for name in (*ONLY_WHILE_IT_RUNS, WEIGHTS):
        here.write_text(f"{name}/t-0/file", name)
    write_report(here)
    for file in here.files():
        here.copy_file(file, folder)
    folder.write_text("figures/.half.png.0123abcd.tmp", "half")


def test_report_and_records_are_fetched(bucket: RunFolder, tmp_path: Path) -> None:
    source = bucket.folder("20260102-030405-abc123")
    run_in(source, tmp_path)
    target = fetch(source, RunFolder.at(tmp_path / "home"))
    assert target.uri == str(tmp_path / "home" / "ag-news" / "20260102-030405-abc123")
    left = {"weights", *ONLY_WHILE_IT_RUNS}
    here, there = set(target.files()), set(source.files())
    copied = {name for name in there if name.partition("/")[0] not in left}
    assert here - {"fetched.json"} == copied - {"figures/.half.png.0123abcd.tmp"}
    assert {"report.md", "trials.parquet", "tables/leaderboard.csv"} < here
    assert target.read_trials() == source.read_trials()


def test_weights_are_fetched_where_they_are_asked_for(bucket: RunFolder, tmp_path: Path) -> None:
    run_in(bucket, tmp_path)
    target = fetch(bucket, RunFolder.at(tmp_path / "home"), weights=True)
    assert target.read_text("weights/t-0/file") == "weights"
    assert not target.exists("checkpoints")


def test_the_run_folders_in_a_folder_are_named(bucket: RunFolder, tmp_path: Path) -> None:
    bucket.write_text("ag-news/1/experiment.yaml", "name: ag-news")
    with pytest.raises(UserError, match=f"{bucket.uri}/ag-news/1"):
        fetch(bucket, RunFolder.at(tmp_path))


def test_a_folder_of_something_else_is_no_run(bucket: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Expected a run folder"):
        fetch(bucket.folder("nothing"), RunFolder.at(tmp_path))


def test_a_run_is_not_copied_onto_itself(tmp_path: Path) -> None:
    folder = RunFolder.at(tmp_path / "ag-news" / "1")
    typical().write(Path(folder.uri))
    with pytest.raises(UserError, match="cannot be copied onto itself"):
        fetch(folder, RunFolder.at(tmp_path))
    assert folder.read_trials()


def test_the_commands_take_a_bucket(bucket: RunFolder, tmp_path: Path) -> None:
    run_in(bucket, tmp_path)
    for command in (["report", bucket.uri], ["fetch", bucket.uri, str(tmp_path / "home")]):
        done = subprocess.run(
            [sys.executable, "-m", "raycompare", *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).read_text() == bucket.read_text("report.md")


def test_listing_a_bucket_takes_few_requests(
    bucket: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = typical().write(tmp_path / "run")
    write_listing(here, Records.of(here))
    for number in range(6):
        for file in here.files():
            here.copy_file(file, bucket.folder(f"ag-news/{number}"))
    answer, requests = DomainDispatcherApplication.__call__, []

    def count(self: object, environ: dict[str, str], start: object) -> object:
        requests.append(environ["REQUEST_METHOD"])
        return answer(self, environ, start)

    monkeypatch.setattr(DomainDispatcherApplication, "__call__", count)
    assert len(list_runs(bucket, datetime.now(UTC)).runs) == 6
    assert len(requests) <= 4 * 6 + 5, requests


def test_a_bucket_of_runs_is_listed_watched_and_loaded(bucket: RunFolder, tmp_path: Path) -> None:
    here, now = typical().write(tmp_path / "run"), datetime.now(UTC)
    for name in ("1", "2"):
        for file in here.files():
            here.copy_file(file, bucket.folder(f"ag-news/{name}"))
    bucket.write_text("ag-news/tokens/a.arrow", "")
    bucket.write_text("ag-news/other/a.txt", "")
    found = list_runs(bucket, now)
    assert {line.folder for line in found.runs} == {bucket.child(f"ag-news/{n}") for n in "12"}
    assert [line.folder for line in found.broken] == [bucket.child("ag-news/other")]
    first = bucket.folder("ag-news/1")
    status = status_of(Snapshot.of(first, now), now)
    assert status.state == "finished"
    assert status.models[0].model == "minilm-3"
    assert load_run(first.uri).leaderboard["model"][0] == "minilm-3"


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("place", PLACES)
def test_a_place_for_runs_is_tried_and_left_as_it_was(place: str) -> None:
    reason, expected = why_not_writable(place), PLACES[place]
    assert (reason is None) == (expected is None)
    if expected is not None:
        assert expected in str(reason)
        assert "secret" not in str(reason)
    listed = boto3.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])
    assert not [key["Key"] for key in listed if ".raycompare-" in key["Key"]]


def test_a_folder_by_uri_is_tried_too(tmp_path: Path) -> None:
    assert why_not_writable(f"file://{tmp_path}/new/runs") is None
    (tmp_path / "file").touch()
    assert why_not_writable(f"file://{tmp_path}/file/runs")
