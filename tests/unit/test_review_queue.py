"""The review queue: who may decide what, and what is answered to those who may not."""

import pytest
from msgspec.structs import replace

from appliance.decision.review_queue import (
    Item,
    ReviewQueue,
    for_operators,
    for_quality,
    item_of,
    occasion_of,
    shown_as,
)
from appliance.schema.clocks import HostNs, UtcNs
from appliance.schema.errors import Refused
from appliance.schema.part import PartId
from appliance.schema.review import Change, Occasion, ReviewStep
from appliance.schema.verdict import Disposition, Reason, Verdict

AT = UtcNs(1_795_265_276_000_000_000)
HOUR = 3_600_000_000_000


def part(number: int) -> PartId:
    return PartId(0xA0, number)


def empty(limit: int = 3, wait_ns: int = HOUR) -> ReviewQueue:
    steps: dict[PartId, Item] = {}
    queue = ReviewQueue(limit, wait_ns, steps.get)
    take = queue.take

    def taken(step: ReviewStep) -> Item:
        item = take(step)
        steps[step.part] = item
        return item

    queue.take = taken  # type: ignore[method-assign]  # remembers, as the store does
    return queue


def opened(queue: ReviewQueue, number: int, occasion: Occasion = Occasion.REVIEW, at: int = AT) -> Item:
    step = queue.opening(part(number), occasion, UtcNs(at))
    assert step is not None
    return queue.take(step)


@pytest.mark.parametrize(
    ("disposition", "reasons", "occasion"),
    [
        (Disposition.ACCEPT, (Reason.WITHIN_LIMITS,), None),
        (Disposition.REJECT, (Reason.ABOVE_REJECT_LIMIT,), None),
        (Disposition.NO_VERDICT, (Reason.VIEW_MISSING,), None),
        (Disposition.REVIEW, (Reason.BETWEEN_LIMITS,), Occasion.REVIEW),
        (Disposition.REVIEW, (Reason.RANDOM_SAMPLE, Reason.CONFIDENT), Occasion.SAMPLE),
        (Disposition.UNKNOWN, (Reason.UNKNOWN_DEFECT,), Occasion.UNKNOWN),
    ],
)
def test_a_verdict_says_who_must_look(
    disposition: Disposition, reasons: tuple[Reason, ...], occasion: Occasion | None
) -> None:
    """REVIEW and UNKNOWN ask a person, and nothing else does."""
    verdict = Verdict(part(1), disposition, reasons, HostNs(1), HostNs(2), 1)

    assert occasion == occasion_of(verdict)


def test_a_random_sample_looks_like_any_review() -> None:
    """Whoever reviews must not know that the model would have accepted the part."""
    queue = empty()
    sample, review = opened(queue, 1, Occasion.SAMPLE), opened(queue, 2)

    assert Occasion.REVIEW == shown_as(sample) == shown_as(review)
    assert Occasion.SAMPLE == sample.occasion


def test_operators_see_the_oldest_first_and_no_unknown_part() -> None:
    """An unknown part is the quality engineer's, and comes first there."""
    queue = empty(5)
    opened(queue, 1, at=AT + 2)
    opened(queue, 2, Occasion.UNKNOWN, at=AT + 3)
    opened(queue, 3, at=AT + 1)

    assert [3, 1] == [item.part.number for item in for_operators(queue.waiting)]
    assert [2, 3, 1] == [item.part.number for item in for_quality(queue.waiting)]


def test_an_operator_does_not_decide_an_unknown_part() -> None:
    """UNKNOWN goes to the quality engineer's queue; the answer says who that is."""
    queue = empty()
    opened(queue, 1, Occasion.UNKNOWN)
    with pytest.raises(Refused, match="'op-1' is not listed as a quality engineer; let one of those under"):
        queue.deciding(part(1), "op-1", AT, quality=False)

    assert Change.DECIDED is queue.deciding(part(1), "qe-1", AT, quality=True).change


def test_a_part_is_decided_once() -> None:
    """The second answer learns by whom and when; another person may inspect it again, the same may not."""
    queue = empty()
    opened(queue, 1)
    queue.take(queue.deciding(part(1), "op-1", AT, quality=False))
    with pytest.raises(Refused, match="decided already by op-1 at 2026-11-21T12:47:56Z"):
        queue.deciding(part(1), "op-2", AT, quality=False)
    again = queue.take(queue.reopening(part(1), "op-2", "looks odd", AT))
    with pytest.raises(Refused, match="'op-1' has decided it before; another person must"):
        queue.deciding(part(1), "op-1", AT, quality=True)
    step = queue.deciding(part(1), "op-2", AT, quality=False)

    assert (Occasion.REINSPECTION, Occasion.REINSPECTION) == (again.occasion, step.occasion)


def test_a_part_that_nobody_is_asked_about_is_not_decided() -> None:
    """An accept of a part that is not open would be an accept that nobody asked for."""
    with pytest.raises(Refused, match="nobody is asked to decide it"):
        empty().deciding(part(9), "op-1", AT, quality=True)


def test_a_full_queue_sends_further_parts_into_quarantine() -> None:
    """The part is never dropped, and leaves only by a re-inspection for which a place is free."""
    queue = empty(limit=1)
    opened(queue, 1)
    held = opened(queue, 2)
    with pytest.raises(Refused, match=r"in quarantine since .*: 1 parts waited, limit 1; ask for a"):
        queue.deciding(part(2), "qe-1", AT, quality=True)
    with pytest.raises(Refused, match="1 parts wait, limit 1; decide some"):
        queue.reopening(part(2), "op-1", "now", AT)
    queue.take(queue.deciding(part(1), "op-1", AT, quality=False))
    again = queue.take(queue.reopening(part(2), "op-1", "now", AT))

    assert (Change.QUARANTINED, False) == (held.change, held.waits)
    assert (Change.REOPENED, True, Occasion.REVIEW) == (again.change, again.waits, again.origin)


def test_what_nobody_decides_in_time_goes_into_quarantine() -> None:
    """To the nanosecond, and the ones that came later stay."""
    queue = empty(wait_ns=HOUR)
    opened(queue, 1)
    opened(queue, 2, at=AT + 1)

    assert AT + HOUR == queue.due
    assert [] == queue.expiring(UtcNs(AT + HOUR - 1))
    assert [part(1)] == [step.part for step in queue.expiring(UtcNs(AT + HOUR))]
    assert "nobody decided it in 60 minutes" == queue.expiring(UtcNs(AT + HOUR))[0].why


def test_an_unknown_part_stays_the_quality_engineers_after_quarantine() -> None:
    """A detour does not let an operator decide what the model did not know."""
    queue = empty()
    opened(queue, 1, Occasion.UNKNOWN)
    queue.take(queue.quarantining(part(1), "op-1", "cannot tell", AT))
    queue.take(queue.reopening(part(1), "op-1", "a better lamp", AT))
    with pytest.raises(Refused, match="not listed as a quality engineer"):
        queue.deciding(part(1), "op-2", AT, quality=False)


def test_a_part_held_by_the_machine_may_be_inspected_again() -> None:
    """What the model rejected is opened by a person's wish alone."""
    queue = empty()
    item = queue.take(queue.reopening(part(4), "op-1", "looks good", AT))

    assert (Occasion.REINSPECTION, 1, True) == (item.origin, item.steps, item.waits)
    with pytest.raises(Refused, match="waits already"):
        queue.reopening(part(4), "op-2", "looks good", AT)


def test_a_part_comes_in_once() -> None:
    """A fact told twice opens nothing again, not even after the part was decided."""
    queue = empty()
    opened(queue, 1)
    assert queue.opening(part(1), Occasion.REVIEW, AT) is None
    queue.take(queue.deciding(part(1), "op-1", AT, quality=False))

    assert queue.opening(part(1), Occasion.REVIEW, AT) is None


def test_steps_that_cannot_follow_each_other_are_a_fault() -> None:
    """A decision out of nothing, or out of quarantine, is no state."""
    first = ReviewStep(part(1), 1, Change.OPENED, Occasion.REVIEW, "", "", AT)
    held = replace(first, number=2, change=Change.QUARANTINED)
    for steps in (
        [replace(first, change=Change.DECIDED)],
        [first, held, replace(first, number=3, change=Change.DECIDED)],
        [first, replace(held, number=3)],
        [first, first],
    ):
        with pytest.raises(ValueError, match="cannot follow"):
            item_of(steps)
