"""Figures of the HTML page as plain data for Plotly; page.js adds the colours of the theme.

Plotly interprets some HTML in texts (`<b>`, `<a>`), so names chosen by users must be escaped. A
trace with a `place` in its `meta` gets the colour and line style of the model at that place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from raycompare.report.drawing.style import MOST_LINES

HEIGHT, ROW_HEIGHT = 460, 26


@dataclass(frozen=True)
class Plot:
    """Traces and layout of a Plotly figure."""

    traces: list[dict[str, Any]]
    layout: Mapping[str, Any]


def make_plot(traces: Iterable[dict[str, Any]], x: str, y: str, **layout: Any) -> Plot:
    """Return a plot with titles on both axes; `layout` overrides the defaults."""
    return Plot(
        list(traces),
        {
            "template": "none",
            "height": HEIGHT,
            "margin": {"l": 70, "r": 20, "t": 40, "b": 60},
            "hovermode": "closest",
            "legend": {"orientation": "v"},
            "xaxis": make_axis(x),
            "yaxis": make_axis(y),
            **layout,
        },
    )


def make_axis(title: str, **settings: Any) -> dict[str, Any]:
    """Return an axis with a title."""
    return {"title": {"text": title, "standoff": 12}, "automargin": True, **settings}


def make_trace(model: str, place: int, **content: Any) -> dict[str, Any]:
    """Return the trace of the model at this place of the leaderboard.

    Only the first MOST_LINES models are visible before their names in the legend are clicked.
    """
    visible = True if place < MOST_LINES else "legendonly"
    common = {"type": "scatter", "name": escape(model), "visible": visible}
    return {**common, "meta": {"place": place}, **content}
