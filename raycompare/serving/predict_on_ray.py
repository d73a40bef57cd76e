"""Prediction with Ray Data, for large files: one actor per GPU or CPU.

Tasks read the pieces of a file, idle actors predict their rows, and the predictions arrive in the
order of the file, so the output is the same as from a single process.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import ray.data
import torch
from ray.data import ActorPoolStrategy, DataContext

from raycompare.serving.input_files import Piece
from raycompare.serving.loaded_model import LoadedModel
from raycompare.serving.predict import Prediction, add_predictions

FIRST, ROW_GROUP = "first", "row_group"
READER_CPUS = 0.25
"""CPUs of a task that reads. They differ from an actor's, because otherwise Ray Data would fuse
reading and predicting, and a file in one piece would be predicted by a single actor."""


def predict_on_ray(asked: Prediction, actors: int | None = None) -> Iterator[pa.Table]:
    """Yield the predictions for a file, in its order; Ray must be connected.

    By default, there are as many actors as GPUs in the cluster, or as CPUs but one if it has no
    GPUs. Every machine must be able to read the file and the model: from a bucket, a shared disk,
    or, with a single machine, any folder.
    """
    cards = int(ray.cluster_resources().get("GPU", 0))
    most = actors or cards or max(int(ray.cluster_resources().get("CPU", 1)) - 1, 1)
    context = DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    pieces = [{FIRST: p.first, ROW_GROUP: p.row_group} for p in asked.source.pieces]
    read = ray.data.from_items(pieces, override_num_blocks=len(pieces)).map_batches(
        _Reader(asked).tables, batch_format="numpy", batch_size=1, num_cpus=READER_CPUS
    )
    predicted = read.map_batches(
        _Answering,
        fn_constructor_args=(asked,),
        batch_format="pyarrow",
        batch_size=asked.rows_at_once,
        compute=ActorPoolStrategy(min_size=1, max_size=most),
        num_gpus=1 if cards else 0,
        num_cpus=0 if cards else 1,
    )
    yield from predicted.iter_batches(batch_size=None, batch_format="pyarrow")


class _Reader:
    """Reads pieces in tasks."""

    def __init__(self, asked: Prediction) -> None:
        self._asked = asked

    def tables(self, batch: Any) -> Iterator[pa.Table]:
        group = batch[ROW_GROUP][0]
        missing = group is None or group != group  # noqa: PLR0124 - Ray turns None into nan
        piece = Piece(first=int(batch[FIRST][0]), row_group=None if missing else int(group))
        yield from self._asked.source.read(piece, self._asked.rows_at_once)


class _Answering:
    """An actor that holds the model."""

    def __init__(self, asked: Prediction) -> None:
        if not torch.cuda.is_available():
            torch.set_num_threads(1)  # each CPU has an actor
        self._asked, self._loaded = asked, LoadedModel.at(asked.model, asked.trust)

    def __call__(self, table: pa.Table) -> pa.Table:
        return add_predictions(self._loaded, table, self._asked)
