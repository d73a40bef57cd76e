from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from tests.by_hand.estimates import confusion, value_of
from tests.by_hand.example import METRICS, Example, example, examples, numbers, shown

FROM_STORED = 1e-4
"""Losses are computed from probabilities that are stored in single precision."""


def test_these_modules_use_nothing_of_the_program() -> None:
    for file in Path(__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            module = node.module if isinstance(node, ast.ImportFrom) else ""
            assert not any(name.startswith("raycompare") for name in [*names, module or ""])


def scores(own: Example, model: str) -> dict[str, list[float]]:
    """Return all metrics of a model, per seed."""
    answers, size = own.answers[model], own.classes
    matrices = [confusion(answers.labels, one, size) for one in answers.predicted]
    return {
        name: list(answers.losses.mean(axis=1))
        if name == "loss"
        else [float(value_of(name, matrix)) for matrix in matrices]
        for name in METRICS
    }


@examples
def test_the_test_scores_of_each_trial_are_those_of_its_predictions(folder: Path) -> None:
    own = example(folder)
    evaluations = own.rows("evaluations")
    tests = evaluations[evaluations.split == "test"].set_index("trial_id")
    assert len(own.finalists)
    for model, finalists in own.finalists.sort_values("seed").groupby("model"):
        for place, trial_id in enumerate(finalists.trial_id):
            for name, values in scores(own, str(model)).items():
                close = FROM_STORED if name == "loss" else 1e-9
                assert tests.loc[trial_id, name] == pytest.approx(values[place], abs=close)


@examples
def test_the_leaderboard_has_means_and_deviations_over_seeds(folder: Path) -> None:
    own = example(folder)
    board = own.csv("leaderboard")
    assert set(board.model) >= own.answers.keys()
    for _, row in board[board.model.isin(own.answers.keys())].iterrows():
        assert own.answers[row.model].has_seeds == (row["kind"] == "model")
        for name, values in scores(own, row.model).items():
            close = FROM_STORED if name == "loss" else 1e-9
            assert row[f"test_{name}_mean"] == pytest.approx(np.mean(values), abs=close)
            if len(values) > 1:
                deviation = np.std(values, ddof=1)
                assert row[f"test_{name}_sd"] == pytest.approx(deviation, abs=close)


@examples
def test_the_printed_leaderboard_has_these_scores_in_order(folder: Path) -> None:
    own = example(folder)
    printed = {row["model"]: row for row in own.markdown("#", "model", "may be best")}
    assert own.answers.keys() <= printed.keys()
    for model, row in printed.items():
        if model not in own.answers:
            continue
        for name, values in scores(own, model).items():
            if f"test {METRICS[name]}" not in row:
                continue
            cell = row[f"test {METRICS[name]}"]
            assert shown(cell, float(np.mean(values)))
            if len(values) > 1:
                assert shown(cell.split("±")[1], float(np.std(values, ddof=1)))
    means = [own.sign * np.mean(scores(own, model)[own.metric]) for model in own.order]
    assert means == sorted(means, reverse=True)


@examples
def test_the_majority_class_has_the_scores_of_a_constant(folder: Path) -> None:
    own = example(folder)
    labels = own.answers[own.order[0]].labels
    constant = np.full_like(labels, np.bincount(labels).argmax())
    matrix = confusion(labels, constant, own.classes)
    rows = own.markdown("#", "model", "may be best")
    (row,) = (row for row in rows if row["model"].startswith("majority class"))
    for name in ("accuracy", "macro_f1", "matthews_correlation"):
        assert shown(row[f"test {METRICS[name]}"], value_of(name, matrix))


@examples
def test_the_scores_by_label_are_means_over_seeds_of_the_first_model(folder: Path) -> None:
    own = example(folder)
    leader = own.order[0]
    answers, size = own.answers[leader], len(own.manifest["data"]["labels"])
    matrices = [confusion(answers.labels, one, size) for one in answers.predicted]
    right = np.stack([matrix.diagonal() for matrix in matrices])
    predicted, actual = np.stack([m.sum(axis=0) for m in matrices]), matrices[0].sum(axis=1)
    expected = {
        "precision": (right / np.maximum(predicted, 1)).mean(axis=0),
        "recall": (right / np.maximum(actual, 1)).mean(axis=0),
        "f1": (2 * right / np.maximum(predicted + actual, 1)).mean(axis=0),
    }
    table = own.csv("classes").set_index("label").loc[own.manifest["data"]["labels"]]
    assert set(table.model) == {leader}
    assert table.rows.tolist() == actual.tolist()
    for name, values in expected.items():
        assert table[name].to_numpy() == pytest.approx(values)
    for row in own.markdown("label", "test rows", "precision"):
        place = own.manifest["data"]["labels"].index(row["label"])
        for header, name in (("precision", "precision"), ("recall", "recall"), ("F1", "f1")):
            assert shown(row[header], expected[name][place])


@examples
def test_the_confusions_are_mean_numbers_of_rows(folder: Path) -> None:
    own = example(folder)
    answers, names = own.answers[own.order[0]], own.manifest["data"]["labels"]
    each = [confusion(answers.labels, one, len(names)) for one in answers.predicted]
    matrix = np.mean(each, axis=0)
    printed = own.markdown("label", "predicted as", "rows")
    assert printed
    for row in printed:
        label, other = names.index(row["label"]), names.index(row["predicted as"])
        assert shown(row["rows"], matrix[label, other], decimals=1)
        share = 100 * matrix[label, other] / matrix[label].sum()
        assert shown(row["share of the label"], share, decimals=1)
    wrong = matrix - np.diag(matrix.diagonal())
    largest = np.sort(wrong[wrong > 0])[::-1][: len(printed)]
    shown_rows = [numbers(row["rows"])[0] for row in printed]
    assert shown_rows == pytest.approx(largest, abs=0.051)
