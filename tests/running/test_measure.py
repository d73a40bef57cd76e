from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from datasets import Dataset

from raycompare.records.journal import Journal
from raycompare.records.messages import TaskFailure
from raycompare.records.rows import InferenceFailure, InferenceRecord, InferenceRound, ModelFacts
from raycompare.records.run_folder import RunFolder
from raycompare.running import measure as inference_stage
from raycompare.running.inference_rounds import FirstLook, InferenceRounds
from raycompare.running.measure import measure_finalists
from raycompare.training.inference import Pace, Timing, Turn
from raycompare.tuning.tuner import Shared
from tests import runs

TEXTS = Dataset.from_dict({"text": ["one", "two"]})
BROKEN = TaskFailure(cause="ValueError: too long", error="...")


class Machine:
    """Workers without processes; memory holds the models in `fitting`, and some fail."""

    def __init__(self) -> None:
        self.fitting = {"minilm-2", "minilm-3", "bert|tiny"}
        self.fails_to_load, self.fails_in_round = {"minilm-2"}, {"bert|tiny": 99}
        self.rate: float | None = 200.0
        self.kept: set[str] = set()
        self.calls: list[tuple[str, int]] = []
        self.stops: Counter[str] = Counter()

    def look(self, model: str) -> FirstLook | TaskFailure:
        self.calls.append((model, 0))
        if model in self.fails_to_load:
            return BROKEN
        facts = ModelFacts(
            model=model,
            device="cpu",
            hostname="node-1",
            processor=None,
            num_threads=1,
            precision="fp32",
            batch_size=64,
            num_parameters=10,
            weight_bytes=40,
            peak_memory_bytes=1000,
        )
        pace = Pace(text_seconds=0.01, batch_seconds=0.5)
        return FirstLook(facts=facts, pace=pace, fitting=3.0 if model in self.fitting else 1.9)

    def take_turn(self, model: str, turn: Turn) -> Timing | TaskFailure:
        self.calls.append((model, turn.number))
        if turn.number >= self.fails_in_round.get(model, 99):
            return BROKEN
        seconds = [0.010, 0.012, 0.014] if turn.number > 1 else [0.1, 0.1, 0.1]
        return Timing(
            seconds=tuple(seconds),
            texts_per_second=self.rate,
            busy_cpus=0.25,
            cpus=2,
            peak_memory_bytes=1000 + turn.number,
        )

    def stop(self, model: str) -> None:
        self.stops[model] += 1

    def stop_all(self) -> None:
        self.kept.clear()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    node = SimpleNamespace(start=None)
    monkeypatch.setattr(inference_stage._MeasuringNode, "of", lambda *_: node)
    monkeypatch.setattr(inference_stage, "RayWorkers", lambda *_, **__: machine)
    return machine


def measured(run: runs.Run, folder: RunFolder) -> list[str]:
    metric = run.experiment.tune.metric
    journal = Journal(metric, "max")
    journal.keep(run.trials, run.evaluations)
    shared = Shared(
        experiment=run.experiment,
        folder=folder,
        label_names=(),
        data={},
        lengths={},
        rungs={},
        text_lengths={},
        resources={},
    )
    said: list[str] = []
    measure_finalists(shared, journal, TEXTS, said.append)
    return said


def test_a_model_that_fails_is_recorded_and_the_others_are_measured(
    machine: Machine, tmp_path: Path
) -> None:
    folder = RunFolder.at(tmp_path)
    machine.fails_in_round["bert|tiny"] = 4
    said = measured(runs.typical(), folder)
    assert [row.model for row in folder.read_rows(InferenceRecord)] == ["minilm-3"]
    assert {row.model for row in folder.read_rows(InferenceRound)} == {"minilm-3"}
    failures = folder.read_rows(InferenceFailure)
    assert {row.model: row.cause for row in failures} == {
        "minilm-2": "ValueError: too long",
        "bert|tiny": "ValueError: too long",
    }
    assert said[:2] == [
        "inference: 3 models",
        "  [1/3] minilm-2  could not be measured (ValueError: too long)",
    ]
    times = "12.0 ms per text (95 % within 100.0 ms), 200 texts per second in batches of 64"
    assert said[2] == f"  [2/3] minilm-3  {times}"
    assert ("bert|tiny", 5) not in machine.calls


def test_the_largest_model_is_loaded_first(machine: Machine, tmp_path: Path) -> None:
    measured(runs.typical(), RunFolder.at(tmp_path))
    assert machine.calls[:3] == [("bert|tiny", 0), ("minilm-3", 0), ("minilm-2", 0)]


def test_a_resumed_run_measures_all_models_again_if_one_is_missing(
    machine: Machine, tmp_path: Path
) -> None:
    folder = RunFolder.at(tmp_path)
    measured(runs.typical(), folder)
    machine.calls.clear()
    machine.fails_to_load.clear()
    measured(runs.typical(), folder)
    assert Counter(model for model, _ in machine.calls) == dict.fromkeys(machine.fitting, 11)
    assert len(folder.read_rows(InferenceRecord)) == 3
    assert len(folder.read_rows(InferenceRound)) == 30
    assert measured(runs.typical(), folder) == ["inference: all 3 models are already measured"]


def test_models_without_a_tested_finalist_are_not_measured(
    machine: Machine, tmp_path: Path
) -> None:
    run = runs.empty("minilm-2", "minilm-3")
    run.tune("minilm-2", 0.5)
    run.fail("minilm-3", "confirm", "boom")
    assert measured(run, RunFolder.at(tmp_path)) == []
    assert machine.calls == []
    assert not (tmp_path / "inference.parquet").exists()


def test_a_record_summarizes_all_rounds(machine: Machine, tmp_path: Path) -> None:
    folder = RunFolder.at(tmp_path)
    measured(runs.typical(), folder)
    record = folder.read_rows(InferenceRecord)[0]
    assert (record.texts, record.latency_p50_ms, record.peak_memory_bytes) == (30, 12.0, 1010)
    rounds = [row for row in folder.read_rows(InferenceRound) if row.model == record.model]
    assert [row.round for row in rounds] == list(range(1, 11))
    assert [row.latency_p50_ms for row in rounds] == [100.0] + 9 * [12.0]
    assert {(row.busy_cpus, row.cpus, row.loaded_for_round) for row in rounds} == {(0.25, 2, False)}


def test_a_model_too_slow_for_batches_has_the_throughput_of_its_first_one(
    machine: Machine, tmp_path: Path
) -> None:
    machine.rate = None
    folder = RunFolder.at(tmp_path)
    measured(runs.typical(), folder)
    assert folder.read_rows(InferenceRecord)[0].texts_per_second == 64 / 0.5


def test_the_models_take_turns_in_an_order_that_the_seed_decides() -> None:
    calls = [turns_of(seed) for seed in (1, 1, 2)]
    assert calls[0] == calls[1] != calls[2]
    places = [[model for model, n in calls[0] if n == number] for number in range(1, 11)]
    assert all(sorted(order) == ["bert|tiny", "minilm-2", "minilm-3"] for order in places)
    assert len({tuple(order) for order in places}) > 1


def turns_of(seed: int) -> list[tuple[str, int]]:
    machine = Machine()
    machine.fails_to_load.clear()
    InferenceRounds(machine, seed).measure(sorted(machine.fitting))
    return machine.calls


def test_models_that_memory_does_not_hold_are_loaded_for_fewer_rounds() -> None:
    machine = Machine()
    machine.fails_to_load.clear()
    machine.fitting.remove("minilm-3")
    rounds = InferenceRounds(machine, 0)
    rounds.measure(["minilm-3", "minilm-2", "bert|tiny"])
    assert machine.stops == {"minilm-3": 6}
    assert {model: len(turns) for model, turns in rounds.turns.items()} == {
        "minilm-3": 5,
        "minilm-2": 5,
        "bert|tiny": 5,
    }
    loaded = {model for model, turns in rounds.turns.items() if turns[0].loaded_for_round}
    assert loaded == {"minilm-3"}
