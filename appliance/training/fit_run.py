"""Say where a fit runs, how long it may take, where it keeps what is costly, and whom it tells."""

import math
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from appliance.ports.runtime import Runtime

Progress = Callable[[str, float], None]
"""Told (step, share done in [0, 1])."""


def silent(step: str, share: float) -> None:
    """Take no notice."""


def unnoted(note: str) -> None:
    """Take no notice."""


def unlimited() -> float:
    """Give the seconds left where no budget is set."""
    return math.inf


class FitRun(Struct, frozen=True):
    """Hold what every fit is given beside its data and options."""

    runtime: Runtime
    precision: str
    """Runtime and precision of the line; limits hold for them alone."""
    created: str
    """UTC, ISO 8601."""
    folder: Path | None = None
    """Keeps cached features and checkpoints, so that a killed run goes on; None: nothing is kept."""
    tell: Progress = silent
    left_s: Callable[[], float] = unlimited
    """Seconds left of the time budget; a fit that sees less than it needs for another pass ends with what it has."""
    seed: int = 0
    threads: int = 2
    note: Callable[[str], None] = unnoted
    """Told what a person must know of the result, one sentence each."""
