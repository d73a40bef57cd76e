from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from raycompare.records import storage as outages
from raycompare.records.storage import is_outage, outlasting

CUT = OSError(
    "When listing objects under key 'x/' in bucket 'b': AWS Error NETWORK_CONNECTION during "
    "ListObjectsV2 operation: curlCode: 28, Timeout was reached"
)
DENIED = OSError("When getting information for key 'x' in bucket 'b': AWS Error ACCESS_DENIED")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were taken; they pass at once."""
    taken: list[float] = []
    monkeypatch.setattr(outages, "sleep", taken.append)
    monkeypatch.setattr(outages, "monotonic", lambda: sum(taken))
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

    return outlasting(ask)


def test_what_an_outage_has_cut_off_is_asked_again(pauses: list[float]) -> None:
    assert failing(CUT, times=5)() == "there"
    assert pauses == [1, 2, 4, 8, 10]


def test_patience_ends(pauses: list[float]) -> None:
    with pytest.raises(OSError, match="NETWORK_CONNECTION"):
        failing(CUT, times=float("inf"))()
    assert outages.PATIENCE_S - outages.LONGEST_PAUSE_S <= sum(pauses) <= outages.PATIENCE_S


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
