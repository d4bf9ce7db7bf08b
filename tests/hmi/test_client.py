"""The touchscreen listens, asks, and is never felt."""

import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import zmq
from msgspec import Struct

from appliance.bus.channel import Publisher, Subscriber
from appliance.bus.control import ControlServer
from appliance.config import Loaded
from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.clocks import MS, EncoderCounts, HostNs, McuTicks, S
from appliance.schema.command import Accepted, Drain, RefusedReply
from appliance.schema.health import Condition, Health
from appliance.schema.label import Label, LabelLevel
from appliance.schema.part import PartId
from appliance.schema.policy import Mode
from appliance.schema.topics import ACTUATION, LABEL, SEALED, SEED, SHADOW, STATUS, TOPICS
from appliance.schema.verdict import Disposition
from appliance.services._wiring import units
from appliance.sim.hmi_station import sample_station
from hmi.client import HEARD, TICK_NS, BusLink, units_of


@pytest.fixture
def context():
    with zmq.Context() as made:
        yield made


@pytest.fixture
def link(tmp_path):
    made = BusLink(tmp_path, ("line", "judge"))
    yield made
    made.close()


def actuation(number):
    part = PartId(7, number)
    return Actuation(part, Lane.ACCEPT, Cause.ACCEPTED, Disposition.ACCEPT, 1, HostNs(0), McuTicks(0), EncoderCounts(0))


def drained(link, wanted, most=2000):
    """Take messages until so many came."""
    heard: list[Struct] = []
    lost = 0
    until = time.monotonic() + 10
    while len(heard) < wanted and time.monotonic() < until:
        more, gone = link.drain(most)
        heard, lost = [*heard, *more], lost + gone
    return heard, lost


def connected(publisher, link):
    """Say something until it is heard."""
    until = time.monotonic() + 10
    while not link.drain(10)[0] and time.monotonic() < until:
        publisher.publish(STATUS + "line", Health("line", Condition.OK, (), 1, HostNs(0)))
        time.sleep(0.01)
    while link.drain(1000)[0]:
        time.sleep(0.02)


@pytest.mark.parametrize("topic", [SEALED, SHADOW, SEED])
def test_it_does_not_listen_to_what_nobody_may_see(topic):
    """No subscription, by name or by prefix, lets a sealed verdict, a shadow's or a seed through."""
    assert [] == [heard for heard in HEARD if topic.startswith(heard)]
    assert all(any(entry.name == heard for entry in TOPICS) for heard in HEARD)


def test_it_hears_and_counts_what_is_missing(context, tmp_path, link):
    """Messages come in order; a gap in a topic's count is told as that many lost."""
    publisher = Publisher(context, tmp_path, "line")
    connected(publisher, link)
    publisher.publish(ACTUATION, actuation(1))
    publisher._next[ACTUATION] += 5
    publisher.publish(ACTUATION, actuation(2))
    heard, lost = drained(link, 2)
    publisher.close()

    assert ([1, 2], 5) == ([item.part.number for item in heard], lost)


def test_a_message_of_another_version_is_lost_and_no_more(context, tmp_path, link):
    """What cannot be decoded is counted; what follows is heard."""
    publisher = Publisher(context, tmp_path, "line")
    connected(publisher, link)
    publisher._socket.send_multipart((ACTUATION.encode(), b"\xc1 nonsense"))
    publisher.publish(ACTUATION, actuation(1))
    heard, lost = drained(link, 1)
    publisher.close()

    assert (1, 1) == (len(heard), lost)


def test_a_tick_takes_no_more_than_it_may(context, tmp_path, link):
    """However much waits, one tick takes a bounded number of messages."""
    publisher = Publisher(context, tmp_path, "line")
    connected(publisher, link)
    for number in range(300):
        publisher.publish(ACTUATION, actuation(number))
    link._subscriber.socket.poll(10_000)
    none, _ = link.drain(0)
    first, _ = link.drain(1)
    rest, _ = drained(link, 299, most=100)
    publisher.close()

    assert (0, 1) == (len(none), len(first))
    assert list(range(300)) == [item.part.number for item in (*first, *rest)]
    assert TICK_NS < 100 * MS


def test_it_asks_and_is_answered(context, tmp_path, link):
    """A wish is answered by its owner; one that nobody answers is given up, and may be sent again."""
    server = ControlServer(context, tmp_path, "line")
    link.send("line", Drain(), 1, HostNs(time.monotonic_ns() + 10 * S))
    link.send("judge", Drain(), 2, HostNs(0))
    until = time.monotonic() + 10
    while server.receive() is None and time.monotonic() < until:
        time.sleep(0.001)
    server.answer(Accepted("done"))
    answers = dict(link.answers(HostNs(1)))
    while len(answers) < 2 and time.monotonic() < until:
        answers |= dict(link.answers(HostNs(1)))
    server.close()

    assert Accepted("done") == answers[1]
    assert isinstance(answers[2], RefusedReply)
    assert answers[2].again


@pytest.mark.usefixtures("link")
def test_it_binds_nothing(tmp_path):
    """No socket of the touchscreen has an address that a service might wait for."""
    assert [] == list(Path(tmp_path).iterdir())


LISTENER = """
    import sys, time
    from pathlib import Path
    from hmi.client import BusLink
    link = BusLink(Path(sys.argv[1]), ("line",))
    heard = lost = 0
    print("up", flush=True)
    while heard < 1 or sys.argv[2] not in {item.label_id for item in last if hasattr(item, "label_id")}:
        last, gone = link.drain(2000)
        heard, lost = heard + len(last), lost + gone
        if heard == len(last) and last:
            print("hears", flush=True)
        time.sleep(0.005)
    print(heard, lost, flush=True)
"""


def test_a_stopped_touchscreen_costs_nobody_anything(context, tmp_path):
    """While it is stopped the line says 30 s of a fast line's messages: none blocks, another reader has them all."""
    publisher = Publisher(context, tmp_path, "line")
    other = Subscriber(context, tmp_path, ("line",), (ACTUATION,))
    command = [sys.executable, "-c", textwrap.dedent(LISTENER), str(tmp_path), "the-end"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as touchscreen:
        try:
            assert touchscreen.stdout.readline() == "up\n"
            hears = False
            until = time.monotonic() + 10
            while not hears and time.monotonic() < until:
                publisher.publish(ACTUATION, actuation(0))
                hears = said(touchscreen) and bool(list(other.drain(100)))
            assert hears
            while list(other.drain(1000)):
                time.sleep(0.02)
            touchscreen.send_signal(signal.SIGSTOP)
            slowest, received = 0.0, 0
            total = 50 * 30 * 20  # 50 parts/s for 30 s, 20 messages each
            for number in range(1, total + 1):
                begin = time.perf_counter()
                publisher.publish(ACTUATION, actuation(number))
                slowest = max(slowest, time.perf_counter() - begin)
                if number % 500 == 0:
                    received += taken(other, number - received)
            received += taken(other, total - received)
            touchscreen.send_signal(signal.SIGCONT)
            end = Label("the-end", PartId(7, 1), LabelLevel.CONFIRM, "o", "good", 1.0, False, 0)
            while touchscreen.poll() is None and time.monotonic() < until + 60:
                publisher.publish(ACTUATION, actuation(0))
                publisher.publish(LABEL, end)
                time.sleep(0.02)
            heard, lost = map(int, touchscreen.stdout.read().split()[-2:])
        finally:
            touchscreen.kill()
            other.close()
            publisher.close()

    assert total == received
    assert slowest < 1.0
    assert lost > 0
    assert heard + lost >= total


def said(process):
    """Tell whether the process has said that it hears; one that was not connected yet says nothing."""
    readable, _, _ = select.select([process.stdout], [], [], 0.05)
    return bool(readable) and process.stdout.readline() == "hears\n"


def taken(subscriber, wanted):
    """Take so many messages, as they arrive."""
    count = 0
    until = time.monotonic() + 10
    while count < wanted and time.monotonic() < until:
        count += len(list(subscriber.drain(wanted - count)))
    return count


@pytest.mark.parametrize("mode", [Mode.PRIMARY])
def test_it_expects_the_units_that_the_station_runs(mode):
    """The units that may be absent are those that the station starts."""
    with sample_station(mode) as sample:
        loaded: Loaded = sample.loaded

        assert set(units(loaded)) == set(units_of(loaded))
