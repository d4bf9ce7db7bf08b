"""Modbus TCP as a PLC sees it: our server against pymodbus clients, our PLC process, and mbpoll as a foreign client."""

import json
import random
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pymodbus.client import ModbusTcpClient

from appliance.outputs.handshake import Handshake
from appliance.outputs.modbus import BACKLOG, ClientCount, ControlWritten, ModbusServer, StatusBlock
from appliance.outputs.registers import (
    CONTROL_ADDRESS,
    CONTROL_COUNT,
    STATUS_ADDRESS,
    STATUS_COUNT,
    Control,
    ControlBit,
    StatusBit,
    pack_control,
)
from appliance.outputs.result_queue import Detail
from appliance.schema.actuation import Actuation, Cause, Lane, PlcAcknowledged
from appliance.schema.clocks import EncoderCounts, HostNs, McuTicks, S
from appliance.schema.errors import ConfigError, LinkError
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition
from appliance.sim.plc_conformance import conformance

HERE = "127.0.0.1"
AT_ONCE = HostNs(0)
CLOCKS = (HostNs(0), McuTicks(0), EncoderCounts(0))


def now() -> HostNs:
    return HostNs(time.monotonic_ns())


class Station:
    """Turn a handshake and a server as `line` does, in a thread; feeds parts, every third a reject, at a rate."""

    def __init__(self, parts_hz: float = 0.0, parts: int = 0, posted: Sequence[Actuation] = ()) -> None:
        self.server = ModbusServer(HERE, 0)
        self.handshake = Handshake(1234, now())
        for fact in posted:
            self.handshake.post(fact, Detail(), now())
        self.acknowledged: list[PlcAcknowledged] = []
        self.good: set[str] = set()
        self._parts_hz, self._parts, self._fed = parts_hz, parts, 0
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, name="station")
        self._thread.start()

    def close(self) -> None:
        self._halt.set()
        self._thread.join()
        self.server.close()

    def _run(self) -> None:
        self.handshake.machine(now(), ready=True)
        due = None
        while not self._halt.is_set():
            wait = max(0, self.handshake.wake_at - now())
            if due is not None:
                wait = min(wait, max(0, due - now()))
            select.select([self.server.fileno()], [], [], wait / S)
            for message in self.server.read(now()):
                if isinstance(message, ControlWritten):
                    self.handshake.control(message.words, now())
            self.handshake.tick(now())
            if due is None and self._parts and self.handshake.ready:
                due = now()
            if due is not None and now() >= due and self._fed < self._parts:
                due = HostNs(due + int(S / self._parts_hz))
                self._feed()
            self.acknowledged += self.handshake.acknowledged()
            self.server.write(StatusBlock(self.handshake.status()), now())

    def _feed(self) -> None:
        self._fed += 1
        part = PartId(9, self._fed)
        good = self._fed % 3 > 0
        lane, cause, disposition = (
            (Lane.ACCEPT, Cause.ACCEPTED, Disposition.ACCEPT)
            if good
            else (Lane.REJECT, Cause.DECIDED_REJECT, Disposition.REJECT)
        )
        fact = Actuation(part, lane, cause, disposition, 1, *CLOCKS)
        self.good |= {str(part)} if good else set()
        self.handshake.part_entered(part, now())
        self.handshake.post(fact, Detail(0.3, 1, 30.0), now())


@pytest.fixture
def server() -> Iterator[ModbusServer]:
    before = set(threading.enumerate())
    made = ModbusServer(HERE, 0)
    yield made
    made.close()
    assert before == set(threading.enumerate())


@pytest.fixture
def client(server: ModbusServer) -> Iterator[ModbusTcpClient]:
    made = ModbusTcpClient(HERE, port=server.port, timeout=2, retries=0)
    assert made.connect()
    yield made
    made.close()


@pytest.fixture
def plc(tmp_path: Path) -> Iterator["PlcProcess"]:
    made = PlcProcess(tmp_path / "plc.jsonl")
    yield made
    made.stop()


class PlcProcess:
    """Start `python -m appliance.sim.plc` and read what it wrote."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.process: subprocess.Popen[str] | None = None

    def start(self, port: int, *options: str) -> None:
        command = [
            sys.executable,
            "-m",
            "appliance.sim.plc",
            "--host",
            HERE,
            "--port",
            str(port),
            "--out",
            str(self.out),
        ]
        self.process = subprocess.Popen([*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, line: str) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self) -> None:
        assert self.process is not None
        self.process.terminate()

    def totals(self) -> dict[str, int]:
        assert self.process is not None
        totals: dict[str, int] = json.loads(self.process.communicate(timeout=20)[0])
        return totals

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.read_text("utf-8").splitlines()] if self.out.exists() else []

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.communicate(timeout=10)


def eventually(holds: object, seconds: float = 10.0) -> bool:
    """Wait for something another thread or process brings about."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():  # type: ignore[operator]
            return True
        threading.Event().wait(0.005)
    return False


def taken(server: ModbusServer, count: int) -> list[object]:
    """Read messages, client counts left out, until `count` came."""
    messages: list[object] = []
    eventually(lambda: len(messages.extend(server.read(AT_ONCE)) or written(messages)) >= count, 2.0)
    return written(messages)


def written(messages: list[object]) -> list[object]:
    return [message for message in messages if isinstance(message, ControlWritten)]


def test_write_wakes_the_node_with_the_whole_block(server: ModbusServer, client: ModbusTcpClient) -> None:
    """A partial write arrives as the whole block as it then stands; an equal write does not wake anybody."""
    client.write_registers(CONTROL_ADDRESS, [1, 2, 3])
    client.write_register(CONTROL_ADDRESS + 1, 9)
    client.write_register(CONTROL_ADDRESS + 1, 9)
    client.write_register(CONTROL_ADDRESS + CONTROL_COUNT - 1, 7)
    rest = (0,) * (CONTROL_COUNT - 4)

    assert [
        ControlWritten((1, 2, 3, 0, *rest)),
        ControlWritten((1, 9, 3, 0, *rest)),
        ControlWritten((1, 9, 3, *rest, 7)),
    ] == taken(server, 3)


def test_clients_are_counted(server: ModbusServer) -> None:
    """The node learns how many clients are connected, the last number only."""
    one = ModbusTcpClient(HERE, port=server.port)
    one.connect()

    assert eventually(lambda: ClientCount(1) in server.read(AT_ONCE))
    one.close()
    assert eventually(lambda: ClientCount(0) in server.read(AT_ONCE))


@pytest.mark.parametrize("code", ["holding", "input"])
def test_reader_sees_one_block(server: ModbusServer, client: ModbusTcpClient, code: str) -> None:
    """However fast the node writes, one read never mixes two status blocks."""
    halt = threading.Event()

    def churn() -> None:
        value = 0
        while not halt.is_set():
            value = (value + 1) & 0xFFFF
            server.write(StatusBlock((value,) * STATUS_COUNT), AT_ONCE)

    thread = threading.Thread(target=churn)
    thread.start()
    read = client.read_holding_registers if code == "holding" else client.read_input_registers
    blocks = [set(read(STATUS_ADDRESS, count=STATUS_COUNT).registers) for _ in range(200)]
    halt.set()
    thread.join()

    assert {1} == {len(block) for block in blocks}
    assert len(set.union(*blocks)) > 1


@pytest.mark.parametrize(
    ("address", "count"),
    [(STATUS_COUNT, 1), (0, STATUS_COUNT + 1), (CONTROL_ADDRESS - 1, 1), (65535, 1)],
)
def test_reads_outside_are_refused(client: ModbusTcpClient, address: int, count: int) -> None:
    """An address outside the blocks gives exception 2, never made-up zeros."""

    assert 2 == client.read_holding_registers(address, count=count).exception_code


def test_status_cannot_be_written_and_coils_do_not_exist(server: ModbusServer, client: ModbusTcpClient) -> None:
    """Nobody but the node writes the status block; coils give exception 1."""

    assert 2 == client.write_register(STATUS_ADDRESS, 0x60).exception_code
    assert 2 == client.write_registers(CONTROL_ADDRESS + CONTROL_COUNT - 1, [1, 1]).exception_code
    assert 1 == client.read_coils(CONTROL_ADDRESS).exception_code
    assert 1 == client.write_coil(CONTROL_ADDRESS, True).exception_code
    assert [] == taken(server, 0)


def test_no_write_is_lost_silently_when_the_node_stalls(client: ModbusTcpClient) -> None:
    """A full backlog answers exception 6 instead of dropping an edge."""
    answers = [client.write_register(CONTROL_ADDRESS, value) for value in range(1, BACKLOG + 3)]

    assert [6, 6] == [answer.exception_code for answer in answers if answer.isError()]


def test_taken_port_is_one_clear_line(server: ModbusServer) -> None:
    """A port in use, and an address that is not ours, are errors at start that name the remedy."""
    place = f"plc: {HERE}:{server.port} cannot be listened on"

    with pytest.raises(LinkError) as raised:
        ModbusServer(HERE, server.port)
    assert f"{place}: Address already in use; stop the other program or change plc.port" == str(raised.value)
    with pytest.raises(ConfigError, match="Cannot assign requested address; give an address of this computer"):
        ModbusServer("203.0.113.1", 5020)


def test_close_leaves_nothing(server: ModbusServer, client: ModbusTcpClient) -> None:
    """After close the port is free, clients are cut off, and no descriptor is left."""
    client.read_holding_registers(STATUS_ADDRESS)
    server.close()
    server.close()

    assert not any(thread.name == "modbus" for thread in threading.enumerate())
    with socket.create_server((HERE, server.port)):
        pass


def test_garbage_does_not_harm_the_server(server: ModbusServer, client: ModbusTcpClient) -> None:
    """Bytes that are no Modbus, half a request, and a connection cut in between leave the next client unharmed."""
    noise = random.Random(1)
    for length in (1, 7, 12, 300, 5000):
        with socket.create_connection((HERE, server.port)) as line:
            line.sendall(noise.randbytes(length))
    server.write(StatusBlock((7,) * STATUS_COUNT), AT_ONCE)

    assert [7] * STATUS_COUNT == client.read_holding_registers(STATUS_ADDRESS, count=STATUS_COUNT).registers


def test_descriptors_are_given_back() -> None:
    """Opening and closing servers does not eat descriptors."""
    ModbusServer(HERE, 0).close()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        ModbusServer(HERE, 0).close()

    assert before == len(list(Path("/proc/self/fd").iterdir()))


def test_plc_takes_every_result_over(plc: PlcProcess) -> None:
    """A PLC in its own process gets each part once, in order, and counts as good exactly what the gate accepted."""
    station = Station(parts_hz=20, parts=40)
    try:
        plc.start(station.server.port, "--stop-after", "40")
        totals = plc.totals()
        assert eventually(lambda: len(station.acknowledged) == 40)
    finally:
        station.close()
    lines = plc.lines()

    assert [f"00000009-{number:06d}" for number in range(1, 41)] == [line["part"] for line in lines]
    assert station.good == {str(line["part"]) for line in lines if line["good"]}
    assert [str(event.part) for event in station.acknowledged] == [line["part"] for line in lines]
    assert (40, 27, 0, 0, 0) == tuple(totals[key] for key in ("results", "good", "gaps", "unexpected", "refused"))


def test_plc_faults_lose_nothing(plc: PlcProcess) -> None:
    """Wrong acks, silence and a cut connection delay results but neither lose nor double one."""
    station = Station(parts_hz=20, parts=7)
    try:
        plc.start(station.server.port)
        plc.tell("ack wrong")
        assert eventually(lambda: station.handshake.counts.wrong_acks > 0)
        plc.tell("heartbeat stop 0.7")
        assert eventually(lambda: not station.handshake.alive)
        assert eventually(lambda: station.handshake.pending == 7)
        plc.tell("ack on")
        assert eventually(lambda: len(station.acknowledged) == 7)
    finally:
        station.close()
    plc.end()

    assert 7 == plc.totals()["results"]
    assert list(range(1, 8)) == [event.part.number for event in station.acknowledged]
    assert list(range(1, 8)) == [line["sequence"] for line in plc.lines()]


def test_plc_resets_a_latched_error_when_told_to(plc: PlcProcess) -> None:
    """A PLC process with --reset-after-ms clears a latched error once and gets the station ready again."""
    late = [
        Actuation(PartId(9, number), Lane.REJECT, Cause.LATE, Disposition.NO_VERDICT, 0, *CLOCKS)
        for number in (1, 2, 3)
    ]
    station = Station(posted=late)
    before = station.handshake.line_stop
    try:
        plc.start(station.server.port, "--reset-after-ms", "100")
        assert eventually(lambda: station.handshake.ready and station.handshake.pending == 0)
    finally:
        station.close()

    assert (True, False) == (before, station.handshake.line_stop)


def test_plc_reconnects(plc: PlcProcess) -> None:
    """A PLC process comes back by itself after the appliance was restarted on the same port, with the new session."""
    station = Station()
    port = station.server.port
    plc.start(port)
    assert eventually(lambda: station.handshake.ready)
    station.close()
    again = ModbusServer(HERE, port)
    try:
        assert eventually(lambda: any(isinstance(message, ControlWritten) for message in again.read(AT_ONCE)))
    finally:
        again.close()


def test_conformance_passes_on_our_handshake() -> None:
    """`plc conformance` finds nothing wrong with a station through which parts pass."""
    station = Station(parts_hz=10, parts=1000)
    try:
        checks = conformance(HERE, station.server.port, seconds=1.0)
    finally:
        station.close()

    assert [] == [check for check in checks if not check.passed]


def test_conformance_finds_a_broken_appliance(server: ModbusServer) -> None:
    """A server that shows Pass and Reject at once, always, is found out rule by rule."""
    bits = StatusBit.ONLINE | StatusBit.RESULT_VALID | StatusBit.PASS | StatusBit.REJECT
    server.write(StatusBlock((int(bits), 5, 0, 1, *((1,) * (STATUS_COUNT - 4)))), AT_ONCE)
    failed = {check.name for check in conformance(HERE, server.port, seconds=0.2) if check.passed is False}

    assert {
        "nothing is offered before SessionEcho",
        "either Pass or Reject with ResultValid",
        "ResultAck takes ResultValid back",
        "a refused Trigger is answered with MissedTrigger",
        "heartbeat toggles at least every 100 ms",
        "a silent PLC makes the outputs safe",
        "a restarted PLC gets a new session",
    } == failed


@pytest.mark.skipif(shutil.which("mbpoll") is None, reason="mbpoll (Debian package mbpoll) is not installed")
def test_mbpoll_reads_and_writes(server: ModbusServer) -> None:
    """A C client that shares no code with us reads the words we wrote and writes the words we read."""
    server.write(StatusBlock(tuple(range(1000, 1000 + STATUS_COUNT))), AT_ONCE)
    words = pack_control(Control(bits=ControlBit.ENABLE, session_echo=0xAABB_CCDD, ack_sequence=1))

    def mbpoll(*arguments: str, values: tuple[int, ...] = ()) -> str:
        command = ["mbpoll", "-m", "tcp", "-0", "-1", "-p", str(server.port), "-t", "4", *arguments, HERE]
        return subprocess.run(
            [*command, *map(str, values)], capture_output=True, text=True, check=True, timeout=10
        ).stdout

    listed = mbpoll("-r", str(STATUS_ADDRESS), "-c", str(STATUS_COUNT))
    mbpoll("-r", str(CONTROL_ADDRESS), values=words)

    shown = [int(line.split(":")[1]) for line in listed.splitlines() if line.startswith("[")]
    assert list(range(1000, 1000 + STATUS_COUNT)) == shown
    assert [ControlWritten(words)] == taken(server, 1)
    assert (0xAABB, 0xCCDD) == words[2:4]
