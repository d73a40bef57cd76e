"""The base class of a figure of the report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from raycompare.analysis.comparison import Comparison
from raycompare.metrics import LABELS, MetricName
from raycompare.report.drawing.plot import Plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class ReportFigure(ABC):
    """A figure of one comparison: a picture in report.md, a plot in report.html, and a table.

    Each module of `raycompare.report.figures` has one subclass. The name of the module is the name
    of the figure and of its files.
    """

    comparison: Comparison

    order: ClassVar[int]
    """Figures are shown in ascending order."""

    @property
    def name(self) -> str:
        """The name of the figure's files."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def title(self) -> str:
        """The heading of the figure."""
        return self.name.replace("_", " ").capitalize()

    @property
    def models(self) -> list[str]:
        """The models in the order of the leaderboard."""
        return [row.model for row in self.comparison.leaderboard]

    @property
    def metric(self) -> MetricName:
        """The metric that decides."""
        return self.comparison.metric

    @property
    def metric_label(self) -> str:
        """The name of that metric in texts."""
        return LABELS[self.metric]

    @property
    @abstractmethod
    def data(self) -> object:
        """What the figure shows."""

    @property
    def has_data(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.data)

    @abstractmethod
    def caption(self) -> str:
        """Explain how to read the figure, in Markdown."""

    def page_caption(self) -> str:
        """Explain how to read the plot of the HTML page, in Markdown."""
        return self.caption()

    @abstractmethod
    def draw(self, figure: Figure) -> None:
        """Draw with Matplotlib on an empty figure with a constrained layout."""

    @abstractmethod
    def plot(self) -> Plot:
        """Return the plot of the HTML page."""

    def rows(self) -> Iterable[Mapping[str, object]]:
        """Return the rows of the figure's table; no rows, no table."""
        return ()
