"""One warning about a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One warning."""

    about: str
    """A model, a baseline, `inference` or `data`."""
    found: str
    """The finding."""
    advice: str
    """A suggestion of what to do."""
