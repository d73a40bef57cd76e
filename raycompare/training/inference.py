"""Measures latency, throughput, size and memory of a model, starting from raw text.

Speed does not depend on what was learned, so the model is built as in a trial, with pretrained
weights. Models are timed in turns, so each needs a process that keeps it loaded.
"""

from __future__ import annotations

import math
import resource
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Self

import psutil
import torch
from transformers import PreTrainedModel

from raycompare.cluster.machines import OtherCpuTime, this_machine
from raycompare.records.rows import ModelFacts
from raycompare.training.classifier import Classifier, RawTexts
from raycompare.training.failures import is_out_of_memory
from raycompare.training.task import TrialTask
from raycompare.training.trial import prepare_worker

WARM_UP_TEXTS, WARM_UP_SECONDS = 10, 2.0
LATENCY_SECONDS, THROUGHPUT_SECONDS = 8.0, 5.0
"""Approximate time limit of each measurement of a model, over all rounds."""
FEWEST_TIMED = 20
"""Minimum number of texts to time one by one, without which there is no 95th percentile."""
FEWEST_IN_TURN = 2
MOST_TEXTS = 2048
"""Maximum number of texts for throughput; enough for batches of similar length."""
SHORT_BATCH = 1.0
"""Seconds below which the first batch is only a warm-up for another one."""
CUDA_CONTEXT = 600 * 10**6
"""Approximate GPU memory, in bytes, that a process uses besides PyTorch's tensors."""


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

    def halve(self, halvings: int) -> Self:
        """Return the task with a batch that is halved as often."""
        trial = replace(self.trial, halvings=self.trial.halvings + halvings)
        return replace(self, trial=trial)


@dataclass(frozen=True)
class Pace:
    """Rough times of a loaded model, which tell how much can be timed."""

    text_seconds: float
    batch_seconds: float
    halvings: int = 0
    """How often the batch had to be halved to fit into the memory."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What is timed of a model in one round."""

    number: int
    """Number of the round, from 1."""
    rounds: int
    pace: Pace

    def choose_texts(self, task: InferenceTask) -> list[int]:
        """Return the texts to time one by one, longest first.

        The texts are dealt out to the rounds in order of length, so that those of all rounds have
        similar lengths. If there are too few, rounds share them.
        """
        fitting = max(int(LATENCY_SECONDS / self.pace.text_seconds), FEWEST_TIMED)
        rows = min(fitting, task.timed, len(task.texts))
        hands = min(self.rounds, max(rows // FEWEST_IN_TURN, 1))
        return task.texts.by_length(rows)[(self.number - 1) % hands :: hands]

    def count_batches(self, task: InferenceTask) -> int:
        """Return the number of batches for throughput; 0 if a batch takes too long for the turn."""
        if self.number > THROUGHPUT_SECONDS / self.pace.batch_seconds:
            return 0
        fitting = int(THROUGHPUT_SECONDS / self.rounds / self.pace.batch_seconds)
        rows = min(len(task.texts), MOST_TEXTS)
        return max(min(fitting, rows // task.batch_size), 1)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What was measured in a turn."""

    seconds: tuple[float, ...]
    """Time of each text."""
    texts_per_second: float | None
    busy_cpus: float
    """Mean number of CPUs that other processes used."""
    cpus: int
    """CPUs of the machine."""
    peak_memory_bytes: int
    """Peak memory of the GPU, or of the process without one, up to now."""


class MeasuredModel:
    """A loaded model that is timed in turns.

    Without a GPU, peak memory is that of the whole process, which must be a fresh one.
    """

    def __init__(self, task: InferenceTask) -> None:
        """Load the model and warm it up."""
        prepare_worker(task.trial)
        self._task, self._classifier = task, Classifier.of(task.trial)
        self._text_seconds = self._warm_up()

    def measure_pace(self, may_halve: bool = False) -> Pace:
        """Return about how long a text and a batch take; classifies a batch once or twice.

        With `may_halve`, the batch is halved as long as there is no memory for it.
        """
        halvings = 0
        while (seconds := self._time_batch(halvings, may_halve)) is None:
            halvings += 1
        if seconds < SHORT_BATCH:
            seconds = self._time(range(self._task.halve(halvings).batch_size))
        return Pace(self._text_seconds, seconds, halvings)

    def _time_batch(self, halvings: int, may_halve: bool) -> float | None:
        """Return how long the first batch takes; None if there is no memory for it."""
        size = self._task.halve(halvings).batch_size
        try:
            return self._time(range(size))
        except (RuntimeError, MemoryError) as error:
            if not may_halve or size == 1 or not is_out_of_memory(error):
                raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None

    def describe(self, halvings: int = 0) -> ModelFacts:
        """Return everything about the model that does not need a turn."""
        classifier, task = self._classifier, self._task
        return ModelFacts(
            model=task.trial.plan.model,
            device=str(classifier.device),
            hostname=socket.gethostname(),
            processor=_processor(classifier.device),
            num_threads=torch.get_num_threads(),
            precision=classifier.precision,
            batch_size=task.halve(halvings).batch_size,
            num_parameters=classifier.model.num_parameters(),
            weight_bytes=task.weight_bytes or weight_bytes(classifier.model),
            peak_memory_bytes=_peak_memory(classifier.device),
        )

    def take_turn(self, turn: Turn) -> Timing:
        """Time texts one by one, then batches; one text before them is not timed."""
        task = self._task.halve(turn.pace.halvings)
        rows = turn.choose_texts(task)
        self._time(rows[-1:])
        before = OtherCpuTime.now()
        seconds = tuple(self._time([row]) for row in rows)
        rate = self._throughput(turn.count_batches(task), task.batch_size)
        return Timing(
            seconds=seconds,
            texts_per_second=rate,
            busy_cpus=before.cpus_until(OtherCpuTime.now()),
            cpus=psutil.cpu_count() or 1,
            peak_memory_bytes=_peak_memory(self._classifier.device),
        )

    def count_fitting(self) -> float:
        """Return how many more processes with this model would fit into the free memory."""
        memory = psutil.virtual_memory().available / _peak_resident()
        if self._classifier.device.type != "cuda":
            return memory
        free, _ = torch.cuda.mem_get_info()
        return min(memory, free / (torch.cuda.max_memory_reserved() + CUDA_CONTEXT))

    def _warm_up(self) -> float:
        """Classify the last texts, which are timed only if there are few; return their median."""
        times: list[float] = []
        for row in range(len(self._task.texts))[-WARM_UP_TEXTS:]:
            times.append(self._time([row]))
            if sum(times) > WARM_UP_SECONDS:
                break
        return median(times)

    def _throughput(self, batches: int, size: int) -> float | None:
        if not batches:
            return None
        order = self._task.texts.by_length(batches * size)
        seconds = sum(self._time(order[at : at + size]) for at in range(0, len(order), size))
        return len(order) / seconds

    def _time(self, rows: Sequence[int]) -> float:
        texts = self._task.texts.part(rows)
        began = perf_counter()
        self._classifier.probabilities(texts)
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
