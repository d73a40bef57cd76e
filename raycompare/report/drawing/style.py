"""Appearance of the figures: colours for light and dark pages, sizes, lines and legends."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any, TypeVar
from unicodedata import east_asian_width

from cycler import cycler

from raycompare.formatting import SECONDS_PER_HOUR, SECONDS_PER_MINUTE
from raycompare.metrics import MetricName

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Item = TypeVar("Item")
Line = tuple[Sequence[float], Sequence[float]]
"""x values and y values."""

SMALL, MEDIUM = 9, 10
"""Font sizes in points."""
WIDTH = 6.4
"""Width of a figure in inches: as wide as a comment on GitHub, and still legible on a phone."""
ROW_HEIGHT, SMALLEST_ROW_HEIGHT, ROWS_HEIGHT = 0.3, 0.17, 5.0
"""Heights of a row, and of all rows of a figure with many, in inches."""
LONGEST_NAME = 30
"""Largest width of a name, in letters; a Chinese or Japanese letter is as wide as two."""
STYLES = ("-", "--", ":")
"""Line styles, used in turn if there are more models than colours."""
LEGEND_COLUMNS = 2
MOST_LINES = 12
"""Largest number of lines in a figure with a line per model."""
UPPER_BOUND, LOSS_HEADROOM = 1.0, 1.5
MARGIN, SMALLEST_MARGIN = 0.06, 0.01


@dataclass(frozen=True, kw_only=True)
class Theme:
    """Colours for a light or a dark page."""

    suffix: str
    """Suffix of the file name."""
    paper: str
    ink: str
    grid: str
    colours: tuple[str, ...]
    """Colours of the models, distinguishable with any colour vision."""
    shades: str
    """Name of Matplotlib's colour map from low to high."""

    @property
    def settings(self) -> dict[Any, Any]:
        """Settings of Matplotlib (rcParams)."""
        inks = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
        return {
            **dict.fromkeys(inks, self.ink),
            "figure.facecolor": self.paper,
            "axes.facecolor": self.paper,
            "grid.color": self.grid,
            "axes.prop_cycle": cycler(color=self.colours),
            "image.cmap": self.shades,
            **dict.fromkeys(("font.size", "axes.titlesize", "figure.labelsize"), MEDIUM),
            **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), SMALL),
            **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
            "axes.axisbelow": True,
        }


# Okabe and Ito, "Color Universal Design" (2008); their yellow is too pale for a white page, and
# their blue and vermilion are too dark for GitHub's dark theme.
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
    """Return the colour of the model at a place, in the current theme."""
    return f"C{index % len(LIGHT.colours)}"


def line_style(index: int) -> str:
    """Return the line style of the model at a place, so that colour and style are unique."""
    return STYLES[index // len(LIGHT.colours) % len(STYLES)]


def ink() -> str:
    """Return the colour of text in the current theme."""
    from matplotlib import rcParams

    return str(rcParams["text.color"])


def readable_on(shade: tuple[float, float, float, float]) -> str:
    """Return the colour of text on a shade, given as red, green, blue and opacity up to 1."""
    red, green, blue, _ = shade
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue  # ITU-R BT.601
    return "#1a1a1a" if luminance > 0.5 else "#ffffff"  # noqa: PLR2004


def label(model: str, longest: int = LONGEST_NAME) -> str:
    """Shorten a name to its end, if possible after a slash, and escape it for a figure."""
    widths = list(accumulate(map(_letter_width, reversed(model))))
    if widths and widths[-1] > longest:
        end = model[-bisect_left(widths, longest) :]
        _, slash, last = end.rpartition("/")
        model = f"…{slash}{last}" if len(last) > longest / 2 else f"…{end}"
    return model.replace("$", r"\$")


def _letter_width(letter: str) -> int:
    return 2 if east_asian_width(letter) in "FW" else 1


def row_height(rows: int) -> float:
    """Return the height in inches of each row of a figure; rows of many are lower."""
    return min(ROW_HEIGHT, max(SMALLEST_ROW_HEIGHT, ROWS_HEIGHT / rows))


def legend_above(figure: Figure, handles: Sequence[Artist]) -> None:
    """Put a legend in one line above the panels."""
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))


def draw_lines(figure: Figure, lines: Mapping[str, Line], metric: MetricName, **look: Any) -> Axes:
    """Draw a line for each model, with a legend."""
    figure.set_size_inches(WIDTH, 3.4 + 0.2 * math.ceil(len(lines) / LEGEND_COLUMNS))
    axes = figure.subplots()
    for index, (model, (x, y)) in enumerate(lines.items()):
        look |= {"color": colour(index), "linestyle": line_style(index), "label": label(model)}
        axes.plot(x, y, linewidth=1.8, marker="o", markersize=3, **look)
    values = [value for _, y in lines.values() for value in y]
    axes.set_ylim(*y_limits(values, values, metric))
    axes.grid(axis="y")
    figure.legend(loc="outside lower center", ncols=LEGEND_COLUMNS, handlelength=3)
    return axes


def leaders(by_model: Mapping[str, Item]) -> dict[str, Item]:
    """Return the models that get a line, the first ones of the leaderboard."""
    return dict(islice(by_model.items(), MOST_LINES))


def name_leaders(models: int, table: str) -> str:
    """Return a sentence for a caption if some models have no line, else an empty string."""
    if models <= MOST_LINES:
        return ""
    return f" Only the first {MOST_LINES} of {models} models; tables/{table}.csv has all."


def y_limits(
    values: Sequence[float], of_the_best: Sequence[float], metric: MetricName
) -> tuple[float, float]:
    """Return limits that show all values, except losses far above those of the best trials."""
    low, high = min(values), max(values)
    if metric == "loss":
        high = min(high, LOSS_HEADROOM * max(of_the_best))
    margin = MARGIN * (high - low) + SMALLEST_MARGIN
    if metric == "loss":
        return max(low - margin, 0.0), high + margin
    return low - margin, min(high + margin, UPPER_BOUND + SMALLEST_MARGIN)


def time_unit(longest: float) -> tuple[str, int]:
    """Return a suitable unit for a time in seconds, and the length of the unit in seconds."""
    if longest < 3 * SECONDS_PER_MINUTE:
        return "seconds", 1
    if longest < 3 * SECONDS_PER_HOUR:
        return "minutes", SECONDS_PER_MINUTE
    return "hours", SECONDS_PER_HOUR
