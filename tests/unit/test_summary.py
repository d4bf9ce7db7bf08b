"""Protect the account of a run: what is excused, and what is not."""

import msgspec
import pytest

from appliance.decision.escapes import Stratum, estimate
from appliance.decision.parallel import Pair, compare
from appliance.schema.clocks import UtcNs
from appliance.schema.verdict import Disposition
from appliance.sim.summary import Summary, Truth
from appliance.storage.review_queries import Tally
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


@pytest.mark.parametrize(
    ("cause", "disposition", "margin_ms", "unproven"),
    [
        ("operator", "no_verdict", 120.0, 0),
        ("operator", "no_verdict", None, 1),
        ("operator", "no_verdict", -1.0, 1),
        ("operator", "accept", None, 1),
        ("accepted", "no_verdict", 120.0, 1),
        ("accepted", "accept", None, 0),
    ],
)
def test_a_person_explains_only_what_the_gate_did_for_a_person(
    cause: str, disposition: str, margin_ms: float | None, unproven: int
) -> None:
    """Parallel mode: the accept lane needs a person's accept in time, whatever the model thought, and the reverse."""
    row = msgspec.structs.replace(inspection(1), cause=cause, disposition=disposition, manual_margin_ms=margin_ms)

    assert unproven == summary_of([(Truth(1, "good", 1000, "accept"), row)]).accepted_without_verdict


def test_a_run_in_parallel_mode_states_the_comparison_with_its_counts() -> None:
    """What the model would have done stands beside what people did, with n; the fixed keys stay."""
    pairs = [Pair(True, "good", Disposition.ACCEPT, UtcNs(1)), Pair(False, "dent", Disposition.ACCEPT, UtcNs(2))]
    plain = summary_of([])
    found = msgspec.structs.replace(plain, parallel=compare(pairs), review=Tally(2, 2, 0, 0))
    told = found.to_json()

    assert {"opened": 2, "decided": 2, "quarantined": 0, "waiting": 0} == told["review"]
    assert {"parallel"} == told.keys() - plain.to_json().keys()
    assert (1, 1) == (told["parallel"]["escapes"]["k"], told["parallel"]["escapes"]["n"])  # type: ignore[index]
    assert {"good", "dent"} == told["parallel"]["table"].keys()  # type: ignore[index]
    assert "1 of 1 (100.0%, 95 % interval 2.5% to 100.0%) of those that the person rejected" in found.lines()[-1]


def test_the_random_sample_of_a_run_is_told_with_its_interval() -> None:
    """An escape rate without its count is no statement."""
    found = msgspec.structs.replace(summary_of([]), sampled=estimate([Stratum(0.01, 300, 3, 3, 0)]))

    assert "random sample: 0 of 3 (0.0%, 95 % interval 0.0% to 70.8%) defective, 0 wait; escapes" in found.lines()[-1]
