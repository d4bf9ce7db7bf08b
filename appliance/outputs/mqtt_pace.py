"""Say how many messages of one topic may be on their way, so that they arrive in order; pure.

A topic whose fate is not known sends one message and waits for the answer; only then does it fill the window. A refused
message keeps its place: nothing of its topic is sent before it, and other topics go on.
"""

import random

from appliance.outputs.backoff import Backoff
from appliance.schema.clocks import HostNs, S

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0


class Pace:
    """Follow one topic on one connection after the other."""

    def __init__(self, chance: random.Random) -> None:
        self._backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S, chance)
        self._quiet_until = HostNs(0)
        self._flying = 0
        self._doubtful = 0  # sent after a message that was refused
        self._is_proven = False
        self.denied = ""
        """Reason of the last refusal; empty once the broker took a message again."""
        self.overtaken = 0
        """Messages refused while later ones were taken."""

    @property
    def flying(self) -> int:
        """Messages sent and not answered."""
        return self._flying

    def room(self, window: int, now: HostNs) -> int:
        """Give how many more messages may be sent."""
        if self._doubtful or now < self._quiet_until:
            return 0
        return (window if self._is_proven else 1) - self._flying

    def sent(self) -> None:
        """Note that a message is on its way."""
        self._flying += 1

    def accepted(self) -> None:
        """Note that the broker took a message."""
        self._flying -= 1
        if self._doubtful:
            self._doubtful -= 1
            self.overtaken += 1
            return
        self._is_proven = True
        self.denied = ""
        self._backoff.reset()

    def refused(self, reason: str, now: HostNs) -> None:
        """Note that the broker refused a message; the topic rests."""
        self._flying -= 1
        if self._doubtful:
            self._doubtful -= 1
            return
        self._doubtful = self._flying
        self._quiet_until = HostNs(now + int(self._backoff.next() * S))
        self._is_proven = False
        self.denied = reason

    def reset(self) -> None:
        """Forget what was on its way: the connection is gone."""
        self._flying = self._doubtful = 0
        self._is_proven = False
        self._quiet_until = HostNs(0)
