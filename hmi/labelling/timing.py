"""Measure how long a person took for an answer; pure.

Time runs while the part's picture is on the screen and the person who will answer is signed in. It stands still while
another screen, a locked session or another person has the display. A gap without a touch counts no more than `idle_s`:
who went for coffee did not look that long.
"""

from msgspec import Struct
from msgspec.structs import replace

from appliance.schema.clocks import HostNs, S
from appliance.schema.label import LabelLevel

IDLE_S = {LabelLevel.CONFIRM: 60.0, LabelLevel.CLASSIFY: 180.0, LabelLevel.EXPERT: 300.0}
"""Longest gap without a touch that counts as looking: about six, three and one times what the level is meant to take,
so that no honest look at a part is cut."""


class Watch(Struct, frozen=True):
    """Hold the time counted so far."""

    counted_ns: int = 0
    last: HostNs | None = None
    """Last touch or start; None: it stands still."""
    idle_s: float = IDLE_S[LabelLevel.CONFIRM]


def start(level: LabelLevel, now: HostNs) -> Watch:
    """Give a watch that runs from the picture's appearance."""
    return Watch(0, now, IDLE_S[level])


def touch(watch: Watch, now: HostNs) -> Watch:
    """Count the time up to a touch; a watch that stands still stays so."""
    if watch.last is None:
        return watch
    return replace(watch, counted_ns=watch.counted_ns + _gap(watch, now), last=now)


def pause(watch: Watch, now: HostNs) -> Watch:
    """Let it stand still from `now` on."""
    return replace(touch(watch, now), last=None)


def resume(watch: Watch, now: HostNs) -> Watch:
    """Let it run on from `now`; one that runs already is left alone."""
    return watch if watch.last is not None else replace(watch, last=now)


def seconds(watch: Watch, now: HostNs) -> float:
    """Give the seconds counted up to `now`."""
    return (watch.counted_ns + (0 if watch.last is None else _gap(watch, now))) / S


def _gap(watch: Watch, now: HostNs) -> int:
    return max(0, min(now - (watch.last or 0), round(watch.idle_s * S)))
