"""Places labels next to their points, so that none hides another label or a point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import cos, hypot, pi, sin

NEAR, FAR, STEP = 7.0, 90.0, 7.0
"""Smallest and largest distance of a label from its point, and the step, in points."""
DIRECTIONS = 16
SMALLEST_STEP = 1e-6
PER_HIDDEN, PER_DISTANCE = 100.0, 2.0
"""Weights of hidden area and of distance, relative to the area of crossed lines; set by eye."""


@dataclass(frozen=True)
class Box:
    """A rectangle; left < right and bottom < top."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """Return the area of the intersection."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)

    def distance(self, x: float, y: float) -> float:
        """Return the distance of a point from the box; 0 within."""
        across = max(self.left - x, x - self.right, 0.0)
        along = max(self.bottom - y, y - self.top, 0.0)
        return hypot(across, along)

    @property
    def area(self) -> float:
        """Width times height."""
        return (self.right - self.left) * (self.top - self.bottom)


@dataclass(frozen=True)
class Anchor:
    """A point and the size of its label."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Ground:
    """Background that labels are placed on."""

    frame: Box
    """Labels should stay inside this box."""
    points: Sequence[Box]
    """Labels should hide none of these."""
    lines: Sequence[Box]
    """Labels may hide parts of these if all other places are far away."""


def place_labels(anchors: Sequence[Anchor], ground: Ground) -> list[Box]:
    """Place the labels one after another, each where it hides least.

    Of equally good places, the nearest is used, and right before left.
    """
    placed: list[Box] = []
    for anchor in anchors:
        kept = [*ground.points, *placed]
        placed.append(min(_candidates(anchor), key=lambda box: _cost(box, anchor, ground, kept)))
    return placed


def _candidates(anchor: Anchor) -> Iterator[Box]:
    distance = NEAR
    while distance <= FAR:
        for turn in range(DIRECTIONS):
            # Right first, then alternately above and below, ending on the left.
            angle = (turn + 1) // 2 * (-1) ** turn * -2 * pi / DIRECTIONS
            yield _beside(anchor, distance, angle)
        distance += STEP


def _beside(anchor: Anchor, distance: float, angle: float) -> Box:
    left = _start(anchor.x, distance * cos(angle), anchor.width)
    bottom = _start(anchor.y, distance * sin(angle), anchor.height)
    return Box(left, bottom, left + anchor.width, bottom + anchor.height)


def _start(at: float, away: float, size: float) -> float:
    """Return the start of a box along one axis; centred if it is not moved away."""
    if abs(away) < SMALLEST_STEP:
        return at - size / 2
    return at + away if away > 0 else at + away - size


def _cost(box: Box, anchor: Anchor, ground: Ground, kept: Sequence[Box]) -> float:
    outside = box.area - box.overlap(ground.frame)
    hidden = sum(box.overlap(other) for other in kept)
    crossed = sum(box.overlap(line) for line in ground.lines)
    away = box.distance(anchor.x, anchor.y)
    return round(PER_HIDDEN * (outside + hidden) + crossed + PER_DISTANCE * away, 6)
