"""`raycompare extend`: trains a model for more epochs and compares the two runs."""

from __future__ import annotations

from raycompare.analysis.before_after import RunPredictions, describe_gain, judge_runs
from raycompare.analysis.extend import extension, finalist
from raycompare.experiment.file import parse_draft, write_experiment
from raycompare.records.run_folder import RunFolder
from raycompare.records.snapshot import read_records
from raycompare.running.display import Display
from raycompare.running.run import RunOptions, run


def train_longer(
    run_dir: str, epochs: float, model: str | None, options: RunOptions, display: Display
) -> RunFolder:
    """Train one model of a run for more epochs, and print the gain.

    Raises:
        UserError: there is nothing to extend, or `epochs` is not larger than before.
    """
    before = RunFolder.at(run_dir)
    records = read_records(before)
    longer = extension(records, epochs, model)
    draft = parse_draft(write_experiment(longer), f"the extension of {before.shown}")
    after = run(draft, options, display)
    name, metric = longer.models[0].name, longer.tune.metric
    now = read_records(after)
    tested = RunPredictions.of(before, records), RunPredictions.of(after, now)
    judgement = judge_runs(*tested, name, metric)
    display.say(describe_gain(finalist(records, name), finalist(now), judgement, metric))
    return after
