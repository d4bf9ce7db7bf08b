"""Play the person at the line and the desk that publishes what was decided, in parallel mode."""

import random
from collections.abc import Callable, Sequence

from msgspec import Struct

from appliance.ports.node import Output, Publish
from appliance.schema.clocks import MS, HostNs, UtcNs
from appliance.schema.command import Command, RefusedReply, Reply
from appliance.schema.part import PartEntered, PartId
from appliance.schema.review import ManualVerdict, Occasion
from appliance.schema.topics import MANUAL, PART_ENTERED


class Habits(Struct, frozen=True):
    """Say how the person decides; probabilities per part."""

    absent: float = 0.1
    wrong: float = 0.05
    """Takes a defective part for good, or the reverse."""
    doubled: float = 0.05
    """Presses twice: the same word goes out again."""
    second_thought: float = 0.1
    """Says the opposite soon after."""
    behind: float = 0.05
    """Decides only when the part is past the gate."""
    quickest_ms: int = 40
    slowest_ms: int = 420


class PersonNode:
    """Decide each part that enters, in the name of the unit `record`."""

    def __init__(self, habits: Habits, generator: random.Random, defective: Callable[[PartId], bool]) -> None:
        """Take what is really wrong with the parts; the generator draws everything else."""
        self.name = "record"
        self.topics = (PART_ENTERED,)
        self._habits, self._random, self._defective = habits, generator, defective
        self._agenda: list[tuple[HostNs, PartId, bool, str]] = []

    @property
    def wake_at(self) -> HostNs | None:
        """Next word."""
        return min((at for at, *_ in self._agenda), default=None)

    def start(self, now: HostNs) -> Sequence[Output]:
        """Nothing is known of parts before."""
        return ()

    def receive(self, topic: str, message: Struct, now: HostNs) -> Sequence[Output]:
        """Look at a part that entered."""
        if isinstance(message, PartEntered):
            self._look(message, now)
        return ()

    def lost(self, topic: str, count: int, now: HostNs) -> Sequence[Output]:
        """Miss a part: nobody decides it."""
        return ()

    def command(self, command: Command, now: HostNs) -> tuple[Reply, Sequence[Output]]:
        """Take no wishes."""
        return RefusedReply("a simulated person takes no commands"), ()

    def wake(self, now: HostNs) -> Sequence[Output]:
        """Say what is due."""
        due = [item for item in self._agenda if item[0] <= now]
        self._agenda = [item for item in self._agenda if item[0] > now]
        return [Publish(MANUAL, _word(part, name, now, accept=accept)) for _, part, accept, name in due]

    def _look(self, entered: PartEntered, now: HostNs) -> None:
        habits, draw = self._habits, self._random.random
        if draw() < habits.absent:
            return
        spent = self._random.randrange(habits.quickest_ms, habits.slowest_ms) * MS
        at = HostNs(now + spent + (3000 * MS if draw() < habits.behind else 0))
        accept = self._defective(entered.part) == (draw() < habits.wrong)
        name = f"{entered.part}-{self._random.getrandbits(64):016x}"
        self._agenda.append((at, entered.part, accept, name))
        if draw() < habits.doubled:
            self._agenda.append((HostNs(at + self._random.randrange(200) * MS), entered.part, accept, name))
        if draw() < habits.second_thought:
            again = HostNs(at + self._random.randrange(1, 200) * MS)
            self._agenda.append((again, entered.part, not accept, name + "-2"))


def _word(part: PartId, name: str, now: HostNs, *, accept: bool) -> ManualVerdict:
    return ManualVerdict(
        name,
        part,
        accept,
        kind="good" if accept else "scratch",
        person="simulation",
        occasion=Occasion.PARALLEL,
        seconds=0.2,
        prediction_shown=False,
        decided=now,
        at=UtcNs(now),
    )
