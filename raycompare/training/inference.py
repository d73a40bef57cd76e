"""Measures latency, throughput, size and memory of a model, starting from raw text.

Speed does not depend on what was learned, so the model is built as in a trial, with pretrained
weights. Run it in a fresh process, on an otherwise idle machine.
"""

from __future__ import annotations

import math
import resource
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from transformers import PreTrainedModel

from raycompare.cluster.machines import this_machine
from raycompare.records.rows import InferenceRecord
from raycompare.training.classifier import Classifier, RawTexts
from raycompare.training.task import TrialTask
from raycompare.training.trial import prepare_worker

WARM_UP_TEXTS, WARM_UP_SECONDS = 10, 2.0
LATENCY_SECONDS, THROUGHPUT_SECONDS = 8.0, 8.0
"""Approximate time limit of each measurement on a slow machine."""
FEWEST_TIMED = 20
"""Minimum number of texts to time one by one, without which there is no 95th percentile."""
MOST_TEXTS = 2048
"""Maximum number of texts for throughput; enough for batches of similar length."""


@dataclass(frozen=True, kw_only=True)
class InferenceTask:
    """A model to measure, and the texts."""

    trial: TrialTask
    """Task of a finalist."""
    texts: RawTexts
    timed: int
    """Maximum number of texts that are timed one by one."""
    weight_bytes: int | None
    """Size of the finalist's safetensors files, if they were kept."""

    @property
    def batch_size(self) -> int:
        """Batch size of evaluations, limited by the number of texts."""
        size = self.trial.arguments["per_device_eval_batch_size"]
        assert isinstance(size, int)
        halved: int = math.ceil(size / 2**self.trial.halvings)
        return min(halved, len(self.texts))


def measure_inference(task: InferenceTask) -> InferenceRecord:
    """Measure one model; takes about 20 s on a slow machine, plus loading it.

    Without a GPU, peak memory is that of the whole process, which must be a fresh one.
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
    """Classify the last texts, which are timed only if there are few."""
    began = perf_counter()
    for row in range(len(texts))[-WARM_UP_TEXTS:]:
        classifier.probabilities(texts.part([row]))
        if perf_counter() - began > WARM_UP_SECONDS:
            return


def _latencies(classifier: Classifier, task: InferenceTask) -> list[float]:
    """Return the seconds per text; the random order of texts makes any cut-off fair."""
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
    """Return texts per second, over as many whole batches as time allows, but at least one.

    A short first pass is a warm-up for a second pass, which counts.
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
    """Return the peak memory of this process, in bytes.

    Linux reports it as VmHWM (proc(5)); getrusage(2) would include the process it was forked from.
    Other systems only have getrusage, in KiB, or in bytes on macOS.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
        return int(peak) * 1024
    peak_size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak_size if sys.platform == "darwin" else peak_size * 1024


def weight_bytes(model: PreTrainedModel) -> int:
    """Return the size of the model's safetensors files, in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return sum(file.stat().st_size for file in Path(folder).glob("*.safetensors"))
