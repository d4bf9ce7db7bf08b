"""Ask for more than the OPC UA server bears: sessions, subscriptions, connections, messages."""

import asyncio
import socket
import struct
from typing import Any

import pytest
from asyncua import ua

from appliance.outputs.opcua_security.processor import BUFFER
from appliance.outputs.opcua_security.sessions import FASTEST_MS, ITEMS
from tests.contract.opcua_foreign import LIMITS, channel, refused, signed_in
from tests.contract.opcua_rig import (
    PASSWORDS,
    Client,
    GuardedStation,
)

pytest_plugins = ["tests.contract.opcua_fixtures"]
pytestmark = pytest.mark.usefixtures("nothing_held")


async def _subscribe(made: Any, interval: float = 100.0) -> Any:
    params = ua.CreateSubscriptionParameters()
    params.RequestedPublishingInterval = interval
    params.RequestedLifetimeCount = 0
    params.RequestedMaxKeepAliveCount = 10
    params.PublishingEnabled = True
    return await made.uaclient.create_subscription(params, callback=lambda _: None)


def _items(subscription: int, count: int, queue: int = 10) -> Any:
    params = ua.CreateMonitoredItemsParameters()
    params.SubscriptionId = subscription
    for number in range(count):
        item = ua.MonitoredItemCreateRequest()
        item.ItemToMonitor.NodeId = ua.NodeId(ua.ObjectIds.Server_ServerStatus_CurrentTime)
        item.ItemToMonitor.AttributeId = ua.AttributeIds.Value
        item.MonitoringMode = ua.MonitoringMode.Reporting
        item.RequestedParameters.ClientHandle = number
        item.RequestedParameters.QueueSize = queue
        item.RequestedParameters.SamplingInterval = 100.0
        params.ItemsToCreate.append(item)
    return params


def test_subscriptions_are_their_owners(station: GuardedStation, client: Client) -> None:
    """No session may end, read, change or take over what another person subscribed."""

    async def work() -> list[str]:
        async with signed_in(station, client, "erna") as owner, signed_in(station, client, "olga") as other:
            number = (await _subscribe(owner)).SubscriptionId
            service = other.uaclient
            mode = ua.SetPublishingModeParameters(False, [number])
            deeds = [
                service.delete_subscriptions([number]),
                service.create_monitored_items(_items(number, 1)),
                service.delete_monitored_items(ua.DeleteMonitoredItemsParameters(number, [1])),
                service.set_publishing_mode(mode),
                service.update_subscription(ua.ModifySubscriptionParameters(number)),
                service.transfer_subscriptions(ua.TransferSubscriptionsParameters([number], False)),
            ]
            told = []
            for deed in deeds:
                try:
                    await deed
                    told.append("Good")
                except ua.UaStatusCodeError as error:
                    told.append(ua.StatusCode(error.code).name)
            return told

    assert ["BadSubscriptionIdInvalid"] * 5 + ["BadUserAccessDenied"] == asyncio.run(work())


def test_what_a_subscription_may_ask_is_bounded(station: GuardedStation, client: Client) -> None:
    """Interval, lifetime, queue, number of items and of subscriptions are cut to what the station bears."""

    async def work() -> dict[str, Any]:
        async with signed_in(station, client) as made:
            first = await _subscribe(made, interval=0.0)
            (item,) = await made.uaclient.create_monitored_items(_items(first.SubscriptionId, 1, queue=1_000_000))
            told = {
                "interval": first.RevisedPublishingInterval,
                "lifetime": first.RevisedLifetimeCount,
                "queue": item.RevisedQueueSize,
                "not a number": (await _subscribe(made, interval=float("nan"))).RevisedPublishingInterval,
            }
            for name, deed in (
                ("items", lambda: made.uaclient.create_monitored_items(_items(first.SubscriptionId, ITEMS))),
                ("subscriptions", lambda: asyncio.gather(*(_subscribe(made) for _ in range(3)))),
            ):
                try:
                    await deed()
                except ua.UaStatusCodeError as error:
                    told[name] = ua.StatusCode(error.code).name
            return told

    assert asyncio.run(work()) == {
        "interval": FASTEST_MS,
        "lifetime": 1200,
        "queue": LIMITS.queue,
        "not a number": 10_000.0,
        "items": "BadTooManyMonitoredItems",
        "subscriptions": "BadTooManySubscriptions",
    }


def test_sessions_are_few(station: GuardedStation, client: Client) -> None:
    """One client more than allowed is refused while all the others are connected."""

    async def work() -> None:
        async with (
            signed_in(station, client),
            signed_in(station, client),
            signed_in(station, client),
            channel(station, client) as fourth,
        ):
            await fourth.join()

    assert refused(work()) == "BadTooManySessions"


def test_a_lost_session_makes_room(station: GuardedStation, client: Client) -> None:
    """A session whose connection is gone gives its place to a client that is there."""

    async def work() -> str:
        for _ in range(LIMITS.sessions):
            async with channel(station, client) as made:
                await made.join()
                await _subscribe(made)  # so that the server keeps it
        async with signed_in(station, client) as fourth:
            return ua.ServerState(await fourth.nodes.server_state.read_value()).name

    assert asyncio.run(work()) == "Running"


def test_a_second_session_on_a_channel_ends_the_first(station: GuardedStation, client: Client) -> None:
    """Sessions made one after the other on one connection do not add up."""

    async def work() -> int:
        async with channel(station, client) as made:
            for _ in range(5):
                await made.create_session()
            return station.held()["sessions"]

    assert asyncio.run(work()) == 1


def test_idle_connections_are_closed_and_do_not_shut_others_out(station: GuardedStation, client: Client) -> None:
    """A flood of connections is bounded, ends after the time to sign in, and then a client comes in."""
    most = 2 * LIMITS.sessions + 8
    idle = [socket.create_connection(("127.0.0.1", station.port)) for _ in range(most + 20)]
    try:
        assert {"connections": most} == station.settled({"connections": most}, 2.0)
        assert {"connections": 0} == station.settled({"connections": 0}, 8.0)

        async def work() -> str:
            async with signed_in(station, client) as made:
                return ua.ServerState(await made.nodes.server_state.read_value()).name

        assert asyncio.run(work()) == "Running"
    finally:
        for one in idle:
            one.close()


@pytest.mark.parametrize(
    "beginning",
    [
        struct.pack("<3scI", b"HEL", b"F", 0xFFFFFFF0),
        struct.pack("<3scII", b"MSG", b"F", 0x7FFFFFFF, 0),
        struct.pack("<3scII", b"OPN", b"F", 0x10000000, 0),
        b"\x00" * 64,
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack("<3scII", b"MSG", b"F", 64, 0) + b"\xff" * 52,
    ],
)
def test_garbage_ends_its_connection(station: GuardedStation, beginning: bytes) -> None:
    """What is no message of OPC UA, or one too long to bear, is not gathered: the connection ends while it comes in."""
    with socket.create_connection(("127.0.0.1", station.port)) as line:
        line.settimeout(5.0)
        line.sendall(beginning)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            line.sendall(b"\xff" * (512 * BUFFER))


def test_a_connection_without_a_session_ends(station: GuardedStation, client: Client) -> None:
    """A client that has closed its session and stays connected does not hold its place for ever."""
    inner = station.server.iserver

    def allow(seconds: float) -> None:
        station.ask(lambda: setattr(inner, "max_pending_activation_seconds", seconds))

    async def work() -> dict[str, int]:
        allow(0.0)  # asyncua's own watch looks once, shortly after the connection was made
        async with channel(station, client) as made:
            allow(1.0)
            await made.join()
            await made.uaclient.close_session(True)
            return await asyncio.to_thread(station.settled, {"connections": 0}, 5.0)

    assert asyncio.run(work()) == {"connections": 0}


def test_a_session_moves_to_a_new_connection(station: GuardedStation, client: Client) -> None:
    """A client that lost its connection goes on with its session, and the end of the old one does not end it."""

    async def work() -> tuple[str, dict[str, int]]:
        async with channel(station, client) as old, channel(station, client) as new:
            await old.join()
            new.uaclient.protocol.authentication_token = old.uaclient.protocol.authentication_token
            new._server_nonce, new._policy_ids = old._server_nonce, old._policy_ids
            await new.activate_session("otto", PASSWORDS["otto"])
            old.disconnect_socket()
            held = await asyncio.to_thread(station.settled, {"sessions": 1, "connections": 1}, 5.0)
            state = ua.ServerState(await new.nodes.server_state.read_value()).name
            await new.uaclient.close_session(True)
            return state, held

    assert asyncio.run(work()) == ("Running", {"sessions": 1, "connections": 1})


def test_a_strangers_messages_do_not_pile_up(station: GuardedStation) -> None:
    """Before sign-in a connection may not heap up requests faster than they are handled."""
    hello = struct.pack("<3scIIIIIIi", b"HEL", b"F", 32, 0, 65536, 65536, 0, 0, -1)
    with socket.create_connection(("127.0.0.1", station.port)) as line:
        line.settimeout(5.0)
        try:
            line.sendall(hello * 200)
            told = b""
            while part := line.recv(4096):
                told += part
        except (ConnectionResetError, BrokenPipeError):
            pass

    assert len(told) < 28 * 200
