from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow import fs

from raycompare.records import storage
from raycompare.records.run_folder import RunFolder
from raycompare.records.storage import is_outage, retry_outages
from tests.runs import typical

CUT = OSError(
    "When listing objects under key 'x/' in bucket 'b': AWS Error NETWORK_CONNECTION during "
    "ListObjectsV2 operation: curlCode: 28, Timeout was reached"
)
DENIED = OSError("When getting information for key 'x' in bucket 'b': AWS Error ACCESS_DENIED")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were taken; they pass at once."""
    taken: list[float] = []
    monkeypatch.setattr(storage, "sleep", taken.append)
    monkeypatch.setattr(storage, "monotonic", lambda: sum(taken))
    return taken


def failing(error: OSError, times: float) -> Callable[[], str]:
    """Return what fails so often and then answers."""
    failures = 0

    def ask() -> str:
        nonlocal failures
        failures += 1
        if failures <= times:
            raise error
        return "there"

    return retry_outages(ask)


def test_what_an_outage_has_cut_off_is_asked_again(pauses: list[float]) -> None:
    assert failing(CUT, times=5)() == "there"
    assert pauses == [1, 2, 4, 8, 10]


def test_patience_ends(pauses: list[float]) -> None:
    with pytest.raises(OSError, match="NETWORK_CONNECTION"):
        failing(CUT, times=float("inf"))()
    assert storage.PATIENCE_S - storage.LONGEST_PAUSE_S <= sum(pauses) <= storage.PATIENCE_S


@pytest.mark.parametrize(
    "error",
    [DENIED, FileNotFoundError(errno.ENOENT, "x"), OSError(errno.ENOSPC, "curlCode")],
    ids=["denied", "missing", "full"],
)
def test_what_waiting_does_not_mend_is_raised_at_once(error: OSError, pauses: list[float]) -> None:
    with pytest.raises(OSError, match=str(error.args[-1])):
        failing(error, times=1)()
    assert not is_outage(error)
    assert pauses == []


READS: dict[str, Callable[[RunFolder], object]] = {
    "exists": lambda folder: folder.exists("manifest.json"),
    "read_text": lambda folder: folder.read_text("experiment.yaml"),
    "read_manifest": lambda folder: folder.read_manifest(),
    "read_trials": lambda folder: folder.read_trials(),
    "read_predictions": lambda folder: dict(folder.read_predictions()),
    "names": lambda folder: folder.names("predictions"),
    "folders": lambda folder: folder.folders(),
    "files": lambda folder: folder.files(),
    "sizes": lambda folder: folder.sizes("predictions"),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_each_read_of_a_run_folder_is_repeated_in_an_outage(
    read: Callable[[RunFolder], object],
    pauses: list[float],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    folder = typical().write(tmp_path)
    expected, reached = read(folder), set()
    open_place = RunFolder._open

    def open_at_the_second_try(self: RunFolder, name: str) -> tuple[fs.FileSystem, str]:
        if name not in reached:
            reached.add(name)
            raise CUT
        return open_place(self, name)

    monkeypatch.setattr(RunFolder, "_open", open_at_the_second_try)
    assert read(folder) == expected
    assert len(pauses) == len(reached) > 0
