"""A station on a manual clock behind a real Modbus server: a conformance run takes a second and never wavers."""

import select
import threading
from typing import Protocol, TypeAlias

from appliance.outputs.plc.handshake import Handshake
from appliance.outputs.plc.modbus import ControlWritten, ModbusServer, StatusBlock
from appliance.outputs.plc.registers import ControlBit, unpack_control
from appliance.outputs.plc.result_queue import Detail
from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.clocks import MS, EncoderCounts, HostNs, McuTicks, S
from appliance.schema.errors import LinkError
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition
from appliance.sim.plc_conformance import play
from appliance.sim.plc_rules import Check, Rule
from appliance.sim.plc_wire import TcpWire
from tests.contract.modbus_rig import HERE, now

STALE_MS, ACK_TIMEOUT_MS, SECONDS = 300, 600, 0.6
TURN = 5 * MS
Belt: TypeAlias = tuple[tuple[int, ...], int]
"""Times between parts, in turn, and from part sensor to gate, ns."""
USUAL: Belt = ((40 * MS, 40 * MS, 40 * MS, 180 * MS), 80 * MS)
"""Now and then the belt is empty."""
KINDS = (
    (Lane.ACCEPT, Cause.ACCEPTED, Disposition.ACCEPT),
    (Lane.ACCEPT, Cause.ACCEPTED, Disposition.ACCEPT),
    (Lane.REJECT, Cause.DECIDED_REJECT, Disposition.REJECT),
    (Lane.ACCEPT, Cause.ACCEPTED, Disposition.ACCEPT),
    (Lane.REJECT, Cause.LATE, Disposition.ACCEPT),
    (Lane.REJECT, Cause.DECIDED_REJECT, Disposition.REVIEW),
)
BARRED = (Lane.REJECT, Cause.PLC_NOT_READY, Disposition.NO_VERDICT)


class Distortion(Protocol):
    """What a faulty appliance does to its own words."""

    def heard(self, words: tuple[int, ...], handshake: Handshake) -> tuple[int, ...]:
        """Change what the PLC wrote."""

    def told(self, words: tuple[int, ...], now: HostNs) -> tuple[int, ...]:
        """Change what the PLC will read."""

    def invented(self, handshake: Handshake, now: HostNs) -> list[tuple[int, ...]]:
        """Give control blocks that no PLC wrote."""

    def answered(self, answer: bytes) -> bytes:
        """Change what the PLC gets on one request."""

    def dropped(self, handshake: Handshake, now: HostNs) -> None:
        """Do something because the connection was cut."""

    def falls(self) -> bool:
        """Tell whether an intruder breaks the connection of everybody."""


class Honest:
    """Change nothing."""

    def heard(self, words: tuple[int, ...], handshake: Handshake) -> tuple[int, ...]:
        return words

    def told(self, words: tuple[int, ...], now: HostNs) -> tuple[int, ...]:
        return words

    def invented(self, handshake: Handshake, now: HostNs) -> list[tuple[int, ...]]:
        return []

    def answered(self, answer: bytes) -> bytes:
        return answer

    def dropped(self, handshake: Handshake, now: HostNs) -> None:
        pass

    def falls(self) -> bool:
        return False


class Appliance:
    """Turn a handshake as `line` does, feeding parts that need a while from the sensor to the gate."""

    def __init__(
        self, distortion: Distortion, server: ModbusServer, belt: Belt = USUAL, *, plc_triggers: bool = False
    ) -> None:
        self.server = server
        self._gaps, self._travel = belt
        self.handshake = Handshake(
            1234,
            HostNs(0),
            ack_timeout_ms=ACK_TIMEOUT_MS,
            stale_ms=STALE_MS,
            recipe=3,
            recipe_hash=0xDEAD_BEEF,
            plc_triggers=plc_triggers,
        )
        self.distortion = distortion
        self._fed = 0
        self._feed_at = HostNs(0)
        self._belt: list[tuple[HostNs, Actuation]] = []
        self._changing = False

    def turn(self, now: HostNs) -> None:
        """Do what one turn of the loop does."""
        handshake, distortion = self.handshake, self.distortion
        handshake.machine(now, ready=True)
        for message in self.server.read(now):
            if isinstance(message, ControlWritten):
                self._changing = bool(unpack_control(message.words).bits & ControlBit.JOB_CHANGE)
                handshake.control(distortion.heard(message.words, handshake), now)
        for words in distortion.invented(handshake, now):
            handshake.control(words, now)
        handshake.tick(now)
        if handshake.job_change == 3:
            handshake.recipe(3, 0xDEAD_BEEF, now)
        elif handshake.job_change is not None:
            handshake.refuse_job(now)
        self._move(now)
        handshake.acknowledged()
        self.server.write(StatusBlock(distortion.told(handshake.status(), now)), now)

    def _move(self, now: HostNs) -> None:
        if self.handshake.plc_triggers:
            request = self.handshake.trigger_wish()
            if request is not None:
                self._enter(now, request)
        elif now >= self._feed_at and not self._changing:
            self._feed_at = HostNs(now + self._gaps[self._fed % len(self._gaps)])
            self._enter(now, 0)
        while self._belt and now >= self._belt[0][0]:
            self.handshake.post(self._belt.pop(0)[1], Detail(0.3, 1, 30.0), now)

    def _enter(self, now: HostNs, request: int) -> None:
        self._fed += 1
        part = PartId(9, self._fed)
        ready = self.handshake.part_entered(part, now, request)
        kind = KINDS[self._fed % len(KINDS)] if ready else BARRED
        fact = Actuation(part, *kind, self._fed, HostNs(0), McuTicks(0), EncoderCounts(0))
        self._belt.append((HostNs(now + self._travel), fact))


class Live:
    """Turn an appliance in a thread, by the computer's clock."""

    def __init__(self, distortion: Distortion) -> None:
        self.appliance = Appliance(distortion, ModbusServer(HERE, 0))
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, name="appliance")
        self._thread.start()

    @property
    def port(self) -> int:
        return self.appliance.server.port

    def close(self) -> None:
        self._halt.set()
        self._thread.join()
        self.appliance.server.close()

    def _run(self) -> None:
        while not self._halt.is_set():
            select.select([self.appliance.server.fileno()], [], [], TURN / S)
            self.appliance.turn(now())


class ManualWire:
    """Reach the appliance over TCP, and move its clock."""

    def __init__(self, appliance: Appliance) -> None:
        self._appliance = appliance
        self._tcp = TcpWire(HERE, appliance.server.port)
        self._now = HostNs(1 * S)
        appliance.turn(self._now)

    def now(self) -> HostNs:
        return self._now

    def wait(self, seconds: float) -> None:
        until = self._now + int(seconds * S)
        while self._now < until:
            self._now = HostNs(min(until, self._now + TURN))
            self._appliance.turn(self._now)

    def ask(self, pdu: bytes) -> bytes:
        answer = self._tcp.ask(pdu)
        self._appliance.turn(self._now)
        return self._appliance.distortion.answered(answer)

    def cut(self) -> None:
        self._tcp.cut()
        self._appliance.distortion.dropped(self._appliance.handshake, self._now)

    def intrude(self, noise: bytes) -> None:
        self._tcp.intrude(noise)
        if self._appliance.distortion.falls():
            raise LinkError("plc: the connection was closed")


def checks_of(
    distortion: Distortion, server: ModbusServer | None = None, *, belt: Belt = USUAL, plc_triggers: bool = False
) -> dict[Rule, Check]:
    """Run the whole conformance against one appliance."""
    appliance = Appliance(distortion, server or ModbusServer(HERE, 0), belt, plc_triggers=plc_triggers)
    wire = ManualWire(appliance)
    try:
        _, checks = play(wire, seconds=SECONDS, stale_ms=STALE_MS, ack_timeout_ms=ACK_TIMEOUT_MS)
    finally:
        wire.cut()
        appliance.server.close()
    return {check.rule: check for check in checks}
