"""How long the sending window waits, what it learns from, and how fast it repeats."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.schema.clocks import MS, HostNs
from firmware_bridge.window import Window

FIRST_RTO = 50 * MS
NEVER = 10**18


class Talk:
    """A window and an MCU that answers when it is told to."""

    def __init__(self) -> None:
        self.window = Window()
        self.now = 0
        self.sent = 0

    def send(self) -> int:
        """Send one frame now; return its sequence number."""
        assert self.window.push(7, b"")
        self.sent += 1
        assert [self.sent & 0xFF] == [frame.seq for frame in self.window.due(HostNs(self.now))]
        return self.sent & 0xFF

    def exchange(self, rtt_ns: int) -> None:
        """Send a frame that is acknowledged after this time."""
        seq = self.send()
        self.now += rtt_ns
        self.window.acknowledge(seq, nak=False, now=HostNs(self.now))

    @property
    def rto_ns(self) -> int:
        """How long a frame sent now would wait; sends it, and takes its answer at once."""
        before = self.now
        seq = self.send()
        wake = self.window.wake_at
        assert wake is not None
        self.window.acknowledge(seq, nak=False, now=HostNs(before))
        return wake - before


@given(rtts=st.lists(st.integers(0, 300 * MS), min_size=1, max_size=40))
def test_the_time_out_follows_the_round_trips(rtts: list[int]) -> None:
    """Smoothed round trip plus four times its variation (RFC 6298), never under 10 ms nor over 200 ms."""
    talk = Talk()
    smooth = spread = 0.0
    for n, rtt in enumerate(rtts):
        talk.exchange(min(rtt, FIRST_RTO - 1) if n == 0 else rtt)
        measured = min(rtt, FIRST_RTO - 1) if n == 0 else rtt
        if not smooth:
            smooth, spread = float(measured), measured / 2
        else:
            spread = 0.75 * spread + 0.25 * abs(smooth - measured)
            smooth = 0.875 * smooth + 0.125 * measured
    expected = min(max(smooth + 4 * spread, 10 * MS), 200 * MS)

    assert abs(talk.rto_ns - expected) <= 2


def test_a_repeated_frame_teaches_nothing() -> None:
    """Which of the two was answered nobody knows, so its time is no round trip (Karn)."""
    talk = Talk()
    for _ in range(30):
        talk.exchange(2 * MS)
    seq = talk.send()
    talk.now += 15 * MS
    assert [seq] == [frame.seq for frame in talk.window.due(HostNs(talk.now))]
    talk.window.acknowledge(seq, nak=False, now=HostNs(talk.now + 150 * MS))
    talk.exchange(2 * MS)

    assert 10 * MS == talk.rto_ns


def test_each_time_out_in_a_row_waits_twice_as_long() -> None:
    """A link that is down is not flooded; at 200 ms the wait stays."""
    window = Window()
    window.push(7, b"")
    window.due(HostNs(0))
    waits, now = [], 0
    for _ in range(6):
        wake = window.wake_at
        assert wake is not None
        waits.append((wake - now) // MS)
        now = wake
        assert [1] == [frame.seq for frame in window.due(HostNs(now))]

    assert [50, 100, 200, 200, 200, 200] == waits


def test_a_nak_repeats_at_once_and_once_a_round_trip() -> None:
    """A gap is closed without waiting for the time-out; the frames behind the lost one draw no second repeat."""
    talk = Talk()
    for _ in range(10):
        talk.exchange(4 * MS)
    first = [talk.send() for _ in range(3)]
    talk.now += 4 * MS
    talk.window.acknowledge(first[0], nak=True, now=HostNs(talk.now))
    again = talk.window.due(HostNs(talk.now))
    talk.window.acknowledge(first[0], nak=True, now=HostNs(talk.now + MS))

    assert first[1:] == [frame.seq for frame in again]
    assert [] == talk.window.due(HostNs(talk.now + MS))


@pytest.mark.parametrize("ack", [3, 130, 255])
def test_an_acknowledgement_of_nothing_sent_is_ignored(ack: int) -> None:
    """A stale or damaged number frees no frame."""
    talk = Talk()
    talk.send()
    talk.window.acknowledge(ack, nak=False, now=HostNs(MS))

    assert not talk.window.empty


def test_sequence_numbers_wrap() -> None:
    """After 255 comes 0, and nothing is lost or doubled over the seam."""
    talk = Talk()
    for _ in range(600):
        talk.exchange(MS)

    assert talk.window.empty
    assert 0 == talk.window.retransmits
