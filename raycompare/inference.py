"""What it takes to use a model: latency, throughput, size and memory, measured from raw text on.

Speed does not depend on what was learned, so the model is built as a trial builds it, with the
weights that it was pretrained with. The process should be fresh and have the machine to itself.
"""

from __future__ import annotations

import math
import resource
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from time import perf_counter
from typing import Self

import numpy as np
import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from raycompare.arguments import training_arguments
from raycompare.backends import this_machine
from raycompare.data import TEXT_COLUMNS
from raycompare.lora import merge_lora
from raycompare.models import build_model, load_tokenizer
from raycompare.record import InferenceRecord
from raycompare.task import TrialTask
from raycompare.tokens import Padding, Row
from raycompare.trainer import precision, with_precision
from raycompare.trial import prepare_worker

WARM_UP_TEXTS, WARM_UP_SECONDS = 10, 2.0
LATENCY_SECONDS, THROUGHPUT_SECONDS = 8.0, 8.0
"""About what each of the two may take on a slow machine."""
FEWEST_TIMED = 20
"""Texts that are timed one by one however long that takes: fewer have no 95th percentile."""
MOST_TEXTS = 2048
"""Of the throughput; enough for batches of like length."""
HALF_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class RawTexts:
    """Texts as a user has them, in random order."""

    columns: tuple[tuple[str, ...], ...]
    """One, or two for pairs."""

    @classmethod
    def of(cls, split: Dataset, rows: int, seed: int) -> Self:
        """Draw at most so many rows of a split with `seed`."""
        order = np.random.default_rng(seed).permutation(len(split))
        drawn = split.select(order[:rows])
        return cls(tuple(tuple(drawn[name]) for name in TEXT_COLUMNS if name in drawn.column_names))

    def __len__(self) -> int:
        """Count the texts, or the pairs."""
        texts, *_ = self.columns
        return len(texts)

    def part(self, rows: Sequence[int]) -> RawTexts:
        """Return some of the texts."""
        return RawTexts(tuple(tuple(column[row] for row in rows) for column in self.columns))

    def by_length(self, rows: int) -> list[int]:
        """Return the numbers of the first so many texts, the one with most characters first."""
        return sorted(
            range(rows), key=lambda row: -sum(len(column[row]) for column in self.columns)
        )


@dataclass(frozen=True, kw_only=True)
class InferenceTask:
    """What is to be measured."""

    trial: TrialTask
    """A finalist."""
    texts: RawTexts
    timed: int
    """The most texts that are timed one by one."""
    weight_bytes: int | None
    """Of the finalist's safetensors files, where it was kept."""

    @property
    def batch_size(self) -> int:
        """The evaluation's batch size, as far as there are texts."""
        size = self.trial.arguments["per_device_eval_batch_size"]
        assert isinstance(size, int)
        halved: int = math.ceil(size / 2**self.trial.halvings)
        return min(halved, len(self.texts))


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A model as `from_pretrained` leaves it, not training, and all that a text goes through."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    padding: Padding
    max_length: int
    device: torch.device
    precision: str
    """Of the forward pass, as the trials evaluate."""

    @classmethod
    def of(cls, task: TrialTask) -> Self:
        """Build a finalist's model, where and in the precision that it is evaluated in."""
        arguments = training_arguments(with_precision(task.arguments), "trainer", task.plan.seed)
        model = build_model(task.model, task.label_names, task.arguments)
        merge_lora(model)
        return cls(
            model=model.to(arguments.device),  # type: ignore[arg-type]
            tokenizer=load_tokenizer(task.model),
            padding=task.data.padding,
            max_length=task.data.max_length,
            device=arguments.device,
            precision=precision(arguments),
        )

    @torch.inference_mode()
    def probabilities(self, texts: RawTexts) -> torch.Tensor:
        """Return float32 of [texts, labels] on the CPU: to copy them there waits for a card."""
        half = HALF_TYPES.get(self.precision)
        batch = self._batch(texts)
        with torch.autocast(self.device.type, half, enabled=half is not None):
            outputs = self.model(**{name: part.to(self.device) for name, part in batch.items()})
        logits: torch.Tensor = outputs[0]
        return logits.float().softmax(dim=-1).cpu()

    def _batch(self, texts: RawTexts) -> dict[str, torch.Tensor]:
        columns = map(list, texts.columns)
        encoded = self.tokenizer(*columns, truncation=True, max_length=self.max_length)
        segments = encoded.get("token_type_ids") or [None] * len(texts)
        rows: list[Row] = [
            {
                "input_ids": np.asarray(ids),
                "token_type_ids": None if kinds is None else np.asarray(kinds),
                "labels": 0,
            }
            for ids, kinds in zip(encoded["input_ids"], segments, strict=True)
        ]
        takes_segments = "token_type_ids" in signature(self.model.forward).parameters
        batch = self.padding.collate(rows, takes_segments)
        del batch["labels"]  # with them a model computes its loss
        return batch


def measure_inference(task: InferenceTask) -> InferenceRecord:
    """Measure one model; takes some 20 s on a slow machine beside loading it.

    Peak memory is that of the whole process without a card: it has to be a fresh one.
    """
    prepare_worker(task.trial)
    classifier = Classifier.of(task.trial)
    _warm_up(classifier, task.texts)
    times = _latencies(classifier, task)
    throughput = _throughput(classifier, task, sum(times) / len(times))
    p50, p95 = np.percentile(np.array(times) * 1000, [50, 95]).tolist()
    return InferenceRecord(
        model=task.trial.plan.model,
        device=str(classifier.device),
        hostname=socket.gethostname(),
        processor=_processor(classifier.device),
        num_threads=torch.get_num_threads(),
        precision=classifier.precision,
        texts=len(times),
        latency_p50_ms=p50,
        latency_p95_ms=p95,
        batch_size=task.batch_size,
        texts_per_second=throughput,
        num_parameters=classifier.model.num_parameters(),
        peak_memory_bytes=_peak_memory(classifier.device),
        weight_bytes=task.weight_bytes or weight_bytes(classifier.model),
    )


def _warm_up(classifier: Classifier, texts: RawTexts) -> None:
    """Answer the last of the texts, which are timed only where there are few."""
    began = perf_counter()
    for row in range(len(texts))[-WARM_UP_TEXTS:]:
        classifier.probabilities(texts.part([row]))
        if perf_counter() - began > WARM_UP_SECONDS:
            return


def _latencies(classifier: Classifier, task: InferenceTask) -> list[float]:
    """Return the seconds of one text after another: in random order, so that any end is fair."""
    times: list[float] = []
    for row in range(min(task.timed, len(task.texts))):
        if len(times) >= FEWEST_TIMED and sum(times) > LATENCY_SECONDS:
            break
        text = task.texts.part([row])
        began = perf_counter()
        classifier.probabilities(text)
        times.append(perf_counter() - began)
    return times


def _throughput(classifier: Classifier, task: InferenceTask, seconds_per_text: float) -> float:
    """Return texts per second, over as many whole batches as there is time for, at least one.

    A first pass that is short has warmed up for a second, which counts.
    """
    batches = max(int(THROUGHPUT_SECONDS / seconds_per_text / task.batch_size), 1)
    rows = min(batches * task.batch_size, len(task.texts), MOST_TEXTS)
    seconds = _pass(classifier, task, rows)
    if seconds < THROUGHPUT_SECONDS / 2:
        seconds = _pass(classifier, task, rows)
    return rows / seconds


def _pass(classifier: Classifier, task: InferenceTask, rows: int) -> float:
    began = perf_counter()
    order = task.texts.by_length(rows)
    for at in range(0, rows, task.batch_size):
        classifier.probabilities(task.texts.part(order[at : at + task.batch_size]))
    return perf_counter() - began


def _processor(device: torch.device) -> str | None:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return this_machine().cpu_model


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _peak_resident()


def _peak_resident() -> int:
    """Return the most memory that this program has had, in bytes.

    Linux has it as VmHWM (proc(5)); getrusage(2) would count the process too that it was forked
    from. Elsewhere getrusage is what there is, in KiB, or in bytes on macOS.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
        return int(peak) * 1024
    peak_size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak_size if sys.platform == "darwin" else peak_size * 1024


def weight_bytes(model: PreTrainedModel) -> int:
    """Return the bytes of the safetensors files that the model is saved as."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return sum(file.stat().st_size for file in Path(folder).glob("*.safetensors"))
