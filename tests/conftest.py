from __future__ import annotations

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ADDRESS"] = "local"

import pytest

from tests.tiny import save_tiny_bert, write_tiny_data


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random two-layer BERT of 16 dimensions with a tokenizer, in a folder."""
    return save_tiny_bert(tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with train, validation and test of three classes that words give away."""
    return write_tiny_data(tmp_path_factory.mktemp("tiny-data"))


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory of its own, as trials and runs write to it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
