"""Say which alarms a person must see, in which order, and which of them explains the others; pure."""

from collections.abc import Sequence

from appliance.monitoring.alarm_row import ABSENT, Priority
from appliance.monitoring.alarm_states import AlarmBoard, AlarmPoint, AlarmState, is_named
from appliance.schema.clocks import S, UtcNs

CALLING = (AlarmState.UNACKNOWLEDGED, AlarmState.ACKNOWLEDGED, AlarmState.RETURNED)
AWAY = (AlarmState.SHELVED, AlarmState.SUPPRESSED, AlarmState.OUT_OF_SERVICE)

FLOOD_WINDOW = 600 * S
FLOOD_BEGINS, FLOOD_ENDS = 10, 5
"""Alarms in ten minutes that a person cannot follow any more, and can again (ISA-18.2 and EEMUA 191, from memory)."""
PER_HOUR = 6
"""Alarms in an hour that one operator can deal with (EEMUA 191, from memory: about 150 a day)."""
HOUR = 3600 * S


def standing(board: AlarmBoard) -> tuple[AlarmPoint, ...]:
    """Give the alarms that call for a person: by priority, those not acknowledged first, then the oldest first."""
    calling = [point for point in board.points.values() if point.state in CALLING]
    return tuple(sorted(calling, key=lambda one: (one.row.priority, one.seen, one.since, one.key)))


def put_away(board: AlarmBoard) -> tuple[AlarmPoint, ...]:
    """Give the alarms that are shelved, suppressed or out of service."""
    away = [point for point in board.points.values() if point.state in AWAY]
    return tuple(sorted(away, key=lambda one: (AWAY.index(one.state), one.key)))


def explains(cause: AlarmPoint, other: AlarmPoint) -> bool:
    """Say whether one alarm follows from another by what the table states."""
    if cause.key == other.key:
        return False
    is_own_absence = cause.key == (other.unit, ABSENT)
    return is_own_absence or is_named(other.row.follows, cause.key, other.key)


def first_cause(board: AlarmBoard) -> AlarmPoint | None:
    """Give the active alarm from which others follow and which follows from none; the earliest where there are two.

    None where no active alarm explains another one, or a person put away the one that does.
    """
    active = [point for point in board.points.values() if point.active]
    roots = [
        point
        for point in active
        if point.state in CALLING
        and any(explains(point, other) for other in active)
        and not any(explains(other, point) for other in active)
    ]
    return min(roots, key=lambda one: (one.since, one.row.priority, one.key), default=None)


def followers(board: AlarmBoard, cause: AlarmPoint) -> tuple[AlarmPoint, ...]:
    """Give the active alarms that follow from one, through others too."""
    active = [point for point in board.points.values() if point.active]
    found, edge = {cause.key: cause}, [cause]
    while edge:
        edge = [point for point in active if point.key not in found and any(explains(one, point) for one in edge)]
        found.update({point.key: point for point in edge})
    return tuple(point for key, point in found.items() if key != cause.key)


def calls_within(calls: Sequence[UtcNs], now: UtcNs, window: int) -> int:
    """Count the alarms that called within a window before now."""
    return sum(now - window < at <= now for at in calls)


def flood(board: AlarmBoard, now: UtcNs, *, before: bool = False) -> bool:
    """Say whether more alarms come than a person can follow; `before`: whether it was so until now."""
    count = calls_within(board.calls, now, FLOOD_WINDOW)
    return count >= FLOOD_ENDS if before else count > FLOOD_BEGINS


def filtered(
    alarms: Sequence[AlarmPoint], cause: AlarmPoint | None, *, flooded: bool
) -> tuple[tuple[AlarmPoint, ...], int]:
    """Give what is shown and how many are held back: the first cause on top, and in a flood none of low priority."""
    ordered = sorted(alarms, key=lambda one: cause is None or one.key != cause.key)
    shown = tuple(one for one in ordered if not flooded or one is ordered[0] or one.row.priority is not Priority.LOW)
    return shown, len(ordered) - len(shown)


def per_hour(calls: Sequence[UtcNs], now: UtcNs, hours: int) -> tuple[int, ...]:
    """Count the alarms of each of the last hours, oldest first; the last one ends now."""
    counts = [0] * hours
    for at in calls:
        back = (now - at) // HOUR
        if 0 <= back < hours:
            counts[hours - 1 - back] += 1
    return tuple(counts)
