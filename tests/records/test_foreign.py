"""Run folders from elsewhere: fetched halfway, on read-only disks, with names that lead out."""

from __future__ import annotations

import fcntl
import json
import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from raycompare.cli.app import app
from raycompare.errors import DamagedError, ExperimentError, UserError
from raycompare.experiment.file import read_experiment, write_experiment
from raycompare.experiment.written_yaml import load_written
from raycompare.formatting import escape, visible
from raycompare.records.fetch import fetch, require_original
from raycompare.records.layout import FETCHED, LOCK, MANIFEST
from raycompare.records.run_folder import RunFolder
from raycompare.records.snapshot import is_locked
from raycompare.report.terminal.follow import look
from raycompare.report.terminal.status import remarks
from raycompare.report.write import write_report
from raycompare.terminal import SafeConsole
from tests import ROOT, runs

ID = "20260102-030405-abc123"
OUT = ("../x", "a/../../x", "/x", "..", "a/..", "a\0b")


def run_at(place: Path, name: str = ID) -> RunFolder:
    return runs.typical().write(place / "runs" / "ag-news" / name)


@pytest.mark.parametrize("name", OUT)
def test_no_name_leads_out_of_a_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    folder = RunFolder.at(tmp_path / "run")
    calls: list[Any] = [folder.delete, folder.read_bytes, folder.exists, folder.folder]
    calls += [lambda name: folder.write_bytes(name, b""), folder.names, folder.sizes]
    for call in calls:
        with pytest.raises(DamagedError, match="leads out of the folder"):
            call(name)
    assert (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["../../evil", "a/../../../evil", "a//b", "a\nb", "a\\b", "./a"])
def test_a_bucket_with_such_names_is_not_fetched(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = run_at(tmp_path)
    monkeypatch.setattr(RunFolder, "files", lambda _: ["experiment.yaml", name])
    with pytest.raises(DamagedError, match="nothing was copied"):
        fetch(source, RunFolder.at(tmp_path / "home"))
    assert not (tmp_path / "home").exists()


def test_names_of_models_decide_nothing_about_what_is_fetched(tmp_path: Path) -> None:
    source = run_at(tmp_path)
    name = source.names("predictions")[0]
    odd = "predictions/.-model-confirm-0688e979.parquet"
    Path(source.uri, "predictions", name).rename(Path(source.uri, odd))
    for unwanted in (LOCK, "figures/.a.png.0123abcd.tmp", "checkpoints/a/b", "weights/a/b"):
        source.write_text(unwanted, "x")
    copy = fetch(source, RunFolder.at(tmp_path / "home"))
    names = {*copy.files()}
    assert odd in names
    assert names - {*source.files()} == {FETCHED}
    assert not names & {LOCK, "figures/.a.png.0123abcd.tmp", "checkpoints/a/b", "weights/a/b"}
    write_report(copy)


def test_an_interrupted_fetch_is_no_killed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, home = run_at(tmp_path), RunFolder.at(tmp_path / "home")
    monkeypatch.setattr(RunFolder, "copy_file", stop_at_trials(RunFolder.copy_file))
    with pytest.raises(KeyboardInterrupt):
        fetch(source, home)
    copy = home.folder("ag-news").folder(ID)
    monkeypatch.undo()
    copy.write_bytes("experiment.yaml", source.read_bytes("experiment.yaml"))
    status = look(copy)
    assert (status.state, status.resume) == ("part_copy", None)
    assert any(f"raycompare fetch {source.uri}" in line for line in remarks(status))
    with pytest.raises(UserError, match="raycompare run --resume"):
        require_original(copy)
    with pytest.raises(UserError, match="incomplete copy itself"):
        fetch(copy, RunFolder.at(tmp_path / "other"))
    assert look(fetch(source, home)).state == "finished"
    require_one_line(["report", copy.uri])


def stop_at_trials(copy_file: Any) -> Any:
    def stop(self: RunFolder, name: str, to: RunFolder) -> None:
        if name == "trials.parquet":
            raise KeyboardInterrupt
        copy_file(self, name, to)

    return stop


def test_an_early_copy_is_resumed_where_it_was_made(tmp_path: Path) -> None:
    source = run_at(tmp_path)
    Path(source.uri, MANIFEST).unlink()
    copy = fetch(source, RunFolder.at(tmp_path / "home"))
    status = look(copy)
    assert status.state == "early_copy"
    assert status.resume == f"raycompare run --resume {source.uri}"
    answer = CliRunner().invoke(app, ["report", copy.uri])
    assert "is a copy without a manifest.json" in str(answer.exception)


def test_a_hostile_source_is_quoted_in_commands(tmp_path: Path) -> None:
    folder = run_at(tmp_path)
    folder.write_text(FETCHED, json.dumps({"source": "x; rm -rf ~ #", "whole": False}))
    assert "raycompare fetch 'x; rm -rf ~ #'" in "\n".join(remarks(look(folder)))


def test_a_link_out_of_a_folder_is_neither_followed_nor_written_through(tmp_path: Path) -> None:
    folder = run_at(tmp_path)
    Path(folder.uri, "link").symlink_to("/")
    with pytest.raises(DamagedError, match="is a link out of the folder"):
        fetch(folder, RunFolder.at(tmp_path / "home"))
    (tmp_path / "elsewhere").mkdir()
    shutil.rmtree(f"{folder.uri}/tables", ignore_errors=True)
    Path(folder.uri, "tables").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DamagedError, match="is a link"):
        write_report(folder)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_the_lock_is_tested_without_writing(tmp_path: Path) -> None:
    folder = RunFolder.at(tmp_path)
    assert is_locked(folder) is False
    assert not (tmp_path / LOCK).exists()
    (tmp_path / LOCK).touch()
    (tmp_path / LOCK).chmod(0o444)
    assert is_locked(folder) is False
    with (tmp_path / LOCK).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert is_locked(folder) is True


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["ls", "http://host/runs"], "found http://, allowed"),
        (["status", "ftp://host/run"], "found ftp://, allowed"),
        (["report", "s3://"], "."),
        (["refine", "RUN", "--out", "FILE/x.yaml"], "is not a folder"),
        (["predict", "RUN", "--file", "a.csv", "--out", "FILE/x.csv"], "is not a folder"),
        (["export", "RUN", "minilm-3", "FILE"], "is not a folder"),
        (["fetch", "RUN", "FILE"], "is not a folder"),
    ],
)
def test_places_that_can_not_be_used_are_one_line(
    command: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("FILE").touch()
    Path("a.csv").write_text("text\na\n")
    shutil.move(run_at(tmp_path).uri, "RUN")
    assert says in require_one_line(command)


def require_one_line(command: list[str]) -> str:
    answer = CliRunner().invoke(app, command)
    if answer.exception is None:
        return answer.output
    assert isinstance(answer.exception, UserError), repr(answer.exception)
    return str(answer.exception)


def test_a_run_is_found_by_its_id_and_the_newest_by_latest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (ID, "20260102-030405-abc999", "20270102-030405-ffffff"):
        run_at(tmp_path, name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYCOMPARE_OUT", "runs")
    for place, run_id in (("latest", "20270102-030405-ffffff"), ("c123", ID), (ID, ID)):
        assert f"runs/ag-news/{run_id}," in require_one_line(["status", place])
    assert "2 runs. Name one:" in require_one_line(["status", "20260102"])
    assert "does not exist" in require_one_line(["status", "nothing"])


def test_fields_of_later_versions_are_ignored(tmp_path: Path) -> None:
    folder = run_at(tmp_path)
    content = folder.read_json(MANIFEST)
    folder.write_text(MANIFEST, json.dumps({**content, "of_a_later_version": 1}))
    assert folder.read_manifest().run_id == content["run_id"]
    folder.write_text(MANIFEST, json.dumps({**content, "format": 99, "of_a_later_version": 1}))
    with pytest.raises(UserError, match="has format 99; this raycompare reads format 1"):
        folder.read_manifest()


LAUGHS = "a: &a [x, x]\nb: &b [*a, *a]\n"


@pytest.mark.parametrize("text", ["[" * 10**5, "- " * 10**5, LAUGHS, "!!python/x y", "a: ["])
def test_a_bomb_is_one_line(text: str) -> None:
    with pytest.raises(UserError, match=r"experiment.yaml is not as the run wrote it: line \d"):
        read_experiment(text)


ODD = ("no", "on", "1e-5", "1_000", "0o14", "012", "~", "null", "", "a: b", "#x", ".", "+1", "=")
ODD += ("<<", "2026-01-01", "1:30", "é", "a\nb", "\ttab", "true", ".nan", "&x", "? x", "|", "😀")


def test_what_a_run_writes_is_read_as_ruamel_reads_it() -> None:
    yaml, stream = YAML(), StringIO()
    numbers = [1e-5, 1e22, 0.1, -0.0, 5e-324, 2**63, -(2**63), True, None, [], {}]
    content = {"texts": list(ODD), "keys": dict.fromkeys(ODD, 1), "numbers": numbers}
    yaml.dump(content, stream)
    assert load_written(stream.getvalue()) == content
    kept = (ROOT / "tests" / "kept" / "reports").rglob("experiment.yaml")
    for text in (path.read_text() for path in kept):
        assert load_written(text) == YAML(typ="safe", pure=True).load(text)
        assert read_experiment(write_experiment(read_experiment(text))) == read_experiment(text)


@pytest.mark.parametrize("name", ["\x1b]0;OWNED\x07", "a\nb", "a\tb", "\u202ea", " ", "x" * 201])
def test_names_are_visible_and_on_one_line(name: str) -> None:
    with pytest.raises(ExperimentError, match="it is shown in tables"):
        runs.experiment(name)


HOSTILE = "\x1b]0;OWNED\x07\x1b[31mred\x9b31m\u202e:smile: [bold]"


def test_no_escape_sequence_reaches_the_terminal() -> None:
    console = SafeConsole(file=StringIO(), force_terminal=True, width=200)
    console.print(HOSTILE, soft_wrap=True)
    shown = console.file.getvalue()
    assert r"\x1b[31mred\x9b31m\u202e:smile: [bold]" in shown
    assert visible(HOSTILE).isprintable()
    assert "\x1b" not in shown.replace("\x1b[0m", "")
    assert "\x1b" not in escape(HOSTILE)


def test_a_reason_with_escape_sequences_is_shown_as_text(tmp_path: Path) -> None:
    made = runs.typical()
    made.fail("minilm-3", "tune", f"{HOSTILE}\nOSError")
    made.trials = [replace(t, reason=HOSTILE) if t.error else t for t in made.trials]
    folder = made.write(tmp_path)
    for command in (["status", folder.uri], ["status", folder.uri, "--json"], ["ls", folder.uri]):
        output = require_one_line(command)
        assert not any(c in output for c in "\x1b\x9b\u202e\x07")
    write_report(folder)
    assert "\x1b" not in folder.read_text("report.md") + folder.read_text("summary.md")


def test_a_fetched_run_has_its_winner(tmp_path: Path) -> None:
    kept = ROOT / "tests" / "kept" / "reports" / "finished"
    (place,) = (path.parent for path in kept.glob("*/manifest.json"))
    copy = fetch(RunFolder.at(place), RunFolder.at(tmp_path))
    assert "weights" not in copy.folders()
    from raycompare.serving.winner import model_files, winner  # noqa: PLC0415 - imports torch

    found = winner(copy)
    assert found.files(copy) == model_files(copy.uri) == copy.folder("best")
    assert winner(RunFolder.at(place)).trial_id == found.trial_id
    require_one_line(["export", copy.uri, found.model, str(tmp_path / "exported")])
    assert (tmp_path / "exported" / "model.safetensors").exists()


def test_the_line_of_a_report_counts_until_the_records_change(tmp_path: Path) -> None:
    folder = run_at(tmp_path)
    write_report(folder)
    Path(folder.uri, "trials.parquet").write_bytes(b"cut")
    assert "can't be read" in require_one_line(["ls", folder.uri])


def test_listing_stored_lines_opens_one_file_for_each_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(run_at(tmp_path))
    for number in range(4):
        copy = tmp_path / "runs" / "ag-news" / f"20260102-03040{number}-abc123"
        if not copy.exists():
            shutil.copytree(tmp_path / "runs" / "ag-news" / ID, copy)
    opened: list[str] = []
    read = RunFolder.read_bytes
    monkeypatch.setattr(
        RunFolder, "read_bytes", lambda self, name: opened.append(name) or read(self, name)
    )
    shown = json.loads(require_one_line(["ls", str(tmp_path / "runs"), "--json"]))
    assert opened == ["listing.json"] * len(shown["runs"])
    assert {line["state"] for line in shown["runs"]} == {"finished"}


def test_a_table_is_read_only_with_the_columns_of_its_rows(tmp_path: Path) -> None:
    folder = run_at(tmp_path)
    table = pa.table({"trial_id": ["a"], "of_a_later_version": [1]})
    folder.write_table("trials.parquet", table)
    with pytest.raises(DamagedError, match=r"the columns stage, model.* are missing"):
        folder.read_trials()
