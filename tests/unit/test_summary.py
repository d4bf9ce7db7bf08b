"""Protect the account of a run: what is excused, and what is not."""

import msgspec
import pytest

from appliance.sim.summary import Summary, Truth
from tests.unit.test_report import inspection, summary_of


def summary(lanes: str, boots: str) -> Summary:
    """Sum up parts by lane (a, r) and the boot that saw each; `-` was seen by none."""
    pairs = []
    for number, (lane, boot) in enumerate(zip(lanes, boots, strict=True), 1):
        way = "accept" if lane == "a" else "reject"
        row = None if boot == "-" else msgspec.structs.replace(inspection(number, way), boot=int(boot))
        pairs.append((Truth(number, "good", number * 1000, way), row))
    return summary_of(pairs)


@pytest.mark.parametrize(
    ("lanes", "boots", "unseen", "unaccounted", "unproven"),
    [
        ("aaaa", "1111", 0, 0, 0),
        ("arra", "1--2", 2, 0, 0),
        ("arra", "1--1", 0, 2, 0),
        ("aara", "1--2", 1, 1, 1),
        ("rraa", "--11", 0, 2, 0),
        ("aarr", "11--", 0, 2, 0),
    ],
)
def test_only_a_dark_microcontroller_excuses_a_part(
    lanes: str, boots: str, unseen: int, unaccounted: int, unproven: int
) -> None:
    """A part without a row is excused between two boots and in the reject lane only; any other is a broken promise."""
    found = summary(lanes, boots)

    assert (unseen, unaccounted, unproven) == (found.unseen, found.unaccounted, found.accepted_without_verdict)
    assert bool(unaccounted or unproven) == bool(found.broken)
