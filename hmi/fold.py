"""Fold the messages of the station into what the touchscreen knows. No Qt, no clock, no socket.

What people may not see yet is left out here, once for every screen. In parallel mode that is all of the model's answer
until a person has decided the part. While a part waits for review it is what the model saw, for every such part alike:
so the random sample among them looks like any other, and a prediction hidden in review is not shown elsewhere.
"""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from appliance.schema.actuation import Actuation, Cause, HandActuation, Lane
from appliance.schema.clocks import HostNs, S, UtcNs
from appliance.schema.frame import FrameName, FrameReady
from appliance.schema.health import Alarm, Health
from appliance.schema.label import Label
from appliance.schema.line import LineState
from appliance.schema.part import PartEntered, PartExposed, PartId
from appliance.schema.policy import Mode
from appliance.schema.review import ManualVerdict
from appliance.schema.verdict import Disposition, InspectionResult, Reason, Verdict
from hmi.state import ABSENT, Baseline, Counts, HeardAlarm, Presence, ReviewLoad, SeenPart, Service, StationState

PARTS = 200
"""Newest parts held."""

FRAMES = 64
"""Newest frames held of each camera, to be named by a result that comes later."""

ALARMS = 256
"""Newest alarms held."""

_JUDGED = (Cause.ACCEPTED, Cause.DECIDED_REJECT, Cause.LATE)
"""Causes that tell of the model's verdict."""


class _Known(Struct):
    """Hold all that was heard of one part, shown or not."""

    part: PartId
    heard: HostNs
    entered: PartEntered | None = None
    exposed: dict[str, PartExposed] = {}
    frames: dict[str, FrameReady] = {}
    verdict: Verdict | None = None
    result: InspectionResult | None = None
    actuation: Actuation | None = None
    hand: HandActuation | None = None
    manual: ManualVerdict | None = None
    labels: dict[str, Label] = {}
    seen: SeenPart | None = None
    """As people may see it; None: something changed since."""


class StationFold:
    """Take messages in any order, doubled or not at all; give the state at an instant. Used by one thread."""

    def __init__(self, units: Iterable[str], started: HostNs, pairing_ns: int) -> None:
        """Name the units of the station, and how far exposure and trigger of one part may lie apart, ns."""
        self._units = tuple(units)
        self._started = started
        self._pairing = pairing_ns
        self._mode: Mode | None = None
        self._recipe = ""
        self._between = Reason.BETWEEN_LIMITS
        self._health: dict[str, tuple[HostNs, Health]] = {}
        self._line: LineState | None = None
        self._line_heard = HostNs(0)
        self._cameras: dict[str, dict[FrameName, FrameReady]] = {}
        self._frame_heard: dict[str, HostNs] = {}
        self._parts: dict[PartId, _Known] = {}
        self._baseline = Baseline(Counts(UtcNs(0)), {})
        self._gated: dict[PartId, Actuation] = {}
        self._review: ReviewLoad | None = None
        self._alarms: list[HeardAlarm] = []
        self._alarm_count = 0
        self._lost = 0

    def run_recipe(self, mode: Mode, digest: str, between: Reason = Reason.BETWEEN_LIMITS) -> None:
        """Take over the recipe that was read: its mode, its digest, and why its parts go to review as a rule."""
        self._mode, self._recipe, self._between = mode, digest, between
        self._forget_seen()

    def take_baseline(self, baseline: Baseline, review: ReviewLoad) -> None:
        """Take over what the record database holds of the shift; parts heard of beyond it stay counted."""
        self._baseline, self._review = baseline, review
        through = baseline.through
        self._gated = {part: item for part, item in self._gated.items() if part.number > through.get(part.boot, 0)}

    def lose(self, count: int) -> None:
        """Count messages that never came."""
        self._lost += count

    def hear(self, message: Struct, now: HostNs, utc: UtcNs) -> None:  # noqa: C901, PLR0912  one case per topic
        """Take one message."""
        match message:
            case FrameReady():
                self._frame(message, now)
            case Health():
                self._health[message.unit] = (now, message)
            case LineState():
                self._state_line(message, now)
            case Alarm():
                self._alarm_count += 1
                self._alarms = [*self._alarms, HeardAlarm(self._alarm_count, utc, message)][-ALARMS:]
            case PartEntered():
                self._part(message.part, now).entered = message
            case PartExposed():
                self._exposed(self._part(message.part, now), message)
            case InspectionResult():
                self._result(self._part(message.part, now), message)
            case Verdict():
                self._part(message.part, now).verdict = message
            case Actuation():
                self._part(message.part, now).actuation = message
                if message.part.number > self._baseline.through.get(message.part.boot, 0):
                    self._gated.setdefault(message.part, message)
            case HandActuation():
                self._part(message.part, now).hand = message
            case ManualVerdict():
                known = self._part(message.part, now)
                known.manual = known.manual or message
            case Label():
                self._part(message.part, now).labels[message.label_id] = message

    def at(self, now: HostNs, utc: UtcNs, unsent: int = 0, refused: int = 0) -> StationState:
        """Give the state at an instant; `unsent` and `refused` are the outbox's."""
        mode = self._known_mode
        return StationState(
            now=now,
            utc=utc,
            mode=mode,
            services={unit: self._service(unit, now) for unit in self._all_units()},
            line=self._line,
            line_age_s=(now - self._line_heard) / S if self._line is not None else float("inf"),
            frames={camera: next(reversed(frames.values())) for camera, frames in self._cameras.items()},
            frame_ages_s={camera: (now - heard) / S for camera, heard in self._frame_heard.items()},
            parts=tuple(self._seen(known, mode) for known in reversed(self._parts.values())),
            counts=self._counts(mode),
            review=self._review,
            alarms=tuple(self._alarms),
            lost=self._lost,
            unsent=unsent,
            refused=refused,
        )

    @property
    def _known_mode(self) -> Mode | None:
        said = self._line.recipe_sha256 if self._line is not None else ""
        return self._mode if said in {"", self._recipe} else None

    def _state_line(self, state: LineState, now: HostNs) -> None:
        before = self._known_mode
        self._line, self._line_heard = state, now
        if self._known_mode is not before:
            self._forget_seen()

    def _forget_seen(self) -> None:
        for known in self._parts.values():
            known.seen = None

    def _part(self, part: PartId, now: HostNs) -> _Known:
        """Find a part or begin it; whoever asks changes it."""
        known = self._parts.get(part)
        if known is None:
            known = self._parts[part] = _Known(part, now)
            if len(self._parts) > PARTS:
                del self._parts[next(iter(self._parts))]
        known.seen = None
        return known

    def _frame(self, frame: FrameReady, now: HostNs) -> None:
        frames = self._cameras.setdefault(frame.camera, {})
        frames[FrameName(frame.camera, frame.ref.epoch, frame.frame_id)] = frame
        if len(frames) > FRAMES:
            del frames[next(iter(frames))]
        self._frame_heard[frame.camera] = now
        for known in self._parts.values():
            exposed = known.exposed.get(frame.camera)
            if exposed is not None and frame.camera not in known.frames and self._belongs(frame, exposed):
                known.frames[frame.camera], known.seen = frame, None

    def _exposed(self, known: _Known, exposed: PartExposed) -> None:
        known.exposed[exposed.camera] = exposed
        if exposed.camera in known.frames:
            return
        fitting = [item for item in self._cameras.get(exposed.camera, {}).values() if self._belongs(item, exposed)]
        if len(fitting) == 1:
            known.frames[exposed.camera] = fitting[0]

    def _belongs(self, frame: FrameReady, exposed: PartExposed) -> bool:
        """Say whether a frame was taken when the part's trigger was sent; the judge alone asks for two proofs."""
        slack = self._pairing + frame.exposed_uncertainty_ns + exposed.at_uncertainty_ns
        return abs(frame.exposed_at - exposed.at) <= slack

    def _result(self, known: _Known, result: InspectionResult) -> None:
        """Take a result; the frames that it names are the part's, whatever was thought before."""
        known.result = result
        for view in result.views:
            frame = self._cameras.get(view.camera, {}).get(FrameName(view.camera, view.epoch, view.frame_id))
            if frame is not None:
                known.frames[view.camera] = frame

    def _all_units(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self._units, *self._health)))

    def _service(self, unit: str, now: HostNs) -> Service:
        heard, health = self._health.get(unit, (self._started, None))
        silent = now - heard
        presence = Presence.PRESENT if health is not None else Presence.AWAITED
        return Service(unit, Presence.ABSENT if silent >= ABSENT else presence, health, silent / S)

    def _counts(self, mode: Mode | None) -> Counts:
        base = self._baseline.counts
        causes, dispositions = dict(base.causes), dict(base.dispositions)
        for item in self._gated.values():
            actuation = item if mode is Mode.PRIMARY else _blank(item)
            causes[actuation.cause] = causes.get(actuation.cause, 0) + 1
            dispositions[actuation.disposition] = dispositions.get(actuation.disposition, 0) + 1
        accepted = base.accepted + sum(item.lane is Lane.ACCEPT for item in self._gated.values())
        return Counts(base.since, base.parts + len(self._gated), accepted, causes, dispositions)

    def _seen(self, known: _Known, mode: Mode | None) -> SeenPart:
        if known.seen is None:
            known.seen = self._as_people_may(known, mode)
        return known.seen

    def _as_people_may(self, known: _Known, mode: Mode | None) -> SeenPart:
        verdict, result, actuation = known.verdict, known.result, known.actuation
        withheld = False
        if known.manual is None:
            if mode is not Mode.PRIMARY:
                verdict, result, withheld = None, None, True
                actuation = _blank(actuation) if actuation is not None else None
            elif verdict is None:
                result = None
            elif verdict.disposition is Disposition.REVIEW:
                verdict, result, withheld = self._as_any_review(verdict), None, True
        return SeenPart(
            known.part,
            known.heard,
            known.entered,
            verdict,
            result,
            withheld,
            dict(known.frames),
            actuation,
            known.hand,
            known.manual,
            tuple(known.labels.values()),
        )

    def _as_any_review(self, verdict: Verdict) -> Verdict:
        drawn = Reason.RANDOM_SAMPLE in verdict.reasons
        return replace(verdict, reasons=(self._between,) if drawn else verdict.reasons, sampling=0.0)


def _blank(actuation: Actuation) -> Actuation:
    """Take out of what the gate did whatever tells of a verdict of the model."""
    cause = Cause.NO_VERDICT if actuation.cause in _JUDGED else actuation.cause
    return replace(actuation, disposition=Disposition.NO_VERDICT, verdict_sequence=0, cause=cause)
