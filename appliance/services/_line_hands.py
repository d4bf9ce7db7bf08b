"""Keep what people said about parts: each word is taken once, and one that comes too early waits for its part."""

from appliance.schema.actuation import Cause, HandActuation, Lane
from appliance.schema.review import ManualVerdict
from appliance.schema.topics import HISTORY

WAITING = 64
"""Words held for parts not yet told of, as many as the microcontroller's table holds parts."""


class Hands:
    """Remember words of people by their id, so that a doubled message acts once."""

    def __init__(self) -> None:
        self._taken: dict[str, None] = {}
        self._waiting: dict[str, ManualVerdict] = {}

    def take(self, manual: ManualVerdict) -> bool:
        """Take a word; False when it was taken before."""
        if manual.verdict_id in self._taken:
            return False
        self._taken[manual.verdict_id] = None
        if len(self._taken) > HISTORY:
            del self._taken[next(iter(self._taken))]
        return True

    def wait(self, manual: ManualVerdict) -> None:
        """Hold a word until something is known of its part; the oldest goes when there are too many."""
        self._waiting[manual.verdict_id] = manual
        if len(self._waiting) > WAITING:
            del self._waiting[next(iter(self._waiting))]

    def due(self) -> list[ManualVerdict]:
        """Give the words that wait; those that still have to are held again by `wait`."""
        waiting, self._waiting = self._waiting, {}
        return list(waiting.values())


def by_hand(manual: ManualVerdict) -> HandActuation:
    """State where a person put a part that is past the gate."""
    lane = Lane.ACCEPT if manual.accept else Lane.REJECT
    return HandActuation(manual.part, lane, Cause.OPERATOR, manual.verdict_id, manual.person, manual.decided)
