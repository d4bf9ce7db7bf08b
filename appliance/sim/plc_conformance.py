"""Play a PLC against a running appliance and report rule by rule whether its handshake holds.

For commissioning, not for production: it takes the place of the PLC, renews the session and clears pending results.
Rules about results are tried on the parts that pass meanwhile; without any they are reported as not tried.
"""

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from msgspec import Struct
from pymodbus.client import ModbusTcpClient
from pymodbus.constants import ExcCodes
from pymodbus.exceptions import ModbusException

from appliance.outputs.registers import (
    CONTROL_ADDRESS,
    STATUS_ADDRESS,
    STATUS_COUNT,
    UNIT_HINT,
    Control,
    ControlBit,
    ErrorCode,
    Status,
    StatusBit,
    pack_control,
    unpack_status,
)
from appliance.schema.errors import LinkError

POLL_S = 0.005
BEAT_S = 0.05
ANSWER_S = 1.0
"""How long an answer is waited for; the appliance needs a few ms."""

_SHOWN = StatusBit.RESULT_VALID | StatusBit.PASS | StatusBit.REJECT


class Check(Struct, frozen=True):
    """Report one rule; `passed` None means that nothing happened on which it could be tried."""

    name: str
    passed: bool | None
    tried: int
    failed: int
    detail: str = ""


def conformance(host: str, port: int, *, seconds: float = 5.0, stale_ms: int = 500) -> list[Check]:
    """Try every rule, watching parts for `seconds`; LinkError when the appliance cannot be reached."""
    client: Any = ModbusTcpClient(host, port=port, timeout=2, retries=0)
    try:
        if not client.connect():
            raise LinkError(f"plc conformance: {host}:{port} does not answer; check address, port and the line service")
        player = _Player(client)
        return [
            _check_addresses(client),
            _check_read_only(client),
            _check_unsessioned(player),
            _check_session(player),
            *_check_results(player, seconds),
            _check_trigger(player),
            _check_wrong_ack(player),
            _check_beat(player),
            _check_stale(player, stale_ms / 1000),
            _check_restart(player),
        ]
    except ModbusException as error:
        raise LinkError(f"plc conformance: {host}:{port} fell silent: {error}; check the line service") from error
    finally:
        client.close()


class _Player:
    """Hold the control block and keep the heartbeat going while waiting."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._bits = ControlBit(0)
        self._beat = ControlBit(0)
        self._beat_due = 0.0
        self.session_echo = self.ack_sequence = self.request_sequence = 0
        self.status = Status()
        self.silent = False

    def read(self) -> Status:
        """Read the status block and, when it is time, toggle the heartbeat."""
        answer = self._client.read_holding_registers(STATUS_ADDRESS, count=STATUS_COUNT, device_id=UNIT_HINT)
        if answer.isError():
            raise LinkError(f"plc conformance: reading the status block gives {answer}; it is not this appliance")
        self.status = unpack_status(answer.registers)
        if not self.silent and time.monotonic() >= self._beat_due:
            self._beat ^= ControlBit.HEARTBEAT
            self.write(self._bits)
        return self.status

    def write(self, bits: ControlBit) -> None:
        """Write the whole control block with these command bits."""
        self._bits = bits
        self._beat_due = time.monotonic() + BEAT_S
        block = Control(
            bits=bits | self._beat,
            session_echo=self.session_echo,
            ack_sequence=self.ack_sequence,
            request_sequence=self.request_sequence,
        )
        self._client.write_registers(CONTROL_ADDRESS, list(pack_control(block)), device_id=UNIT_HINT)

    def until(self, holds: Callable[[Status], bool], seconds: float = ANSWER_S) -> bool:
        """Poll until a status holds; False when it did not in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if holds(self.read()):
                return True
            time.sleep(POLL_S)
        return False

    def join(self) -> bool:
        """Start as a PLC does: zeros, then the session, then Enable; then clear what an earlier PLC left."""
        self.session_echo = self.ack_sequence = 0
        self.write(ControlBit(0))
        time.sleep(BEAT_S)
        self.session_echo = self.read().session
        self.write(ControlBit.ENABLE)
        alive = self.until(lambda status: status.state != 0)
        self.write(ControlBit.ENABLE | ControlBit.CLEAR_QUEUE | ControlBit.ERROR_RESET)
        self.until(lambda status: status.error_code == ErrorCode.NONE)
        self.write(ControlBit.ENABLE)
        return alive


def _once(name: str, *, passed: bool, detail: str) -> Check:
    return Check(name, passed, 1, 0 if passed else 1, detail)


def _check_addresses(client: Any) -> Check:
    places = (STATUS_ADDRESS + STATUS_COUNT, CONTROL_ADDRESS - 1, 60000)
    answers = [client.read_holding_registers(place, count=1, device_id=UNIT_HINT) for place in places]
    failed = sum(getattr(answer, "exception_code", 0) != ExcCodes.ILLEGAL_ADDRESS for answer in answers)
    return Check("address outside the blocks gives exception 2", failed == 0, len(places), failed)


def _check_read_only(client: Any) -> Check:
    answer = client.write_register(STATUS_ADDRESS, 0xFFFF, device_id=UNIT_HINT)
    code = getattr(answer, "exception_code", 0)
    return _once("status block cannot be written", passed=code == ExcCodes.ILLEGAL_ADDRESS, detail=f"exception {code}")


def _check_unsessioned(player: _Player) -> Check:
    player.write(ControlBit.ENABLE)
    player.until(lambda status: status.state != 0)
    bits = player.until(lambda status: bool(status.bits & (StatusBit.TRIGGER_READY | StatusBit.RESULT_VALID)), 0.3)
    return _once("nothing is offered before SessionEcho", passed=not bits, detail=f"bits {player.status.bits:#06x}")


def _check_session(player: _Player) -> Check:
    joined = player.join()
    detail = f"session {player.status.session}, state {player.status.state}, error {player.status.error_code}"
    return _once(
        "SessionEcho and Enable bring the handshake up", passed=joined and player.status.session > 0, detail=detail
    )


def _check_results(player: _Player, seconds: float) -> list[Check]:
    """Take results over for a while, and judge each block that shows one."""
    exclusive = empty = order = released = 0
    seen, last = 0, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status = player.read()
        if not status.bits & StatusBit.RESULT_VALID:
            empty += bool(status.bits & _SHOWN or status.result_sequence or status.part_number)
            time.sleep(POLL_S)
            continue
        seen += 1
        exclusive += bool(status.bits & StatusBit.PASS) == bool(status.bits & StatusBit.REJECT)
        order += status.result_sequence <= last or not status.part_number
        last = status.result_sequence
        player.ack_sequence = last
        player.write(ControlBit.ENABLE | ControlBit.RESULT_ACK)
        released += not player.until(lambda now: not now.bits & StatusBit.RESULT_VALID)
        player.write(ControlBit.ENABLE)
    tried = seen > 0 or None
    detail = "" if seen else f"no part passed in {seconds:g} s"
    return [
        Check("either Pass or Reject with ResultValid", tried and exclusive == 0, seen, exclusive, detail),
        Check("result words are zero without ResultValid", empty == 0, 1, empty),
        Check("ResultSeq rises and names a part", tried and order == 0, seen, order, detail),
        Check("ResultAck takes ResultValid back", tried and released == 0, seen, released, detail),
    ]


def _check_trigger(player: _Player) -> Check:
    before = player.read().missed_triggers
    player.request_sequence = 4711
    player.write(ControlBit.ENABLE | ControlBit.TRIGGER)
    missed = player.until(
        lambda status: (
            bool(status.bits & StatusBit.MISSED_TRIGGER)
            and status.missed_triggers != before
            and status.request_sequence_echo == player.request_sequence
        )
    )
    player.write(ControlBit.ENABLE)
    detail = f"counter {before} -> {player.status.missed_triggers}, echo {player.status.request_sequence_echo}"
    return _once("a refused Trigger is answered with MissedTrigger", passed=missed, detail=detail)


def _check_wrong_ack(player: _Player) -> Check:
    if not player.until(lambda status: bool(status.bits & StatusBit.RESULT_VALID)):
        return Check("a wrong AckSequence takes nothing over", None, 0, 0, "no part passed in 1 s")
    offered = player.status.result_sequence
    player.ack_sequence = offered + 1000
    player.write(ControlBit.ENABLE | ControlBit.RESULT_ACK)
    lost = player.until(lambda status: status.result_sequence != offered, 0.2)
    player.write(ControlBit.ENABLE)
    return _once("a wrong AckSequence takes nothing over", passed=not lost, detail=f"result {offered}")


def _check_beat(player: _Player) -> Check:
    """Time the toggles; the limit leaves 50 ms for polling and for a busy network."""
    changes: list[float] = []
    last = player.read().bits & StatusBit.HEARTBEAT
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        bit = player.read().bits & StatusBit.HEARTBEAT
        if bit != last:
            changes.append(time.monotonic())
            last = bit
        time.sleep(POLL_S)
    gaps_ms = [(after - before) * 1000 for before, after in pairwise(changes)]
    slow = sum(gap > 150 for gap in gaps_ms)
    detail = f"longest {max(gaps_ms, default=0):.0f} ms"
    return Check("heartbeat toggles at least every 100 ms", bool(gaps_ms) and slow == 0, len(gaps_ms), slow, detail)


def _check_stale(player: _Player, stale_s: float) -> Check:
    player.silent = True
    began = time.monotonic()
    unsafe = StatusBit.TRIGGER_READY | StatusBit.RESULT_VALID | StatusBit.PASS
    dropped = player.until(lambda status: status.state == 0 and not status.bits & unsafe, stale_s + ANSWER_S)
    took_ms = (time.monotonic() - began) * 1000
    player.silent = False
    back = player.until(lambda status: status.state != 0)
    return _once("a silent PLC makes the outputs safe", passed=dropped and back, detail=f"after {took_ms:.0f} ms")


def _check_restart(player: _Player) -> Check:
    old = player.read().session
    player.session_echo = 0
    player.write(ControlBit(0))
    renewed = player.until(lambda status: status.session != old and not status.bits & _SHOWN)
    return _once("a restarted PLC gets a new session", passed=renewed, detail=f"{old} -> {player.status.session}")
