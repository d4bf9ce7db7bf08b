"""Hold what was measured, and say how a task's pictures are counted."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct, field

from appliance.evaluation.judging import Judged
from appliance.evaluation.row import Row
from appliance.learning.bootstrap import Interval

SEED = 0
"""Of all drawing of parts: the same pictures give the same intervals."""


class Outcome(Struct):
    """Collect metrics of one task; rates carry their counts, other numbers have an interval by parts."""

    metrics: dict[str, Any] = field(default_factory=dict)
    per_class: dict[str, dict[str, Any]] = field(default_factory=dict)
    intervals: dict[str, Interval | None] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    """Free keys of the report."""
    remarks: list[str] = field(default_factory=list)

    def of_class(self, name: str, found: Mapping[str, Any]) -> None:
        """Add what is known of one class."""
        self.per_class.setdefault(name, {}).update(found)


class Tally(Protocol):
    """Count judged pictures of one task, one after the other."""

    def add(self, judged: Judged, row: Row) -> None:
        """Take one picture; keeps nothing of its size."""

    def outcome(self, rows: Sequence[Row]) -> Outcome:
        """Give the metrics of all pictures taken, whose rows come in the order in which they were taken."""
