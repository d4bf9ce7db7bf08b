"""Keep of each judged picture what the rates need, and nothing of its size."""

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.decision.disposition import is_fault
from appliance.learning.ranking import suspicion
from appliance.schema.verdict import Disposition


class Row(Struct, frozen=True):
    """State one picture's truth and verdict."""

    name: str
    group: str
    kinds: tuple[str, ...]
    """Defects that it shows; empty for a good one."""
    bad: bool
    """Accepting it is an escape."""
    score: float
    disposition: Disposition

    @property
    def accepted(self) -> bool:
        """Whether the gate would open."""
        return self.disposition is Disposition.ACCEPT


def ranked(score: float) -> float:
    """Give a score to rank by: one that is none is never accepted."""
    return math.inf if is_fault(score) else score


def scores_of(rows: Sequence[Row]) -> NDArray[np.float64]:
    """Give the scores to rank by, (rows,) float64."""
    return suspicion(np.array([row.score for row in rows], np.float64))


def marks_of(rows: Sequence[Row]) -> NDArray[np.bool_]:
    """Say which are bad, (rows,) bool."""
    return np.array([row.bad for row in rows], np.bool_)


def kinds_of(rows: Sequence[Row]) -> tuple[str, ...]:
    """Give the kinds of defects that occur, by name."""
    return tuple(sorted({kind for row in rows for kind in row.kinds}))
