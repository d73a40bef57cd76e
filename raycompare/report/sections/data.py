"""What the data is like, as Markdown: for `raycompare data`, and a section of the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from raycompare.analysis.comparison import Comparison
from raycompare.formatting import NOTHING, count, escape, folded, listing, number_of, table
from raycompare.records.survey import LengthCost, Survey, TokenSurvey

MOST_LABELS = 30
"""That a table shows; of more, those with the fewest rows to train on."""
ALL_SHOWN = 12
"""Labels of a table that is not folded away."""
UNREAD = 0.01
"""Of the tokens: if more are unknown, the tokenizer was made for other texts."""
UNEVEN = 10
"""Times the rows of the rarest label that the most frequent one may have."""
FEW = 10
"""Rows to train on; a label with fewer is hardly learned."""


def data_section(comparison: Comparison) -> str:
    """Say what was learned from."""
    data = comparison.manifest.data
    splits = [[escape(split), count(rows)] for split, rows in data.get("rows", {}).items()]
    labels = [escape(str(label)) for label in data.get("labels", ())]
    facts = [
        f"- Data set: {escape(str(data.get('dataset', NOTHING)))}",
        f"- Hash of what was used: {escape(str(data.get('hash', NOTHING)))}",
        f"- {number_of(len(labels), 'label')}: {', '.join(labels[:MOST_LABELS])}{_more(labels)}",
        f"- Texts are cut to {_max_length(data.get('max_length'))}",
    ]
    content = data.get("survey")
    if content:
        said = survey_parts(Survey.from_plain(content))
        return "\n\n".join(["## Data", "\n".join(facts), *said])
    return "\n\n".join(["## Data", table(["split", "rows"], splits), "\n".join(facts)])


def _more(labels: Sequence[str]) -> str:
    return f" and {len(labels) - MOST_LABELS} more" if len(labels) > MOST_LABELS else ""


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
    return "\n\n".join([f"# {escape(survey.dataset)}", *survey_parts(survey, fold=False)])


def survey_parts(survey: Survey, fold: bool = True) -> list[str]:
    """Return labels, copies, tokens and the proposal, each as Markdown."""
    looked = "\n".join(f"- {line}" for line in _remarks(survey))
    found = [_splits(survey), _labels(survey, fold), looked, _tokens(survey), _costs(survey)]
    return [part for part in [*found, _proposal(survey)] if part]


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
    headers = ["split", "rows", "repeated", "also in train", "also in validation"]
    note = (
        "*Repeated* are rows whose text stands in an earlier row of the split, *also in* those "
        "whose text stands in the other split."
    )
    return f"{table(headers, rows)}\n\n{note}"


def _labels(survey: Survey, fold: bool) -> str:
    splits = survey.splits
    names = list(survey.train.labels)
    shown, note = names, ""
    if len(names) > MOST_LABELS:
        shown = sorted(names, key=lambda name: survey.train.labels[name])[:MOST_LABELS]
        note = f"\n\nThe {MOST_LABELS} of {len(names)} labels with the fewest rows to train on."
    rows = [
        [escape(name), *(count(split.labels[name]) for split in splits), _share(survey, name)]
        for name in shown
    ]
    made = table(["label", *(split.split for split in splits), "of train"], rows)
    if fold and len(shown) > ALL_SHOWN:
        made = folded(number_of(len(shown), "label"), made)
    return made + note


def _share(survey: Survey, label: str) -> str:
    return percent(survey.train.labels[label] / survey.train.rows)


def percent(value: float) -> str:
    """Return a share with one decimal; one that is not 0 is not shown as 0."""
    return "< 0.1%" if 0 < value < 0.0005 else f"{value:.1%}"  # noqa: PLR2004


def _remarks(survey: Survey) -> Iterator[str]:
    """Yield what a user should look at before training."""
    yield from map(escape, survey.notes)
    if survey.contradictory_texts:
        yield (
            f"{number_of(survey.contradictory_texts, 'text')} "
            f"({number_of(survey.contradictory_rows, 'row')}) with more than one label: no model "
            "can be right on all of them"
        )
    for split in survey.splits:
        for other, rows in split.also_in.items():
            if rows:
                yield (
                    f"{number_of(rows, 'row')} of {split.split} with a text that is in {other} "
                    "too: remembered, not understood"
                )
    yield from _imbalance(survey)
    few = [name for name, rows in survey.train.labels.items() if rows < FEW]
    if few:
        yield f"{number_of(len(few), 'label')} with fewer than {FEW} rows to train on: {_few(few)}"
    for split in survey.splits:
        missing = [name for name, rows in split.labels.items() if not rows]
        if missing:
            yield f"{number_of(len(missing), 'label')} without a row in {split.split}: " + _few(
                missing
            )
    for found in survey.tokenizers:
        yield from _unread(found)


def _imbalance(survey: Survey) -> Iterator[str]:
    rows = [number for number in survey.train.labels.values() if number]
    if max(rows) >= UNEVEN * min(rows):
        yield (
            f"the most frequent label has {count(max(rows) // min(rows))} times the rows of the "
            "rarest: see `training.class_weights`, and a macro average for `tune.metric`"
        )


def _unread(found: TokenSurvey) -> Iterator[str]:
    models = listing([escape(model) for model in found.models])
    if found.unknown > UNREAD:
        yield (
            f"the tokenizer of {models} can't read {percent(found.unknown)} of the tokens, in "
            f"{percent(found.with_unknown)} of the texts: another language, alphabet or encoding "
            "than it was made for"
        )
    if found.without_tokens:
        texts = number_of(found.without_tokens, "text")
        yield f"the tokenizer of {models} leaves nothing of {texts}"


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return ", ".join(map(escape, names[:FEW])) + more


def _tokens(survey: Survey) -> str:
    if not survey.tokenizers:
        return ""
    rows = [
        [
            listing([escape(model) for model in found.models]),
            *map(count, (found.median, found.p95, found.p99, found.longest, found.limit)),
            percent(found.unknown),
            percent(found.with_unknown),
        ]
        for found in survey.tokenizers
    ]
    headers = ["tokenizer of", "median", "p95", "p99", "longest", "model takes"]
    made = table([*headers, "unknown tokens", "texts with any"], rows)
    return f"{made}\n\nTokens of a training text, special ones counted.{_note_sampling(survey)}"


def _note_sampling(survey: Survey) -> str:
    measured = {found.texts for found in survey.tokenizers}
    if max(measured) >= survey.train.rows:
        return ""
    return (
        f" Measured on a random sample of {count(max(measured))} of the "
        f"{count(survey.train.rows)} texts; the longest of all may be longer."
    )


def _costs(survey: Survey) -> str:
    if not survey.tokenizers:
        return ""
    rows = [
        [
            listing([escape(model) for model in found.models]) if first else "",
            count(cost.max_length),
            percent(cost.cut),
            f"{cost.tokens:,.1f}",
            f"{cost.in_batches:,.1f}",
        ]
        for found in survey.tokenizers
        for first, cost in _mark_first(found.costs)
    ]
    headers = ["tokenizer of", "`max_length`", "texts cut", "tokens a text"]
    note = (
        f"*In batches* are the tokens of a text where {survey.batch} random texts are padded to "
        "their longest; with `padding: max_length` each has `max_length` tokens."
    )
    return f"{table([*headers, 'in batches'], rows)}\n\n{note}"


def _mark_first(costs: Iterable[LengthCost]) -> Iterator[tuple[bool, LengthCost]]:
    return ((place == 0, cost) for place, cost in enumerate(costs))


def _proposal(survey: Survey) -> str:
    """Say which max_length leaves nearly all texts whole, what it cuts and what it costs."""
    length = survey.proposed
    if length is None:
        return ""
    said = "".join(f"\n- {_at(found, length)}" for found in survey.tokenizers)
    now = "as it is now" if survey.asked == length else f"now {survey.asked}"
    return f"**Proposal: `max_length: {length}`**, {now}.\n{said}"


def _at(found: TokenSurvey, length: int) -> str:
    # A tokenizer with a shorter limit cuts there.
    cost = max((c for c in found.costs if c.max_length <= length), key=lambda c: c.max_length)
    models = listing([escape(model) for model in found.models])
    limit = ", all that the model takes," if found.limit == cost.max_length else ""
    return (
        f"{models}: {count(cost.max_length)} tokens{limit} cut {percent(cost.cut)} of the training "
        f"texts; a text costs {cost.tokens:,.1f} tokens, {cost.in_batches:,.1f} in batches padded "
        f"to their longest, {count(cost.max_length)} where all are padded alike"
    )
