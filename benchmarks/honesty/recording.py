"""The recorded answers that the replays resample.

4 models x 12 seeds on AG News, 2,000 test rows. raycompare itself records them, next to this file:

    raycompare run benchmarks/honesty/experiment.yaml
    python -m benchmarks.honesty.recording RUN_DIR
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from raycompare.metrics import Integers
from raycompare.records.run_folder import RunFolder

PATH = Path(__file__).with_name("predictions.parquet")
SCHEMA = pa.schema(
    [
        pa.field("model", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("seed", pa.int8(), nullable=False),
        pa.field("example_id", pa.int32(), nullable=False),
        pa.field("label", pa.int8(), nullable=False),
        pa.field("prediction", pa.int8(), nullable=False),
    ]
)


@dataclass(frozen=True, eq=False)
class Recording:
    """What trained networks answered to the same test rows."""

    labels: Integers
    """Of shape (rows,)."""
    predictions: dict[str, Integers]
    """Of each model, of shape (seeds, rows)."""

    @property
    def seeds(self) -> int:
        """How many networks of each model there are."""
        return min(len(of_model) for of_model in self.predictions.values())


def load(path: Path = PATH) -> Recording:
    """Read a recording."""
    frame = pq.read_table(path).to_pandas().astype({"model": str})
    frame = frame.sort_values(["model", "seed", "example_id"], kind="stable")
    rows = frame["example_id"].nunique()
    labels = frame["label"].to_numpy(np.int64).reshape(-1, rows)
    assert (labels == labels[0]).all()
    return Recording(
        labels=labels[0],
        predictions={
            str(model): own["prediction"].to_numpy(np.int64).reshape(-1, rows)
            for model, own in frame.groupby("model")
        },
    )


def recorded(folder: RunFolder) -> pa.Table:
    """Gather the predictions of a finished run."""
    trials = {trial.trial_id: trial for trial in folder.read_trials()}
    tables = []
    for trial_id, table in sorted(folder.read_predictions()):
        trial = trials[trial_id]
        rows = table.num_rows
        columns = {"model": [trial.model] * rows, "seed": [trial.seed] * rows}
        tables.append(pa.table({**columns, **dict(zip(table.column_names, table, strict=True))}))
    return pa.concat_tables(tables).select(SCHEMA.names).cast(SCHEMA)


def main(run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR")]) -> None:
    """Take the predictions of a run for the replays."""
    pq.write_table(recorded(RunFolder.at(run_dir)), PATH, compression="zstd")


if __name__ == "__main__":
    typer.run(main)
