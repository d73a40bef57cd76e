"""The versions of what computes the numbers of a trial; light, so that any machine can say them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

TRAINING_VERSION = 2
"""Raised when a change of raycompare gives a trial other numbers."""
TRAINING_PACKAGES = ("torch", "transformers", "tokenizers")
RECORDED_PACKAGES = (
    "raycompare",
    "ray",
    *TRAINING_PACKAGES,
    "datasets",
    "accelerate",
    "scikit-learn",
    "numpy",
    "pandas",
    "pyarrow",
)
NOT_INSTALLED = "not installed"


def code_versions() -> dict[str, str]:
    """Return the versions of what computes a trial's numbers, raycompare's training among it."""
    return {
        "training": str(TRAINING_VERSION),
        **{package: _version(package) for package in TRAINING_PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return NOT_INSTALLED
