from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The checkout."""

SHARED = ROOT.parent / "shared"
"""Real data sets, tokenizers and models beside the checkout; tests that need them skip without."""
