"""Play the person at a simulated station, who looks at parts and decides them, well but not without mistakes.

The person sees the part itself: what it is, by the plant's own account. Skill and speed are drawn from a seed, so that
the same parts in the same order get the same answers.
"""

import json
import random
from collections import deque
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from appliance.schema.clocks import HostNs, S
from appliance.schema.command import DecidePart
from appliance.schema.errors import ApplianceError, LinkError, Refused
from appliance.schema.part import PartId

GOOD = "good"
PAUSE = 1 * S
"""Until an answer that nobody took is given again."""

OPERATOR = "op-1"
"""Who decides all but what only a quality engineer may."""


class Skill(Struct, frozen=True):
    """Say how well and how fast a person decides."""

    finds: float = 0.97
    """Probability that a defect is seen."""
    passes: float = 0.995
    """Probability that a good part is taken for good."""
    seconds: float = 0.7
    """Median time for a part, far under the 5 to 10 s that people take: the demo's belt does not wait."""
    spread: float = 0.35
    """Standard deviation of the logarithm of the time."""


class _Look(Struct, frozen=True):
    """Hold a part that the person is to look at."""

    part: PartId
    at_counts: int
    person: str
    since: HostNs


class Operator:
    """Decide parts one after the other, in the order in which they came. One thread."""

    def __init__(self, seed: int, truth_of: Callable[[int], str | None], skill: Skill | None = None) -> None:
        """Take what a part really is, by the encoder count at which it entered; None: the plant does not know."""
        self._random = random.Random(seed)
        self._truth_of = truth_of
        self._skill = skill or Skill()
        self._looks: deque[_Look] = deque()
        self._answer: DecidePart | None = None
        self._due = HostNs(0)
        self._free = HostNs(0)
        self.answered = 0
        self.refused = 0

    @property
    def waiting(self) -> int:
        """Parts that the person has been shown and not decided."""
        return len(self._looks)

    def see(self, part: PartId, at_counts: int, person: str, now: HostNs) -> None:
        """Show a part; it is looked at when those before it are decided."""
        self._looks.append(_Look(part, at_counts, person, now))

    def act(self, ask: Callable[[DecidePart], None], now: HostNs) -> None:
        """Give the answers that are due; `ask` raises Refused or LinkError as the control socket does."""
        while self._looks:
            if self._answer is None:
                self._answer = self._decide(self._looks[0])
            if now < self._due:
                return
            try:
                ask(self._answer)
                self.answered += 1
            except LinkError:
                self._due = HostNs(now + PAUSE)
                return
            except Refused:  # as after an answer that was kept and whose reply was lost
                self.refused += 1
            self._free = self._due
            self._looks.popleft()
            self._answer = None

    def _decide(self, look: _Look) -> DecidePart:
        skill = self._skill
        seconds = skill.seconds * self._random.lognormvariate(0.0, skill.spread)
        self._due = HostNs(max(self._free, look.since) + int(seconds * S))
        truth = self._truth_of(look.at_counts)
        sees = self._random.random()
        if truth is None:
            kind = "not recognised"
        elif truth == GOOD:
            kind = GOOD if sees < skill.passes else "scratch"
        else:
            kind = truth if sees < skill.finds else GOOD
        return DecidePart(look.part, kind == GOOD, kind, look.person, round(seconds, 2))


class Sight:
    """Know what a part really is, from the plant's file of truth, by where it entered."""

    def __init__(self, path: Path, near: int) -> None:
        """`near`: encoder counts by which the sensor's edge may lie off."""
        self._path = path
        self._near = near
        self._kinds: dict[int, str] = {}
        self._read = 0

    def __call__(self, at_counts: int) -> str | None:
        """Give the part's class, `good` or a kind of defect; None when no part entered there."""
        return self._find(at_counts) or (self._find(at_counts) if self._more() else None)

    def _find(self, at_counts: int) -> str | None:
        found = (self._kinds.get(at_counts + step) for step in range(-self._near, self._near + 1))
        return next((kind for kind in found if kind is not None), None)

    def _more(self) -> bool:
        """Read the whole lines that were written since."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                text = file.read()
        except OSError as error:
            raise ApplianceError(f"{self._path}: cannot be read: {error.strerror}; the plant writes it") from error
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            item = json.loads(line)
            self._kinds[item["enter_counts"]] = item["truth"]
        return bool(whole)
