"""How figures look: colours for light and dark pages, sizes, and the bytes of a PNG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from cycler import cycler
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SMALL, MEDIUM = 9, 10
"""Points. A figure of 8 inches is about as wide as the column of a README."""
DPI = 130
LONGEST_NAME = 36
STYLES = ("-", "--", ":")
"""Of lines, where there are more models than colours."""


@dataclass(frozen=True, kw_only=True)
class Theme:
    """The colours of a page that a figure stands on."""

    suffix: str
    """Of the file's name."""
    paper: str
    ink: str
    grid: str
    colours: tuple[str, ...]
    """Told apart with any colour vision."""
    shades: str
    """Matplotlib's map from few to many."""

    @property
    def settings(self) -> dict[Any, Any]:
        """The settings of Matplotlib."""
        inks = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
        return {
            **dict.fromkeys(inks, self.ink),
            "figure.facecolor": self.paper,
            "axes.facecolor": self.paper,
            "grid.color": self.grid,
            "axes.prop_cycle": cycler(color=self.colours),
            "image.cmap": self.shades,
            "font.size": MEDIUM,
        }


# Okabe and Ito, "Color Universal Design" (2008); the yellow of theirs is too pale for white paper,
# the blue and the vermilion too dark for a page of GitHub's dark colour.
LIGHT = Theme(
    suffix="",
    paper="#ffffff",
    ink="#333333",
    grid="#e5e5e5",
    colours=("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    shades="Blues",
)
DARK = Theme(
    suffix="-dark",
    paper="#0d1117",
    ink="#d5d9de",
    grid="#30363d",
    colours=("#56B4E9", "#E69F00", "#00B98A", "#CC79A7", "#F0E442", "#EE7733"),
    shades="Blues_r",
)
THEMES = (LIGHT, DARK)


def png_bytes(figure: Figure) -> bytes:
    """Return the same PNG for the same figure, whenever it is drawn."""
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()


def draw_themed(draw: Callable[[], Figure]) -> dict[str, bytes]:
    """Draw a figure for every theme; return the PNGs by the suffix of their names."""
    images = {}
    for theme in THEMES:
        with rc_context(theme.settings):  # colours are looked up again when it is saved
            images[theme.suffix] = png_bytes(draw())
    return images


def colour(index: int) -> str:
    """Return the colour of the model at a place, of the theme that is drawn in."""
    return f"C{index % len(LIGHT.colours)}"


def line_style(index: int) -> str:
    """Return the line of the model at a place; it changes when the colours come round again."""
    return STYLES[index // len(LIGHT.colours) % len(STYLES)]


def label(model: str) -> str:
    """Return a name that fits a figure."""
    short = model if len(model) <= LONGEST_NAME else f"…{model[1 - LONGEST_NAME :]}"
    return short.replace("$", r"\$")


def tidy(axes: Axes, grid: str = "y") -> None:
    """Leave what is needed to read the values along one axis, or both."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x" if grid == "x" else "both" if grid == "both" else "y", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL)


def legend_above(figure: Figure, handles: Sequence[Artist]) -> None:
    """Put a legend in one line above the panels."""
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=len(handles),
        fontsize=SMALL,
        frameon=False,
    )
