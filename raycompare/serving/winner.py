"""Finds the model of a run's winner, or of another finalist, and saves it with a model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raycompare.analysis.comparison import Comparison, compare_run
from raycompare.analysis.extend import finalist
from raycompare.analysis.leaderboard import ModelRow
from raycompare.errors import UserError, reading
from raycompare.experiment.spec import UNLIMITED, Arguments, DataSpec, Experiment
from raycompare.metrics import MODES
from raycompare.models.places import CONFIG
from raycompare.models.pooling import is_plain
from raycompare.models.pretrained import MODEL_TYPE
from raycompare.models.saved import (
    TOKENIZER_CONFIG,
    Trust,
    label_names,
    parse_config,
    pooling_of,
    require_trust,
    texts_per_row,
)
from raycompare.records.layout import BEST, EXPERIMENT, WEIGHTS, weights_of
from raycompare.records.rows import TrialRecord
from raycompare.records.run_folder import RunFolder
from raycompare.records.run_records import Records
from raycompare.records.snapshot import read_records
from raycompare.records.trial_files import best_finalists
from raycompare.report.card import Card, SavedModel, not_plain

CARD = "README.md"


@dataclass(frozen=True, kw_only=True)
class Winner:
    """A finalist whose weights are in the run folder."""

    experiment: Experiment
    row: ModelRow
    trial_id: str
    place: str | None = None
    """Folder of its files in the run folder; default: that of its weights."""

    @property
    def model(self) -> str:
        """Name in tables and figures."""
        return self.row.model

    def files(self, folder: RunFolder) -> RunFolder:
        """Return the folder of its weights in the run folder."""
        return folder.folder(self.place or weights_of(self.trial_id))


def winner(folder: RunFolder, model: str | None = None) -> Winner:
    """Find the model with the best mean test score, or the named one, and its weights.

    A run that was fetched without weights still has its winner in `best`.

    Raises:
        UserError: there is no such model, it was not tested, or its weights are missing.
    """
    records = read_records(folder)
    with reading(folder.shown):
        chosen = finalist(records, model)
        row, experiment = chosen.row, records.experiment
        kept = kept_trial(folder, records.trials, row.model)
        if kept is not None:
            return Winner(experiment=experiment, row=row, trial_id=kept.trial_id)
        if not chosen.is_winner or not folder.exists(f"{BEST}/{CONFIG}"):
            raise UserError(_no_weights(folder, row.model))
        best = best_finalists(records.trials, MODES[experiment.tune.metric])[row.model]
    return Winner(experiment=experiment, row=row, trial_id=best.trial_id, place=BEST)


def _no_weights(folder: RunFolder, model: str) -> str:
    contents = ", ".join(folder.names(WEIGHTS)) or "nothing"
    return (
        f"{folder.child(WEIGHTS)} has no weights of {model}; found {contents}. Use the original "
        "run folder, or copy it with --weights."
    )


def kept_trial(folder: RunFolder, trials: Sequence[TrialRecord], model: str) -> TrialRecord | None:
    """Return the finalist of a model whose weights are in the run folder, or None."""
    confirmed = (t for t in trials if t.stage == "confirm" and t.model == model)
    kept = (t for t in confirmed if folder.exists(f"{weights_of(t.trial_id)}/{CONFIG}"))
    return next(kept, None)


def model_files(place: str | Path, model: str | None = None) -> RunFolder:
    """Return the folder of a model: for a run, its winner or the named one, else `place` itself.

    A run that was fetched without weights still has its winner in `best`.

    Raises:
        UserError: there is no model, or none with that name.
    """
    folder = RunFolder.at(place)
    if not folder.exists(EXPERIMENT):
        return _lone_model(folder, model)
    records = read_records(folder)
    with reading(folder.shown):
        chosen = finalist(records, model)
    kept = kept_trial(folder, records.trials, chosen.row.model)
    if kept is not None:
        return folder.folder(weights_of(kept.trial_id))
    if chosen.is_winner and folder.exists(f"{BEST}/{CONFIG}"):
        return folder.folder(BEST)
    raise UserError(_no_weights(folder, chosen.row.model))


def _lone_model(folder: RunFolder, model: str | None) -> RunFolder:
    if not folder.exists(CONFIG):
        raise UserError(
            f"{folder.shown} is neither a run folder, which has {EXPERIMENT}, nor a model folder, "
            f"which has {CONFIG}. A run prints the path of its folder at the start."
        )
    if model is not None:
        raise UserError(
            f"--model: found {model!r}, but {folder.shown} is the folder of a single model. Omit "
            "--model, or use the run folder."
        )
    return folder


def trained_on(place: str | Path) -> DataSpec | None:
    """Return the data of the run that a model comes from, or None for a model by itself.

    `place` is a run folder, or the folder of a model in it.
    """
    homes = [folder := RunFolder.at(place)]
    above, _, name = folder.uri.rstrip("/").rpartition("/")
    if name == BEST:
        homes.append(RunFolder.at(above))
    elif above.endswith(f"/{WEIGHTS}"):
        homes.append(RunFolder.at(above.removesuffix(f"/{WEIGHTS}")))
    run = next((home for home in homes if home.exists(EXPERIMENT)), None)
    return run.read_experiment().data if run else None


def width_of(place: str | Path, files: RunFolder) -> int | None:
    """Return 1 for a model of single texts, 2 for pairs, None if neither it nor its run is known.

    `place` is what was named, `files` the folder of the model.
    """
    noted = saved_at(files).texts
    data = None if noted else trained_on(place)
    return len(data.text) if data else noted


def require_width(option: str, width: int, trained: int | None) -> None:
    """Check that a model of single texts gets single texts, and a model of pairs pairs.

    Raises:
        UserError: it gets the other; `trained` is None if that is not known.
    """
    if trained not in (None, width):
        kinds = {1: "single texts", 2: "pairs of texts"}
        raise UserError(
            f"{option}: found {kinds[width]}, allowed {kinds[trained or width]}, on which the "
            "model was trained."
        )


def saved_at(place: RunFolder, trust: Trust | None = None) -> SavedModel:
    """Read labels, length, pooling and number of texts from the files of a model.

    With `trust`, also check that the code that they name may run.

    Raises:
        UserError: the folder has no model, its configs are damaged, its tokenizer has no
            model_max_length, or its code is not trusted.
    """
    config, shown = _config(place, CONFIG), place.child(CONFIG)
    tokenizer = _config(place, TOKENIZER_CONFIG)
    if trust is not None:
        require_trust(config, tokenizer, trust, place.shown)
    how, kind = pooling_of(config, shown), str(config.get(MODEL_TYPE))
    return SavedModel(
        labels=dict(enumerate(label_names(config, shown))),
        max_length=_length(tokenizer, place.child(TOKENIZER_CONFIG)),
        pooling=None if is_plain(kind, how) else how,
        texts=texts_per_row(config, shown),
    )


def _config(place: RunFolder, name: str) -> Arguments:
    if not place.exists(name):
        raise UserError(f"{place.shown} has no {name}. Use a model folder with all its files.")
    return parse_config(place.read_bytes(name), place.child(name))


def _length(tokenizer: Arguments, shown: str) -> int:
    length = tokenizer.get("model_max_length", UNLIMITED)
    if not isinstance(length, int | float) or isinstance(length, bool) or not length >= 1:
        raise UserError(f"{shown}: model_max_length: found {length!a}, allowed a number of tokens.")
    if length >= UNLIMITED:
        raise UserError(
            f"{shown} has no model_max_length, so texts would not be truncated as in training. "
            "Add it: the number of tokens shown in the report under Data."
        )
    return int(length)


def lay_out(
    folder: RunFolder, found: Winner, place: str | Path, comparison: Comparison | None = None
) -> SavedModel:
    """Write weights, tokenizer, config and a model card to a folder, local or remote.

    `from_pretrained` and SageMaker's Hugging Face inference container can read it. The config,
    which every loader needs, is written last.

    Raises:
        UserError: the run has no manifest, which the model card needs.
    """
    weights, target = found.files(folder), RunFolder.at(place)
    written = card(folder, found, comparison)
    for name in sorted(weights.sizes(""), key=lambda name: name == CONFIG):
        weights.copy_file(name, target)
    target.write_text(CARD, written.text())
    return written.saved


def card(folder: RunFolder, found: Winner, comparison: Comparison | None = None) -> Card:
    """Return the model card of a finalist."""
    comparison = comparison or compare_run(folder, Records.of(folder))
    evaluations = folder.read_evaluations()
    own = (e for e in evaluations if e.trial_id == found.trial_id and e.split == "test")
    return Card(
        comparison=comparison,
        trial=next(trial for trial in comparison.trials if trial.trial_id == found.trial_id),
        test=next(own),
        saved=saved_at(found.files(folder)),
    )


def keep_best(folder: RunFolder, comparison: Comparison) -> list[str]:
    """Write the winner of a run to `best` in its folder; return lines on how to use it.

    Without the weights of the winner, the lines say that `best` was not changed.
    """
    leader = comparison.leaderboard[0]
    if not leader.test:
        return []
    kept = kept_trial(folder, comparison.trials, leader.model)
    if kept is None:
        return [f"{folder.child(WEIGHTS)} has no weights of {leader.model}: {BEST} is unchanged"]
    found = Winner(experiment=comparison.experiment, row=leader, trial_id=kept.trial_id)
    folder.delete(BEST)
    saved = lay_out(folder, found, folder.child(BEST), comparison)
    place = folder.folder(BEST).shown
    if saved.pooling is not None:
        return [f"{leader.model} is in {place}. {not_plain(saved.pooling)}"]
    return [f'{leader.model}: pipeline("text-classification", "{place}", truncation=True)']
