"""Checks that need the data: text lengths, rungs, and disk space."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa

from raycompare.data.problems import cause_of
from raycompare.data.splits import LabelledData
from raycompare.errors import Problem, UserError
from raycompare.experiment.hyperparameters import MAX_LENGTH, Length, ModelSettings, all_settings
from raycompare.experiment.spec import Experiment, ModelSpec
from raycompare.models.architectures import position_limit
from raycompare.models.places import locate
from raycompare.models.pretrained import (
    build_without_weights,
    load_config,
    load_tokenizer,
    vocabulary_of,
)
from raycompare.records.storage import open_filesystem, write_atomically
from raycompare.running.workload import sample_lengths
from raycompare.training.arguments import (
    DROP_LAST,
    TEXTS,
    TOKENS,
    WARMUP,
    RunLength,
    batch_size_of,
    run_length,
)
from raycompare.tuning.schedulers.registry import budget
from raycompare.uris import hide_credentials

SPARE_BYTES = 500 * 2**20
"""Disk space for Ray's session, Tune's files and logs, in addition to the records."""
BYTES_PER_PREDICTION = 64
"""Upper limit, before compression and without the probabilities."""
WEIGHTS_PER_CHECKPOINT = 4
"""Size of a checkpoint in copies of the weights: current, two moments of AdamW, and best."""


def room_problems(experiment: Experiment, data: LabelledData, out: str) -> Iterator[Problem]:
    """Find what prevents a run from writing to `out`; a URI is tried by writing a file."""
    if "://" in out:
        reason = why_not_writable(out)
        if reason:
            yield Problem(
                where="--out",
                found=f"{hide_credentials(out)}, where files can't be written: {reason}",
                allowed="a folder or bucket that you can write to, such as s3://BUCKET/runs",
                hint=_make_bucket(out),
            )
        return
    folder = Path(out).expanduser().absolute()
    standing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(standing, os.W_OK) or not standing.is_dir():
        yield Problem(where="--out", found=out, allowed="a writable folder")
        return
    needed, free = bytes_needed(experiment, data), shutil.disk_usage(standing).free
    if free < needed:
        yield Problem(
            where="--out",
            found=f"{free / 2**20:,.0f} MiB free at {standing}",
            allowed=f"at least {needed / 2**20:,.0f} MiB for this experiment",
            hint="free some space, or choose another disk or a bucket with --out",
        )


def why_not_writable(out: str) -> str | None:
    """Write a file to a place and delete it; return why that fails, or None.

    Outages are not waited out.
    """
    try:
        filesystem, path = open_filesystem(out)
        mark = f"{path.rstrip('/')}/.raycompare-{uuid4().hex}"
        with write_atomically(filesystem, mark) as temporary:
            filesystem.open_output_stream(temporary).close()
        filesystem.delete_file(mark)
    except UserError as error:
        return str(error)
    except (OSError, ValueError, NotImplementedError, pa.ArrowException) as error:
        return cause_of(error)
    return None


def _make_bucket(out: str) -> str | None:
    bucket = re.match(r"s3://([^/@]+)(/|$)", out)
    return f"aws s3 mb s3://{bucket[1]}, if there is no such bucket" if bucket else None


def bytes_needed(experiment: Experiment, data: LabelledData) -> int:
    """Return the bytes that a run needs at most, without models that are not on this machine."""
    finalists = len(experiment.models) * len(experiment.confirm.all_seeds)
    bytes_per_row = BYTES_PER_PREDICTION + 4 * len(data.label_names)
    weights = [_weights(model) for model in experiment.models]
    running = experiment.tune.max_concurrent_trials or os.cpu_count() or 1
    return (
        SPARE_BYTES
        + finalists * len(data.test) * bytes_per_row
        + sum(weights)
        + running * WEIGHTS_PER_CHECKPOINT * max(weights)
    )


def _weights(model: ModelSpec) -> int:
    """Return the size of a checkpoint's weights in bytes; 0 if they are not on this machine."""
    folder = Path(locate(model.checkpoint))
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def length_problems(experiment: Experiment, data: LabelledData) -> Iterator[Problem]:
    """Find texts longer than a model's positions; percentiles are estimated from a sample."""
    for settings in all_settings(experiment):
        model = settings.model
        if own := _tokenizer_limit_problem(settings, data):
            yield own
            continue
        limit = position_limit(build_without_weights(model, load_config(model)))
        longest = _longest(model, data, settings.max_lengths)
        if limit is not None and longest > limit:
            is_own = settings.all_values(MAX_LENGTH)
            yield Problem(
                where=settings.place(MAX_LENGTH) if is_own else f"data.{MAX_LENGTH}",
                found=f"texts of up to {longest:,} tokens for {model.name}",
                allowed=f"at most {limit:,}, its number of positions",
            )


def _tokenizer_limit_problem(settings: ModelSettings, data: LabelledData) -> Problem | None:
    """Return the problem of a tokenizer that would cut off all of every text."""
    limit = vocabulary_of(settings.model).limit
    pairs = "text_pair" in data.train.column_names
    special = load_tokenizer(settings.model).num_special_tokens_to_add(pair=pairs)
    if limit > special:
        return None
    return Problem(
        where=settings.section,
        found=f"model_max_length {limit} in tokenizer_config.json of {settings.model.checkpoint}",
        allowed=f"more than the {special} special tokens of every text",
        hint="set it to the number of positions of the model",
    )


def _longest(model: ModelSpec, data: LabelledData, lengths: Sequence[Length]) -> int:
    """Return the maximum number of tokens of a text, within the tokenizer's own limit."""
    numbers = [length for length in lengths if isinstance(length, int)]
    if len(numbers) < len(lengths):
        tokenizer = load_tokenizer(model)
        shares = [length for length in lengths if isinstance(length, str)]
        numbers += [int(sample_lengths(tokenizer, data, share).max()) for share in shares]
    return min(max(numbers), vocabulary_of(model).limit)


def grace_problems(experiment: Experiment, data: LabelledData) -> Iterator[Problem]:
    """Find a grace period that is not shorter than a full run of some model."""
    grace = experiment.tune.grace_period
    if grace is None or experiment.tune.scheduler == "fifo":
        return
    for settings in all_settings(experiment):
        length = default_length(settings, data)
        if length is None:
            continue
        most = budget(experiment.tune, length)
        if grace >= most:
            unit = "examples" if experiment.tune.time_attr == "examples" else "optimizer steps"
            yield Problem(
                where="tune.grace_period",
                found=str(grace),
                allowed=f"less than a full run of {settings.name}, which has {most} {unit}",
                hint="omit it for a quarter of the run",
            )
            return


def batch_problems(experiment: Experiment, data: LabelledData) -> Iterator[Problem]:
    """Find batches that never fill, so that `dataloader_drop_last` leaves nothing to train on."""
    rows = len(data.train)
    for settings in all_settings(experiment):
        texts = [size for size in settings.all_values(TEXTS) if isinstance(size, int)]
        largest = max(texts, default=batch_size_of({}).texts)
        if True in settings.all_values(DROP_LAST) and largest > rows:
            yield Problem(
                where=settings.place(TEXTS if texts else DROP_LAST),
                found=f"batches of {largest} texts for {settings.name}, with {rows} training rows",
                allowed=f"at most {rows} texts in a batch, because {DROP_LAST} drops any other",
            )


def warmup_notes(settings: ModelSettings, steps: int) -> Iterator[str]:
    """Describe a warm-up that is not over when the training is."""
    numbers = (value for value in settings.all_values(WARMUP) if isinstance(value, int | float))
    longest = max(numbers, default=0.0)
    if longest > steps:
        yield (
            f"{WARMUP} of up to {longest:g} are more than a trial has, so the learning rate may "
            "never reach its value"
        )


def default_length(settings: ModelSettings, data: LabelledData) -> RunLength | None:
    """Return the length of a default trial; None if its batches are sized in tokens."""
    arguments = settings.arguments({})
    return None if TOKENS in arguments else run_length(arguments, np.ones(len(data.train), int))
