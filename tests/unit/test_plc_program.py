"""The simulated PLC's rungs, against the real handshake, and what `line` says of a client it did not let in."""

from appliance.outputs.plc.handshake import Handshake
from appliance.outputs.plc.registers import Control, ControlBit, Status, unpack_control, unpack_status
from appliance.outputs.plc.result_queue import Detail
from appliance.ports.node import Publish
from appliance.schema.clocks import MS, HostNs
from appliance.schema.health import Alarm
from appliance.schema.part import PartId
from appliance.schema.topics import ALARM
from appliance.sim.plc_program import Ack, PlcProgram
from tests.unit.handshake_bench import SESSION, actuation
from tests.unit.line_rig import Rig


class Play:
    """Scan a program against a handshake, 10 ms a cycle."""

    def __init__(self, *, plc_triggers: bool = False) -> None:
        self.now = HostNs(0)
        self.handshake = Handshake(SESSION, self.now, plc_triggers=plc_triggers)
        self.program = PlcProgram()
        self.control = Control()
        self.cycle(3)

    def cycle(self, times: int = 1) -> Status:
        for _ in range(times):
            self.now = HostNs(self.now + 10 * MS)
            self.handshake.machine(self.now, ready=True)
            self.handshake.tick(self.now)
            words = self.program.scan(self.handshake.status(), self.now)
            if words is not None:
                self.control = unpack_control(words)
                self.handshake.control(words, self.now)
        return unpack_status(self.handshake.status())

    def part(self, number: int) -> None:
        fact = actuation(number)
        self.handshake.part_entered(fact.part, self.now)
        self.handshake.post(fact, Detail(), self.now)


def test_four_phases() -> None:
    """A result is taken once, acknowledged by its number, and ResultAck goes back when ResultValid has."""
    play = Play()
    play.part(1)
    seen = []
    for _ in range(4):
        status = play.cycle()
        seen.append((status.result_sequence, bool(play.control.bits & ControlBit.RESULT_ACK)))

    assert [(0, True), (0, False), (0, False), (0, False)] == seen
    assert [1] == [result.sequence for result in play.program.judged()]
    assert 1 == play.handshake.counts.acknowledged


def test_what_is_named_wrong_is_named_right_afterwards() -> None:
    """A program that comes to its senses lowers ResultAck before it acknowledges the offered number."""
    play = Play()
    play.program.ack = Ack.OLD
    play.part(1)
    play.cycle(3)
    before = (play.handshake.counts.acknowledged, play.control.ack_sequence)
    play.program.ack = Ack.PROPER
    play.cycle(4)

    assert (0, 0) == before
    assert 1 == play.handshake.counts.acknowledged


def test_a_held_ack_is_never_taken_back() -> None:
    """With the fault `held` the second result is never offered."""
    play = Play()
    play.program.ack = Ack.HELD
    play.part(1)
    play.part(2)
    status = play.cycle(20)

    assert 1 == play.handshake.counts.acknowledged
    assert (0, 1) == (status.result_sequence, status.queue_depth)


def test_another_echo_keeps_the_handshake_down() -> None:
    """With a foreign SessionEcho the program is no partner."""
    play = Play()
    play.program.echo = SESSION + 1
    play.part(1)

    assert 0 == play.cycle(5).result_sequence


def test_the_program_makes_parts_one_at_a_time() -> None:
    """Where the PLC triggers each Trigger waits for TriggerAck, falls, and names the next part."""
    play = Play(plc_triggers=True)
    play.program.feed_ns = 0
    named = []
    for number in range(1, 200):
        play.cycle()
        wish = play.handshake.trigger_wish()
        if wish is not None:
            named.append((play.control.request_sequence, play.control.plc_part))
            play.handshake.part_entered(PartId(5, number), play.now, wish)
            play.handshake.post(actuation(number), Detail(), play.now)
        if len(named) == 5:
            break

    assert [(number, number) for number in range(1, 6)] == named
    assert 0 == unpack_status(play.handshake.status()).missed_triggers


def test_line_tells_of_a_client_that_was_not_let_in() -> None:
    """What the server says about a refused connection becomes an alarm of `line`, as it is."""
    alarm = Alarm("line", "plc_foreign", "plc: 10.0.0.9 is not in plc.allow ...", at=HostNs(5))
    rig = Rig().connect()

    assert [Publish(ALARM + "line", alarm)] == list(rig.node.receive("device:plc", alarm, HostNs(5)))
