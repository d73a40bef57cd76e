from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep

import numpy as np
import pytest
from pyarrow.fs import LocalFileSystem

from raycompare.data.token_store import TokenStore
from raycompare.data.tokens import Tokens, TokenSplit
from raycompare.records.run_folder import RunFolder


def split(rows: int, segments: bool) -> TokenSplit:
    lengths = np.arange(1, rows + 1)
    ids = np.arange(lengths.sum(), dtype=np.int32)
    return TokenSplit(
        ids=ids,
        segments=(ids % 2).astype(np.int8) if segments else None,
        offsets=np.concatenate([[0], lengths.cumsum()]),
        labels=np.arange(rows) % 3,
    )


def tokens(segments: bool = False) -> Tokens:
    sizes = {"train": 9, "validation": 3, "test": 5}
    splits = {part: split(rows, segments) for part, rows in sizes.items()}
    return Tokens(**splits, max_length=9, truncated_share=0.25)


def never() -> Tokens:
    raise AssertionError("the store has these tokens")


def assert_same(one: TokenSplit, other: TokenSplit) -> None:
    for name in ("ids", "offsets", "labels"):
        a, b = getattr(one, name), getattr(other, name)
        assert (a.dtype, a.tolist()) == (b.dtype, b.tolist())
    assert (one.segments is None) == (other.segments is None)
    if one.segments is not None and other.segments is not None:
        assert one.segments.tolist() == other.segments.tolist()


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore(RunFolder.at(tmp_path / "tokens"))


@pytest.mark.parametrize("segments", [False, True])
def test_tokens_are_made_once_and_read_back_whole(store: TokenStore, segments: bool) -> None:
    made = store.get("key", lambda: tokens(segments))
    read = store.get("key", never)
    assert (read.max_length, read.truncated_share) == (9, 0.25)
    for part in ("train", "validation", "test"):
        assert_same(getattr(read, part), getattr(made, part))


def test_another_key_is_another_file(store: TokenStore) -> None:
    store.get("one", tokens)
    store.get("two", tokens)
    assert {path.name for path in Path(store.folder.uri).glob("*.arrow")} == {
        "one.arrow",
        "two.arrow",
    }


def test_a_failure_leaves_nothing_behind(store: TokenStore) -> None:
    with pytest.raises(AssertionError):
        store.get("key", never)
    assert store.get("key", tokens).max_length == 9


def test_runs_that_start_at_once_make_tokens_once(store: TokenStore) -> None:
    calls = []

    def slowly() -> Tokens:
        calls.append("made")
        sleep(0.3)
        return tokens()

    with ThreadPoolExecutor(3) as runs:
        got = [runs.submit(TokenStore(store.folder).get, "key", slowly) for _ in range(3)]
    assert [each.result().max_length for each in got] == [9, 9, 9]
    assert calls == ["made"]


def test_a_file_appears_whole_or_not_at_all(
    store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run killed between writing and moving leaves a file that no other run reads."""

    class Killed(LocalFileSystem):  # type: ignore[misc]
        def move(self, *_: str) -> None:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "_open", lambda self, name: (Killed(), self.child(name)))
        with pytest.raises(KeyboardInterrupt):
            store.get("key", tokens)
    assert any(Path(store.folder.uri).iterdir())
    assert not store.folder.exists("key.arrow")
    assert store.get("key", tokens).max_length == 9
