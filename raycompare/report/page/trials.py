"""Trial explorer of the HTML page: the evaluated trials of a stage in parallel coordinates."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html import escape
from typing import Any

from raycompare.analysis.comparison import Comparison
from raycompare.experiment.hyperparameters import settings_of
from raycompare.metrics import LABELS, MODES
from raycompare.records.rows import TrialRecord
from raycompare.report.drawing.plot import Plot

LOG_SPAN = 20
"""Ratio of the largest to the smallest positive value from which an axis is logarithmic."""
BELOW = 0.12
"""Distance below the axis at which missing values are drawn, as a share of its length."""
MOST_NAMED, MOST_TICKS = 20, 6
LONGEST = 20
NOT_SET = "not set"


def explain_explorer(comparison: Comparison) -> str:
    """Explain how to read and use the explorer, in Markdown."""
    return (
        "Each line is a trial of the tune stage, or of the confirm stage if nothing was tuned. "
        "Drag along an axis to keep only the trials in that range, also in the table of trials "
        "below; click the axis to reset it; drag its name to move it. Bluer lines have a better "
        f"{LABELS[comparison.metric]}. Hyperparameters of the untuned default are those fixed in "
        'the experiment, or "not set" below the axis.'
    )


def explorer(comparison: Comparison) -> Plot:
    """Return parallel coordinates; a plot without traces if no trial was evaluated."""
    evaluated = [
        trial
        for trial in comparison.trials
        if trial.best_value is not None and math.isfinite(trial.best_value)
    ]
    tune = [trial for trial in evaluated if trial.stage == "tune"]
    trials = tune or evaluated
    if not trials:
        return Plot([], {})
    values = [trial.best_value for trial in trials]
    label = f"validation {LABELS[comparison.metric]}"
    settings = [_settings(comparison, trial) for trial in trials]
    names = sorted({name for trial in trials for name in json.loads(trial.hyperparameters)})
    dimensions = [
        _axis("model", [trial.model for trial in trials]),
        *(_axis(name, [row.get(name) for row in settings]) for name in names),
        _axis("steps", [trial.steps for trial in trials]),
        _axis("minutes", [(trial.train_seconds or 0.0) / 60 for trial in trials]),
        _axis(label, values),
    ]
    lines = {
        "type": "parcoords",
        "dimensions": dimensions,
        "line": {
            "color": values,
            "reversescale": MODES[comparison.metric] == "min",
            "showscale": True,
        },
        "labelangle": -20,
        "labelside": "bottom",
        "customdata": [trial.trial_id for trial in trials],
    }
    layout = {"template": "none", "height": 520, "margin": {"l": 140, "r": 60, "t": 30, "b": 110}}
    return Plot([lines], layout)


def _settings(comparison: Comparison, trial: TrialRecord) -> dict[str, Any]:

    fixed = settings_of(comparison.experiment, trial.model).training
    return {**fixed, **json.loads(trial.hyperparameters)}


def _axis(name: str, values: Sequence[Any]) -> dict[str, Any]:
    present = [value for value in values if value is not None]
    if present and all(_is_number(value) for value in present):
        return {"label": escape(name), **_numbers(values, present)}
    return {"label": escape(name), **_names(values)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _numbers(values: Sequence[Any], present: Sequence[float]) -> dict[str, Any]:
    low, high = min(present), max(present)
    is_log = low > 0 and high / low >= LOG_SPAN
    place = math.log10 if is_log else float
    bottom, top = place(low), place(high)
    missing = bottom - BELOW * ((top - bottom) or 1.0)
    has_missing = len(present) < len(values)
    axis: dict[str, Any] = {"values": [missing if v is None else place(v) for v in values]}
    axis["range"] = [missing if has_missing else bottom, top if top > bottom else bottom + 1]
    step = (top - bottom) / (MOST_TICKS - 1)
    ticks = sorted({bottom + step * number for number in range(MOST_TICKS)})
    words = [f"{10**tick if is_log else tick:.3g}" for tick in ticks]
    axis["tickvals"] = [*([missing] if has_missing else []), *ticks]
    axis["ticktext"] = [*([NOT_SET] if has_missing else []), *words]
    return axis


def _names(values: Sequence[Any]) -> dict[str, Any]:
    """Place texts at 0, 1, ... in the order of their first occurrence."""
    texts = [NOT_SET if value is None else str(value) for value in values]
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    shown = list(places)[:: max(1, math.ceil(len(places) / MOST_NAMED))]
    return {
        "values": [places[text] for text in texts],
        "range": [0, max(len(places) - 1, 1)],
        "tickvals": [places[text] for text in shown],
        "ticktext": [escape(_short(text)) for text in shown],
    }


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"…{text[1 - LONGEST :]}"
