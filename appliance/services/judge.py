"""Judge parts: pair frames with parts, inspect them, decide in time, state what was seen and decided."""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, field

from appliance.decision.deadline import latest
from appliance.decision.disposition import Judged, is_fault
from appliance.decision.fusion import fuse
from appliance.decision.pairing import Pair, Pairing, Proof
from appliance.governance.approval import Primary
from appliance.ports.frames import Frames
from appliance.ports.inspector import Inspection, Inspector
from appliance.ports.node import Output, Publish
from appliance.ports.promise import Promise
from appliance.schema.clocks import MS, HostNs, S
from appliance.schema.command import Command, RefusedReply, Reply
from appliance.schema.errors import ApplianceError, FrameOverwritten, StoreError
from appliance.schema.finding import ViewResult
from appliance.schema.frame import FrameName, FrameReady
from appliance.schema.health import Alarm, Component, Condition, Health
from appliance.schema.part import BeltPosition, PartEntered, PartExposed, PartId
from appliance.schema.policy import Policy
from appliance.schema.topics import ALARM, BELT, FRAME, PART_ENTERED, PART_EXPOSED, STATUS
from appliance.schema.verdict import Disposition, InspectionResult, Reason, StageTimes
from appliance.services._bundles import BundleCommand, Bundles
from appliance.services._judge_policy import Policing
from appliance.services._judge_voice import Decided, OpenVoice, SealedVoice, Voice
from appliance.services._staging import Answer

HEALTH_PERIOD = 1 * S
UNPAIRED_LIFE = 500 * MS
"""A frame or exposure whose partner has not come by then never gets one: the belt has moved on."""

DECIDED_KEPT = 256
"""Decided parts remembered, so that a doubled or late message cannot open a second verdict."""

PROOF_REASON = {
    Proof.UNPROVEN: Reason.PAIRING_UNPROVEN,
    Proof.MISMATCH: Reason.PAIRING_MISMATCH,
    Proof.AMBIGUOUS: Reason.PAIRING_MISMATCH,
}


class _View(Struct):
    """Hold what is known of one view of a part."""

    result: ViewResult | None = None
    failure: Reason | None = None
    stages: StageTimes = StageTimes()
    copies: int = 0
    finished: HostNs = HostNs(0)
    unjudged: FrameName | None = None


class _Part(Struct):
    """Hold a part between its entry and its verdict."""

    entered: PartEntered
    inspector: Inspector | None
    """The bundle that was active when the part entered; it alone judges the part, whatever is activated meanwhile."""
    views: dict[str, _View] = field(default_factory=dict)


class JudgeNode:
    """Turn frames into one verdict per part. Blocks while a frame is inspected; nothing else here takes time."""

    def __init__(
        self,
        cameras: Sequence[str],
        frames: Frames,
        bundles: Bundles,
        tolerance_ns: int,
        tolerance_counts: int,
        margin_ns: int,
        *,
        policy: Policy,
        promise: Promise,
        primary: Primary | None,
        pid: int = 0,
    ) -> None:
        """Take the configured views, the frames of the rings and the bundles.

        `tolerance_ns`, `tolerance_counts`: how far exposure and trigger may lie apart.
        `margin_ns`: no verdict this close to a deadline.
        `policy`, `promise`: what turns scores into dispositions, and the memory of what drift has voided.
        `primary`: the proof that the model may drive the gate; None: parallel mode, what it says is sealed.
        """
        self.name = "judge"
        self.topics = (PART_ENTERED, PART_EXPOSED, FRAME, STATUS, BELT, ALARM)
        self._frames = frames
        self._bundles = bundles
        self._margin = margin_ns
        self._pid = pid
        self._policing = Policing(policy, promise)
        self._voice: Voice = SealedVoice() if primary is None else OpenVoice(primary, policy)
        self._belt: BeltPosition | None = None
        self._pairing: Mapping[str, Pairing] = {camera: Pairing(tolerance_ns, tolerance_counts) for camera in cameras}
        self._unattached = set(cameras)
        self._parts: dict[PartId, _Part] = {}
        self._early: dict[PartId, list[tuple[Pair, HostNs]]] = {}
        self._overdue: list[Pair] = []
        """Frames too late by the belt's position as it is known; one that stands still may be on its way to be told."""
        self._decided: dict[PartId, None] = {}
        self._progress = 0
        self._health_at = HostNs(0)
        self._mismatches = 0

    @property
    def wake_at(self) -> HostNs | None:
        """Next deadline of a part, expiry of an unpaired frame, or health report."""
        deadlines = [self._latest(part) for part in self._parts.values()]
        expiries = [
            held + UNPAIRED_LIFE for held in (item.oldest for item in self._pairing.values()) if held is not None
        ]
        return HostNs(min([self._health_at, *deadlines, *expiries]))

    def start(self, now: HostNs) -> Sequence[Output]:
        """State the bundle and health at once."""
        return [*self._bundles.start(), self._health(now)]

    def receive(self, topic: str, message: Struct, now: HostNs) -> Sequence[Output]:
        """Take a part, an exposure or a frame; a complete part is decided in the same call."""
        self._progress += 1
        if isinstance(message, PartEntered):
            return self._enter(message, now)
        if isinstance(message, PartExposed):
            pairing = self._pairing.get(message.camera)
            pair = pairing.exposed(message) if pairing is not None else None
            return self._inspect(pair, now) if pair is not None else ()
        if isinstance(message, FrameReady):
            return self._frame(message, now)
        if isinstance(message, Health):
            return self._attach(message, now)
        if isinstance(message, BeltPosition):
            return self._move(message, now)
        if isinstance(message, Alarm):
            return self._policing.alarmed(message, self._bundles.active, now)
        if isinstance(message, Answer):
            return [*self._bundles.answer(message, now), self._health(now)]
        return ()

    def lost(self, topic: str, count: int, now: HostNs) -> Sequence[Output]:
        """Doubt the promise after a lost alarm; any other loss costs its part the ACCEPT by the deadline."""
        if topic.startswith(ALARM):
            self._policing.missed(topic, count)
        return ()

    def command(self, command: Command, now: HostNs) -> tuple[Reply, Sequence[Output]]:
        """Stage, activate or roll back a bundle; anything else is refused."""
        if not isinstance(command, BundleCommand):
            return RefusedReply(f"judge does not take {type(command).__name__}"), ()
        reply, outputs = self._bundles.command(command)
        return reply, [*outputs, self._health(now)] if outputs else ()

    def wake(self, now: HostNs) -> Sequence[Output]:
        """Close the parts whose time is up, forget what never found its partner, report health."""
        outputs: list[Output] = []
        self._give_up()
        for part in [item for item in self._parts.values() if now >= self._latest(item)]:
            outputs += self._decide(part, now)
        for pairing in self._pairing.values():
            for frame in pairing.expire(now - UNPAIRED_LIFE):
                self._frames.release(frame)
        for early in [key for key, pairs in self._early.items() if now - pairs[0][1] > UNPAIRED_LIFE]:
            for pair, _ in self._early.pop(early):
                self._frames.release(pair.frame)
        if now >= self._health_at:
            self._frames.refresh(now)
            self._progress += 1
            outputs.append(self._health(now))
        return outputs

    def _move(self, belt: BeltPosition, now: HostNs) -> Sequence[Output]:
        """Keep the newest position: it says most about how far the deadlines have moved."""
        if self._belt is None or belt.boot != self._belt.boot or belt.at > self._belt.at:
            self._belt = belt
        overdue, self._overdue = self._overdue, []
        return [output for pair in overdue for output in self._inspect(pair, now)]

    def _give_up(self) -> None:
        """Take overdue frames for late: all that waited to be heard was heard, and the belt stands nowhere before."""
        for pair in self._overdue:
            part, frame = self._parts.get(pair.exposed.part), pair.frame
            if part is not None and frame.camera not in part.views:
                unjudged = FrameName(frame.camera, frame.ref.epoch, frame.frame_id)
                part.views[frame.camera] = _View(failure=Reason.TOO_LATE, unjudged=unjudged)
            self._frames.release(frame)
        self._overdue.clear()

    def _latest(self, part: _Part) -> HostNs:
        """Give the instant at which a part must be decided, the margin before the last one in time."""
        return HostNs(latest(part.entered, self._belt) - self._margin)

    def _attach(self, health: Health, now: HostNs) -> Sequence[Output]:
        """Meet a camera's ring as soon as its service speaks, so that no frame is reclaimed unseen."""
        camera = health.unit.removeprefix("acquire@")
        if camera not in self._pairing:
            return ()
        waiting = len(self._unattached)
        try:
            self._frames.attach(camera)
        except StoreError:
            self._unattached.add(camera)
        else:
            self._unattached.discard(camera)
        return [self._health(now)] if len(self._unattached) != waiting else ()

    def _enter(self, entered: PartEntered, now: HostNs) -> Sequence[Output]:
        if entered.replayed or entered.part in self._decided or entered.part in self._parts:
            return ()
        self._parts[entered.part] = _Part(entered, self._bundles.active)
        outputs: list[Output] = []
        for pair, _ in self._early.pop(entered.part, ()):
            outputs += self._inspect(pair, now)
        return outputs

    def _frame(self, frame: FrameReady, now: HostNs) -> Sequence[Output]:
        pairing = self._pairing.get(frame.camera)
        if pairing is None:
            self._frames.release(frame)
            return ()
        pair = pairing.frame(frame)
        return self._inspect(pair, now) if pair is not None else ()

    def _inspect(self, pair: Pair, now: HostNs) -> Sequence[Output]:
        frame, key = pair.frame, pair.exposed.part
        part = self._parts.get(key)
        if part is None:
            if key in self._decided:
                self._frames.release(frame)
            else:  # its entry is still on the way: messages of one writer may overtake each other
                self._early.setdefault(key, []).append((pair, now))
            return ()
        if pair.proof is Proof.AGREED and frame.complete and now >= self._latest(part):
            self._overdue.append(pair)
            return ()
        outputs: list[Output] = []
        view = part.views.setdefault(frame.camera, _View())
        if pair.proof is not Proof.AGREED:
            view.failure = PROOF_REASON[pair.proof]
            self._frames.release(frame)
            outputs.append(self._mismatch(pair, now))
        elif view.result is None and view.failure is None:
            self._look(frame, part, view, now)
        else:
            self._frames.release(frame)
        if self._complete(part):
            outputs += self._decide(part, now)
        return outputs

    def _look(self, frame: FrameReady, part: _Part, view: _View, now: HostNs) -> None:
        """Inspect a frame into its view; whatever goes wrong becomes the view's failure."""
        view.unjudged = FrameName(frame.camera, frame.ref.epoch, frame.frame_id)
        due = self._latest(part)
        inspector = part.inspector
        if not frame.complete:
            view.failure = Reason.FRAME_INCOMPLETE
        elif now >= due:
            view.failure = Reason.TOO_LATE
        elif inspector is None:
            view.failure = Reason.NO_BUNDLE
        if view.failure is not None or inspector is None:
            self._frames.release(frame)
            return
        try:
            with self._frames.borrow(frame) as pixels:
                inspection = inspector.inspect(frame, pixels)
        except FrameOverwritten:
            view.failure = Reason.FRAME_OVERWRITTEN
        except ApplianceError as error:
            view.failure = Reason.MODEL_FAULT
            self._bundles.failed(inspector, str(error))
        else:
            view.result = inspection.view
            view.unjudged = None
            view.copies = frame.copies
            view.finished = inspection.finished
            view.stages = _stages(frame, inspection, now)
            if inspection.finished >= due:
                view.failure = Reason.TOO_LATE
            if is_fault(inspection.view.score):
                self._bundles.failed(inspector, _no_score(inspection.view))

    def _complete(self, part: _Part) -> bool:
        return all(camera in part.views for camera in part.entered.cameras)

    def _decide(self, part: _Part, now: HostNs) -> Sequence[Output]:
        """State the one verdict of a part; every way out of here but a full set of good views is no ACCEPT."""
        key = part.entered.part
        del self._parts[key]
        self._decided[key] = None
        if len(self._decided) > DECIDED_KEPT:
            del self._decided[next(iter(self._decided))]
        finished = HostNs(max([now, *(view.finished for view in part.views.values())]))
        judged = self._judged(part)
        inspector = part.inspector
        result = InspectionResult(
            part=key,
            views=tuple(view.result for view in part.views.values() if view.result is not None),
            bundle=inspector.bundle if inspector else "",
            runtime=inspector.runtime if inspector else "",
            precision=inspector.precision if inspector else "",
            stages=_slowest(part.views.values()),
            copies=sum(view.copies for view in part.views.values()),
            finished=finished,
            unjudged=tuple(view.unjudged for view in part.views.values() if view.unjudged is not None),
        )
        return self._voice.state(Decided(key, *judged, finished, latest(part.entered, self._belt), result))

    def _judged(self, part: _Part) -> Judged:
        """Judge each view by what the part's own bundle knows, and fuse them."""
        inspector = part.inspector
        views: list[Judged] = []
        for camera in part.entered.cameras:
            view = part.views.get(camera)
            if view is None:
                continue
            if view.failure is not None or view.result is None or inspector is None:
                views.append((Disposition.NO_VERDICT, (view.failure or Reason.VIEW_MISSING,)))
            else:
                views.append(self._policing.judge(view.result, inspector))
        return fuse(views, len(part.entered.cameras))

    def _mismatch(self, pair: Pair, now: HostNs) -> Output:
        self._mismatches += 1
        frame, exposed = pair.frame, pair.exposed
        text = (
            f"camera {frame.camera}: frame {frame.frame_id}, trigger {exposed.trigger_index}, part {exposed.part}: "
            f"{pair.proof.value}; the part is held back, check trigger cable and camera rate if it goes on"
        )
        return Publish(ALARM + self.name, Alarm(self.name, f"pairing_{pair.proof.value}", text, str(exposed.part), now))

    def _health(self, now: HostNs) -> Output:
        self._health_at = HostNs(now + HEALTH_PERIOD)
        frames = Component("frames", Condition.OK)
        if self._unattached:
            frames = Component("frames", Condition.STARTING, f"no ring of {', '.join(sorted(self._unattached))} yet")
        policing = self._policing.components(self._bundles.active)
        components = (*self._bundles.components(), frames, *policing, self._voice.component(now))
        worst = max((item.condition for item in components), key=list(Condition).index)
        health = Health(self.name, worst, components, self._progress, now, self._pid)
        return Publish(STATUS + self.name, health)


def _no_score(view: ViewResult) -> str:
    return f"camera {view.camera}: frame {view.frame_id} has score {view.score}, a number is needed; roll back"


def _stages(frame: FrameReady, inspection: Inspection, now: HostNs) -> StageTimes:
    return StageTimes(
        transfer_ms=(frame.arrived - frame.exposed_at) / MS,
        queue_ms=(now - frame.arrived) / MS,
        preprocess_ms=inspection.preprocess_ms,
        inference_ms=inspection.inference_ms,
        decide_ms=max(0.0, (inspection.finished - now) / MS - inspection.preprocess_ms - inspection.inference_ms),
    )


def _slowest(views: Iterable[_View]) -> StageTimes:
    """Give the times of the view that took longest: the one the part waited for."""
    stages = (view.stages for view in views)
    return max(stages, key=lambda item: item.transfer_ms + item.queue_ms + item.inference_ms, default=StageTimes())
