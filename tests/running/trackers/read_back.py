"""Read what TensorBoard, MLflow and W&B have stored."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tensorboardX.proto import event_pb2
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from tests.running.trackers.played import WANTED


def events(folder: Path) -> Iterator[Any]:
    """Read the events of every file: framed as TFRecords, each a length, two checks, the data."""
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            yield event_pb2.Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]


def scalars(folder: Path) -> dict[tuple[str, int], float]:
    found: dict[tuple[str, int], float] = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                assert (value.tag, event.step) not in found, "logged twice"
                found[value.tag, event.step] = value.simple_value
    return found


def hyperparameters(folder: Path) -> tuple[dict[str, Any], int]:
    values = [value for event in events(folder) for value in event.summary.value]
    data = {v.tag: v.metadata.plugin_data.content for v in values if "_hparams_" in v.tag}
    assert set(data) == {"_hparams_/session_start_info", "_hparams_/session_end_info"}
    begun = HParamsPluginData.FromString(data["_hparams_/session_start_info"])
    ended = HParamsPluginData.FromString(data["_hparams_/session_end_info"])
    kinds = begun.session_start_info.hparams
    own = {name: getattr(kinds[name], kinds[name].WhichOneof("kind")) for name in kinds}
    return own, ended.session_end_info.status


Client = Any


def mlflow_runs(client: Client, name: str = WANTED.name) -> dict[str, Any]:
    experiment = client.get_experiment_by_name(name)
    found = client.search_runs([experiment.experiment_id])
    by_name = {run.info.run_name: run for run in found}
    assert len(by_name) == len(found), "a trial was logged twice"
    return by_name


def history(client: Client, run: Any, name: str) -> dict[int, float]:
    points = client.get_metric_history(run.info.run_id, name)
    assert len({point.step for point in points}) == len(points)
    return {point.step: point.value for point in points}


def wandb_log(path: Path) -> Iterator[bytes]:
    """Read a LevelDB log after W&B's header of 7 bytes: blocks of 32 KiB, each record with a check,
    its length and its part of the whole (1 all of it, 2 the first, 3 the middle, 4 the last).
    """
    data, place, whole = path.read_bytes(), 7, b""
    while place < len(data):
        if 2**15 - place % 2**15 < 7:
            place += 2**15 - place % 2**15
            continue
        length, part = struct.unpack("<HB", data[place + 4 : place + 7])
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if part in (1, 4):
            yield whole
            whole = b""


def wandb_records(place: Path) -> dict[str, list[Any]]:
    """Read the records of each offline run, by the run's name."""
    from wandb.proto.wandb_internal_pb2 import Record  # noqa: PLC0415 - slow

    found: dict[str, list[Any]] = {}
    for path in sorted(place.glob("wandb/offline-run-*/*.wandb")):
        records = [Record.FromString(data) for data in wandb_log(path)]
        names = {r.run.display_name for r in records if r.WhichOneof("record_type") == "run"}
        if not names:  # of a trial that was cut off before W&B's own process had begun to write
            continue
        (name,) = names
        assert name not in found, "a trial was logged twice"
        found[name] = records
    return found


def wandb_history(records: Sequence[Any]) -> list[dict[str, Any]]:
    items = [r.history.item for r in records if r.WhichOneof("record_type") == "history"]
    return [
        {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in row} for row in items
    ]
