"""Be one small service in a process of its own, for the tests of the loop.

    python loop_node.py ROLE FOLDER

ROLE: `writer` states an actuation every 5 ms and obeys Drain; `keeper` writes down what it hears of them in
FOLDER/kept.txt; `listener` hears them and keeps nothing; `asker` sends the writer wishes and writes down the answers;
`broken` and `unlucky` fail at their first wake.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from appliance.ports.node import Ask, Output, Publish, Replied
from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.clocks import MS, EncoderCounts, HostNs, McuTicks
from appliance.schema.command import Accepted, Command, Drain, RefusedReply, Reply, ResetFault
from appliance.schema.errors import LinkError
from appliance.schema.health import Component, Condition, Health
from appliance.schema.part import PartId
from appliance.schema.topics import ACTUATION, STATUS
from appliance.schema.verdict import Disposition
from appliance.services._loop import Loop

UNITS = ("line", "record")
EVERY = 5 * MS


class Quiet:
    """Say nothing but that it lives; wakes every 5 ms."""

    topics: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        self.name = name
        self.wake_at: HostNs | None = HostNs(0)
        self.count = 0

    def start(self, now: HostNs) -> Sequence[Output]:
        return [self.health(Condition.STARTING, now)]

    def health(self, condition: Condition, now: HostNs) -> Output:
        component = Component("work", condition, f"{self.count} done")
        return Publish(STATUS + self.name, Health(self.name, condition, (component,), self.count, now))

    def receive(self, topic: str, message: Struct, now: HostNs) -> Sequence[Output]:
        return ()

    def lost(self, topic: str, count: int, now: HostNs) -> Sequence[Output]:
        return ()

    def command(self, command: Command, now: HostNs) -> tuple[Reply, Sequence[Output]]:
        return RefusedReply("not for this unit"), ()

    def wake(self, now: HostNs) -> Sequence[Output]:
        self.wake_at = HostNs(now + EVERY)
        return [self.health(Condition.OK, now)]


class Writer(Quiet):
    """State actuations 1, 2, 3 ... until it is told to drain."""

    drained = False

    def command(self, command: Command, now: HostNs) -> tuple[Reply, Sequence[Output]]:
        if not isinstance(command, Drain):
            return RefusedReply("only Drain is for this unit"), ()
        self.drained = True
        return Accepted(str(self.count)), ()

    def wake(self, now: HostNs) -> Sequence[Output]:
        self.wake_at = HostNs(now + EVERY)
        if self.drained:
            return ()
        self.count += 1
        fact = Actuation(
            PartId(1, self.count), Lane.REJECT, Cause.NO_VERDICT, Disposition.NO_VERDICT, 0, now, McuTicks(0),
            EncoderCounts(0),
        )  # fmt: skip
        return [Publish(ACTUATION, fact), self.health(Condition.OK, now)]


class Listener(Quiet):
    """Write down what it hears."""

    topics = (ACTUATION,)

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        self.kept = (folder / "kept.txt").open("a")

    def receive(self, topic: str, message: Struct, now: HostNs) -> Sequence[Output]:
        return self.note(0, 0, message)

    def lost(self, topic: str, count: int, now: HostNs) -> Sequence[Output]:
        self.kept.write(f"lost {topic} {count}\n")
        self.kept.flush()
        return ()

    def note(self, epoch: int, sequence: int, message: Struct) -> Sequence[Output]:
        number = message.part.number if isinstance(message, Actuation) else 0
        self.kept.write(f"{epoch} {sequence} {number}\n")
        self.kept.flush()
        return ()


class KeeperNode(Listener):
    """Keep records: know the place of the newest fact held."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name, folder)
        lines = [line.split() for line in (folder / "kept.txt").read_text().splitlines()]
        held = [(int(line[0]), int(line[1])) for line in lines if line[0] != "lost"]
        self._places = {ACTUATION: held[-1]} if held else {}

    def positions(self) -> dict[str, tuple[int, int]]:
        return self._places

    def receive_envelope(self, topic: str, epoch: int, sequence: int, message: Struct, now: HostNs) -> Sequence[Output]:
        return self.note(epoch, sequence, message)

    def finish(self, now: HostNs) -> None:
        self.kept.write("")
        self.kept.close()


class Asker(Quiet):
    """Wish for a Drain, for what nobody grants, and of a unit that is not there; write the answers down."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        self.kept = (folder / "kept.txt").open("a")

    def start(self, now: HostNs) -> Sequence[Output]:
        wishes = [Ask("line", Drain(), 1), Ask("line", ResetFault("operator-7"), 2), Ask("judge", Drain(), 3)]
        return [*super().start(now), *wishes]

    def receive(self, topic: str, message: Struct, now: HostNs) -> Sequence[Output]:
        assert isinstance(message, Replied)
        self.kept.write(f"{topic} {message.ticket} {type(message.reply).__name__}\n")
        self.kept.flush()
        return ()


class Broken(Quiet):
    """Fail at the first wake."""

    def __init__(self, name: str, error: Exception) -> None:
        super().__init__(name)
        self._error = error

    def wake(self, now: HostNs) -> Sequence[Output]:
        raise self._error


def main(role: str, folder: Path) -> int:
    node: Quiet
    match role:
        case "writer":
            node = Writer("line")
        case "keeper":
            node = KeeperNode("record", folder)
        case "listener":
            node = Listener("record", folder)
        case "asker":
            node = Asker("record", folder)
        case "unlucky":
            node = Broken("line", LinkError("mcu: the cable is out; put it in"))
        case _:
            node = Broken("line", ValueError("a mistake of ours"))
    return Loop(node, {}, folder, UNITS).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
