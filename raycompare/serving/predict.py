"""`raycompare predict`: labels and probabilities of new texts, from a saved model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from sklearn.metrics import accuracy_score, matthews_corrcoef

from raycompare.data.batches import POOL
from raycompare.data.problems import few
from raycompare.data.text_checks import TextChecks
from raycompare.errors import UserError
from raycompare.experiment.spec import DataSpec
from raycompare.formatting import count, number_of, score
from raycompare.models.saved import NOTHING, Trust
from raycompare.records.run_folder import RunFolder
from raycompare.serving.input_files import FAULT, ROW, Columns, Input
from raycompare.serving.label_names import LabelRules, MatchedLabels
from raycompare.serving.loaded_model import BATCH_SIZE, LoadedModel
from raycompare.serving.output_files import PREDICTED, open_output, predicted_schema
from raycompare.serving.winner import require_width

SECONDS_BETWEEN_NEWS = 10.0
MOST_NAMED = 20
"""Number of invalid rows that are reported one by one; further ones are counted."""

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A file to predict, with the model and the output file."""

    source: Input
    model: RunFolder
    labels: tuple[str, ...]
    """Label names of the model, in the order of their ids."""
    out: str
    trust: Trust = NOTHING
    data: DataSpec | None = None
    """The data of the run that trained the model, if it is at hand."""
    batch_size: int = BATCH_SIZE

    @property
    def schema(self) -> pa.Schema:
        """Columns of the output."""
        return predicted_schema(self.source, self.labels)

    @property
    def rules(self) -> LabelRules:
        """How labels of the file are named."""
        return LabelRules(names=self.labels, data=self.data)

    @property
    def rows_at_once(self) -> int:
        """Number of rows in memory: enough for batches of similar length."""
        return POOL * self.batch_size


def columns_of(
    data: DataSpec | None, text: Sequence[str], label: str | None, width: int | None = None
) -> Columns:
    """Return the named columns, else those of the run, else `text` and `label`.

    `width` is 1 for a model of single texts, 2 for pairs, None if it isn't known.

    Raises:
        UserError: the model takes another number of texts.
    """
    if len(text) > 2:  # noqa: PLR2004 - a pair
        raise UserError(f"--text-column: found {few(text)}, allowed one, or two for pairs.")
    usual = data or DataSpec(dataset="any")
    require_width("--text-column", len(text or usual.text), width)
    return Columns(
        text=tuple(text) or usual.text,
        label=label or usual.label,
        is_labelled=label is not None,
    )


def predict_here(asked: Prediction) -> Iterator[pa.Table]:
    """Yield the predictions for a file, in its order, computed in this process."""
    loaded = LoadedModel.at(asked.model, asked.trust)
    for piece in asked.source.pieces:
        for table in asked.source.read(piece, asked.rows_at_once):
            yield add_predictions(loaded, table, asked)


def add_predictions(loaded: LoadedModel, table: pa.Table, asked: Prediction) -> pa.Table:
    """Add predicted label and probabilities to rows; nulls for invalid rows."""
    good = np.array([fault is None for fault in table[FAULT].to_pylist()], dtype=bool)
    texts = table.filter(pa.array(good)).select(range(1, 1 + len(asked.source.columns.text)))
    probabilities = np.zeros((len(good), len(loaded.labels)), dtype=np.float32)
    if good.any():
        columns = [column.to_pylist() for column in texts.columns]
        probabilities[good] = loaded.probabilities(columns, asked.batch_size)
    names = np.array(loaded.labels)[probabilities.argmax(axis=1)]
    added = [
        pa.array(names, pa.string(), mask=~good),
        *(pa.array(column, pa.float32(), mask=~good) for column in probabilities.T),
    ]
    rest = [*table.drop_columns(FAULT).columns, *added]
    return pa.table(rest, schema=asked.schema).append_column(FAULT, table[FAULT])


@dataclass
class Tally:
    """Counts of the rows so far."""

    rules: LabelRules
    checks: Mapping[str, TextChecks] = field(default_factory=dict)
    """Checks of each column of texts."""
    rows: int = 0
    faults: int = 0
    labelled: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    """Number of rows of each label in the file and predicted label."""

    def add(self, predicted: Sequence[str | None], labels: Sequence[str | None] | None) -> None:
        """Count rows; `labels` are those of the file, and None for rows without a label."""
        self.rows += len(predicted)
        self.faults += sum(name is None for name in predicted)
        pairs = zip(labels or (), predicted, strict=False)
        self.labelled.update((label, name) for label, name in pairs if label is not None)

    @cached_property
    def _matched(self) -> MatchedLabels:
        return self.rules.match({label for label, _ in self.labelled})

    @cached_property
    def _counts(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Number of rows by label of the file and predicted label: [labels, labels]."""
        size = len(self.rules.names)
        counts = np.zeros((size, size), dtype=np.int64)
        number = {name: index for index, name in enumerate(self.rules.names)}
        for (label, name), rows in self.labelled.items():
            if name is not None and label in self._matched.ids:
                counts[self._matched.ids[label], number[name]] += rows
        return counts

    def scores(self) -> dict[str, float]:
        """Return accuracy and MCC over the rows with a known label; empty if there are none.

        MCC is omitted if there is only one label, for which it is undefined.
        """
        true, predicted = np.nonzero(self._counts)
        weights = self._counts[true, predicted]
        if not len(weights):
            return {}
        scores = {"accuracy": float(accuracy_score(true, predicted, sample_weight=weights))}
        if len({*true, *predicted}) > 1:
            scores["MCC"] = float(matthews_corrcoef(true, predicted, sample_weight=weights))
        return scores

    def lines(self) -> list[str]:
        """Describe invalid rows, odd texts, labels and scores once all rows are counted."""
        lines = []
        if self.faults:
            lines.append(
                f"{number_of(self.faults, 'row')} could not be predicted and have null labels"
            )
        for column, checks in self.checks.items():
            lines += checks.lines(f"column {column!r}")
        rows: Counter[str] = Counter()
        for (label, _), number in self.labelled.items():
            rows[label] += number
        lines += self.rules.lines(self._matched, rows)
        if values := self.scores():
            scores = ", ".join(f"{name} {score(value)}" for name, value in values.items())
            lines.append(f"{scores} over {number_of(int(self._counts.sum()), 'labelled row')}")
        return lines


def write_predictions(asked: Prediction, tables: Iterable[pa.Table], say: Say) -> Tally:
    """Write predictions as they arrive, atomically; report progress and invalid rows.

    Raises:
        UserError: the input is malformed; nothing was written.
    """
    texts = asked.source.columns.text
    checks = {name: TextChecks(asked.source.separator, asked.labels) for name in texts}
    tally, began = Tally(asked.rules, checks), perf_counter()
    next_news = began + SECONDS_BETWEEN_NEWS
    label = asked.source.columns.label
    with open_output(asked.out, asked.schema) as sink:
        for table in tables:
            _tell_faults(table, tally.faults, say)
            for name in texts:
                checks[name].add(tally.rows, table[name])
            labels = table[label].to_pylist() if label else None
            tally.add(table[PREDICTED].to_pylist(), labels)
            sink.write(table.drop_columns(FAULT))
            if perf_counter() > next_news:
                say(_news(tally, asked.source.rows, perf_counter() - began))
                next_news = perf_counter() + SECONDS_BETWEEN_NEWS
    say(_news(tally, None, perf_counter() - began))
    return tally


def _news(tally: Tally, of: int | None, seconds: float) -> str:
    whole = f" of {count(of)}" if of else ""
    return f"{count(tally.rows)}{whole} rows, {tally.rows / seconds:,.0f} rows/s"


def _tell_faults(table: pa.Table, before: int, say: Say) -> None:
    faulty = table.filter(pa.compute.is_valid(table[FAULT]))
    for row in faulty.slice(0, max(MOST_NAMED - before, 0)).to_pylist():
        say(f"row {row[ROW]}: {row[FAULT]}")
    if before <= MOST_NAMED < before + faulty.num_rows:
        say("more rows are invalid; they get null labels too and are counted at the end")


def list_predictions(loaded: LoadedModel, columns: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Return texts, label and probabilities of each text or pair, as for JSON."""
    rows = loaded.probabilities(columns).tolist()
    names = ("text", "text_pair")
    return [
        {
            **dict(zip(names, texts, strict=False)),
            PREDICTED: loaded.labels[row.index(max(row))],
            "probabilities": dict(zip(loaded.labels, row, strict=True)),
        }
        for texts, row in zip(zip(*columns, strict=True), rows, strict=True)
    ]


def describe_predictions(loaded: LoadedModel, columns: Sequence[Sequence[str]]) -> list[str]:
    """Return a line for each text or pair: labels with probabilities, most likely first."""
    return [_line(loaded.labels, row) for row in loaded.probabilities(columns)]


def _line(labels: Sequence[str], row: np.ndarray[Any, Any]) -> str:
    order = np.argsort(-row, kind="stable")
    return "  ".join(f"{labels[index]} {score(float(row[index]))}" for index in order)
