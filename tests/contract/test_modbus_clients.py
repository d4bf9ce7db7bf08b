"""Who gets in at the Modbus server, and that nobody can exhaust it."""

import asyncio
import gc
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from appliance.config import load
from appliance.outputs.plc import modbus, modbus_clients
from appliance.outputs.plc.modbus import ControlWritten, ModbusServer
from appliance.outputs.plc.modbus_clients import CLIENTS
from appliance.outputs.plc.registers import CONTROL_ADDRESS, STATUS_ADDRESS, STATUS_COUNT
from appliance.schema.health import Alarm
from appliance.services._wiring import wire
from appliance.sim.plc_wire import TcpWire, read_request, words_of, write_request
from appliance.sim.station import free_port
from tests.contract.modbus_rig import AT_ONCE, HERE, eventually
from tests.unit.approval_rig import write_station

CUTS, AHEAD = 1000, 200
READ = read_request(STATUS_ADDRESS, STATUS_COUNT)


@pytest.fixture
def server() -> Iterator[ModbusServer]:
    before = set(threading.enumerate())
    made = ModbusServer(HERE, 0)
    yield made
    made.close()
    assert before == set(threading.enumerate())


def own_address() -> str:
    """Give an address of this computer that is not loopback; the test is skipped where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # documentation network; nothing is sent
        except OSError:
            pytest.skip("this computer has no address but loopback")
        return str(probe.getsockname()[0])


def framed(pdu: bytes, transaction: int = 1) -> bytes:
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, 1) + pdu


def answered(port: int) -> bool:
    wire = TcpWire(HERE, port)
    try:
        return len(words_of(wire.ask(READ))) == STATUS_COUNT
    finally:
        wire.cut()


def alarms(server: ModbusServer) -> list[Alarm]:
    return [message for message in server.read(AT_ONCE) if isinstance(message, Alarm)]


def ended(line: socket.socket) -> bool:
    """Tell whether the other end closed the connection."""
    line.settimeout(5)
    try:
        return line.recv(1) == b""
    except ConnectionError:
        return True


def test_a_foreign_address_is_closed_before_a_byte_is_read(server: ModbusServer) -> None:
    """Who is not in the list gets no answer, changes nothing, is counted each time and told of once."""
    peer = own_address()
    for _ in range(20):
        with socket.create_connection((HERE, server.port), source_address=(peer, 0)) as line:
            with suppress(ConnectionError):
                line.sendall(framed(write_request(CONTROL_ADDRESS, (1,))))
            assert ended(line)
    assert eventually(lambda: server.refused == 20)
    told = list(server.read(AT_ONCE))

    assert [("line", "plc_foreign")] == [(alarm.unit, alarm.kind) for alarm in told if isinstance(alarm, Alarm)]
    assert told[-1].text.startswith(f"plc: {peer} is not in plc.allow and was refused; ")
    assert not any(isinstance(message, ControlWritten) for message in told)
    assert answered(server.port)


def test_a_listed_address_gets_in() -> None:
    """The PLC that `plc.allow` names is served."""
    peer = own_address()
    server = ModbusServer(HERE, 0, (f"{peer}/32",))
    try:
        with socket.create_connection((HERE, server.port), source_address=(peer, 0), timeout=5) as line:
            line.sendall(framed(READ))
            told = line.recv(300)
    finally:
        server.close()

    assert STATUS_COUNT == len(words_of(told[7:]))


@pytest.mark.parametrize("listed", [False, True])
def test_the_stations_list_reaches_the_server(tmp_path: Path, *, listed: bool) -> None:
    """`plc.allow` of the station's file decides who reaches `line`."""
    peer, port = own_address(), free_port()
    path = write_station(tmp_path, 'name = "lid"\nnumber = 3\nviews = ["top"]\nbundle = "lid-1"\n')
    allow = f'["{peer}"]' if listed else "[]"
    path.write_text(path.read_text("utf-8") + f"\n[plc]\nport = {port}\nallow = {allow}\n", "utf-8")
    _, devices = wire("line", load(path))
    try:
        with socket.create_connection((HERE, port), source_address=(peer, 0), timeout=5) as line:
            if listed:
                line.sendall(framed(READ))
                assert STATUS_COUNT == len(words_of(line.recv(300)[7:]))
            else:
                assert ended(line)
    finally:
        for device in devices.values():
            device.close()


def test_places_are_bounded_and_go_to_those_who_speak(server: ModbusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection too many is refused while all others speak; one that is silent makes room, one that speaks never."""
    with ExitStack() as stack:
        lines = [stack.enter_context(socket.create_connection((HERE, server.port))) for _ in range(CLIENTS)]
        for line in [*lines, lines[0]]:
            line.sendall(framed(READ))
            assert line.recv(300)
        assert ended(stack.enter_context(socket.create_connection((HERE, server.port))))
        assert ["plc_full"] == [alarm.kind for alarm in alarms(server)]

        monkeypatch.setattr(modbus_clients, "SILENT_S", 0.0)
        newest = stack.enter_context(socket.create_connection((HERE, server.port), timeout=5))
        newest.sendall(framed(READ))
        assert newest.recv(300)
        assert ended(lines[1])  # it was silent for longest
        lines[0].sendall(framed(READ))
        assert lines[0].recv(300)


def test_who_hung_up_makes_room_at_once(server: ModbusServer) -> None:
    """A burst of connections that are closed again never keeps the PLC out."""
    for _ in range(30):
        for _ in range(3 * CLIENTS):
            socket.create_connection((HERE, server.port)).close()
        assert answered(server.port)

    assert 0 == server.refused


def test_a_silent_peer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half-open connections, and those over which bytes only trickle, do not stay."""
    monkeypatch.setattr(modbus_clients, "IDLE_S", 0.3)
    monkeypatch.setattr(modbus, "SWEEP_S", 0.05)
    server = ModbusServer(HERE, 0)
    try:
        with ExitStack() as stack:
            lines = [stack.enter_context(socket.create_connection((HERE, server.port))) for _ in range(3)]
            lines[1].sendall(framed(READ)[:5])
            assert all(map(ended, lines))
        assert eventually(lambda: server._clients.n == 0)
    finally:
        server.close()


def test_a_peer_that_takes_no_answers_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests whose answers nobody takes fill no memory: reading stops, then the connection ends."""
    monkeypatch.setattr(modbus_clients, "IDLE_S", 0.5)
    monkeypatch.setattr(modbus, "SWEEP_S", 0.05)
    server = ModbusServer(HERE, 0)
    try:
        with socket.socket() as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.connect((HERE, server.port))
            line.settimeout(10)
            sent = flood(line)
        assert answered(server.port)
        assert 0 == server.refused
    finally:
        server.close()

    assert sent < 1 << 24


def flood(line: socket.socket) -> int:
    """Ask, as fast as a client may, until the connection ends; gives the bytes sent."""
    sent = 0
    try:
        while True:
            sent += line.send(framed(READ) * 300)
    except ConnectionError:
        return sent


@pytest.mark.parametrize("size", [1, 7, len(framed(READ)), 1000])
def test_requests_sent_ahead_are_answered_in_order(server: ModbusServer, size: int) -> None:
    """Requests sent ahead, cut at any place, give each its answer, in their order."""
    stream = b"".join(framed(READ, number) for number in range(AHEAD))
    seen = []
    with socket.create_connection((HERE, server.port), timeout=5) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(0, len(stream), size):
            line.sendall(stream[place : place + size])
        received = b""
        while len(received) < AHEAD * (9 + 2 * STATUS_COUNT):
            received += line.recv(4096)
    while received:
        seen.append(int.from_bytes(received[:2], "big"))
        received = received[9 + 2 * STATUS_COUNT :]

    assert list(range(AHEAD)) == seen


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.0\r\n\r\n", b"\0\1\0\0\xff\xff\1\3", framed(READ) + b"\1\2\3\4\5\6"])
def test_noise_ends_the_connection(server: ModbusServer, noise: bytes) -> None:
    """Who sends no Modbus is cut off at once and told of, and nobody else is hurt."""
    with socket.create_connection((HERE, server.port), timeout=5) as line:
        line.sendall(noise)
        with suppress(ConnectionError):
            while line.recv(300):
                pass

    assert ["plc_noise"] == [alarm.kind for alarm in alarms(server)]
    assert answered(server.port)


def test_a_thousand_cuts_leave_nothing(server: ModbusServer) -> None:
    """Whatever a connection had sent when it was cut, no socket, task, thread or place of it is left."""
    reset = struct.pack("ii", 1, 0)
    noise = (b"", framed(READ), framed(READ)[:9], framed(READ) * 5, b"\xff" * 40, framed(b"\x2b\x0e\x01\x00"))
    assert answered(server.port)
    eventually(lambda: server._clients.n == 0)
    before = (descriptors(), len(asyncio.all_tasks(server._loop)), threading.active_count())
    for number in range(CUTS):
        with socket.create_connection((HERE, server.port)) as line:
            line.sendall(noise[number % len(noise)])
            if number % 2:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    assert eventually(lambda: server._clients.n == 0)
    assert answered(server.port)
    assert eventually(lambda: server._clients.n == 0)
    gc.collect()

    assert eventually(lambda: before == (descriptors(), len(asyncio.all_tasks(server._loop)), threading.active_count()))
    assert 1 >= sum(alarm.kind == "plc_noise" for alarm in alarms(server))


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
