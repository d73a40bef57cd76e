"""All warnings about a run, from its records.

A warning is a hint, not a test. Its limits are rules of thumb.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from raycompare.analysis.health.data import data_flags
from raycompare.analysis.health.flag import Flag
from raycompare.analysis.health.inference import busy_machine, uneven_latency
from raycompare.analysis.health.scores import gap, outlying_seeds
from raycompare.analysis.health.search import at_the_edge
from raycompare.analysis.health.training import (
    chance_level,
    divergence,
    under_trained,
    unused_gpus,
)
from raycompare.records.run_records import Records

OF_MODELS = (
    chance_level,
    divergence,
    unused_gpus,
    under_trained,
    outlying_seeds,
    at_the_edge,
    gap,
    uneven_latency,
)


def flags(records: Records) -> tuple[Flag, ...]:
    """Return the warnings about models, in the order of the experiment, and about all else."""
    of_models: list[Flag] = []
    for model in records.experiment.models:
        for warn in OF_MODELS:
            of_models += warn(records, model.name)
    data = data_flags(records.manifest.data, records.experiment.tune.metric)
    return (*of_models, *busy_machine(records), *_baseline_flags(records), *data)


def _baseline_flags(records: Records) -> Iterator[Flag]:
    fitted = {row.name for row in records.baselines}
    for failure in records.baseline_failures:
        if failure.name not in fitted:
            yield Flag(
                about=failure.name,
                found=f"it could not be fitted: {failure.cause}",
                advice="see its traceback in baseline_failures.parquet; `raycompare run --resume` "
                "with this folder tries again",
            )
    for row in records.baselines:
        if not json.loads(row.hyperparameters)["converged"]:
            yield Flag(
                about=row.name,
                found="its fit ended before it converged",
                advice="do not rely on small differences from it",
            )
