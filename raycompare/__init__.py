"""Compare pretrained models on your labelled text, on Ray."""

from importlib.metadata import version

__version__ = version("raycompare")
