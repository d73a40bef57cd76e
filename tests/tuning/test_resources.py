from __future__ import annotations

from typing import Any

import pytest
import torch

from raycompare.cluster.machines import Node
from raycompare.data.tokens import Padding
from raycompare.errors import UserError
from raycompare.experiment.file import parse_draft
from raycompare.experiment.hyperparameters import ModelSettings
from raycompare.experiment.spec import Experiment
from raycompare.training.memory import Peak, heaviest, longest, measure
from raycompare.training.task import TrialTask
from raycompare.tuning.resources import resolve, share_of_card, sharing

GIB = 2**30
CPU_NODE = Node(hostname="head", cpus=4, gpus=0, memory_bytes=GIB)
GPU_NODE = Node(hostname="worker", cpus=16, gpus=1, memory_bytes=GIB)


def experiment(resources: str, of_model: str = "null") -> Experiment:
    text = f"""
name: packed
data: {{dataset: d}}
models: [{{name: a, resources: {of_model}}}, {{name: b}}]
resources: {resources}
"""
    return parse_draft(text, "packed.yaml").experiment()


def never(model: ModelSettings) -> list[Peak]:
    raise AssertionError(f"{model.name} needs no measurement")


def gpus(found: dict[str, Any]) -> list[float | None]:
    return [resources.gpu for resources in found.values()]


@pytest.mark.parametrize(
    ("needed", "cpu", "together"),
    [
        (10 * GIB, 1.0, 6),  # 80 / (10 * 1.15)
        (60 * GIB, 1.0, 1),
        (90 * GIB, 1.0, 1),  # measured, so it ran: alone it fits
        (1 * GIB, 1.0, 8),  # the most
        (1 * GIB, 4.0, 4),  # 16 CPUs feed four trials
    ],
)
def test_as_many_trials_share_a_card_as_fit(needed: int, cpu: float, together: int) -> None:
    share = share_of_card([Peak(needed=needed, total=80 * GIB)], cpu, [GPU_NODE])
    assert int(1 / share) == together
    assert share * together <= 1, "all of them must fit at once, in Ray's parts of a card"


def test_every_model_gets_the_part_that_it_was_measured_to_need() -> None:
    needs = {"a": Peak(needed=10 * GIB, total=80 * GIB), "b": Peak(needed=30 * GIB, total=80 * GIB)}
    found = resolve(experiment("auto"), [CPU_NODE, GPU_NODE], lambda model: [needs[model.name]])
    assert gpus(found) == [0.1666, 0.5]
    assert sharing(found) == ["a: 6 trials share a GPU", "b: 2 trials share a GPU"]


def test_without_cards_auto_takes_none() -> None:
    assert gpus(resolve(experiment("auto"), [CPU_NODE], never)) == [0.0, 0.0]


def test_what_the_file_says_is_taken() -> None:
    found = resolve(experiment("{cpu: 2, gpu: 0.5}", "{gpu: 1}"), [GPU_NODE], never)
    assert gpus(found) == [1.0, 0.5]
    assert [resources.cpu for resources in found.values()] == [1, 2]


def test_left_out_a_trial_takes_a_card_where_there_are_any() -> None:
    assert gpus(resolve(experiment("{cpu: 1}"), [GPU_NODE], never)) == [1.0, 1.0]
    assert gpus(resolve(experiment("{cpu: 1}"), [CPU_NODE], never)) == [0.0, 0.0]


def test_a_trial_that_no_machine_can_hold_is_refused() -> None:
    with pytest.raises(UserError, match=r"b requests cpu 99, gpu 0, .*head: cpu 4, gpu 0"):
        resolve(experiment("{cpu: 99}", "{cpu: 1}"), [CPU_NODE], never)


@pytest.mark.parametrize("wrong", ["-1", "some", "true"])
def test_what_a_trial_can_take(wrong: str) -> None:
    draft = parse_draft(
        f"name: x\ndata: {{dataset: d}}\nmodels: [a]\nresources: {{gpu: {wrong}}}", "x.yaml"
    )
    (problem,) = draft.problems
    assert problem.where == "resources.gpu"
    assert "or auto" in problem.allowed


def test_the_probe_takes_the_longest_texts(task: TrialTask) -> None:
    task = heaviest(task)
    lengths = task.data.train.lengths
    assert len(task.data.train) == 16, "two steps of eight"
    assert sorted(task.data.train.lengths) == sorted(lengths)[-16:]
    row = int(lengths.argmax())
    first = longest(task.data.train, 1)[0]
    assert first["input_ids"].tolist() == task.data.train[row]["input_ids"].tolist()
    assert first["labels"] == task.data.train[row]["labels"]


def test_the_probe_trains_and_evaluates_its_largest_batch(
    task: TrialTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = []
    collate = Padding.collate

    def watched(self: Padding, rows: Any, **options: Any) -> dict[str, torch.Tensor]:
        batch = collate(self, rows, **options)
        shapes.append(tuple(batch["input_ids"].shape))
        return batch

    monkeypatch.setattr(Padding, "collate", watched)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (60 * GIB, 80 * GIB))
    assert measure(task) == Peak(needed=20 * GIB, total=80 * GIB)
    longest_text = int(task.data.train.lengths.max())
    assert (8, longest_text) in shapes
    assert shapes[-1][0] == 45, "all validation rows in one batch of at most 64"
