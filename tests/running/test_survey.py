from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from typer.testing import CliRunner

from raycompare.cli.app import app
from raycompare.experiment.spec import Experiment, ModelSpec
from raycompare.records.survey import LengthCost, SplitSurvey, Survey, TokenSurvey
from raycompare.report.sections.data import data_section, survey_parts, survey_text
from raycompare.running import survey as surveying
from raycompare.running.survey import survey
from tests.runs import empty, experiment, typical
from tests.splits import Load, rows

WORDS = ["the", "old", "cat", "is", "here", "near"]


def texts(*found: str, labels: str = "") -> dict[str, list[Any]]:
    """Return rows with these texts; labels as letters, else a and b in turn."""
    return {"text": [*found], "label": [*(labels or "ab" * len(found))][: len(found)]}


def of(*checkpoints: str, **data: Any) -> Experiment:
    """Return an experiment with these models, named by their number."""
    models = [{"name": f"m{n}", "checkpoint": place} for n, place in enumerate(checkpoints)]
    return experiment(*models, data={"dataset": "x", **data})


def test_copies_are_counted_within_a_split_and_between_splits(load: Load, tiny_model: str) -> None:
    data = load(
        train=texts("one", "two", "two", "two", labels="abba"),
        validation=texts("one", "three", "three"),
        test=texts("one", "three", "four", "four", labels="bbaa"),
    )
    found = survey(of(tiny_model), data)
    by_name = {split.split: split for split in found.splits}
    assert {name: split.repeated for name, split in by_name.items()} == {
        "train": 2,
        "validation": 1,
        "test": 1,
    }
    assert by_name["validation"].also_in == {"train": 1}
    assert by_name["test"].also_in == {"train": 1, "validation": 2}
    assert by_name["train"].labels == {"a": 2, "b": 2}
    # "one" is a, a and b, "two" is b, b and a, "three" is b, a and b.
    assert (found.contradictory_texts, found.contradictory_rows) == (3, 9)


def test_pairs_are_copies_only_if_both_texts_are(load: Load, tiny_model: str) -> None:
    train = texts("one", "one", "two") | {"second": ["x", "y", "x"]}
    test = texts("one", "one") | {"second": ["y", "z"]}
    data = load({"text": ("text", "second")}, train=train, validation=test, test=test)
    found = survey(of(tiny_model), data)
    assert [split.repeated for split in found.splits] == [0, 0, 0]
    assert found.splits[1].also_in == {"train": 1}
    assert found.tokenizers[0].longest == 2 + 3


def test_lengths_and_unknown_words_are_those_of_the_training_texts(
    load: Load, tiny_model: str
) -> None:
    data = load(
        train=texts("the cat", "the old cat is here", "кот тут", "the кот"),
        validation=texts("кот " * 60, "кот"),
        test=texts("кот " * 60, "кот"),
    )
    (found,) = survey(of(tiny_model), data).tokenizers
    assert (found.median, found.p95, found.longest) == (4, 7, 7)
    assert found.unknown == pytest.approx(3 / 11)
    assert found.with_unknown == 0.5
    assert found.without_tokens == 0
    assert found.limit == 64


def test_models_with_equal_tokenizers_are_measured_once(
    load: Load, tiny_model: str, tmp_path: Path
) -> None:
    data = load(train=rows(), validation=rows(), test=rows())
    other = tmp_path / "copy"
    other.mkdir()
    for file in Path(tiny_model).iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    (found,) = survey(of(tiny_model, str(other)), data).tokenizers
    assert found.models == ("m0", "m1")


def measured(lengths: list[int], limit: int | None = None) -> TokenSurvey:
    found = surveying._MeasuredLengths(
        models=[ModelSpec(name="m", checkpoint="m")],
        lengths=np.asarray(lengths),
        unknown=np.zeros(len(lengths), dtype=int),
        special=2,
        limit=limit,
    )
    return found.survey({found.proposed}, batch=4, seed=0)


def test_a_text_of_which_nothing_is_left_is_counted() -> None:
    assert measured([2, 5, 2]).without_tokens == 2


@given(st.lists(st.integers(3, 900), min_size=1, max_size=200), st.sampled_from([None, 512]))
def test_costs_rise_with_the_length_and_lie_between_the_text_and_the_cut(
    lengths: list[int], limit: int | None
) -> None:
    costs = measured(lengths, limit).costs
    assert [c.max_length for c in costs] == sorted({c.max_length for c in costs})
    assert [c.cut for c in costs] == sorted((c.cut for c in costs), reverse=True)
    for cost in costs:
        assert cost.tokens <= cost.in_batches + 1e-9 <= cost.max_length + 2e-9
        assert cost.cut == np.mean([length > cost.max_length for length in lengths])
        assert limit is None or cost.max_length <= limit


@given(st.lists(st.integers(3, 400), min_size=1, max_size=300))
def test_the_proposal_cuts_at_most_a_hundredth(lengths: list[int]) -> None:
    found = measured(lengths)
    proposed = -(-found.p99 // 8) * 8
    (cost,) = [cost for cost in found.costs if cost.max_length == proposed]
    assert cost.cut <= 0.01


def test_padding_of_one_batch_is_to_its_longest_text() -> None:
    (cost,) = [cost for cost in measured([4, 8, 16, 16]).costs if cost.max_length == 16]
    assert cost == LengthCost(max_length=16, cut=0.0, tokens=11.0, in_batches=16.0)


def test_very_many_texts_are_sampled_with_the_seed(
    load: Load, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = texts(*(" ".join(["cat"] * (1 + row % 40)) for row in range(200)))
    data = load(train=some, validation=some, test=some)
    monkeypatch.setattr(surveying, "MOST_TEXTS", 50)
    first, second = (survey(of(tiny_model), data) for _ in range(2))
    assert first == second
    assert first.tokenizers[0].texts == 50
    assert "sample of 50 of the 200 texts" in survey_text(first)
    monkeypatch.setattr(surveying, "MOST_CHARACTERS", 100)
    assert 1 <= survey(of(tiny_model), data).tokenizers[0].texts < 15


def test_a_survey_survives_the_manifest(load: Load, tiny_model: str) -> None:
    found = survey(of(tiny_model), load(train=rows(), validation=rows(), test=rows()))
    assert Survey.from_plain(json.loads(json.dumps(found.to_plain()))) == found


# What is shown


def shown(labels: dict[str, int], **changes: Any) -> Survey:
    cost = LengthCost(max_length=64, cut=0.004, tokens=20.0, in_batches=40.0)
    tokens = TokenSurvey(
        models=("m",),
        texts=1000,
        median=20,
        p95=40,
        p99=60,
        longest=90,
        limit=512,
        unknown=0.0,
        with_unknown=0.0,
        without_tokens=0,
        costs=(cost,),
    )
    tokens = replace(tokens, **{k: v for k, v in changes.items() if hasattr(tokens, k)})
    splits = tuple(
        SplitSurvey(split=part, rows=1000, labels=labels, repeated=0, also_in={})
        for part in ("train", "validation", "test")
    )
    return Survey(
        dataset="x",
        splits=splits,
        contradictory_texts=changes.get("contradictory_texts", 0),
        contradictory_rows=7,
        asked=256,
        batch=16,
        tokenizers=(tokens,),
        proposed=64,
        notes=changes.get("notes", ()),
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"unknown": 0.3, "with_unknown": 0.9}, "does not know 30.0% of the tokens, in 90.0% of"),
        ({"without_tokens": 2}, "finds no tokens in 2 texts"),
        ({"contradictory_texts": 3}, "3 texts (7 rows) with more than one label"),
        ({"notes": ("labels that differ only in case",)}, "- labels that differ only in case"),
    ],
)
def test_what_looks_wrong_is_said(changes: dict[str, Any], words: str) -> None:
    assert words not in survey_text(shown({"a": 500, "b": 500}))
    assert words in survey_text(shown({"a": 500, "b": 500}, **changes))


@pytest.mark.parametrize(("rare", "told"), [(100, True), (101, False)])
def test_uneven_labels_are_told(rare: int, told: bool) -> None:
    text = survey_text(shown({"a": 1000, "b": rare, "c": 1000}))
    assert ("has 10 times the rows of the rarest" in text) == told


def test_copies_in_another_split_are_told() -> None:
    found = shown({"a": 500, "b": 500})
    splits = (*found.splits[:2], replace(found.splits[2], also_in={"train": 3, "validation": 0}))
    text = survey_text(replace(found, splits=splits))
    assert "- 3 rows of test with a text that also occurs in train" in text
    assert "occurs in validation" not in text


def test_only_a_page_folds_its_labels() -> None:
    found = shown({f"label {number}": 50 for number in range(20)})
    assert "<details>" not in survey_text(found)
    assert "<summary>20 labels</summary>" in "".join(survey_parts(found))


def test_rare_and_absent_labels_are_named() -> None:
    text = survey_text(shown({"a": 991, "b": 9, "c": 0}))
    assert "2 labels with fewer than 10 training rows: b, c" in text
    assert "1 label without rows in test: c" in text


def test_hundreds_of_labels_make_a_short_page() -> None:
    text = survey_text(shown({f"label {n}": n for n in range(300)}))
    assert len(text.splitlines()) < 90
    assert "The 30 of 300 labels with the fewest training rows" in text


def test_a_small_share_is_not_shown_as_none() -> None:
    text = survey_text(shown({"a": 9000, "b": 1000}, unknown=0.0004))
    assert "< 0.1%" in text.replace("\xa0", " ")


# Commands and reports


def command(tmp_path: Path, **content: Any) -> Any:
    path = tmp_path / "experiment.yaml"
    YAML().dump({"name": "x", **content}, path)
    return CliRunner().invoke(app, ["data", str(path)])


def test_the_command_shows_the_data_and_writes_nothing(
    tiny_model: str, tiny_data: str, in_tmp: Path
) -> None:
    done = command(in_tmp, data={"dataset": tiny_data}, models=[tiny_model])
    assert done.exit_code == 0, done.exception
    assert "**Suggestion: `max_length: 16`**, currently 256." in done.output
    assert "| animals | 40 | 15 | 20 | 33.3% |" in done.output
    assert [path.name for path in in_tmp.iterdir()] == ["experiment.yaml"]


def test_the_section_of_a_report_has_the_survey_and_that_of_an_old_run_has_not() -> None:
    comparison = typical().compare()
    before = data_section(comparison)
    assert "| test | 1,000 |" in before
    assert "Suggestion" not in before
    data = {**comparison.manifest.data, "survey": shown({"a": 500, "b": 500}).to_plain()}
    manifest = replace(comparison.manifest, data=json.loads(json.dumps(data)))
    records = replace(comparison.records, manifest=manifest)
    now = data_section(replace(comparison, records=records))
    assert "| a | 500 | 500 | 500 | 50.0% |" in now
    assert "**Suggestion: `max_length: 64`**, currently 256." in now


def test_a_run_that_was_never_surveyed_has_an_empty_one() -> None:
    run = empty("m")
    run.manifest.data["survey"] = {}
    run.confirm("m", [0.5])
    assert "| test | 1,000 |" in data_section(run.compare())
