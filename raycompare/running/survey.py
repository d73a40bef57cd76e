"""Summarises the data of an experiment: counts, duplicates, and token lengths by tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from raycompare.data.columns import values
from raycompare.data.splits import PARTS, LabelledData, label_counts, text_columns
from raycompare.data.tokenize import BATCH, resolve_length, token_key
from raycompare.data.tokens import Ints
from raycompare.experiment.file import Draft
from raycompare.experiment.spec import UNLIMITED, Experiment, ModelSpec
from raycompare.models.checks import model_problems
from raycompare.models.pretrained import load_tokenizer
from raycompare.records.survey import LengthCost, SplitSurvey, Survey, TokenSurvey
from raycompare.running.check import open_data
from raycompare.training.arguments import TEXTS, batch_size_of

MOST_TEXTS = 20_000
"""Maximum number of texts to tokenise; the standard error of a share of 1 % is then 0.07 %."""
MOST_CHARACTERS = 10_000_000
"""Maximum number of characters to tokenise, which takes some seconds per tokenizer."""
PERCENTILES = (90, 95, 99, 100)
"""Percentiles of the lengths, whose cost is shown."""
PROPOSED, STEP = 99, 8
"""The suggestion is this percentile, rounded up to a multiple of 8, to which GPUs pad anyway
(NVIDIA, Deep Learning Performance: Matrix Multiplication, requirements of Tensor Cores)."""


def survey_draft(draft: Draft) -> Survey:
    """Summarise the data of an experiment file.

    Raises:
        ExperimentError: lists every mistake in the file, its data and its models.
    """
    data, problems = open_data(draft)
    for where, model in draft.models.items():
        problems += model_problems(where, model)
    experiment = draft.experiment(found_later=problems)
    assert data is not None
    return survey(experiment, data)


def survey(experiment: Experiment, data: LabelledData) -> Survey:
    """Count rows, labels and duplicates, and measure training texts with every tokenizer."""
    texts = _number_texts(data)
    contradictory = _contradictory_texts(texts, data)
    sample = _sample(data.train, experiment.seed)
    measured = [
        _measure(tokenizer, models, sample)
        for tokenizer, models in _distinct_tokenizers(experiment, data)
    ]
    proposed = max((found.proposed for found in measured), default=None)
    asked = experiment.data.max_length
    lengths = {proposed or 0, *(resolve_length(asked, found.lengths) for found in measured)}
    batch = _batch(experiment)
    return Survey(
        dataset=experiment.data.dataset,
        splits=tuple(_survey_split(part, texts, data) for part in PARTS),
        contradictory_texts=len(contradictory),
        contradictory_rows=sum(int(np.isin(of, contradictory).sum()) for of in texts.values()),
        asked=asked,
        batch=batch,
        tokenizers=tuple(found.survey(lengths, batch, experiment.seed) for found in measured),
        proposed=proposed,
        notes=data.notes,
    )


def _number_texts(data: LabelledData) -> dict[str, Ints]:
    """Number the texts of each split; rows with the same text, or pair of texts, share a number."""
    parts = {part: getattr(data, part) for part in PARTS}
    numbers = np.zeros(sum(map(len, parts.values())), dtype=np.int64)
    for column in text_columns(data.train):
        stored = [values(split, column) for split in parts.values()]
        # Two gigabytes of text are too much for the offsets of a string array.
        chunks = [chunk.cast(pa.large_string()) for part in stored for chunk in part.chunks]
        encoded = pa.chunked_array(chunks, pa.large_string()).combine_chunks()
        codes = encoded.dictionary_encode().indices.to_numpy(zero_copy_only=False)
        codes = codes.astype(np.int64)
        numbers = _number_pairs(numbers, codes) if numbers.any() else codes
    ends = np.cumsum([len(split) for split in parts.values()])[:-1]
    return dict(zip(parts, np.split(numbers, ends), strict=True))


def _number_pairs(first: Ints, second: Ints) -> Ints:
    """Number pairs of numbers from 0, in their order: [pairs]."""
    keys = first * (int(second.max(initial=0)) + 1) + second
    return np.asarray(np.unique(keys, return_inverse=True)[1])


def _survey_split(part: str, texts: Mapping[str, Ints], data: LabelledData) -> SplitSurvey:
    own = texts[part]
    earlier = [first for first, second in combinations(PARTS, 2) if second == part]
    return SplitSurvey(
        split=part,
        rows=len(own),
        labels=label_counts(getattr(data, part)),
        repeated=len(own) - int(np.count_nonzero(np.bincount(own))),
        also_in={first: int(np.isin(own, texts[first]).sum()) for first in earlier},
    )


def _contradictory_texts(texts: Mapping[str, Ints], data: LabelledData) -> Ints:
    labels = [np.asarray(getattr(data, part)["label"][:], dtype=np.int64) for part in texts]
    own = np.concatenate(labels)
    size = int(own.max(initial=0)) + 1
    pairs = np.sort(np.concatenate([*texts.values()]) * size + own)
    is_first = np.diff(pairs, prepend=-1) > 0
    return np.flatnonzero(np.bincount(pairs[is_first] // size) > 1)


def _distinct_tokenizers(
    experiment: Experiment, data: LabelledData
) -> list[tuple[PreTrainedTokenizerBase, list[ModelSpec]]]:
    tokenizers: dict[str, tuple[PreTrainedTokenizerBase, list[ModelSpec]]] = {}
    sources = {model.source: model for model in experiment.models}
    loaded = {source: load_tokenizer(model) for source, model in sources.items()}
    for model in experiment.models:
        tokenizer = loaded[model.source]
        key = token_key(data, tokenizer, experiment.data)
        tokenizers.setdefault(key, (tokenizer, []))[1].append(model)
    return list(tokenizers.values())


def _batch(experiment: Experiment) -> int:
    """Return the texts per batch that the file sets for all models, else the default."""
    texts = experiment.training.get(TEXTS)
    return batch_size_of({TEXTS: texts} if isinstance(texts, int) else {}).texts


def _sample(split: Dataset, seed: int) -> list[list[str]]:
    """Return the text columns of a random sample of rows."""
    order = np.random.default_rng(seed).permutation(len(split))[:MOST_TEXTS]
    chosen = [values(split, column).take(pa.array(order)) for column in text_columns(split)]
    characters = np.cumsum(sum(np.asarray(pc.utf8_length(column)) for column in chosen))
    fitting = max(int(np.searchsorted(characters, MOST_CHARACTERS, side="right")), 1)
    return [column[:fitting].to_pylist() for column in chosen]


@dataclass(frozen=True, eq=False)
class _MeasuredLengths:
    models: Sequence[ModelSpec]
    lengths: Ints
    """Number of tokens of each text, including special tokens: [texts]."""
    unknown: Ints
    """Number of unknown tokens of each text: [texts]."""
    special: int
    limit: int | None

    def percentile(self, percent: int) -> int:
        return int(np.percentile(self.lengths, percent, method="higher"))

    @property
    def proposed(self) -> int:
        return self._round_up(self.percentile(PROPOSED))

    def _round_up(self, length: int) -> int:
        whole = -(-length // STEP) * STEP
        return whole if self.limit is None else min(whole, self.limit)

    def survey(self, lengths: set[int], batch: int, seed: int) -> TokenSurvey:
        own = {self._round_up(self.percentile(percent)) for percent in PERCENTILES}
        shown = {length if self.limit is None else min(length, self.limit) for length in lengths}
        tokens = int(self.lengths.sum()) - self.special * len(self.lengths)
        return TokenSurvey(
            models=tuple(model.name for model in self.models),
            texts=len(self.lengths),
            median=self.percentile(50),
            p95=self.percentile(95),
            p99=self.percentile(99),
            longest=self.percentile(100),
            limit=self.limit,
            unknown=float(self.unknown.sum() / max(tokens, 1)),
            with_unknown=float((self.unknown > 0).mean()),
            without_tokens=int((self.lengths == self.special).sum()),
            costs=tuple(self._cost(length, batch, seed) for length in sorted(own | shown)),
        )

    def _cost(self, length: int, batch: int, seed: int) -> LengthCost:
        kept = np.minimum(self.lengths, length)
        shuffled = np.random.default_rng(seed).permutation(kept)
        starts = np.arange(0, len(kept), batch)
        sizes = np.diff([*starts, len(kept)])
        padded = np.maximum.reduceat(shuffled, starts) * sizes
        return LengthCost(
            max_length=length,
            cut=float((self.lengths > length).mean()),
            tokens=float(kept.mean()),
            in_batches=float(padded.sum() / len(kept)),
        )


def _measure(
    tokenizer: PreTrainedTokenizerBase, models: Sequence[ModelSpec], texts: list[list[str]]
) -> _MeasuredLengths:
    special = tokenizer.num_special_tokens_to_add(pair=len(texts) > 1)
    lengths: list[int] = []
    unknown: list[int] = []
    for start in range(0, len(texts[0]), BATCH):
        batch = [column[start : start + BATCH] for column in texts]
        # A tokenizer without an unknown token falls back to bytes.
        encoded = tokenizer(*batch, add_special_tokens=False, verbose=False)["input_ids"]
        lengths += [len(ids) + special for ids in encoded]
        unknown += [ids.count(tokenizer.unk_token_id) for ids in encoded]
    limit = tokenizer.model_max_length
    return _MeasuredLengths(
        models=models,
        lengths=np.asarray(lengths),
        unknown=np.asarray(unknown),
        special=special,
        limit=limit if limit < UNLIMITED else None,
    )
