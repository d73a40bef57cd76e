"""Where Python modules come from: installed distributions, or files of the user's own."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

INSTALLED = ("site-packages", "dist-packages")
"""Folders that pip and Linux distributions install packages in."""
PROGRAM = "raycompare"


@dataclass
class Code:
    """Everything that a set of modules imports, directly or not."""

    files: dict[str, Path] = field(default_factory=dict)
    """File or folder of each module that no distribution has installed, keyed by its name."""
    distributions: set[str] = field(default_factory=set)
    """Installed distributions that have the other modules."""
    modules: set[str] = field(default_factory=set)
    """Names of all of them."""

    def add(self, modules: Iterable[str]) -> None:
        """Add modules, and what those of the user's own import."""
        for module in modules:
            name = module.partition(".")[0]
            place = None if name in {*self.modules, PROGRAM} else place_of(name)
            if place is None:
                continue
            self.modules.add(name)
            if is_installed(place):
                self.distributions.update(_distributions().get(name, [name]))
            else:
                self.files[name] = place
                self.add(imported_by(python_files(place)))


@cache
def _distributions() -> dict[str, list[str]]:
    return {name: sorted(set(names)) for name, names in packages_distributions().items()}


def place_of(name: str) -> Path | None:
    """Return the file or folder of a top-level module; None for Python's own and missing ones."""
    if name in sys.stdlib_module_names:
        return None
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # a module in sys.modules may have no spec
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.has_location and spec.origin else None


def is_installed(place: Path) -> bool:
    """Return whether a module belongs to a distribution that can be installed elsewhere too."""
    return not set(INSTALLED).isdisjoint(place.parts)


def is_whole_package(place: Path) -> bool:
    """Return whether all files of a folder belong to a package; else only its Python files do."""
    return (place / "__init__.py").exists()


def python_files(place: Path) -> list[Path]:
    """Return the Python files of a module or package."""
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


def imported_by(files: Iterable[Path]) -> Iterator[str]:
    """Yield the top-level modules that files import by absolute names."""
    for file in files:
        try:
            tree = ast.parse(file.read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue  # checks of the model import it, and report why they can't
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]
