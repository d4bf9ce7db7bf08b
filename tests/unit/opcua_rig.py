"""Let tests of the OPC UA server run one without certificates, and read it with asyncua's own client."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

from asyncua import Client, Server, ua
from msgspec import Struct

from appliance.config_plant import Opcua
from appliance.outputs.opcua.messages import Answered, Noted, ResultReady, Snapshot, Wish
from appliance.outputs.opcua.server import OpcuaServer
from appliance.outputs.opcua.states import machine
from appliance.outputs.opcua_security.roles import Caller, Role, suffices
from appliance.outputs.part_report import Identity, PartReport
from appliance.schema.actuation import Cause, Lane
from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import HostNs, UtcNs
from appliance.schema.health import Component
from appliance.schema.line import JobMode, LineState
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition

IDENTITY = Identity("insp/v1/plant/l1/s1", "gear", "ab" * 32, "sha256:" + "cd" * 32, 60, 1)
SPEC = "http://opcfoundation.org/UA/MachineVision"
OURS = "urn:firstshift:appliance"
NOW = HostNs(0)
UTC_NOW = UtcNs(1_800_000_000_000_000_000)


class OpenSecurity:
    """Let everybody in with the role a test chose; never part of a station."""

    def __init__(self, role: Role = Role.ENGINEER) -> None:
        self.role = role

    def make_server(self) -> Any:
        return Server()

    async def apply(self, server: Any) -> None:
        await server.set_application_uri("urn:firstshift:plant:l1:s1")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        server.set_identity_tokens([ua.AnonymousIdentityToken])

    def require(self, role: Role) -> Caller:
        if not suffices(self.role, role):
            raise ua.UaStatusCodeError(ua.StatusCodes.BadUserAccessDenied)
        return Caller("olga", self.role)

    def health(self, now_utc: UtcNs) -> tuple[Component, ...]:
        return ()

    def warning(self, now_utc: UtcNs) -> str:
        return ""

    def audits(self) -> Sequence[AuditRequest]:
        return ()

    def sessions(self) -> int:
        return 0

    def subscriptions(self) -> int:
        return 0


def line_state(**changes: Any) -> LineState:
    """Give the state of a line that is ready and runs by itself."""
    fields: dict[str, Any] = {
        "at": HostNs(1), "mode": JobMode.CONTINUOUS, "handshake": "ready", "ready": True, "plc_alive": True,
        "recipe": "gear", "recipe_sha256": "ab" * 32, "recipe_number": 7, "recipe_hash": 0xABABABAB,
    }  # fmt: skip
    return LineState(**{**fields, **changes})


def part_report(number: int, **changes: Any) -> PartReport:
    """Give the report of a good part."""
    part = PartId(0xC0FFEE, number)
    fields: dict[str, Any] = {
        "part": part, "result_id": f"{IDENTITY.station}/{part}", "lane": Lane.ACCEPT, "cause": Cause.ACCEPTED,
        "disposition": Disposition.ACCEPT, "verdict": Disposition.ACCEPT, "reasons": ("within_limits",),
        "bundle": "sha256:" + "ef" * 32, "precision": "bf16", "recipe": "gear", "recipe_sha256": "ab" * 32,
        "score": 0.25, "latency_ms": 12.5, "entered": UtcNs(UTC_NOW - 100_000_000),
        "decided": UtcNs(UTC_NOW - 50_000_000), "actuated": UTC_NOW, "replayed": False,
    }  # fmt: skip
    return PartReport(**{**fields, **changes})


def result(number: int, **changes: Any) -> ResultReady:
    """Give the result of a good part of job j1."""
    return ResultReady(part_report(number), UTC_NOW, **{"job": "j1", "measurement": "m1", **changes})


@contextlib.contextmanager
def served(security: Any = None, **settings: Any) -> Iterator[OpcuaServer]:
    """Run a server on a free port."""
    server = OpcuaServer(Opcua(host="127.0.0.1", **settings), IDENTITY, security or OpenSecurity(), port=0)
    try:
        yield server
    finally:
        server.close()


@contextlib.asynccontextmanager
async def client(server: OpcuaServer) -> AsyncIterator[Client]:
    """Connect asyncua's own client."""
    async with Client(f"opc.tcp://127.0.0.1:{server.port}", timeout=10) as found:
        yield found


def run(test: Callable[[], Any]) -> Any:
    """Run the client's side of a test."""
    return asyncio.run(asyncio.wait_for(test(), 30))


async def arrived(server: OpcuaServer, kind: type[Struct]) -> Any:
    """Wait for the next message of a kind that the node would read."""
    for _ in range(1000):
        for message in server.read(NOW):
            if isinstance(message, kind):
                return message
        await asyncio.sleep(0.005)
    raise TimeoutError(kind.__name__)


class Heard:
    """Collect what a subscription brings."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.values: list[Any] = []

    def event_notification(self, event: Any) -> None:
        self.events.append(event)

    def datachange_notification(self, _node: Any, value: Any, data: Any) -> None:
        self.values.append(data.monitored_item.Value)

    async def wait(self, count: int) -> list[Any]:
        """Wait for so many events."""
        for _ in range(2000):
            if len(self.events) >= count:
                return self.events
            await asyncio.sleep(0.005)
        raise TimeoutError(f"{len(self.events)} of {count} events")


MACHINE = "VisionSystem.VisionStateMachine"
AUTOMATIC = f"{MACHINE}.AutomaticModeStateMachine"
GRANTED, REFUSED = Answered(0, True, "job-9"), Answered(0, False, "not now")


def start_arguments(**names: str) -> list[Any]:
    kinds = {"meas": "MeasIdDataType", "part": "PartIdDataType", "recipe": "RecipeIdExternalDataType",
             "product": "ProductIdDataType"}  # fmt: skip
    ids = [getattr(ua, kind)(Id=names.get(name, "")) for name, kind in kinds.items()]
    return [*ids, ua.Variant([], ua.VariantType.Variant, is_array=True)]


class Plant:
    """Be a client with the names it needs at hand."""

    def __init__(self, server: OpcuaServer, found: Client, spec: int, ours: int) -> None:
        self.server, self.client, self.spec, self.ours = server, found, spec, ours

    def node(self, path: str) -> Any:
        return self.client.get_node(ua.NodeId(path, self.ours))

    def write(self, *messages: Any) -> None:
        for message in messages:
            self.server.write(message, NOW)

    async def show(self, **changes: Any) -> None:
        """Show a line's state, and wait until clients see it."""
        line = line_state(**changes)
        self.write(Snapshot(machine(line), line))
        await self.settled()

    async def settled(self) -> None:
        """Wait until the server has done what was written: what is written last is done last."""
        heard, subscription = await self.listen(1037)
        self.write(Noted("line", "mark", "mark", UTC_NOW))
        await heard.wait(1)
        await subscription.delete()

    async def listen(self, kind: int, at: Any = None) -> tuple[Heard, Any]:
        heard = Heard()
        subscription = await self.client.create_subscription(20, heard)
        where = at or self.client.nodes.server
        await subscription.subscribe_events(where, [self.client.get_node(ua.NodeId(kind, self.spec))])
        return heard, subscription

    async def call(self, path: str, *given: Any, answer: Answered | None = None) -> tuple[Any, Wish | None]:
        """Call a method; where `answer` is given, play the node that answers the wish behind it."""
        parent, _, name = path.rpartition(".")
        task = asyncio.create_task(self.node(parent).call_method(f"{self.spec}:{name}", *given))
        wish = None
        if answer is not None:
            wish = await arrived(self.server, Wish)
            self.write(Answered(wish.ticket, answer.granted, answer.detail))
        return await task, wish


Test = Callable[[Plant], Awaitable[None]]


def be_client(server: OpcuaServer, test: Test) -> None:
    """Run a test as a client of a server."""

    async def connected() -> None:
        async with client(server) as found:
            spec, ours = await found.get_namespace_index(SPEC), await found.get_namespace_index(OURS)
            server.read(NOW)
            await test(Plant(server, found, spec, ours))

    run(connected)
