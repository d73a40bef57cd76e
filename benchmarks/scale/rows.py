"""Times `check` and `data` on 1,000,000 rows: `python -m benchmarks.scale.rows`."""

from __future__ import annotations

import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from ruamel.yaml import YAML

from benchmarks.page import Goal, Page, wrap
from raycompare.formatting import count, table
from tests.tiny import FILLER, WORDS, save_tiny_bert

ROWS, WORDS_OF_A_TEXT, SHARDS = 1_000_000, 40, 4
MOST_CHECK_S, MOST_DATA_S = 60.0, 10.0
METHOD = f"""
A training file of {count(ROWS)} texts of {WORDS_OF_A_TEXT} words, drawn at random from a small
vocabulary, with three labels, in three formats; validation and test are shares of it. Each command
runs once in a separate process. The peak is that of the process's resident memory.
"""


def _rows() -> Iterator[pa.RecordBatch]:
    chance, labels = random.Random(0), list(WORDS)
    for number in range(SHARDS):
        indices = range(number, ROWS, SHARDS)
        texts = [
            f"{index} " + " ".join(chance.choices(FILLER, k=WORDS_OF_A_TEXT - 1))
            for index in indices
        ]
        yield pa.record_batch(
            {"text": texts, "label": [labels[index % len(labels)] for index in indices]}
        )


def _write_json(rows: pa.Table, path: Path) -> None:
    rows.to_pandas().to_json(path, orient="records", lines=True)


FORMATS: dict[str, Callable[[pa.Table, Path], object]] = {
    "csv": pyarrow.csv.write_csv,
    "jsonl": _write_json,
    "parquet": pq.write_table,
}


def _run(place: Path, *words: str) -> tuple[float, float]:
    """Return the seconds and the peak memory, in GB, of a command."""
    began = perf_counter()
    command = [sys.executable, "-m", "raycompare", *words]
    quiet = os.open(os.devnull, os.O_WRONLY)
    child = os.posix_spawn(
        sys.executable,
        command,
        {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(Path.cwd())},
        file_actions=[(os.POSIX_SPAWN_DUP2, quiet, 1)],
    )
    _, status, usage = os.wait4(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, f"{command} failed in {place}"
    return perf_counter() - began, usage.ru_maxrss * 1024 / 1e9


def main() -> None:
    """Write the files, run the commands, write the page."""
    measured: dict[tuple[str, str], tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        model, rows = save_tiny_bert(place / "model"), pa.Table.from_batches(_rows())
        for suffix, write in FORMATS.items():
            path = place / f"train.{suffix}"
            write(rows, path)
            experiment = place / "experiment.yaml"
            content = {
                "name": "rows",
                "data": {"dataset": str(path)},
                "models": [{"name": "tiny", "checkpoint": model}],
            }
            YAML().dump(content, experiment)
            for words in (("check",), ("data",)):
                measured[words[0], suffix] = _run(place, *words, str(experiment))
            path.unlink()
    body = [
        [command, suffix, f"{seconds:.1f}", f"{peak:.1f}"]
        for (command, suffix), (seconds, peak) in measured.items()
    ]
    limits = {"check": MOST_CHECK_S, "data": MOST_DATA_S}
    goals = []
    for command, limit in limits.items():
        worst = max(seconds for (name, _), (seconds, _) in measured.items() if name == command)
        goals.append(
            Goal(
                name=f"{command}, slowest format",
                aim=f"< {limit:.0f} s",
                measured=f"{worst:.1f} s",
                met=worst < limit,
            )
        )
    Page(
        name="rows",
        title="A million texts",
        command="python -m benchmarks.scale.rows",
        method=wrap([METHOD]),
        results=table(["command", "format", "seconds", "peak memory, GB"], body),
        goals=goals,
    ).write()


if __name__ == "__main__":
    main()
