"""A survey of the data as Markdown, for `raycompare data` and for a section of the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from raycompare.analysis.comparison import Comparison
from raycompare.formatting import (
    NOTHING,
    count,
    escape,
    fold_if_long,
    join_parts,
    listing,
    name_first,
    number_of,
    table,
)
from raycompare.records.survey import Survey, TokenSurvey

MOST_LABELS = 30
"""Largest number of labels in a table, those with the fewest training rows."""
ALL_SHOWN = 12
"""Largest number of labels in a table that is not folded."""
UNREAD = 0.01
"""Share of unknown tokens above which a tokenizer does not suit the texts."""
UNEVEN = 10
"""Ratio of the most frequent to the rarest label from which it is reported."""
FEW = 10
"""Labels with fewer training rows are reported, because they are hardly learned."""


def data_section(comparison: Comparison) -> str:
    """Describe the data set and its splits."""
    data = comparison.manifest.data
    splits = [[escape(split), count(rows)] for split, rows in data.get("rows", {}).items()]
    labels = [escape(str(label)) for label in data.get("labels", ())]
    facts = [
        f"- Data set: {escape(str(data.get('dataset', NOTHING)))}",
        f"- Hash of the data used: {escape(str(data.get('hash', NOTHING)))}",
        f"- {number_of(len(labels), 'label')}: {name_first(labels, MOST_LABELS)}",
        f"- Texts are truncated to {_max_length(data.get('max_length'))}",
    ]
    survey = data.get("survey")
    if survey:
        return join_parts("## Data", "\n".join(facts), *survey_parts(Survey.from_plain(survey)))
    return join_parts("## Data", table(["split", "rows"], splits), "\n".join(facts))


def _max_length(max_length: Any) -> str:
    if not isinstance(max_length, dict):
        return f"{max_length} tokens"
    lengths = sorted(set(max_length.values()))
    if len(lengths) == 1:
        return number_of(lengths[0], "token")
    return ", ".join(
        f"{number_of(length, 'token')} ({escape(model)})" for model, length in max_length.items()
    )


def survey_text(survey: Survey) -> str:
    """Return a survey as a page of Markdown for a terminal, where nothing can be folded."""
    return join_parts(f"# {escape(survey.dataset)}", *survey_parts(survey, fold=False))


def survey_parts(survey: Survey, fold: bool = True) -> list[str]:
    """Return splits, labels, warnings, tokens and the suggested length, each as Markdown."""
    warnings = "\n".join(f"- {line}" for line in _warnings(survey))
    tokens = [_tokens(survey), _costs(survey), _suggestion(survey)] if survey.tokenizers else []
    return [part for part in [_splits(survey), _labels(survey, fold), warnings, *tokens] if part]


def _splits(survey: Survey) -> str:
    rows = [
        [
            split.split,
            count(split.rows),
            count(split.repeated),
            count(split.also_in.get("train")),
            count(split.also_in.get("validation")),
        ]
        for split in survey.splits
    ]
    headers = ["split", "rows", "duplicates", "also in train", "also in validation"]
    note = (
        "*Duplicates* are rows whose text occurs in an earlier row of the same split; *also in* "
        "counts rows whose text occurs in the other split."
    )
    return f"{table(headers, rows)}\n\n{note}"


def _labels(survey: Survey, fold: bool) -> str:
    splits = survey.splits
    names = list(survey.train.labels)
    shown, note = names, ""
    if len(names) > MOST_LABELS:
        shown = sorted(names, key=lambda name: survey.train.labels[name])[:MOST_LABELS]
        note = f"\n\nThe {MOST_LABELS} of {len(names)} labels with the fewest training rows."
    rows = [
        [escape(name), *(count(split.labels[name]) for split in splits), _share(survey, name)]
        for name in shown
    ]
    content = table(["label", *(split.split for split in splits), "share of train"], rows)
    return (fold_if_long(content, len(shown), "label", ALL_SHOWN) if fold else content) + note


def _share(survey: Survey, label: str) -> str:
    return percent(survey.train.labels[label] / survey.train.rows)


def percent(value: float) -> str:
    """Return a share with one decimal; one that is not 0 is not shown as 0."""
    return "< 0.1%" if 0 < value < 0.0005 else f"{value:.1%}"  # noqa: PLR2004


def _warnings(survey: Survey) -> Iterator[str]:
    yield from map(escape, survey.notes)
    if survey.contradictory_texts:
        yield (
            f"{number_of(survey.contradictory_texts, 'text')} "
            f"({number_of(survey.contradictory_rows, 'row')}) with more than one label: no model "
            "can predict all of them correctly"
        )
    for split in survey.splits:
        for other, rows in split.also_in.items():
            if rows:
                yield (
                    f"{number_of(rows, 'row')} of {split.split} with a text that also occurs in "
                    f"{other}: a model can memorise them, which inflates the score"
                )
    yield from _imbalance(survey)
    few = [name for name, rows in survey.train.labels.items() if rows < FEW]
    if few:
        labels = number_of(len(few), "label")
        yield f"{labels} with fewer than {FEW} training rows: {name_first(_escape(few), FEW)}"
    for split in survey.splits:
        missing = [name for name, rows in split.labels.items() if not rows]
        if missing:
            labels = number_of(len(missing), "label")
            yield f"{labels} without rows in {split.split}: {name_first(_escape(missing), FEW)}"
    for tokens in survey.tokenizers:
        yield from _unread(tokens)


def _escape(names: Iterable[str]) -> list[str]:
    return [escape(name) for name in names]


def _imbalance(survey: Survey) -> Iterator[str]:
    rows = [number for number in survey.train.labels.values() if number]
    if max(rows) >= UNEVEN * min(rows):
        yield (
            f"the most frequent label has {count(max(rows) // min(rows))} times the rows of the "
            "rarest: consider `training.class_weights`, and a macro average as `tune.metric`"
        )


def _unread(tokens: TokenSurvey) -> Iterator[str]:
    if tokens.unknown > UNREAD:
        yield (
            f"the tokenizer of {_models(tokens)} does not know {percent(tokens.unknown)} of the "
            f"tokens, in {percent(tokens.with_unknown)} of the texts: it was made for another "
            "language, alphabet or encoding"
        )
    if tokens.without_tokens:
        texts = number_of(tokens.without_tokens, "text")
        yield f"the tokenizer of {_models(tokens)} finds no tokens in {texts}"


def _models(tokens: TokenSurvey) -> str:
    return listing(_escape(tokens.models))


def _tokens(survey: Survey) -> str:
    rows = [
        [
            _models(tokens),
            *map(count, (tokens.median, tokens.p95, tokens.p99, tokens.longest, tokens.limit)),
            percent(tokens.unknown),
            percent(tokens.with_unknown),
        ]
        for tokens in survey.tokenizers
    ]
    headers = ["tokenizer of", "median", "p95", "p99", "longest", "model limit"]
    content = table([*headers, "unknown tokens", "texts with unknown"], rows)
    note = "Tokens per training text, including special tokens."
    measured = max(tokens.texts for tokens in survey.tokenizers)
    if measured < survey.train.rows:
        note += (
            f" Measured on a random sample of {count(measured)} of the {count(survey.train.rows)} "
            "texts; longer texts may exist."
        )
    return f"{content}\n\n{note}"


def _costs(survey: Survey) -> str:
    rows = [
        [
            "" if place else _models(tokens),
            count(cost.max_length),
            percent(cost.cut),
            f"{cost.tokens:,.1f}",
            f"{cost.in_batches:,.1f}",
        ]
        for tokens in survey.tokenizers
        for place, cost in enumerate(tokens.costs)
    ]
    headers = ["tokenizer of", "`max_length`", "texts truncated", "tokens per text", "in batches"]
    note = (
        f"*In batches* includes padding, with {survey.batch} random texts padded to the longest of "
        "them. With `padding: max_length`, each text has `max_length` tokens."
    )
    return f"{table(headers, rows)}\n\n{note}"


def _suggestion(survey: Survey) -> str:
    length = survey.proposed
    if length is None:
        return ""
    lines = "".join(f"\n- {_describe_cost(tokens, length)}" for tokens in survey.tokenizers)
    now = "which is the current value" if survey.asked == length else f"currently {survey.asked}"
    return f"**Suggestion: `max_length: {length}`**, {now}.\n{lines}"


def _describe_cost(tokens: TokenSurvey, length: int) -> str:
    # A tokenizer with a lower limit truncates there.
    cost = max((c for c in tokens.costs if c.max_length <= length), key=lambda c: c.max_length)
    limit = ", the limit of the model," if tokens.limit == cost.max_length else ""
    return (
        f"{_models(tokens)}: {count(cost.max_length)} tokens{limit} truncate {percent(cost.cut)} "
        f"of the training texts; a text has {cost.tokens:,.1f} tokens on average, "
        f"{cost.in_batches:,.1f} in batches padded to their longest text, and "
        f"{count(cost.max_length)} with `padding: max_length`"
    )
