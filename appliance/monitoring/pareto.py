"""Order causes by how often they occur, with exact intervals; pure. Juran, "Quality Control Handbook" (1951)."""

from collections.abc import Mapping

from msgspec import Struct

from appliance.decision.escapes import Share
from appliance.monitoring.shares import share as share_of


class Slice(Struct, frozen=True):
    """Give one cause of a Pareto chart."""

    name: str
    count: int
    share: Share
    """Of all that were counted."""
    cumulative: float
    """Share of all that this cause and those before it make up, in [0, 1]."""
    merged: int = 0
    """How many causes the last slice holds together; 0: it is one cause."""


REST = ""
"""Name of the slice that holds the causes past the longest list."""


def pareto(counts: Mapping[str, int], longest: int = 8) -> tuple[Slice, ...]:
    """Order causes by count, then by name; those past the longest list become one slice at the end.

    ValueError for a negative count. Causes that never occurred are left out.
    """
    if any(count < 0 for count in counts.values()):
        raise ValueError(f"pareto: {dict(counts)} holds a negative count; counts are 0 or more")
    ordered = sorted(((name, count) for name, count in counts.items() if count), key=lambda one: (-one[1], one[0]))
    whole, merged = ordered[:longest], ordered[longest:]
    if len(merged) == 1:
        whole, merged = ordered, []
    total = sum(count for _, count in ordered)
    slices: list[Slice] = []
    so_far = 0
    for name, count in whole:
        so_far += count
        slices.append(Slice(name, count, share_of(count, total), so_far / total))
    if merged:
        rest = sum(count for _, count in merged)
        slices.append(Slice(REST, rest, share_of(rest, total), 1.0, len(merged)))
    return tuple(slices)
