from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.running.trackers.read_back import Client


@pytest.fixture
def mlflow_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Client]:
    import mlflow  # noqa: PLC0415 - slow, and with warnings of its own

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return lambda run: mlflow.MlflowClient(f"sqlite:///{run / 'mlflow' / 'mlflow.db'}")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
