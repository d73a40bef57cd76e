"""What is known of models that were screened before the search."""

from __future__ import annotations

from dataclasses import dataclass

from raycompare.metrics import ScoreName


@dataclass(frozen=True, kw_only=True)
class Screened:
    """What a look at a model's frozen features has found; see `transferability` for the scores."""

    model: str
    rows: int
    """Of train."""
    log_me: float | None = None
    h_score: float | None = None
    probe: float | None = None
    """MCC of a logistic regression on the features, on a quarter of the rows."""
    seconds: float | None = None
    cached: bool = False
    """Whether an earlier run has found it."""
    cause: str | None = None
    """Why there are no scores, if there are none."""

    def score(self, name: ScoreName) -> float:
        """Return one of the scores."""
        value: float | None = getattr(self, name)
        assert value is not None
        return value


@dataclass(frozen=True, kw_only=True)
class ScreenRecord(Screened):
    """One row of screen.parquet, best first: a model that was screened, and what came of it."""

    rank: int | None
    """By the score that decides, from 1; None without scores."""
    kept: bool
