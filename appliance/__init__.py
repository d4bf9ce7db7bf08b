"""Inspect parts on a factory line and hold back all that was not accepted in time."""

__version__ = "0.1.0"
