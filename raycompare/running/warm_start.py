"""Loads trials of an earlier run for the search; a copy in the run folder serves resumed runs."""

from __future__ import annotations

from collections.abc import Callable

from raycompare.errors import UserError
from raycompare.formatting import number_of
from raycompare.models.fingerprints import fingerprints
from raycompare.records.run_folder import RunFolder
from raycompare.running.check import CheckedExperiment
from raycompare.tuning.earlier_trials import (
    EarlierRun,
    EarlierTrials,
    EvaluatedPoint,
    from_json,
    known_points,
)

KNOWN = "known.json"


def load_earlier_trials(
    earlier: str | None, folder: RunFolder, ready: CheckedExperiment, say: Callable[[str], None]
) -> tuple[EvaluatedPoint, ...]:
    """Return the evaluated points of the run `earlier`, or the copy in `folder` if it has one.

    Raises:
        UserError: the runs are not comparable, or the search algorithm does not learn.
    """
    if earlier is None:
        if not folder.exists(KNOWN):
            return ()
        return from_json(folder.read_text(KNOWN), folder.child(KNOWN)).points
    if ready.experiment.tune.search_alg != "optuna":
        raise UserError(
            f"--warm-start {earlier}: tune.search_alg is {ready.experiment.tune.search_alg}, which "
            "does not learn from trials. Set it to optuna, or narrow the ranges with "
            f"`raycompare refine {earlier}`."
        )
    trials = _read_earlier_trials(RunFolder.at(earlier), ready)
    say(f"the search starts from {number_of(len(trials.points), 'trial')} of {earlier}")
    for line in trials.left_out:
        say(f"  skipped: {line}")
    folder.write_text(KNOWN, trials.to_json())
    return trials.points


def _read_earlier_trials(folder: RunFolder, ready: CheckedExperiment) -> EarlierTrials:
    about = folder.read_manifest().data
    earlier = EarlierRun(
        place=folder.shown,
        experiment=folder.read_experiment(),
        trials=folder.read_trials(),
        evaluations=folder.read_evaluations(),
        data_hash=about["hash"],
        checkpoints=about.get("checkpoints", {}),
    )
    now = ready.experiment
    return known_points(earlier, now, ready.data.content_hash, fingerprints(now))
