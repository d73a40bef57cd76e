"""What a run is told of an earlier one; a copy in its folder tells a resumed run the same."""

from __future__ import annotations

from collections.abc import Callable

from raycompare.errors import UserError
from raycompare.experiment.file import read_experiment
from raycompare.formatting import number_of
from raycompare.records.run_folder import RunFolder
from raycompare.running.check import Ready
from raycompare.tuning.earlier_trials import EarlierRun, Known, KnownPoint, from_json, known_points

KNOWN = "known.json"


def known_from(
    earlier: str | None, folder: RunFolder, ready: Ready, say: Callable[[str], None]
) -> tuple[KnownPoint, ...]:
    """Return what the searcher is told: of the run in `earlier`, or what `folder` has of one.

    Raises:
        UserError: the earlier run can't be compared with this one, or the search can't learn.
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
    found = _known(RunFolder.at(earlier), ready)
    say(f"{number_of(len(found.points), 'trial')} of {earlier} told to the search")
    for line in found.left_out:
        say(f"  left out: {line}")
    folder.write_text(KNOWN, found.to_json())
    return found.points


def _known(folder: RunFolder, ready: Ready) -> Known:
    earlier = EarlierRun(
        place=folder.shown,
        experiment=read_experiment(folder.read_text("experiment.yaml")),
        trials=folder.read_trials(),
        evaluations=folder.read_evaluations(),
        data_hash=folder.read_manifest().data["hash"],
    )
    return known_points(earlier, ready.experiment, ready.data.content_hash)
