"""The dated page that a benchmark leaves: what was asked, how, on which machine, what came out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from textwrap import fill

from raycompare.cluster.machines import this_machine
from raycompare.formatting import table
from raycompare.records.versions import RECORDED_PACKAGES
from raycompare.running.start import git_revision

PAGES = Path(__file__).parent / "pages"
WIDTH = 100


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A figure that was aimed at, and what was measured."""

    name: str
    aim: str
    """Such as `>= 4.5`."""
    measured: str
    met: bool


@dataclass(frozen=True, kw_only=True)
class Page:
    """The content of a benchmark's page; `name` and the date name its file."""

    name: str
    title: str
    command: str
    method: str
    """Markdown: what was run and how it was timed."""
    results: str
    """Markdown: the tables of measured figures."""
    goals: Sequence[Goal]

    def write(self) -> Path:
        """Write the page and print it, the goals last; returns its path."""
        now = datetime.now(UTC)
        path = PAGES / f"{now:%Y-%m-%d}-{self.name}.md"
        text = "\n\n".join(
            [
                f"# {self.title}",
                f"{now:%Y-%m-%d}, by `{self.command}`, at revision {_revision()}.\n\n{_machine()}",
                f"## How\n\n{self.method.strip()}",
                f"## Results\n\n{self.results.strip()}",
                f"## Goals\n\n{_goals(self.goals)}",
            ]
        )
        PAGES.mkdir(exist_ok=True)
        path.write_text(text + "\n")
        print(text)  # noqa: T201
        return path


def wrap(paragraphs: Iterable[str]) -> str:
    """Join paragraphs of Markdown, with lines of at most 100 characters."""
    return "\n\n".join(fill(" ".join(each.split()), WIDTH) for each in paragraphs)


def _revision() -> str:
    return git_revision(Path(__file__).parents[1] / "raycompare") or "(no checkout)"


def _machine() -> str:
    here = this_machine()
    packages = ", ".join(f"{package} {version(package)}" for package in RECORDED_PACKAGES)
    return (
        f"Machine: {here.cpus:g} CPUs ({here.cpu_model}), {here.memory_bytes / 2**30:.0f} GiB, "
        f"{here.gpus:g} GPUs. Packages: {packages}."
    )


def _goals(goals: Sequence[Goal]) -> str:
    rows = [[goal.name, goal.aim, goal.measured, "met" if goal.met else "missed"] for goal in goals]
    return table(["goal", "aim", "measured", ""], rows)
