"""Versions of the packages that affect the numbers of a trial; imports none of them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

TRAINING_VERSION = 3
"""Increased when a change of raycompare changes the numbers of trials."""
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
    """Return the versions of raycompare's training and of the packages that it computes with."""
    return {
        "training": str(TRAINING_VERSION),
        **{package: _version(package) for package in TRAINING_PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return NOT_INSTALLED
