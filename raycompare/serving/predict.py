"""`raycompare predict`: labels and probabilities of new texts, from a saved model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from sklearn.metrics import accuracy_score, matthews_corrcoef

from raycompare.data.batches import POOL
from raycompare.data.problems import few
from raycompare.errors import UserError
from raycompare.formatting import count, number_of, score
from raycompare.records.layout import EXPERIMENT
from raycompare.records.run_folder import RunFolder
from raycompare.serving.input_files import FAULT, ROW, Columns, Input
from raycompare.serving.loaded_model import BATCH_SIZE, LoadedModel
from raycompare.serving.output_files import PREDICTED, open_output, predicted_schema

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
    batch_size: int = BATCH_SIZE

    @property
    def schema(self) -> pa.Schema:
        """Columns of the output."""
        return predicted_schema(self.source, self.labels)

    @property
    def rows_at_once(self) -> int:
        """Number of rows in memory: enough for batches of similar length."""
        return POOL * self.batch_size


def columns_of(place: str, text: Sequence[str], label: str | None) -> Columns:
    """Return the named columns, else those of the run's experiment, else `text` and `label`.

    Raises:
        UserError: there are more than two columns of text.
    """
    if len(text) > 2:  # noqa: PLR2004 - a pair
        raise UserError(f"--text-column: found {few(text)}, allowed one, or two for pairs.")
    folder = RunFolder.at(place)
    usual = Columns(text=("text",), label="label")
    if folder.exists(EXPERIMENT):
        data = folder.read_experiment().data
        usual = Columns(text=data.text, label=data.label)
    return Columns(
        text=tuple(text) or usual.text,
        label=label or usual.label,
        is_labelled=label is not None,
    )


def predict_here(asked: Prediction) -> Iterator[pa.Table]:
    """Yield the predictions for a file, in its order, computed in this process."""
    loaded = LoadedModel.at(asked.model)
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

    labels: tuple[str, ...]
    rows: int = 0
    faults: int = 0
    unknown: dict[str, int] = field(default_factory=dict)
    """Labels in the file that are unknown to the model, with their number of rows."""

    def __post_init__(self) -> None:
        """Start with empty counts."""
        size = len(self.labels)
        self._counts = np.zeros((size, size), dtype=np.int64)  # [label of the file, predicted]
        self._ids: dict[str, int] = {str(number): number for number in range(size)}
        self._ids |= {name: number for number, name in enumerate(self.labels)}

    def add(self, predicted: Sequence[str | None], labels: Sequence[str | None] | None) -> None:
        """Count rows; `labels` are names or ids, and None for rows without a label."""
        self.rows += len(predicted)
        self.faults += sum(name is None for name in predicted)
        for name, label in zip(predicted, labels or (), strict=False):
            if label is not None and label not in self._ids:
                self.unknown[label] = self.unknown.get(label, 0) + 1
            elif label is not None and name is not None:
                self._counts[self._ids[label], self._ids[name]] += 1

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
        """Describe invalid rows, unknown labels and scores."""
        lines = []
        if self.faults:
            lines.append(
                f"{number_of(self.faults, 'row')} could not be predicted and have null labels"
            )
        if self.unknown:
            known = f"labels of the model: {few(self.labels)}"
            counts = [f"{label!r} in {number_of(n, 'row')}" for label, n in self.unknown.items()]
            lines.append(f"labels unknown to the model, not scored: {few(counts)}; {known}")
        if values := self.scores():
            scores = ", ".join(f"{name} {score(value)}" for name, value in values.items())
            lines.append(f"{scores} over {number_of(int(self._counts.sum()), 'labelled row')}")
        return lines


def write_predictions(asked: Prediction, tables: Iterable[pa.Table], say: Say) -> Tally:
    """Write predictions as they arrive, atomically; report progress and invalid rows.

    Raises:
        UserError: the input is malformed; nothing was written.
    """
    tally, began = Tally(asked.labels), perf_counter()
    next_news = began + SECONDS_BETWEEN_NEWS
    label = asked.source.columns.label
    with open_output(asked.out, asked.schema) as sink:
        for table in tables:
            _tell_faults(table, tally.faults, say)
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


def describe_predictions(loaded: LoadedModel, columns: Sequence[Sequence[str]]) -> list[str]:
    """Return a line for each text or pair: labels with probabilities, most likely first.

    Raises:
        UserError: a text is empty.
    """
    empty = [text for column in columns for text in column if not text.strip()]
    if empty:
        raise UserError(f"--text: found {empty[0]!r}, allowed a text that is not empty.")
    return [_line(loaded.labels, row) for row in loaded.probabilities(columns)]


def _line(labels: Sequence[str], row: np.ndarray[Any, Any]) -> str:
    order = np.argsort(-row, kind="stable")
    return "  ".join(f"{labels[index]} {score(float(row[index]))}" for index in order)
