"""`raycompare extend`: run the extension of a run, and compare the two."""

from __future__ import annotations

from raycompare.analysis.before_after import describe_gain, judge_runs
from raycompare.analysis.extend import Finalist, extension, finalist
from raycompare.experiment.file import parse_draft, write_experiment
from raycompare.records.run_folder import RunFolder
from raycompare.running.display import Display
from raycompare.running.run import RunOptions, run


def train_longer(
    run_dir: str, epochs: float, model: str | None, out: str, display: Display
) -> RunFolder:
    """Train one model of a run for more epochs and say what that bought.

    Raises:
        UserError: there is nothing to extend, or `epochs` are not more than before.
    """
    before = RunFolder.at(run_dir)
    experiment = before.read_experiment()
    records = before.read_trials(), before.read_evaluations()
    longer = extension(experiment, *records, epochs, model)
    draft = parse_draft(write_experiment(longer), f"the extension of {before.shown}")
    after = run(draft, RunOptions(out=out), display)
    name, metric = longer.models[0].name, experiment.tune.metric
    judgement = judge_runs(before, after, name, metric)
    earlier = finalist(experiment, *records, name)
    display.say(describe_gain(earlier, _only(after), judgement, metric))
    return after


def _only(folder: RunFolder) -> Finalist:
    experiment = folder.read_experiment()
    return finalist(experiment, folder.read_trials(), folder.read_evaluations())
