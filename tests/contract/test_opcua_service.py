"""Run the service `opcua` as systemd does, with its security, beside a `line` that a test plays on the real bus."""

import asyncio
import contextlib
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq
from asyncua import Client as UaClient
from asyncua import ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from appliance.bus.channel import Publisher
from appliance.bus.control import ControlServer
from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.clocks import EncoderCounts, HostNs, McuTicks
from appliance.schema.command import Accepted, Command, RefusedReply, Replay, StartJob
from appliance.schema.frame import PixelFormat
from appliance.schema.line import JobMode, LineState
from appliance.schema.part import PartEntered, PartId
from appliance.schema.topics import ACTUATION, LINE_STATE, PART_ENTERED
from appliance.schema.verdict import Disposition
from appliance.sim.station import Layout, Settings, free_port, service_command, write_config
from tests.contract.opcua_rig import CLIENT_URI, PASSWORDS, Client, add_people
from tests.unit.opcua_rig import OURS, SPEC, Heard, line_state

START_S = 60.0
USER = "otto"
AUTOMATIC = "VisionSystem.VisionStateMachine.AutomaticModeStateMachine"


class Line:
    """Publish what `line` would, answer wishes, and keep what was published for replay."""

    def __init__(self, runtime: Path) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self._publisher = Publisher(self._context, runtime, "line")
        self._control = ControlServer(self._context, runtime, "line")
        self._said_at = 0.0
        self.state = line_state(mode=JobMode.IDLE)
        self.wishes: list[Command] = []
        self.grants = True

    def turn(self) -> None:
        """State the line twice a second and answer whatever was asked."""
        if time.monotonic() >= self._said_at + 0.5:
            self.say()
        command = self._control.receive()
        if isinstance(command, Replay):
            self._control.answer(self._publisher.replay(command.topic, command.first))
        elif command is not None:
            self.wishes.append(command)
            self._control.answer(Accepted("job-1") if self.grants else RefusedReply("the gate is stuck; free it"))
            if isinstance(command, StartJob) and self.grants:
                self.say(mode=JobMode.SINGLE, job="job-1")

    def say(self, **changes: Any) -> None:
        self._said_at = time.monotonic()
        self.state = msgspec.structs.replace(self.state, at=_now(), **changes)
        self._publisher.publish(LINE_STATE, self.state)

    def inspect(self, number: int) -> None:
        """Let a part enter and meet the gate without a verdict."""
        part, at = PartId(9, number), _now()
        ticks, counts = McuTicks(number), EncoderCounts(number)
        self._publisher.publish(PART_ENTERED, PartEntered(part, at, 0, ticks, counts, at, ("top",)))
        fact = Actuation(part, Lane.REJECT, Cause.NO_VERDICT, Disposition.NO_VERDICT, 0, at, ticks, counts)
        self._publisher.publish(ACTUATION, fact)

    def close(self) -> None:
        self._publisher.close()
        self._control.close()
        self._context.term()


def _now() -> HostNs:
    return HostNs(time.monotonic_ns())


class Station:
    """Own the files, the service's process and the played line."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder / "state", folder / "run")
        self.port = free_port()
        self.layout.runtime.mkdir(parents=True)
        write_config(self.layout, Settings(10.0, 64, 64, PixelFormat.MONO8, "f32", None))
        place = f'\n[opcua]\nhost = "127.0.0.1"\nport = {self.port}\nname = "127.0.0.1"\n'
        self.layout.config.write_text(self.layout.config.read_text() + place)
        add_people(self.layout.state / "opcua")
        self.client = Client(folder / "client")
        self.client.trust_by_hand(self.layout.state / "opcua")
        self.line = Line(self.layout.runtime)
        self.log = folder / "opcua.log"

    def start(self) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            return subprocess.Popen(service_command("opcua", self.layout.config), stdout=log, stderr=log)

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[UaClient]:
        """Connect a client once the service listens; the line goes on meanwhile."""
        pump = asyncio.create_task(self._pump())
        try:
            deadline = time.monotonic() + START_S
            while not await self._is_up():
                assert time.monotonic() < deadline, self.log.read_text()
                await asyncio.sleep(0.05)
            async with await self._client() as found:
                yield found
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    async def _pump(self) -> None:
        while True:
            self.line.turn()
            await asyncio.sleep(0.005)

    async def _is_up(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except ConnectionRefusedError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    async def _client(self) -> UaClient:
        found = UaClient(f"opc.tcp://127.0.0.1:{self.port}", timeout=10)
        found.application_uri = CLIENT_URI
        found.set_user(USER)
        found.set_password(PASSWORDS[USER])
        files = self.client.folder / "client.der", self.client.folder / "key.pem"
        await found.set_security(SecurityPolicyBasic256Sha256, *map(str, files))
        return found


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path)
    yield made
    made.line.close()


@contextlib.contextmanager
def running(station: Station) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the service's process, and end it by its own id."""
    process = station.start()
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


async def listening(client: UaClient) -> tuple[Heard, int, int]:
    spec, ours = await client.get_namespace_index(SPEC), await client.get_namespace_index(OURS)
    await client.load_data_type_definitions()
    heard = Heard()
    subscription = await client.create_subscription(50, heard)
    await subscription.subscribe_events(client.nodes.server, [client.get_node(ua.NodeId(1024, spec))])
    return heard, spec, ours


async def until_state(client: UaClient, ours: int, wanted: str) -> None:
    node = client.get_node(ua.NodeId(f"{AUTOMATIC}.CurrentState", ours))
    for _ in range(400):
        value = await node.read_data_value(raise_on_bad_status=False)
        if value.StatusCode.is_good() and value.Value.Value.Text == wanted:
            return
        await asyncio.sleep(0.02)
    raise TimeoutError(wanted)


def test_a_client_starts_a_job_and_hears_its_result(station: Station) -> None:
    """From a signed-in client over the service's process and the bus to `line`, and back to the client as a result."""

    async def test() -> None:
        async with station.connected() as client:
            heard, spec, ours = await listening(client)
            await until_state(client, ours, "Ready")
            machine = client.get_node(ua.NodeId(AUTOMATIC, ours))
            names = ua.MeasIdDataType(Id="m"), ua.PartIdDataType(Id="blue"), None, None, None
            job, error = await machine.call_method(f"{spec}:StartSingleJob", *names)
            await until_state(client, ours, "SingleExecution")
            station.line.inspect(1)
            event = (await heard.wait(1))[0]
            station.line.grants = False
            with pytest.raises(ua.uaerrors.BadInvalidState):
                await machine.call_method(f"{spec}:Stop", ua.Variant(0, ua.VariantType.Int32), "")
            refusal = await client.get_node(ua.NodeId("Station.Server.LastRefusal", ours)).read_value()
            with pytest.raises(ua.uaerrors.BadUserAccessDenied):
                await machine.call_method(f"{spec}:Abort", ua.Variant(0, ua.VariantType.Int32), "")

            assert ("job-1", 0) == (job.Id, error)
            assert StartJob(True, f"opcua:{USER}", "m", "blue") == station.line.wishes[0]
            assert "StopJob: the gate is stuck; free it" == refusal
            assert ("site/line/demo/00000009-000001", "job-1", "m", "blue") == (
                event.ResultId.Id, event.JobId.Id, event.MeasId.Id, event.PartId.Description.Text
            )  # fmt: skip

    with running(station) as process:
        asyncio.run(asyncio.wait_for(test(), 120))
    assert 0 == process.returncode, station.log.read_text()


def test_a_restart_doubles_no_result(station: Station) -> None:
    """What was told before a kill is told to nobody after it, and can still be asked for."""

    async def first() -> None:
        async with station.connected() as client:
            heard, _, ours = await listening(client)
            await until_state(client, ours, "Ready")
            station.line.inspect(1)
            await heard.wait(1)

    async def second() -> None:
        async with station.connected() as client:
            heard, spec, ours = await listening(client)
            await until_state(client, ours, "Ready")
            station.line.inspect(2)
            events = await heard.wait(1)
            results = client.get_node(ua.NodeId("VisionSystem.ResultManagement", ours))
            found = await results.call_method(
                f"{spec}:GetResultById", ua.ResultIdDataType(Id="site/line/demo/00000009-000001"), 0
            )

            assert ["00000009-000002"] == [event.PartId.Id for event in events]
            assert ("00000009-000001", 0) == (found[1].PartId.Id, found[2])

    process = station.start()
    try:
        asyncio.run(asyncio.wait_for(first(), 120))
    finally:
        process.kill()
        process.wait(10)
    with running(station):
        asyncio.run(asyncio.wait_for(second(), 120))


def test_the_state_is_typed() -> None:
    """The played line says what the real one may say."""
    assert isinstance(line_state(), LineState)
