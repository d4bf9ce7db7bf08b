"""Over any history of review nothing is lost, decided twice, or let out of quarantine without a re-inspection."""

import random
import types

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.decision import review_queue
from appliance.schema.clocks import UtcNs
from appliance.schema.errors import Refused
from appliance.schema.part import PartId
from appliance.schema.review import Change, Occasion, ReviewStep
from tests.line.test_inversion import Workshop

PEOPLE = ("op-1", "op-2", "qe-1")
QUALITY = {"qe-1"}
ORIGINS = (Occasion.REVIEW, Occasion.UNKNOWN, Occasion.SAMPLE, Occasion.PARALLEL)
MINUTE = 60_000_000_000
WAIT = 10 * MINUTE
WAITING = {Change.OPENED, Change.REOPENED, Change.HANDED_ON}

DEEDS = st.tuples(
    st.sampled_from(
        [
            "open",
            "open",
            "decide",
            "decide",
            "hand on",
            "quarantine",
            "reinspect",
            "return",
            "pass",
            "restart",
            "shrink",
        ]
    ),
    st.integers(1, 8),
    st.sampled_from(PEOPLE),
    st.sampled_from(ORIGINS),
)


class Desk:
    """Play the desk: a store that keeps steps, and a queue that is built again from it at each restart."""

    def __init__(self, limit: int, module: types.ModuleType = review_queue) -> None:
        self.module = module
        self.held: dict[PartId, list[ReviewStep]] = {}
        self.limit = limit
        self.now = UtcNs(MINUTE)
        self.queue = self.fresh()

    def fresh(self) -> review_queue.ReviewQueue:
        items = [self.module.item_of(steps) for steps in self.held.values()]
        waiting = [item for item in items if item and item.waits]
        queue: review_queue.ReviewQueue = self.module.ReviewQueue(self.limit, WAIT, self.past, waiting)
        return queue

    def past(self, part: PartId) -> object:
        return self.module.item_of(self.held.get(part, ()))

    def keep(self, step: ReviewStep, *, first: bool) -> None:
        """Make a step durable before or after it happens: both orders are the service's."""
        if first:
            self.held.setdefault(step.part, []).append(step)
            self.queue.take(step)
        else:
            self.queue.take(step)
            self.held.setdefault(step.part, []).append(step)

    def do(self, verb: str, number: int, person: str, origin: Occasion) -> None:  # noqa: C901  one case per deed
        part, at = PartId(1, number), self.now
        self.now = UtcNs(self.now + MINUTE)
        match verb:
            case "open":
                step = self.queue.opening(part, origin, at)
                if step is not None:
                    self.keep(step, first=False)
            case "decide":
                self.keep(self.queue.deciding(part, person, at, quality=person in QUALITY), first=True)
            case "hand on":
                self.keep(self.queue.handing_on(part, person, at, quality=person in QUALITY), first=True)
            case "quarantine":
                self.keep(self.queue.quarantining(part, person, "odd", at), first=True)
            case "reinspect":
                self.keep(self.queue.reopening(part, person, "again", at), first=True)
            case "return":
                step = self.queue.returning(part, "held back", at)
                if step is not None:
                    self.keep(step, first=False)
            case "pass":
                self.now = UtcNs(self.now + number * 2 * MINUTE)
                self.expire()
                assert all(item.since + WAIT > self.now for item in self.queue.waiting)
            case "restart":
                self.queue = self.fresh()
            case "shrink":
                self.limit = max(1, self.limit - 1)
                self.queue = self.fresh()
                self.expire()

    def expire(self) -> None:
        for step in self.queue.expiring(self.now):
            self.keep(step, first=False)


def play(limit: int, deeds: list[tuple[str, int, str, Occasion]], module: types.ModuleType = review_queue) -> Desk:
    """Play a history; `module` may be the queue's with a rule turned round."""
    desk = Desk(limit, module)
    asked: set[PartId] = set()
    for deed in deeds:
        try:
            desk.do(*deed)
        except Refused:
            pass
        else:
            asked |= {PartId(1, deed[1])} if deed[0] in {"open", "reinspect"} else set()
        check(desk, asked)
    return desk


def check(desk: Desk, asked: set[PartId]) -> None:
    """Hold the rules after every deed."""
    waiting = {item.part for item in desk.queue.waiting}
    last = {part: steps[-1].change for part, steps in desk.held.items()}

    assert asked == set(desk.held)
    assert waiting == {part for part, change in last.items() if change in WAITING}
    assert len(waiting) <= desk.limit
    assert list(desk.fresh().waiting) == sorted(desk.queue.waiting, key=lambda item: item.since)
    for steps in desk.held.values():
        check_way(steps)


def check_way(steps: list[ReviewStep]) -> None:
    people: list[str] = []
    asked, is_handed = "", False
    for before, step in zip([None, *steps[:-1]], steps, strict=True):
        if before is not None and before.change in {Change.QUARANTINED, Change.DECIDED}:
            assert step.change is Change.REOPENED
            assert step.person or before.change is Change.DECIDED
        if step.change is Change.REOPENED:
            asked = step.person
        if step.change in {Change.DECIDED, Change.HANDED_ON}:
            assert before is not None
            assert before.change in WAITING
            assert not asked or step.person not in people
            assert not (steps[0].occasion is Occasion.UNKNOWN or is_handed) or step.person in QUALITY
            people += [step.person] if step.change is Change.DECIDED else []
            is_handed |= step.change is Change.HANDED_ON


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(limit=st.integers(1, 5), deeds=st.lists(DEEDS, max_size=60))
def test_no_history_breaks_a_rule(limit: int, deeds: list[tuple[str, int, str, Occasion]]) -> None:
    """Nothing is lost, decided twice or slips out of quarantine; the bound holds; a restart gives the same queue."""
    play(limit, deeds)


def long_histories(module: types.ModuleType = review_queue) -> set[Change]:
    """Play histories that reach every state often, 12 of 500 deeds each; gives the steps that were reached."""
    reached: set[Change] = set()
    for seed in range(12):
        generator = random.Random(seed)
        verbs = ["open", "decide", "decide", "hand on", "quarantine", "reinspect", "return", "pass", "restart"]
        deeds = [
            (
                generator.choice(verbs),
                generator.randint(1, 10),
                generator.choice(PEOPLE),
                generator.choice(ORIGINS),
            )
            for _ in range(500)
        ]
        desk = play(generator.randint(1, 8), deeds, module)
        reached |= {step.change for steps in desk.held.values() for step in steps}
    return reached


def test_long_random_histories_break_no_rule() -> None:
    """The same over histories that reach every state often."""
    assert set(Change) == long_histories()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("        if self.is_full:\n            why =", "        if False:\n            why ="),
        ("        if self.is_full:\n            raise Refused", "        if False:\n            raise Refused"),
        ("if item.needs_quality and not quality:", "if item.needs_quality and quality:"),
        ("if item.asked_by and person in item.people:", "if False:"),
        ("if self.find(part) is not None:", "if self.find(part) is None:"),
        ("or item.change is not Change.DECIDED or self.is_full", "or self.is_full"),
        ("or item.change is not Change.DECIDED or self.is_full", "or item.change is not Change.DECIDED"),
        ("if item.change is Change.DECIDED:", "if item.change is not Change.DECIDED:"),
        ("if item.change is Change.QUARANTINED:", "if False:"),
        ("if item is not None and item.waits:", "if False:"),
        ("item.since + self._wait_ns <= at", "item.since + self._wait_ns > at"),
        ("over if place >= self._limit", "over if False"),
        (
            "        if item.waits:\n            self._waiting[step.part] = item",
            "        self._waiting[step.part] = item",
        ),
        ("        self._waiting.pop(step.part, None)\n", ""),
        ("        people = (*people, step.person)", "        people = ()"),
        ("or self.origin is Occasion.UNKNOWN", "or self.occasion is Occasion.UNKNOWN"),
        ("return self.handed_on or", "return"),
        ("is_handed or (item is not None and item.handed_on)", "is_handed"),
        ("Change.HANDED_ON})\n", "})\n"),
    ],
)
def test_each_rule_of_the_queue_dies_when_it_is_turned_round(old: str, new: str) -> None:
    """The histories above see every rule: without it they break, or a step comes that cannot follow."""
    workshop = Workshop()
    module = workshop.turn("appliance.decision.review_queue", (old, new))
    try:
        with pytest.raises((AssertionError, ValueError, LookupError)):
            every_history(module)
    finally:
        workshop.clean()


def every_history(module: types.ModuleType) -> None:
    """Play the long histories, and a limit that is lowered."""
    long_histories(module)
    shrunk(module)


def shrunk(module: types.ModuleType = review_queue) -> None:
    """Fill a queue and lower its limit, as a new version of the recipe does."""
    play(
        5,
        [("open", number, "op-1", Occasion.REVIEW) for number in range(1, 6)] + [("shrink", 1, "", Occasion.REVIEW)],
        module,
    )


def test_a_lower_limit_sends_the_newest_into_quarantine() -> None:
    """No rule breaks when the recipe allows fewer parts to wait than wait already."""
    shrunk()
