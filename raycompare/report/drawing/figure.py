"""Base class of the figures of the report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from raycompare.analysis.comparison import Comparison
from raycompare.metrics import LABELS, MetricName
from raycompare.report.drawing.plot import Plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Place = Literal["verdict", "pairs", "figures"]


@dataclass(frozen=True, eq=False)
class ReportFigure(ABC):
    """A figure of one comparison: a picture in report.md, a plot in report.html, and a table.

    Each module of `raycompare.report.figures` has one subclass. The module's name is the name of
    the figure and of its files.
    """

    comparison: Comparison

    order: ClassVar[int]
    """Figures are shown in ascending order."""
    place: ClassVar[Place] = "figures"
    """The figure is shown below the verdict, in the section on pairs, or with the other figures."""

    @property
    def name(self) -> str:
        """Name of the figure's files."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def title(self) -> str:
        """Heading of the figure."""
        return self.name.replace("_", " ").capitalize()

    @property
    def models(self) -> list[str]:
        """Names of the models in the order of the leaderboard."""
        return [row.model for row in self.comparison.leaderboard]

    @property
    def metric(self) -> MetricName:
        """Deciding metric of the experiment."""
        return self.comparison.metric

    @property
    def metric_label(self) -> str:
        """Display name of the metric."""
        return LABELS[self.metric]

    @property
    @abstractmethod
    def data(self) -> object:
        """Data that the figure shows; nothing is drawn if it is empty."""

    @property
    def has_data(self) -> bool:
        """Whether the figure is shown."""
        return bool(self.data)

    @abstractmethod
    def caption(self) -> str:
        """Explain how to read the figure, in Markdown."""

    def page_caption(self) -> str:
        """Explain how to read the plot of the HTML page, in Markdown; default: the caption."""
        return self.caption()

    @abstractmethod
    def draw(self, figure: Figure) -> None:
        """Draw on an empty Matplotlib figure with a constrained layout."""

    @abstractmethod
    def plot(self) -> Plot:
        """Return the plot of the HTML page."""

    def rows(self) -> Iterable[Mapping[str, object]]:
        """Return the rows of the figure's table; without rows, there is no table."""
        return ()
