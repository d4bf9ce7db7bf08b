"""Notice that decisions no longer arrive in time; pure."""

from appliance.schema.actuation import Cause

LATE_IN_A_ROW = 3
"""Parts in a row without a verdict in time after which the line is asked to stop."""

LATE_CAUSES = frozenset({Cause.LATE, Cause.NO_VERDICT, Cause.HOST_LOST})
"""Causes that mean: no verdict was in hand in time."""

TIMELY_CAUSES = frozenset({Cause.ACCEPTED, Cause.DECIDED_REJECT, Cause.OPERATOR})
"""Causes that prove decisions arrive in time; the others say nothing about it."""


class Lateness:
    """Count parts without a verdict in time; three in a row ask for a line stop until `reset`."""

    def __init__(self, *, stops: bool = True) -> None:
        """Begin with nothing counted.

        stops: False only counts: where people decide, a part that waits for them behind the gate is no failure.
        """
        self.total = 0
        self.stop = False
        self._run = 0
        self._stops = stops

    def add(self, cause: Cause) -> None:
        """Take the next part's cause."""
        if cause in LATE_CAUSES:
            self.total += 1
            self._run += 1
        elif cause in TIMELY_CAUSES:
            self._run = 0
        if self._stops and self._run >= LATE_IN_A_ROW:
            self.stop = True

    def reset(self) -> None:
        """Withdraw the request and begin a new run."""
        self.stop = False
        self._run = 0
