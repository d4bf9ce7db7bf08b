"""Protect the judge's rules: one verdict per part, in time, and ACCEPT only on proven, whole, good views."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.ports.inspector import Inspection
from appliance.ports.node import Output, Publish
from appliance.schema.clocks import MS, CameraNs, EncoderCounts, HostNs, McuTicks, S
from appliance.schema.command import Accepted, ActivateBundle, Drain, RefusedReply
from appliance.schema.errors import FrameOverwritten, RuntimeFault
from appliance.schema.finding import ViewResult
from appliance.schema.frame import FrameCounts, FrameName, FrameReady, PixelFormat, SlotRef
from appliance.schema.health import Alarm, Condition, Health
from appliance.schema.part import PartEntered, PartExposed, PartId
from appliance.schema.verdict import Disposition, InspectionResult, Reason, Verdict
from appliance.services.judge import DECIDED_KEPT, UNPAIRED_LIFE, JudgeNode

BEGIN = 10 * S
WINDOW = 300 * MS
COUNTS = 50
MARGIN = 2 * MS
TOLERANCE = 5 * MS


class Ring:
    """Lend pixels and remember what was given back."""

    def __init__(self) -> None:
        self.overwritten = False
        self.borrowed: list[int] = []
        self.released: list[int] = []
        self.refreshed = 0

    @contextmanager
    def borrow(self, frame: FrameReady) -> Iterator[NDArray[np.uint8]]:
        self.borrowed.append(frame.frame_id)
        yield np.zeros((2, 2), np.uint8)
        if self.overwritten:
            raise FrameOverwritten("camera top: slot 0 was reclaimed; raise slots")

    def release(self, frame: FrameReady) -> None:
        self.released.append(frame.frame_id)

    def refresh(self, now_ns: int) -> None:
        self.refreshed += 1


class Model:
    """Give the score that the test set, at the instant that the test set."""

    runtime, precision = "twin", "f32"

    def __init__(self, bundle: str = "sha256:a", accept: float | None = 1.0, reject: float | None = 2.0) -> None:
        self.bundle, self.accept_below, self.reject_above = bundle, accept, reject
        self.score = 0.5
        self.finished: int | None = None
        self.fault = ""

    def inspect(self, frame: FrameReady, pixels: NDArray[np.uint8]) -> Inspection:
        if self.fault:
            raise RuntimeFault(self.fault)
        view = ViewResult(frame.camera, frame.ref.epoch, frame.frame_id, self.score, None, ())
        finished = HostNs(frame.arrived + 5 * MS if self.finished is None else self.finished)
        return Inspection(view, 1.0, 3.0, finished)


class Rig:
    """Hold a judge with what it borrows, and play parts to it."""

    def __init__(self, cameras: Sequence[str] = ("top",), model: Model | None = None) -> None:
        self.ring = Ring()
        self.model = model or Model()
        self.cameras = tuple(cameras)
        self.said: list[Output] = []
        self.loads: dict[str, Model] = {}
        self.node = JudgeNode(cameras, self.ring, self.model, self._load, TOLERANCE, COUNTS, MARGIN)
        self.said += self.node.start(HostNs(BEGIN))

    def _load(self, path: str) -> Model:
        if path not in self.loads:
            raise RuntimeFault(f"{path}: no bundle")
        return self.loads[path]

    def tell(self, message: PartEntered | PartExposed | FrameReady, now: int) -> list:
        outputs = list(self.node.receive("", message, HostNs(now)))
        self.said += outputs
        return [one.message for one in outputs if isinstance(one, Publish)]

    def wake(self, now: int) -> list:
        outputs = list(self.node.wake(HostNs(now)))
        self.said += outputs
        return [one.message for one in outputs if isinstance(one, Publish)]

    def part(self, index: int, *, now: int | None = None, camera: str = "top", **changes: object) -> list:
        """Play one whole part: entered, exposed, frame."""
        at = BEGIN + index * 100 * MS
        return [
            *self.tell(entered(index, self.cameras), at),
            *self.tell(exposed(index, camera), at),
            *self.tell(frame(index, camera, **changes), at + 10 * MS if now is None else now),
        ]

    @property
    def verdicts(self) -> list[Verdict]:
        return [one.message for one in self.said if isinstance(one, Publish) and isinstance(one.message, Verdict)]


def entered(index: int, cameras: Sequence[str] = ("top",), **changes: object) -> PartEntered:
    at = BEGIN + index * 100 * MS
    part = PartEntered(
        PartId(1, index + 1), HostNs(at), 1000, McuTicks(0), EncoderCounts(0), HostNs(at + WINDOW), tuple(cameras)
    )
    return replace(part, **changes)


def exposed(index: int, camera: str = "top") -> PartExposed:
    at = BEGIN + index * 100 * MS
    return PartExposed(PartId(1, index + 1), camera, index, HostNs(at), 1000, McuTicks(0), EncoderCounts(0))


def frame(index: int, camera: str = "top", **changes: object) -> FrameReady:
    at = BEGIN + index * 100 * MS
    ready = FrameReady(
        camera, SlotRef(1, index % 8, 2 * index + 1), index, CameraNs(at), HostNs(at), 1000, None, HostNs(at + 8 * MS),
        2, 2, PixelFormat.MONO8, 1.0, 0.0, 0, FrameCounts(),
    )  # fmt: skip
    return replace(ready, **changes)


def only(messages: list, kind: type) -> list:
    return [message for message in messages if isinstance(message, kind)]


def decision(verdict: Verdict) -> tuple[Disposition, tuple[Reason, ...]]:
    return verdict.disposition, verdict.reasons


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (0.5, (Disposition.ACCEPT, (Reason.WITHIN_LIMITS,))),
        (1.0, (Disposition.ACCEPT, (Reason.WITHIN_LIMITS,))),
        (1.5, (Disposition.REVIEW, (Reason.BETWEEN_LIMITS,))),
        (2.5, (Disposition.REJECT, (Reason.ABOVE_REJECT_LIMIT,))),
        (float("nan"), (Disposition.REJECT, (Reason.ABOVE_REJECT_LIMIT,))),
        (float("inf"), (Disposition.REJECT, (Reason.ABOVE_REJECT_LIMIT,))),
    ],
)
def test_the_score_decides(score: float, expected: tuple[Disposition, tuple[Reason, ...]]) -> None:
    """A whole, proven view is judged by its score; a score that is not a number is never accepted."""
    rig = Rig()
    rig.model.score = score
    rig.part(0)

    assert [expected] == [decision(verdict) for verdict in rig.verdicts]


def test_verdict_and_result_name_the_part() -> None:
    """The verdict goes first, since the gate waits for it; both name part, model and what was seen."""
    rig = Rig()
    verdict, result = only(rig.part(0), Verdict | InspectionResult)

    assert isinstance(verdict, Verdict)
    assert (PartId(1, 1), 1, BEGIN + WINDOW) == (verdict.part, verdict.sequence, verdict.decide_by)
    assert (PartId(1, 1), "sha256:a", "twin", "f32") == (result.part, result.bundle, result.runtime, result.precision)
    assert [0.5] == [view.score for view in result.views]


def test_order_of_messages_does_not_matter() -> None:
    """Frame, exposure and part may overtake each other: two writers, three topics."""
    told = {"entered": entered(0), "exposed": exposed(0), "frame": frame(0)}
    orders = [("frame", "exposed", "entered"), ("exposed", "frame", "entered"), ("frame", "entered", "exposed"),
              ("exposed", "entered", "frame"), ("entered", "frame", "exposed")]  # fmt: skip
    for order in orders:
        rig = Rig()
        for name in order:
            rig.tell(told[name], BEGIN + 10 * MS)

        assert [Disposition.ACCEPT] == [verdict.disposition for verdict in rig.verdicts], order


def test_a_part_has_one_verdict() -> None:
    """Doubled messages open no second verdict, however often they come."""
    rig = Rig()
    for _ in range(3):
        rig.part(0)
    rig.wake(BEGIN + 2 * S)

    assert len(rig.verdicts) == 1


def test_a_doubled_entry_forgets_no_view() -> None:
    """A part that is told of twice keeps what was seen of it."""
    rig = Rig(("top", "side"))
    rig.part(0)
    rig.tell(entered(0, ("top", "side")), BEGIN)
    rig.tell(exposed(0, "side"), BEGIN)
    rig.tell(frame(0, "side"), BEGIN + 12 * MS)

    assert [Disposition.ACCEPT] == [verdict.disposition for verdict in rig.verdicts]


def test_decided_parts_are_remembered_and_forgotten() -> None:
    """The memory of decided parts is bounded; it is longer than any message may stay under way."""
    rig = Rig()
    for index in range(DECIDED_KEPT + 5):
        rig.part(index)

    assert len(rig.node._decided) == DECIDED_KEPT


def test_a_missing_view_is_no_verdict_at_the_deadline() -> None:
    """The judge waits until its margin before the deadline and not a moment longer."""
    rig = Rig()
    rig.tell(entered(0), BEGIN)
    due = BEGIN + WINDOW - MARGIN

    assert [] == only(rig.wake(due - 1), Verdict)
    assert rig.node.wake_at == due
    assert [(Disposition.NO_VERDICT, (Reason.VIEW_MISSING,))] == [decision(one) for one in only(rig.wake(due), Verdict)]


def test_every_view_must_be_good() -> None:
    """The worst view decides, and one that is missing is worse than any."""
    rig = Rig(("top", "side"))
    rig.tell(entered(0, ("top", "side")), BEGIN)
    rig.tell(exposed(0, "top"), BEGIN)
    rig.tell(exposed(0, "side"), BEGIN)
    rig.tell(frame(0, "top"), BEGIN + 10 * MS)

    assert [] == rig.verdicts

    rig.model.score = 9.0
    rig.tell(frame(0, "side"), BEGIN + 12 * MS)

    reasons = (Reason.ABOVE_REJECT_LIMIT, Reason.WITHIN_LIMITS)

    assert [(Disposition.REJECT, reasons)] == list(map(decision, rig.verdicts))


def test_one_of_two_views_is_no_verdict() -> None:
    """A good view does not stand for the other."""
    rig = Rig(("top", "side"))
    rig.part(0)
    rig.wake(BEGIN + WINDOW)

    assert [(Disposition.NO_VERDICT, (Reason.VIEW_MISSING, Reason.WITHIN_LIMITS))] == list(map(decision, rig.verdicts))


def test_an_incomplete_frame_is_never_judged() -> None:
    """Part of an image proves nothing about the part."""
    rig = Rig()
    results = only(rig.part(0, complete=False), InspectionResult)

    assert [(Disposition.NO_VERDICT, (Reason.FRAME_INCOMPLETE,))] == list(map(decision, rig.verdicts))
    assert [((), (FrameName("top", 1, 0),))] == [(result.views, result.unjudged) for result in results]
    assert ([], [0]) == (rig.ring.borrowed, rig.ring.released)


def test_an_overwritten_frame_decides_nothing() -> None:
    """A score from pixels that changed meanwhile is thrown away."""
    rig = Rig()
    rig.ring.overwritten = True
    rig.part(0)

    assert [(Disposition.NO_VERDICT, (Reason.FRAME_OVERWRITTEN,))] == list(map(decision, rig.verdicts))


def test_a_model_fault_is_no_verdict_and_shows_in_health() -> None:
    """The line goes on rejecting, and a technician reads why."""
    rig = Rig()
    rig.model.fault = "model: no memory"
    rig.part(0)
    (health,) = only(rig.wake(BEGIN + 2 * S), Health)

    assert [(Disposition.NO_VERDICT, (Reason.MODEL_FAULT,))] == list(map(decision, rig.verdicts))
    assert (Condition.DEGRADED, "model: no memory") == (health.condition, health.components[0].cause)


def test_without_a_bundle_nothing_is_accepted() -> None:
    """A judge that has no model says so and decides nothing."""
    rig = Rig()
    rig.node._inspector = None
    rig.part(0)

    assert [(Disposition.NO_VERDICT, (Reason.NO_BUNDLE,))] == list(map(decision, rig.verdicts))
    assert only(rig.wake(BEGIN + 2 * S), Health)[0].condition is Condition.FAILED


@pytest.mark.parametrize(("accept", "reject"), [(None, None), (1.0, None), (None, 2.0)])
def test_without_limits_nothing_is_accepted(accept: float | None, reject: float | None) -> None:
    """An uncalibrated bundle sends every part to a person."""
    rig = Rig(model=Model(accept=accept, reject=reject))
    rig.part(0)

    assert [(Disposition.REVIEW, (Reason.UNCALIBRATED,))] == list(map(decision, rig.verdicts))


def test_a_frame_after_the_deadline_is_not_looked_at() -> None:
    """Time is not spent on a part that cannot be saved; its verdict was given when its time was up."""
    rig = Rig()
    rig.part(0, now=BEGIN + WINDOW)

    assert [(Disposition.NO_VERDICT, (Reason.TOO_LATE,))] == list(map(decision, rig.verdicts))
    assert ([], [0]) == (rig.ring.borrowed, rig.ring.released)


def test_a_model_that_took_too_long_decides_nothing() -> None:
    """A score that was in hand within the margin of the deadline is too late."""
    rig = Rig()
    rig.model.finished = BEGIN + WINDOW - MARGIN
    rig.part(0)

    assert [(Disposition.NO_VERDICT, (Reason.TOO_LATE,))] == list(map(decision, rig.verdicts))


def test_a_replayed_part_is_not_judged() -> None:
    """A part that was read from memory after a gap is past its gate."""
    rig = Rig()
    rig.tell(entered(0, replayed=True), BEGIN)
    rig.tell(exposed(0), BEGIN)
    rig.tell(frame(0), BEGIN)
    rig.wake(BEGIN + 2 * S)

    assert [] == rig.verdicts
    assert [0] == rig.ring.released


@pytest.mark.parametrize(
    ("first", "second", "reason", "alarm"),
    [(5, 5, Reason.PAIRING_UNPROVEN, "pairing_unproven"), (0, 0, Reason.PAIRING_MISMATCH, "pairing_mismatch")],
)
def test_a_pair_that_is_not_proven_is_no_verdict_and_an_alarm(
    first: int, second: int, reason: Reason, alarm: str
) -> None:
    """The classic bug of this trade costs its part the ACCEPT, and someone is told."""
    rig = Rig()
    if first == 0:
        rig.part(0)
        rig.said.clear()
        second = 1
    told = rig.part(second, frame_id=second + 3)

    assert [(Disposition.NO_VERDICT, (reason,))] == list(map(decision, rig.verdicts))
    assert [alarm] == [one.kind for one in only(told, Alarm)]
    assert rig.ring.released == [second + 3]


def test_what_never_finds_its_partner_is_given_back() -> None:
    """Each frame's slot goes back to the ring, with or without a part."""
    rig = Rig()
    rig.tell(frame(0), BEGIN + 10 * MS)  # no exposure comes
    rig.tell(exposed(1), BEGIN + 100 * MS)  # no part comes
    rig.tell(frame(1), BEGIN + 110 * MS)
    rig.tell(frame(2, camera="unknown"), BEGIN + 110 * MS)
    rig.wake(BEGIN + 2 * UNPAIRED_LIFE)

    assert [0, 1, 2] == sorted(rig.ring.released)
    assert [] == rig.verdicts


def test_a_bundle_is_activated_only_when_no_part_waits() -> None:
    """No part is judged by two models; the bundle that cannot be loaded leaves the active one."""
    rig = Rig()
    rig.loads["next"] = Model("sha256:b")
    rig.tell(entered(0), BEGIN)
    busy, _ = rig.node.command(ActivateBundle("next"), HostNs(BEGIN))
    rig.wake(BEGIN + WINDOW)
    absent, _ = rig.node.command(ActivateBundle("absent"), HostNs(BEGIN + WINDOW))
    granted, outputs = rig.node.command(ActivateBundle("next"), HostNs(BEGIN + WINDOW))
    refused, _ = rig.node.command(Drain(), HostNs(BEGIN + WINDOW))

    assert isinstance(busy, RefusedReply)
    assert isinstance(absent, RefusedReply)
    assert "the active bundle stays" in absent.reason
    assert Accepted("sha256:b") == granted
    assert ["sha256:b"] == [one.message.components[0].cause for one in outputs if isinstance(one, Publish)]
    assert isinstance(refused, RefusedReply)


def test_health_is_stated_at_once_and_every_second() -> None:
    """Progress grows with work and with real idle checks, so the watchdog is fed by life only."""
    rig = Rig()
    first = only([one.message for one in rig.said], Health)
    second = only(rig.wake(BEGIN + 1 * S), Health)

    assert (1, 1) == (len(first), len(second))
    assert second[0].progress > first[0].progress
    assert [] == rig.wake(BEGIN + 1 * S + 1)
    assert rig.ring.refreshed == 1
