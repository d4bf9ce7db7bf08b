"""A whole inspection driven by Debian's mbpoll alone: addresses, word order and handshake seen by a foreign program."""

import shutil
from collections.abc import Iterator

import pytest

from appliance.outputs.plc.registers import CAUSE_CODES, DISPOSITION_CODES, ControlBit, Status, StatusBit, unpack_status
from appliance.schema.actuation import Cause
from appliance.schema.verdict import Disposition
from tests.contract.mbpoll_plc import REGISTERS, MbpollPlc
from tests.contract.modbus_rig import Station, eventually

pytestmark = pytest.mark.skipif(
    shutil.which("mbpoll") is None, reason="mbpoll (Debian package mbpoll) is not installed"
)

SESSION = 0xF1E2_D3C4
"""Both words differ, and the value is negative where a program takes it as signed."""
PARTS = 4
VALID, PASS, REJECT, READY = StatusBit.RESULT_VALID, StatusBit.PASS, StatusBit.REJECT, StatusBit.TRIGGER_READY


@pytest.fixture
def station() -> Iterator[Station]:
    made = Station(parts_hz=20, parts=PARTS, session=SESSION, stale_ms=5000)
    yield made
    made.close()


@pytest.fixture
def plc(station: Station) -> MbpollPlc:
    return MbpollPlc(station.server.port)


def join(plc: MbpollPlc) -> None:
    """Start as the register page says: zeros, SessionEcho, Enable, heartbeat."""
    plc.zero()
    plc.write("session_echo", plc.read("session"))
    plc.set(ControlBit.ENABLE)


def test_word_order_is_what_the_page_says(plc: MbpollPlc) -> None:
    """A 32-bit value has its high word first: mbpoll reads it right with -B, and swapped without."""
    address = str(REGISTERS["status"]["session"].address)
    raw = plc.poll("-t", "4:hex", "-r", address, "-c", "2")
    plain = plc.poll("-t", "4:int", "-r", address, "-c", "1")[0] & 0xFFFF_FFFF

    assert SESSION == plc.read("session")
    assert [0xF1E2, 0xD3C4] == raw
    assert 0xD3C4_F1E2 == plain


def test_a_whole_inspection(station: Station, plc: MbpollPlc) -> None:
    """From Session over Enable, part and result to ResultAck: each part comes once, with its own lane."""
    assert 0 == plc.read("bits") & VALID
    join(plc)
    taken: list[Status] = []
    for number in range(1, PARTS + 1):
        assert plc.until("bits", VALID, VALID)
        status = unpack_status(plc.block())
        taken.append(status)
        assert number == plc.read("result_sequence") == status.result_sequence
        assert number == plc.read("part_number") == status.part_number
        assert plc.read("entered_number") >= number
        plc.write("ack_sequence", status.result_sequence)
        plc.set(ControlBit.ENABLE | ControlBit.RESULT_ACK)
        assert plc.until("bits", VALID | PASS | REJECT, 0)
        assert 0 == unpack_status(plc.block()).part_number
        plc.set(ControlBit.ENABLE)
    assert eventually(lambda: len(station.acknowledged) == PARTS)

    assert [StatusBit(status.bits) & (VALID | PASS | REJECT) for status in taken] == [
        VALID | (PASS if number % 3 else REJECT) for number in range(1, PARTS + 1)
    ]
    assert [(9, number) for number in range(1, PARTS + 1)] == [(s.part_boot, s.part_number) for s in taken]
    assert {SESSION} == {status.session for status in taken}
    accepted = (DISPOSITION_CODES[Disposition.ACCEPT], CAUSE_CODES[Cause.ACCEPTED], 300, 1, 30)
    first = taken[0]
    assert accepted == (first.disposition, first.cause, first.score, first.defect_bits, first.latency_ms)
    assert list(range(1, PARTS + 1)) == [event.part.number for event in station.acknowledged]


def test_what_mbpoll_may_not_do(station: Station, plc: MbpollPlc) -> None:
    """A wrong ack takes nothing over, a restart gets a new session, and what waited is gone with it."""
    join(plc)
    assert plc.until("bits", VALID, VALID)
    plc.write("ack_sequence", 77)
    plc.set(ControlBit.ENABLE | ControlBit.RESULT_ACK)
    assert eventually(lambda: station.handshake.counts.wrong_acks == 1)
    assert VALID == plc.read("bits") & VALID
    plc.zero()
    assert plc.until("session", 0xFFFF_FFFF, SESSION + 1)

    assert 0 == plc.read("bits") & (VALID | PASS | READY)
    assert [] == station.acknowledged
