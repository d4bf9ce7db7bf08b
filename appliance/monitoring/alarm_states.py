"""Let alarms go through the states of ISA-18.2 / IEC 62682 by what is heard, and by what people do; pure.

            raised                     acknowledged
    NORMAL --------> UNACKNOWLEDGED -----------------> ACKNOWLEDGED
       ^  ^              ^    | cleared                     | cleared
       |  | acknowledged |    v                             |
       |  +----------- RETURNED (raised again: back)        |
       +----------------------------------------------------+
    From each of these a person may shelve it for a time or take it out of service, and the design may suppress it.
    Back from there it is UNACKNOWLEDGED where its cause still stands, else NORMAL.

The states and ways are the standard's as known, its text was not at hand; latched alarms have no states of their own:
an alarm that tells of a moment is raised and cleared at once, so that it waits as RETURNED for an acknowledgement.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from appliance.monitoring.alarm_row import ABSENT, AlarmRow, Priority, Source
from appliance.monitoring.alarm_table import row_of
from appliance.schema.clocks import S, UtcNs
from appliance.schema.health import AlarmDeed, AlarmStep

NEVER = UtcNs(0)
SHELVE_MINUTES = {Priority.HIGH: 0, Priority.MEDIUM: 60, Priority.LOW: 480}
"""Longest shelving, min: what tells of a defect that passed is never put away, a low one not past the shift."""


class AlarmState(StrEnum):
    """Name the states of an alarm."""

    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"
    """Active, and nobody has seen it."""
    ACKNOWLEDGED = "acknowledged"
    """Active, and somebody has seen it."""
    RETURNED = "returned"
    """Over, and nobody has seen it."""
    SHELVED = "shelved"
    """A person put it away for a time."""
    SUPPRESSED = "suppressed"
    """By design: another alarm says all that it can say."""
    OUT_OF_SERVICE = "out_of_service"
    """Maintenance took it out until it is put back."""


Key = tuple[str, str]
"""(unit, kind) of an alarm."""


class AlarmPoint(Struct, frozen=True):
    """Hold one alarm as it stands."""

    unit: str
    kind: str
    active: bool = False
    """Its cause stands."""
    seen: bool = True
    """Acknowledged since it was raised last, or never raised."""
    since: UtcNs = NEVER
    """When it was raised first since it was normal."""
    newest: UtcNs = NEVER
    """When it was raised last."""
    count: int = 0
    """How often it was raised since it was normal."""
    text: str = ""
    """The service's own words: cause and remedy, for a technician."""
    part: str = ""
    shelved_until: UtcNs = NEVER
    out_of_service: bool = False
    by_design: bool = False
    person: str = ""
    """Who acknowledged, shelved or took it out last; operator id."""

    @property
    def key(self) -> Key:
        """Name it."""
        return self.unit, self.kind

    @property
    def row(self) -> AlarmRow:
        """Give what was rationalised of it."""
        return row_of(self.unit, self.kind)

    @property
    def state(self) -> AlarmState:
        """Give its state; what a person put away stays away whatever its cause does."""
        if self.out_of_service:
            return AlarmState.OUT_OF_SERVICE
        if self.shelved_until:
            return AlarmState.SHELVED
        if self.by_design and self.active:
            return AlarmState.SUPPRESSED
        if self.active:
            return AlarmState.ACKNOWLEDGED if self.seen else AlarmState.UNACKNOWLEDGED
        return AlarmState.NORMAL if self.seen else AlarmState.RETURNED


class AlarmBoard(Struct, frozen=True):
    """Hold every alarm that was ever heard of, and when alarms called for somebody."""

    points: Mapping[Key, AlarmPoint] = {}
    calls: tuple[UtcNs, ...] = ()
    """When an alarm went from normal to unacknowledged, oldest first; the last `CALLS`."""


CALLS = 2000
EMPTY = AlarmBoard()


def raised(
    board: AlarmBoard, key: Key, at: UtcNs, text: str = "", part: str = "", *, momentary: bool = False
) -> AlarmBoard:
    """Hear that an alarm's cause has come; heard again while it stands it changes the words alone.

    momentary: it tells of a moment, and is over at once.
    """
    old = point_of(board, key)
    if old.active and not momentary:
        return _with(board, replace(old, text=text or old.text, part=part or old.part))
    was_normal = not old.active and old.seen
    new = replace(
        old,
        active=not momentary,
        seen=False,
        since=at if was_normal else old.since,
        newest=max(at, old.newest),
        count=1 if was_normal else old.count + 1,
        text=text if at >= old.newest else old.text,
        part=part if at >= old.newest else old.part,
        by_design=_is_hidden(board, key),
    )
    if momentary and (new.by_design or _is_away(new)):
        return board if was_normal else _with(board, replace(old, count=old.count + 1))
    calls = (*board.calls, at)[-CALLS:] if was_normal and not new.by_design and not _is_away(new) else board.calls
    return _with(replace(board, calls=calls), new)


def cleared(board: AlarmBoard, key: Key, at: UtcNs) -> AlarmBoard:  # noqa: ARG001  the journal has the instant
    """Hear that an alarm's cause is gone; what nobody has seen, or was suppressed, does not vanish unseen."""
    old = board.points.get(key)
    if old is None or not old.active:
        return board
    return _with(board, replace(old, active=False, seen=old.seen or old.by_design or _is_away(old)))


def stepped(board: AlarmBoard, step: AlarmStep) -> AlarmBoard:
    """Take what a person did; an acknowledgement from before the alarm was raised last acknowledges nothing."""
    key = (step.unit, step.kind)
    old = point_of(board, key)
    match step.deed:
        case AlarmDeed.ACKNOWLEDGED:
            if old.seen or step.at < old.newest or _is_away(old):
                return board
            new = replace(old, seen=True)
        case AlarmDeed.SHELVED:
            if old.out_of_service or step.until <= step.at:
                return board
            new = replace(old, shelved_until=step.until)
        case AlarmDeed.UNSHELVED:
            if not old.shelved_until:
                return board
            new = _back(replace(old, shelved_until=NEVER))
        case AlarmDeed.OUT_OF_SERVICE:
            new = replace(old, out_of_service=True, shelved_until=NEVER)
        case AlarmDeed.IN_SERVICE:
            if not old.out_of_service:
                return board
            new = _back(replace(old, out_of_service=False))
    return _with(board, replace(new, person=step.person))


def passed(board: AlarmBoard, now: UtcNs) -> AlarmBoard:
    """Let time pass: shelving ends by itself."""
    for point in board.points.values():
        if NEVER < point.shelved_until <= now:
            board = _with(board, _back(replace(point, shelved_until=NEVER)))
    return board


def refusal(step: AlarmStep) -> str:
    """Say why a step cannot be, whoever asks; empty: it can."""
    if step.deed is not AlarmDeed.SHELVED:
        return ""
    longest = SHELVE_MINUTES[row_of(step.unit, step.kind).priority]
    minutes = (step.until - step.at) / (60 * S)
    if 0 < minutes <= longest:
        return ""
    if not longest:
        return f"alarm {step.unit} {step.kind}: is of high priority and cannot be shelved; acknowledge and mend it"
    return f"alarm {step.unit} {step.kind}: shelved for {minutes:g} min, limit is {longest} min; choose a shorter time"


def point_of(board: AlarmBoard, key: Key) -> AlarmPoint:
    """Give an alarm as it stands; one never heard of is normal."""
    return board.points.get(key) or AlarmPoint(*key)


def is_named(names: Iterable[str], of: Key, seen_from: Key) -> bool:
    """Say whether `unit.kind` names hold an alarm; among cameras, each speaks of its own."""
    service, _, camera = of[0].partition("@")
    own_service, _, own_camera = seen_from[0].partition("@")
    return f"{service}.{of[1]}" in names and (service != own_service or camera == own_camera)


def _with(board: AlarmBoard, point: AlarmPoint) -> AlarmBoard:
    """Put an alarm onto the board, and suppress or free those that it says all of."""
    before = board.points.get(point.key)
    points = {**board.points, point.key: point}
    board = replace(board, points=points)
    if before is not None and before.active == point.active and _is_away(before) == _is_away(point):
        return board
    for other in tuple(points.values()):
        hidden = _is_hidden(board, other.key)
        if hidden != other.by_design:
            freed = replace(other, by_design=hidden)
            points[other.key] = _back(freed) if freed.active and not hidden else freed
    return board


def _is_hidden(board: AlarmBoard, key: Key) -> bool:
    row = row_of(*key)
    silent = (key[0], ABSENT) if row.source is Source.COMPONENT else None  # what was told last is not known to hold
    return any(
        point.active and not _is_away(point) and (other == silent or is_named(row.hidden_by, other, key))
        for other, point in board.points.items()
    )


def _is_away(point: AlarmPoint) -> bool:
    """Say whether a person put the alarm away."""
    return point.out_of_service or bool(point.shelved_until)


def _back(point: AlarmPoint) -> AlarmPoint:
    """Bring an alarm back from where it was put: whoever put it away saw an older state than this."""
    return replace(point, seen=not point.active)
