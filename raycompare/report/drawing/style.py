"""How figures look: colours for light and dark pages, sizes, axes, lines and legends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from cycler import cycler

from raycompare.formatting import SECONDS_PER_HOUR, SECONDS_PER_MINUTE
from raycompare.metrics import MetricName

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Item = TypeVar("Item")
Line = tuple[Sequence[float], Sequence[float]]
"""The x and the y values."""

SMALL, MEDIUM = 9, 10
"""Points. A figure of 8 inches is about as wide as the column of a README."""
LONGEST_NAME = 36
STYLES = ("-", "--", ":")
"""Of lines, where there are more models than colours."""
MOST_LINES = 12
"""Models in a figure that has a line for each; the leaders are drawn."""
UPPER_BOUND, LOSS_HEADROOM = 1.0, 1.5
MARGIN, SMALLEST_MARGIN = 0.06, 0.01


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


def colour(index: int) -> str:
    """Return the colour of the model at a place, of the theme that is drawn in."""
    return f"C{index % len(LIGHT.colours)}"


def line_style(index: int) -> str:
    """Return the line of the model at a place; it changes when the colours come round again."""
    return STYLES[index // len(LIGHT.colours) % len(STYLES)]


def ink() -> str:
    """Return the colour of text, of the theme that is drawn in."""
    from matplotlib import rcParams

    return str(rcParams["text.color"])


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


def draw_lines(
    figure: Figure,
    lines: Mapping[str, Line],
    metric: MetricName,
    **look: Any,
) -> Axes:
    """Draw a line for each model, and their legend."""
    figure.set_size_inches(8.0, max(3.8, 1.4 + 0.24 * len(lines)))
    axes = figure.subplots()
    for index, (model, (x, y)) in enumerate(lines.items()):
        axes.plot(
            x,
            y,
            color=colour(index),
            linestyle=line_style(index),
            linewidth=1.8,
            marker="o",
            markersize=3,
            label=label(model),
            **look,
        )
    values = [value for _, y in lines.values() for value in y]
    axes.set_ylim(*y_limits(values, values, metric))
    tidy(axes)
    figure.legend(loc="outside right upper", fontsize=SMALL, frameon=False, handlelength=3)
    return axes


def leaders(by_model: Mapping[str, Item]) -> dict[str, Item]:
    """Return the models that get a line, the first of the leaderboard."""
    return dict(islice(by_model.items(), MOST_LINES))


def name_leaders(models: int, table: str) -> str:
    """Return the sentence of a caption on models without a line."""
    if models <= MOST_LINES:
        return ""
    return f" The first {MOST_LINES} of {models} models; tables/{table}.csv has all."


def y_limits(
    values: Sequence[float], of_the_best: Sequence[float], metric: MetricName
) -> tuple[float, float]:
    """Return limits that show every value, but for losses far above those of the best trials."""
    low, high = min(values), max(values)
    if metric == "loss":
        high = min(high, LOSS_HEADROOM * max(of_the_best))
    margin = MARGIN * (high - low) + SMALLEST_MARGIN
    if metric == "loss":
        return max(low - margin, 0.0), high + margin
    return low - margin, min(high + margin, UPPER_BOUND + SMALLEST_MARGIN)


def time_unit(longest: float) -> tuple[str, int]:
    """Return the unit that suits a time in seconds, and the length of the unit in seconds."""
    if longest < 3 * SECONDS_PER_MINUTE:
        return "seconds", 1
    if longest < 3 * SECONDS_PER_HOUR:
        return "minutes", SECONDS_PER_MINUTE
    return "hours", SECONDS_PER_HOUR
