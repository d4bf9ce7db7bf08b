"""Protect the bus: messages are numbered, loss is counted once, what is held can be had again, wishes get an answer."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from appliance.bus.channel import Gap, Publisher, Sequence, Subscriber
from appliance.bus.control import ControlServer, ask, control_address
from appliance.schema.clocks import HostNs
from appliance.schema.codec import Envelope, unpack
from appliance.schema.command import Accepted, Drain, RefusedReply, Replay, Reply
from appliance.schema.errors import LinkError, Refused
from appliance.schema.health import Alarm, Condition, Health
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition, Verdict

PATIENCE_MS = 5000
"""Longest wait for a message that is on its way; a test never waits longer than it must."""


@pytest.fixture
def context() -> Iterator[zmq.Context]:
    made = zmq.Context()
    yield made
    made.destroy(linger=0)


def verdict(number: int) -> Verdict:
    return Verdict(PartId(1, number), Disposition.REJECT, (), HostNs(0), HostNs(0), number)


def alarm(kind: str) -> Alarm:
    return Alarm("judge", kind, "text")


class Pair:
    """Hold one writer and one reader that hear each other."""

    def __init__(self, context: zmq.Context, runtime: Path, topics: tuple[str, ...] = ("verdict", "alarm.")) -> None:
        self.publisher = Publisher(context, runtime, "judge")
        self.subscriber = Subscriber(context, runtime, ("judge",), topics)
        self._meet()

    def _meet(self) -> None:
        """Publish until the reader hears: a subscription travels to its publisher in its own time."""
        for _ in range(1000):
            self.publisher.publish("alarm.judge", alarm("hello"))
            if self.subscriber.socket.poll(10):
                return
        raise TimeoutError("the reader heard nothing")

    def take(self, until: Callable[[object], bool]) -> list[tuple[Envelope, object]]:
        """Take messages up to the one that is asked for."""
        got: list[tuple[Envelope, object]] = []
        while not got or not until(got[-1][1]):
            assert self.subscriber.socket.poll(PATIENCE_MS), "nothing came"
            got += self.subscriber.drain(1)
        return [item for item in got if getattr(item[1], "kind", "") != "hello"]

    def close(self) -> None:
        self.publisher.close()
        self.subscriber.close()


@pytest.fixture
def pair(context: zmq.Context, tmp_path: Path) -> Iterator[Pair]:
    made = Pair(context, tmp_path)
    yield made
    made.close()


def test_messages_are_numbered_per_topic(pair: Pair) -> None:
    """Each topic counts from 0 in the writer's epoch."""
    for number in (1, 2, 3):
        pair.publisher.publish("verdict", verdict(number))
    pair.publisher.publish("alarm.judge", alarm("last"))
    got = pair.take(lambda message: getattr(message, "kind", "") == "last")

    assert [(0, verdict(1)), (1, verdict(2)), (2, verdict(3))] == [
        (envelope.sequence, message) for envelope, message in got if envelope.topic == "verdict"
    ]
    assert {pair.publisher.epoch} == {envelope.epoch for envelope, _ in got}


def test_a_reader_hears_only_its_topics(context: zmq.Context, tmp_path: Path) -> None:
    """What is not subscribed does not arrive."""
    made = Pair(context, tmp_path, ("alarm.",))
    made.publisher.publish("verdict", verdict(1))
    made.publisher.publish("alarm.judge", alarm("last"))
    got = made.take(lambda message: getattr(message, "kind", "") == "last")
    made.close()

    assert [Alarm] == [type(message) for _, message in got]


def test_an_unlisted_topic_is_refused(pair: Pair) -> None:
    """Nothing is said that the table does not know."""
    with pytest.raises(KeyError):
        pair.publisher.publish("gossip", verdict(1))


def test_a_reader_may_be_there_first(context: zmq.Context, tmp_path: Path) -> None:
    """Services start in any order; the reader connects when its writer appears."""
    subscriber = Subscriber(context, tmp_path, ("judge",), ("verdict",))
    publisher = Publisher(context, tmp_path, "judge")
    for number in range(1000):
        publisher.publish("verdict", verdict(number))
        if subscriber.socket.poll(10):
            break
    got = list(subscriber.drain(10))
    publisher.close()
    subscriber.close()

    assert got


def test_a_restarted_writer_has_a_new_epoch(context: zmq.Context, tmp_path: Path) -> None:
    """Numbers of two runs are never compared."""
    epochs = set()
    for _ in range(3):
        publisher = Publisher(context, tmp_path, "judge")
        epochs.add(publisher.epoch)
        publisher.close()

    assert len(epochs) == 3


def held(publisher: Publisher, topic: str, first: int) -> list[int]:
    return [unpack(bytes(raw))[0].sequence for raw in publisher.replay(topic, first).messages]


def test_replay_gives_what_is_held(pair: Pair) -> None:
    """From the number asked for to the newest, as it was published."""
    for number in range(5):
        pair.publisher.publish("verdict", verdict(number))
    told = pair.publisher.replay("verdict", 3)

    assert (pair.publisher.epoch, 5) == (told.epoch, told.next_sequence)
    assert [(3, verdict(3)), (4, verdict(4))] == [
        (envelope.sequence, message) for envelope, message in (unpack(bytes(raw)) for raw in told.messages)
    ]
    assert [] == held(pair.publisher, "verdict", 5)


def test_replay_holds_as_much_as_the_table_says(pair: Pair) -> None:
    """Old alarms make room for new ones; the numbers of those that are left stay true."""
    for number in range(300):
        pair.publisher.publish("alarm.judge", alarm(str(number)))
    told = held(pair.publisher, "alarm.judge", 0)
    last = pair.publisher.replay("alarm.judge", 0).next_sequence

    assert list(range(last - 256, last)) == told


def test_what_is_not_worth_holding_is_not_held(pair: Pair) -> None:
    """The next status says it all."""
    pair.publisher.publish("status.judge", Health("judge", Condition.OK, (), 1, HostNs(0)))
    told = pair.publisher.replay("status.judge", 0)

    assert ((), 1) == (told.messages, told.next_sequence)


# ---- a reader's place ------------------------------------------------------------------------------------------------


def at(epoch: int, sequence: int, topic: str = "verdict") -> Envelope:
    return Envelope(topic, epoch, sequence, Raw(b""))


def follow(places: Sequence, *told: tuple[int, int]) -> list[tuple[bool, tuple[int, int] | None]]:
    out = []
    for epoch, sequence in told:
        new, gap = places.follow(at(epoch, sequence))
        out.append((new, (gap.first, gap.until) if gap else None))
    return out


def test_a_gap_is_named_once() -> None:
    """What is missing is named when it shows, and not again."""
    assert [(True, None), (True, (1, 4)), (True, None)] == follow(Sequence(), (7, 0), (7, 4), (7, 5))


def test_the_first_message_is_no_gap() -> None:
    """A reader that keeps nothing starts where it hears first."""
    assert [(True, None)] == follow(Sequence(), (7, 40))


def test_a_stored_position_names_the_gap_since() -> None:
    """A reader that keeps records learns what it missed while it was down."""
    assert [(True, (3, 6))] == follow(Sequence({"verdict": (7, 2)}), (7, 6))


def test_duplicates_are_dropped() -> None:
    """A message that was seen, or that lies before one that was seen, is not new."""
    assert [(True, None), (False, None), (True, None), (False, None)] == follow(
        Sequence(), (7, 0), (7, 0), (7, 1), (7, 0)
    )


def test_a_new_epoch_begins_at_zero() -> None:
    """What a restarted writer said before it was heard is a gap; its numbers may be lower than the old ones."""
    assert [(True, None), (True, None)] == follow(Sequence(), (7, 90), (8, 0))
    assert [(True, None), (True, (0, 3)), (False, None)] == follow(Sequence(), (7, 90), (8, 3), (8, 2))


def test_topics_have_their_own_place() -> None:
    """A gap in one topic says nothing about another."""
    places = Sequence()
    places.follow(at(7, 0))
    new, gap = places.follow(at(7, 5, "result"))

    assert (True, None) == (new, gap)
    assert ((7, 1), (7, 6), None) == (places.position("verdict"), places.position("result"), places.position("label"))


@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["keep", "keep", "lose", "double"])), max_size=30))
def test_every_message_is_new_or_in_a_gap_exactly_once(steps: list[tuple[int, str]]) -> None:
    """For any loss and doubling, what was delivered and what was named as missing add up to what was said."""
    places = Sequence({"verdict": (7, -1)})
    got: list[int] = []
    for sequence, (_, fate) in enumerate(steps):
        for _ in range({"keep": 1, "lose": 0, "double": 2}[fate]):
            new, gap = places.follow(at(7, sequence))
            if gap is not None:
                assert isinstance(gap, Gap)
                got += range(gap.first, gap.until)
            got += [sequence] * new

    assert list(range(len(got))) == got
    assert len(steps) - len(got) == next(
        (n for n, (_, fate) in enumerate(reversed(steps)) if fate != "lose"), len(steps)
    )


# ---- wishes ----------------------------------------------------------------------------------------------------------


class Owner:
    """Answer wishes in a thread, as a service does in its loop."""

    def __init__(self, context: zmq.Context, runtime: Path, *replies: Reply) -> None:
        self.heard: list[object] = []
        self._server = ControlServer(context, runtime, "judge")
        self._replies = replies
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        for reply in self._replies:
            if not self._server.socket.poll(PATIENCE_MS):
                return
            self.heard.append(self._server.receive())
            self._server.answer(reply)

    def close(self) -> None:
        self._thread.join()
        self._server.close()


def test_a_wish_is_granted_or_refused(context: zmq.Context, tmp_path: Path) -> None:
    """Accepted comes back as it was given; a refusal names unit, wish and reason."""
    owner = Owner(context, tmp_path, Accepted("done"), RefusedReply("the belt runs"))
    granted = ask(context, tmp_path, "judge", Replay("verdict", 3), PATIENCE_MS)
    with pytest.raises(Refused, match="judge: Drain refused: the belt runs"):
        ask(context, tmp_path, "judge", Drain(), PATIENCE_MS)
    owner.close()

    assert Accepted("done") == granted
    assert [Replay("verdict", 3), Drain()] == owner.heard


def test_nobody_there_is_a_link_error(context: zmq.Context, tmp_path: Path) -> None:
    """The asker is told in bounded time, and the message says where to look."""
    with pytest.raises(LinkError, match="judge: no answer to Drain within 20 ms; see `firstshift check`"):
        ask(context, tmp_path, "judge", Drain(), 20)


def test_an_owner_that_does_not_answer_is_a_link_error(context: zmq.Context, tmp_path: Path) -> None:
    """A wish that was taken and not answered may still be granted later; the asker does not wait for it."""
    server = ControlServer(context, tmp_path, "judge")
    with pytest.raises(LinkError):
        ask(context, tmp_path, "judge", Drain(), 50)
    server.close()


def test_nothing_waiting_is_nothing(context: zmq.Context, tmp_path: Path) -> None:
    """A service looks for wishes and never waits for one."""
    server = ControlServer(context, tmp_path, "judge")
    got = server.receive()
    server.close()

    assert got is None


def test_what_is_no_wish_is_told_apart(context: zmq.Context, tmp_path: Path) -> None:
    """A stranger's bytes are an error of the codec, which the loop answers with a refusal."""
    server = ControlServer(context, tmp_path, "judge")
    stranger = context.socket(zmq.REQ)
    stranger.connect(control_address(tmp_path, "judge"))
    stranger.send(b"\xc1 no wish")

    assert server.socket.poll(PATIENCE_MS)
    with pytest.raises(msgspec.MsgspecError):
        server.receive()
    stranger.close(linger=0)
    server.close()


def test_everything_is_given_back(tmp_path: Path) -> None:
    """Once all ends are closed the context ends at once: no socket is left in it."""
    context = zmq.Context()
    made = Pair(context, tmp_path)
    server = ControlServer(context, tmp_path, "judge")
    with pytest.raises(LinkError):
        ask(context, tmp_path, "absent", Drain(), 10)
    made.close()
    server.close()
    context.term()

    assert context.closed
