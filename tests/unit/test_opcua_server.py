"""Protect what the OPC UA server shows and tells; asyncua's own client asks, a foreign one elsewhere."""

import asyncio
import json
import select
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from asyncua import ua

from appliance.config_plant import Opcua
from appliance.outputs.opcua.messages import (
    AcquisitionDone,
    ConditionChanged,
    JobStarted,
    Noted,
    RecipePrepared,
    ResultReady,
    Served,
    Snapshot,
    StateChanged,
)
from appliance.outputs.opcua.model import NOT_OFFERED
from appliance.outputs.opcua.server import OpcuaServer
from appliance.outputs.opcua.states import Cause, Machine, Vision, transitions
from appliance.outputs.opcua_security.roles import Role
from appliance.outputs.plc.registers import Status, pack_status
from appliance.outputs.plc.variables import variables
from appliance.schema.actuation import Cause as PartCause
from appliance.schema.actuation import Lane
from appliance.schema.errors import ConfigError, LinkError
from appliance.schema.line import JobMode
from appliance.schema.part import PartId
from tests.unit.opcua_rig import (
    AUTOMATIC,
    IDENTITY,
    MACHINE,
    NOW,
    UTC_NOW,
    Heard,
    OpenSecurity,
    Plant,
    Test,
    arrived,
    be_client,
    part_report,
    result,
    served,
)

QUEUE = 20
SECURITY = OpenSecurity()


@pytest.fixture(scope="module")
def server() -> Iterator[OpcuaServer]:
    with served(SECURITY, queue=QUEUE) as found:
        yield found


@pytest.fixture
def plant(server: OpcuaServer) -> Callable[[Test], None]:
    """Run a test as a client of the server."""
    SECURITY.role = Role.ENGINEER
    return partial(be_client, server)


def test_every_set_field_of_a_result_arrives(plant: Any) -> None:
    """No field of ResultReadyEventType arrives Null, and the JSON says what became of the part."""

    async def test(plant: Plant) -> None:
        heard, _ = await plant.listen(1024)
        plant.write(result(1, part_name="blue", product="p7"))
        event = (await heard.wait(1))[0]
        fields = ("ResultId", "IsPartial", "IsSimulated", "ResultState", "MeasId", "PartId", "ExternalRecipeId",
                  "InternalRecipeId", "ProductId", "ExternalConfigurationId", "InternalConfigurationId", "JobId",
                  "CreationTime", "ProcessingTimes", "ResultContent", "EventId", "EventType", "SourceNode",
                  "SourceName", "Time", "ReceiveTime", "Message", "Severity")  # fmt: skip
        content = json.loads(event.ResultContent[0].Value)

        assert [] == [name for name in fields if getattr(event, name) is None]
        assert (True, "accept", 0.25) == (content["good"], content["lane"], content["score"])
        assert ("m1", "j1", "p7", "blue") == (
            event.MeasId.Id, event.JobId.Id, event.ProductId.Id, event.PartId.Description.Text
        )  # fmt: skip

    plant(test)


def test_results_come_in_order_at_both_objects(plant: Any) -> None:
    """Whoever listens at the Server object or at the vision system hears each result once, in order."""

    async def test(plant: Plant) -> None:
        top, _ = await plant.listen(1024)
        system, _ = await plant.listen(1024, plant.node("VisionSystem"))
        expected = [f"{IDENTITY.station}/{PartId(0xC0FFEE, number)}" for number in range(1, 11)]
        for number in range(1, 11):
            plant.write(result(number))
        heard = [[event.ResultId.Id for event in await found.wait(10)] for found in (top, system)]

        assert [expected, expected] == heard

    plant(test)


def test_a_kept_result_is_told_to_nobody(plant: Any) -> None:
    """What happened before this service began is there for who asks, and no result is told twice."""

    async def test(plant: Plant) -> None:
        heard, _ = await plant.listen(1024)
        before = (await arrived(plant.server, Served)).dropped
        plant.write(*(result(number, telling=False) for number in range(1000 - 5 * QUEUE, 1000)))
        plant.write(result(50, telling=False), result(51))
        events = await heard.wait(1)
        found, _wish = await plant.call(
            "VisionSystem.ResultManagement.GetResultById",
            ua.ResultIdDataType(Id=f"{IDENTITY.station}/00c0ffee-000050"),
            0,
        )

        assert before == (await arrived(plant.server, Served)).dropped
        assert [f"{IDENTITY.station}/00c0ffee-000051"] == [event.ResultId.Id for event in events]
        assert (f"{IDENTITY.station}/00c0ffee-000050", 0) == (found[1].ResultId.Id, found[2])

    plant(test)


def test_a_slow_client_is_told_that_it_missed_events(plant: Any) -> None:
    """A full queue drops the oldest, says so at its front, and counts it."""

    async def test(plant: Plant) -> None:
        selected = [ua.SimpleAttributeOperand(
            TypeDefinitionId=ua.NodeId(ua.ObjectIds.BaseEventType), BrowsePath=[ua.QualifiedName(name)],
            AttributeId=ua.AttributeIds.Value) for name in ("EventType", "Message")]  # fmt: skip
        heard = Heard()
        subscription = await plant.client.create_subscription(20, heard)
        await subscription.set_publishing_mode(False)
        await subscription.subscribe_events(
            plant.client.nodes.server, evfilter=ua.EventFilter(SelectClauses=selected), queuesize=5
        )
        plant.write(*(result(number) for number in range(1, 12)))
        await plant.settled()  # tells one more event
        await subscription.set_publishing_mode(True)
        events = await heard.wait(6)
        assert ua.ObjectIds.EventQueueOverflowEventType == events[0].EventType.Identifier
        assert [*(f"part 00c0ffee-{number:06d}: accept, lane accept" for number in range(8, 12)), "line: mark"] == [
            event.Message.Text for event in events[1:6]
        ]
        assert (await arrived(plant.server, Served)).overflowed >= 7

    plant(test)


def test_a_filter_by_type_takes_subtypes(plant: Any) -> None:
    """A client that asks for every event hears every event, one that asks for another type hears none."""

    def wanted(kind: ua.NodeId) -> ua.EventFilter:
        operand = ua.SimpleAttributeOperand(
            TypeDefinitionId=ua.NodeId(ua.ObjectIds.BaseEventType), BrowsePath=[ua.QualifiedName("Message")],
            AttributeId=ua.AttributeIds.Value)  # fmt: skip
        element = ua.ContentFilterElement(
            FilterOperator=ua.FilterOperator.OfType, FilterOperands=[ua.LiteralOperand(Value=ua.Variant(kind))]
        )
        return ua.EventFilter(SelectClauses=[operand], WhereClause=ua.ContentFilter(Elements=[element]))

    async def test(plant: Plant) -> None:
        heard = {}
        for name, kind in (("every", ua.NodeId(ua.ObjectIds.BaseEventType)), ("jobs", ua.NodeId(1013, plant.spec))):
            heard[name] = Heard()
            subscription = await plant.client.create_subscription(20, heard[name])
            await subscription.subscribe_events(plant.client.nodes.server, evfilter=wanted(kind))
        plant.write(result(1), JobStarted("j1", UTC_NOW))
        await plant.settled()

        assert ["part 00c0ffee-000001: accept, lane accept", "job j1 runs"] == [
            event.Message.Text for event in (await heard["every"].wait(2))[:2]
        ]
        assert ["job j1 runs"] == [event.Message.Text for event in await heard["jobs"].wait(1)]

    plant(test)


def test_state_shows_and_old_values_are_never_shown_as_live(plant: Any) -> None:
    """The line's words are those that the PLC reads; once the line is silent every one of them is bad."""

    async def test(plant: Plant) -> None:
        words = pack_status(Status(bits=3, queue_depth=4, result_sequence=70_000))
        await plant.show(words=words)
        current = await plant.node(f"{AUTOMATIC}.CurrentState").read_value()
        depth = await plant.node("Station.Handshake.QueueDepth").read_value()
        sequence = await plant.node("Station.Handshake.ResultSeq").read_value()
        bits = [await plant.node(f"Station.Handshake.{name}").read_value() for name in ("Online", "Pass")]
        packml = await plant.node("Station.PackML.StateCurrent").read_value()

        assert ("ContinuousExecution", 4, 70_000, [True, False], 6) == (current.Text, depth, sequence, bits, packml)

        plant.write(Snapshot())
        await plant.settled()
        handshake = [f"Station.Handshake.{variable.browse_name}" for variable in variables()]
        codes = set()
        for path in [*handshake, "Station.Line.Ready", "Station.Line.Mode"]:
            data = await plant.node(path).read_data_value(raise_on_bad_status=False)
            codes.add(data.StatusCode.name)
        inner = await plant.node(f"{AUTOMATIC}.CurrentState").read_data_value(raise_on_bad_status=False)

        assert ({"BadNoCommunication"}, "BadStateNotActive") == (codes, inner.StatusCode.name)
        assert (await plant.node("Station.PackML.StateCurrent").read_value()) == 0

    plant(test)


def test_state_changes_are_told_with_both_states(plant: Any) -> None:
    """A step into Error is told as StateChanged and as Error, with both states and why."""

    async def test(plant: Plant) -> None:
        changed, _ = await plant.listen(1018)
        failed, _ = await plant.listen(1019)
        (step,) = transitions(Machine(Vision.OPERATIONAL), Machine(Vision.ERROR), Cause.ITSELF)
        plant.write(StateChanged(step, UTC_NOW, "the belt slipped"))
        events = [(await changed.wait(1))[0], (await failed.wait(1))[0]]

        assert [("Operational", "Error", "the belt slipped")] * 2 == [
            (event.FromState.Text, event.ToState.Text, event.Message.Text) for event in events
        ]
        assert getattr(events[0], "ToState/Id") is not None
        assert events[1].Severity > events[0].Severity

    plant(test)


@pytest.mark.parametrize(
    ("kind", "message", "field"),
    [
        (1013, JobStarted("j7", UTC_NOW), "JobId"),
        (1025, AcquisitionDone(PartId(1, 2), "j7", UTC_NOW), "JobId"),
        (1022, RecipePrepared("j7", "ab" * 32, UTC_NOW), "InternalId"),
    ],
)
def test_further_events_are_told(plant: Any, kind: int, message: Any, field: str) -> None:
    """Job, acquisition and recipe events carry their id."""

    async def test(plant: Plant) -> None:
        heard, _ = await plant.listen(kind)
        plant.write(message)

        assert "j7" == getattr((await heard.wait(1))[0], field).Id

    plant(test)


def test_a_condition_is_retained_until_a_person_confirmed_it(plant: Any) -> None:
    """A condition that is over stays in sight until somebody has seen it."""

    async def test(plant: Plant) -> None:
        heard, _ = await plant.listen(1036)
        plant.write(ConditionChanged("SyncLost", True, "purge", UTC_NOW, 5))
        plant.write(ConditionChanged("SyncLost", False, "over", UTC_NOW, 5))
        await heard.wait(2)
        await plant.call(f"{MACHINE}.ConfirmAll", ua.LocalizedText("seen"))
        events = await heard.wait(3)

        assert [True, True, False] == [event.Retain for event in events]
        assert [(True, 5), (False, 5)] == [(event.StopReaction, event.ErrorCode) for event in events[:2]]
        assert ("seen", "olga", True) == (
            events[2].Comment.Text, events[2].ClientUserId, getattr(events[2], "ConfirmedState/Id")
        )  # fmt: skip

    plant(test)


def test_a_client_that_comes_later_can_ask_for_conditions(plant: Any) -> None:
    """ConditionRefresh brings what is retained to the one who asks."""

    async def test(plant: Plant) -> None:
        plant.write(ConditionChanged("LatchedError", True, "reset it", UTC_NOW, 2))
        await plant.settled()
        heard, subscription = await plant.listen(1035)
        parent = plant.client.get_node(ua.NodeId(ua.ObjectIds.ConditionType))
        await parent.call_method(
            ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh),
            ua.Variant(subscription.subscription_id, ua.VariantType.UInt32),
        )
        event = (await heard.wait(1))[0]
        node = plant.node("VisionSystem.LatchedError")
        acknowledge = ua.NodeId(ua.ObjectIds.AcknowledgeableConditionType_Acknowledge)
        await node.call_method(acknowledge, event.EventId, ua.LocalizedText("mine"))
        plant.write(ConditionChanged("LatchedError", False, "over", UTC_NOW, 2))
        events = await heard.wait(3)

        assert ("LatchedError", "reset it", False) == (event.ConditionName, event.ErrorString, events[2].Retain)

    plant(test)


def test_the_optional_parts_are_left_out(plant: Any) -> None:
    """What this appliance does not have is not in its tree."""

    async def test(plant: Plant) -> None:
        for path in NOT_OFFERED:
            with pytest.raises(ua.uaerrors.BadNodeIdUnknown):
                await plant.node(f"VisionSystem.{path}").read_browse_name()
        found = await plant.client.nodes.objects.get_child([f"{plant.ours}:VisionSystem", f"{plant.spec}:SystemState"])
        await plant.show(mode=JobMode.IDLE)

        assert 2 == int((await found.read_value()).State)

    plant(test)


def test_the_server_says_once_a_second_that_it_lives(server: OpcuaServer) -> None:
    """The service's watchdog hangs on the server's own thread, not on the node's."""
    first = asyncio.run(arrived(server, Served))
    second = asyncio.run(arrived(server, Served))

    assert second.beat > first.beat


def test_a_taken_port_is_a_link_error_and_a_strange_address_a_mistake() -> None:
    """What a restart may cure, and what a person must change, are told apart."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LinkError, match="stop the other program"):
            OpcuaServer(Opcua(host="127.0.0.1"), IDENTITY, OpenSecurity(), port=port)
    with pytest.raises(ConfigError, match="give an address of this computer"):
        OpcuaServer(Opcua(host="192.0.2.1"), IDENTITY, OpenSecurity(), port=0)


def test_a_result_that_is_not_good_says_so(plant: Any) -> None:
    """Only an accept that the machine carried out is good."""

    async def test(plant: Plant) -> None:
        heard, _ = await plant.listen(1024)
        report = part_report(9, lane=Lane.REJECT, cause=PartCause.LATE)
        plant.write(ResultReady(report, UTC_NOW))
        content = json.loads((await heard.wait(1))[0].ResultContent[0].Value)

        assert (False, "reject", "late") == (content["good"], content["lane"], content["cause"])

    plant(test)


def test_a_slow_server_drops_the_oldest_and_counts_it(server: OpcuaServer) -> None:
    """What the node says never piles up without an end, and what went is counted."""
    before = asyncio.run(arrived(server, Served)).dropped
    held, go = threading.Event(), threading.Event()

    def block() -> None:
        held.set()
        go.wait(10)

    server._loop.call_soon_threadsafe(block)
    assert held.wait(10)
    for number in range(QUEUE + 7):
        server.write(Noted("line", "mark", str(number), UTC_NOW), NOW)
    go.set()
    after = [asyncio.run(arrived(server, Served)).dropped for _ in range(2)][-1]

    assert 7 == after - before


class Dying(OpcuaServer):
    """Serve and die."""

    async def _serve(self, started: Any) -> None:
        started.set_result(None)


class Stillborn(OpcuaServer):
    """Die before it serves."""

    async def _serve(self, started: Any) -> None:
        pass


def test_a_server_that_died_ends_the_service() -> None:
    """The loop is woken, and finds that there is nothing left to serve; one that never serves starts no service."""
    dying = Dying(Opcua(host="127.0.0.1"), IDENTITY, OpenSecurity(), port=0)
    dying._thread.join(20)
    ready, _, _ = select.select([dying.fileno()], [], [], 5)

    assert [dying.fileno()] == ready
    with pytest.raises(LinkError, match="restart the service"):
        dying.read(NOW)
    dying.close()

    assert () == dying.read(NOW)
    with pytest.raises(LinkError, match="did not start"):
        Stillborn(Opcua(host="127.0.0.1"), IDENTITY, OpenSecurity(), port=0)
