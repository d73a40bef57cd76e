"""Compare pretrained models on your labelled text, on Ray.

`Experiment`, `run`, `load_run` and `load_model` are for notebooks (docs/python-api.md). They are
imported on first use, so `import raycompare` loads neither torch nor Ray.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raycompare.api import Run, load_run
    from raycompare.experiment.spec import Experiment
    from raycompare.models.saved import load_model
    from raycompare.running.launch import run

__version__ = version("raycompare")
__all__ = ["Experiment", "Run", "__version__", "load_model", "load_run", "run"]

_MODULES = {
    "Experiment": "raycompare.experiment.spec",
    "Run": "raycompare.api",
    "load_model": "raycompare.models.saved",
    "load_run": "raycompare.api",
    "run": "raycompare.running.launch",
}


def __getattr__(name: str) -> Any:
    """Import a name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List all public names, including those not yet imported."""
    return sorted({*globals(), *__all__})
