"""Cut time into shifts by the clock on the wall; pure."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from msgspec import Struct

from appliance.schema.clocks import S, UtcNs

THIRDS = ("06:00", "14:00", "22:00")
"""Starts where the station states none: eight hours each."""


class Shift(Struct, frozen=True):
    """Give one shift: its day, its number within the day, and from when until when it lasts."""

    day: str
    """YYYY-MM-DD of its start, by the clock on the wall."""
    number: int
    """1, 2, 3 ... in the order of the day."""
    begin: UtcNs
    end: UtcNs
    """First instant after it."""


def starts(stated: Sequence[str]) -> tuple[time, ...]:
    """Read the starts of a day's shifts, in the order of the day; ValueError names the one that is none.

    stated: `HH:MM`; empty: thirds of the day.
    """
    found: list[time] = []
    for text in stated or THIRDS:
        try:
            found.append(datetime.strptime(text, "%H:%M").replace(tzinfo=UTC).time())
        except ValueError as error:
            raise ValueError(f"shifts: {text!r} is no time of the day; write it as 06:00") from error
    if len(set(found)) != len(found):
        raise ValueError(f"shifts: {', '.join(stated)} names a time twice; each start is written once")
    return tuple(sorted(found))


def shift_at(at: UtcNs, begins: Sequence[time], zone: tzinfo) -> Shift:
    """Give the shift that an instant lies in.

    zone: of the clock on the wall. On the day when it is changed a shift is an hour longer or shorter, as for those
    who work it.
    """
    local = datetime.fromtimestamp(at / S, UTC).astimezone(zone)
    bounds = [
        (bound, day, number)
        for day in (local.date() - timedelta(days=1), local.date(), local.date() + timedelta(days=1))
        for number, bound in enumerate((_instant(day, begin, zone) for begin in begins), 1)
    ]
    index = max(place for place, (bound, _, _) in enumerate(bounds) if bound <= at)
    begin, day, number = bounds[index]
    return Shift(day.isoformat(), number, begin, bounds[index + 1][0])


def shift_before(shift: Shift, begins: Sequence[time], zone: tzinfo) -> Shift:
    """Give the shift before one."""
    return shift_at(UtcNs(shift.begin - 1), begins, zone)


def shift_after(shift: Shift, begins: Sequence[time], zone: tzinfo) -> Shift:
    """Give the shift after one."""
    return shift_at(shift.end, begins, zone)


def _instant(day: date, begin: time, zone: tzinfo) -> UtcNs:
    return UtcNs(round(datetime.combine(day, begin, zone).timestamp()) * S)
