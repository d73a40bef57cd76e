"""Make the run folders of this directory with the code of another checkout.

python -m tests.kept.make CHECKOUT
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from typing import Any

from ruamel.yaml import YAML

from tests.tiny import save_tiny_bert, write_tiny_data

HERE = Path(__file__).parent
FINISHED: dict[str, Any] = {
    "name": "finished",
    "data": {"dataset": "data", "max_length": 32},
    "models": [
        {"name": "two layers", "checkpoint": "model"},
        {"name": "one layer", "checkpoint": "model", "config": {"num_hidden_layers": 1}},
        {"name": "no dropout", "checkpoint": "model", "config": {"hidden_dropout_prob": 0.0}},
    ],
    "training": {"num_train_epochs": 12, "learning_rate": 5e-3},
    "search_space": {"learning_rate": {"loguniform": [1e-4, 5e-2]}},
    "screen": {"keep": 2},
    "tune": {"num_samples": 3, "metric": "loss"},
    "confirm": {"seeds": [1, 2]},
    "inference": {"texts": 20},
}
INTERRUPTED: dict[str, Any] = {
    **FINISHED,
    "name": "interrupted",
    "models": FINISHED["models"][:2],
    "training": {"num_train_epochs": 40, "learning_rate": 5e-3},
    "screen": None,
    "confirm": {"seeds": [1]},
    "baselines": [],
    "inference": {"measure": False},
    "failure": {"checkpoint_every_s": 0.5},
}
SECOND_TRIAL = "[2/"
"""Is in the line that a run prints when its second trial has ended."""
NOT_READ = ("analytics", "figures", "ray", "tensorboard", "report.html", "report.md")
"""What `raycompare report` writes again, and what only Ray and TensorBoard read."""
KEPT_TABLE = "leaderboard.csv"
"""The test compares it with that of the new report."""


def make(checkout: Path, place: Path) -> None:
    """Make data, model and both runs in `place`."""
    for name in ("data", "model"):
        (place / name).mkdir()
    write_tiny_data(place / "data")
    save_tiny_bert(place / "model")
    for content in (FINISHED, INTERRUPTED):
        YAML().dump(content, place / f"{content['name']}.yaml")
    with _started(checkout, place, "finished.yaml") as run:
        assert run.wait() == 0
    with _started(checkout, place, "interrupted.yaml") as run:
        assert run.stdout is not None
        next(line for line in run.stdout if SECOND_TRIAL in line)
        while not any(place.glob("reports/interrupted/*/checkpoints/*/latest")):
            assert run.poll() is None, "no trial was left with a checkpoint"
            sleep(0.05)
        run.send_signal(signal.SIGTERM)
        run.stdout.read()
        assert run.wait() == 1
    assert any(place.glob("reports/interrupted/*/checkpoints/*/latest"))
    for folder in place.glob("reports/*/*/"):
        _prune(folder)


def _started(checkout: Path, place: Path, file: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "raycompare", "run", file],
        cwd=place,
        stdout=subprocess.PIPE if file == "interrupted.yaml" else None,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(checkout.absolute()),
            "PYTHONUNBUFFERED": "1",
            "HF_HUB_OFFLINE": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ADDRESS": "local",
        },
    )


def _prune(folder: Path) -> None:
    """Remove what the test does not need."""
    if folder.name == "tokens":
        shutil.rmtree(folder)
    for path in [*(folder / name for name in NOT_READ), *folder.glob(".*")]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for file in folder.glob("checkpoints/*/*/training_args.bin"):
        file.unlink()  # a pickle that the Trainer writes and does not read
    for table in (folder / "tables").glob("*"):
        if table.name != KEPT_TABLE:
            table.unlink()


def main() -> None:
    """Replace the run folders, their data and their model."""
    checkout = Path(sys.argv[1])
    with TemporaryDirectory() as made:
        make(checkout, Path(made))
        for name in ("data", "model", "reports"):
            shutil.rmtree(HERE / name, ignore_errors=True)
            shutil.copytree(Path(made) / name, HERE / name)


if __name__ == "__main__":
    main()
