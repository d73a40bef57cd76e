"""Made-up learning curves in the format of benchmarks/replay."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.replay.curves import MANIFEST_KEY, SCHEMA, Key

BUDGET, EVERY, EXAMPLES = 320, 20, 16
MODELS = {
    # name: where its curve ends, optimizer steps to half of that, seconds per step
    "fast": (0.80, 10, 0.02),
    "middle": (0.78, 20, 0.05),
    "steady": (0.75, 30, 0.03),
    "slow": (0.86, 110, 0.10),
}
CONFIGS, SEEDS = 12, (1, 2, 3)
BEST_CONFIG = 4


def synthetic_rows() -> Iterator[dict[str, Any]]:
    """Curves of models that differ; `slow` starts slowly and is truly the best."""
    random = np.random.default_rng(0)
    for model, (top, half, seconds) in MODELS.items():
        for config, seed in product(range(CONFIGS), SEEDS):
            end = top - 0.01 * abs(config - BEST_CONFIG) + random.normal(0, 0.002)
            for step in range(EVERY, BUDGET + 1, EVERY):
                value = end / (1 + math.exp(-(step - half) / (half / 6)))
                yield row((model, config, seed), "validation", step, value, seconds)
            yield row((model, config, seed), "test", BUDGET, end - 0.01, seconds)


def row(key: Key, split: str, step: int, value: float, seconds: float) -> dict[str, Any]:
    model, config, seed = key
    searched = {"learning_rate": 1e-4 * config} if config else {}
    return {
        "model": model,
        "config": config,
        "hyperparameters": json.dumps(searched),
        "seed": seed,
        "split": split,
        "step": step,
        "examples_seen": step * EXAMPLES,
        "train_seconds": step * seconds,
        "eval_seconds": step / EVERY * 10 * seconds,
        "loss": 1 - value,
        "accuracy": value,
        "macro_f1": value,
        "matthews_correlation": value,
    }


def write_curves(path: Path, rows: list[dict[str, Any]]) -> Path:
    schema = SCHEMA.with_metadata({MANIFEST_KEY: b'{"made": "up"}'})
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path
