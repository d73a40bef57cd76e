"""Consoles that print text of any origin: control characters are shown, never sent.

Names, reasons and labels come from files, and run folders may come from elsewhere. An escape
sequence in them could rename the terminal's window, hide lines or fill the clipboard.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from raycompare.formatting import visible


class SafeConsole(Console):
    """A console that prints texts as they are: no markup, emoji codes or control characters."""

    def __init__(self, **options: Any) -> None:
        """Open a console with the options of rich's."""
        super().__init__(**{"highlight": False, "markup": False, "emoji": False, **options})

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render, with the control characters of all texts visible; rich's own are kept."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(visible(text), style)
