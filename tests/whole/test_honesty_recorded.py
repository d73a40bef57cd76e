"""The two claims of docs/statistics.md, on networks that the program has trained."""

from __future__ import annotations

import pytest

from benchmarks.honesty import recording
from benchmarks.honesty.__main__ import goals, replayed


@pytest.mark.slow
def test_the_claims_hold_on_recorded_networks():
    findings = replayed(recording.load(), replays=200)
    missed = [f"{goal.name}: {goal.measured}" for goal in goals(findings) if not goal.met]
    assert not missed


def test_the_recording_has_four_models_with_twelve_seeds_that_learned_something():
    recorded = recording.load()
    assert len(recorded.predictions) == 4
    assert recorded.seeds == 12
    for predictions in recorded.predictions.values():
        assert ((predictions == recorded.labels).mean(axis=1) > 0.7).all()
