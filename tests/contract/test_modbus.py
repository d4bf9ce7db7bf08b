"""Modbus TCP as a PLC sees it: our server against pymodbus clients and mbpoll as a foreign client."""

import random
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymodbus.client import ModbusTcpClient

from appliance.outputs.plc.modbus import BACKLOG, ClientCount, ControlWritten, ModbusServer, StatusBlock
from appliance.outputs.plc.registers import (
    CONTROL_ADDRESS,
    CONTROL_COUNT,
    STATUS_ADDRESS,
    STATUS_COUNT,
    Control,
    ControlBit,
    pack_control,
)
from appliance.schema.errors import ConfigError, LinkError
from tests.contract.modbus_rig import AT_ONCE, HERE, eventually


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
