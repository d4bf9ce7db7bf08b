"""A frame ring under any order of publishing, reading, freezing, dying and restarting."""

import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from appliance.bus.ring import RingReader, RingWriter, ring_path
from appliance.schema.clocks import MS, CameraNs, HostNs
from appliance.schema.errors import FrameOverwritten
from appliance.schema.frame import FrameCounts, FrameReady, PixelFormat, SlotRef

ROWS, COLUMNS = 8, 600  # two pages a slot
SLOTS = 4
LEASE_MS = 100


def frame_of(ref: SlotRef, frame_id: int = 0) -> FrameReady:
    zero = HostNs(0)
    return FrameReady(
        "top",
        ref,
        frame_id,
        CameraNs(0),
        zero,
        0,
        None,
        zero,
        ROWS,
        COLUMNS,
        PixelFormat.MONO8,
        1.0,
        0.0,
        0,
        FrameCounts(),
    )


class RingMachine(RuleBasedStateMachine):
    """Drive one writer and up to four readers, whose loans stay open over any number of other steps."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = ring_path(Path(self.folder.name), "top")
        self.writer = RingWriter.create(self.path, SLOTS, ROWS * COLUMNS, LEASE_MS)
        self.free = list(range(SLOTS))
        self.readers: dict[int, RingReader] = {}
        self.loans: dict[int, tuple] = {}
        self.frames: list[FrameReady] = []
        self.content: dict[SlotRef, int] = {}
        self.now = 1
        self.next = 0

    def teardown(self) -> None:
        for reader in list(self.readers):
            self.leave(reader)
        self.writer.close()
        self.folder.cleanup()

    def leave(self, reader: int) -> None:
        self.loans.pop(reader, None)
        self.readers.pop(reader).close()

    @precondition(lambda self: self.free)
    @rule()
    def publish(self) -> None:
        slot = self.free.pop(0)
        self.next += 1
        with self.writer.pixels(slot) as pixels:
            pixels[:] = bytes([self.next % 256]) * len(pixels)
        ref = self.writer.publish(slot, HostNs(self.now))

        assert ref not in self.content
        self.content[ref] = self.next % 256
        self.frames.append(frame_of(ref, self.next))

    @rule(passed_ms=st.integers(0, LEASE_MS))
    def reclaim(self, passed_ms: int) -> None:
        self.now += passed_ms * MS
        back = self.writer.reclaim(HostNs(self.now))

        assert not set(back) & set(self.free)
        assert len(set(back)) == len(back)
        for slot in back:
            with self.writer.pixels(slot) as pixels:
                pixels[:] = b"\xff" * len(pixels)
        self.free += back

    @precondition(lambda self: len(self.readers) < 4)
    @rule(number=st.integers(0, 3))
    def join(self, number: int) -> None:
        if number not in self.readers:
            self.readers[number] = RingReader(Path(self.folder.name), f"reader{number}")
            self.readers[number].attach("top")

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        self.leave(data.draw(st.sampled_from(sorted(self.readers))))

    @precondition(lambda self: self.frames and set(self.readers) - set(self.loans))
    @rule(data=st.data())
    def borrow(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(set(self.readers) - set(self.loans))))
        frame = data.draw(st.sampled_from(self.frames[-6:]))
        loan = None
        try:
            loan = self.readers[number].borrow(frame)
            pixels = loan.__enter__()
        except FrameOverwritten:
            assert frame.ref not in self.still_out()
            return
        self.loans[number] = (loan, pixels, frame)

        assert pixels.shape == (ROWS, COLUMNS)
        assert not pixels.flags.writeable
        assert not pixels.flags.owndata

    @precondition(lambda self: self.loans)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.loans)))
        loan, pixels, frame = self.loans.pop(number)
        seen = {int(value) for value in np.unique(pixels)}
        try:
            loan.__exit__(None, None, None)
        except FrameOverwritten:
            assert frame.ref not in self.still_out()
        else:
            assert {self.content[frame.ref]} == seen

    @precondition(lambda self: self.frames and self.readers)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.readers)))
        if number not in self.loans:
            self.readers[number].release(data.draw(st.sampled_from(self.frames[-6:])))

    @precondition(lambda self: not self.loans)
    @rule(larger=st.booleans())
    def restart(self, larger: bool) -> None:
        self.writer.restart(ROWS * COLUMNS * (3 if larger else 1))
        self.free = list(range(SLOTS))

    def still_out(self) -> set[SlotRef]:
        return {f.ref for f in self.frames if f.ref.slot not in self.free and f.ref == self.latest(f.ref.slot)}

    def latest(self, slot: int) -> SlotRef | None:
        return next((f.ref for f in reversed(self.frames) if f.ref.slot == slot), None)

    @invariant()
    def every_slot_is_free_or_out(self) -> None:
        assert len(self.free) + self.writer.out == SLOTS

    @invariant()
    def the_account_is_whole(self) -> None:
        counts = self.writer.counts

        assert counts.published >= counts.returned + counts.forced + self.writer.out


RingMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestRing = RingMachine.TestCase


def run_child(body: Callable[[], int]) -> int:
    """Run `body` in a forked process that ends with its return value; gives the pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        code = body()
    finally:
        os._exit(code)


def test_pixels_are_never_torn_for_a_reader_in_another_process(tmp_path: Path) -> None:
    """A loan that ends without FrameOverwritten showed one frame only, while the writer overwrites without mercy."""
    writer = RingWriter.create(ring_path(tmp_path, "top"), 2, ROWS * COLUMNS, lease_ms=0)
    to_child, from_parent = os.pipe(), os.pipe()

    def read() -> int:
        reader = RingReader(tmp_path, "judge")
        reader.attach("top")
        os.write(from_parent[1], b"!")
        whole = 0
        while message := os.read(to_child[0], 24):
            slot, generation, epoch = np.frombuffer(message, np.int64)
            try:
                with reader.borrow(frame_of(SlotRef(int(epoch), int(slot), int(generation)))) as pixels:
                    torn = len(np.unique(pixels)) != 1 or len(np.unique(pixels[::-1])) != 1
            except FrameOverwritten:
                continue
            if torn:
                return 1
            whole += 1
        return 0 if whole else 2

    child = run_child(lambda: (os.close(to_child[1]), read())[1])
    os.close(to_child[0])
    os.read(from_parent[0], 1)
    free = [0, 1]
    for number in range(3000):
        free += writer.reclaim(HostNs(number))
        slot = free.pop(0)
        with writer.pixels(slot) as pixels:
            pixels[:] = bytes([number % 251]) * len(pixels)
        ref = writer.publish(slot, HostNs(number))
        os.write(to_child[1], np.array([ref.slot, ref.generation, ref.epoch], np.int64).tobytes())
    os.close(to_child[1])
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for end in from_parent:
        os.close(end)
    writer.close()

    assert status == 0


def test_a_killed_reader_frees_its_slots_at_once(tmp_path: Path) -> None:
    """Death of a process gives back what it held without waiting for the lease."""
    writer = RingWriter.create(ring_path(tmp_path, "top"), 3, ROWS * COLUMNS, lease_ms=60_000)
    ready = os.pipe()

    def hold() -> int:
        reader = RingReader(tmp_path, "judge")
        reader.attach("top")
        os.write(ready[1], b"!")
        signal.pause()
        return 0

    child = run_child(hold)
    os.read(ready[0], 1)
    for slot in range(3):
        writer.publish(slot, HostNs(1))
    held = writer.reclaim(HostNs(2))
    states = writer.readers()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    back = writer.reclaim(HostNs(3))
    for end in ready:
        os.close(end)
    counts = writer.counts
    writer.close()

    assert held == []
    assert [("judge", child, (0, 1, 2))] == [(state.name, state.pid, state.holds) for state in states]
    assert back == [0, 1, 2]
    assert (counts.returned, counts.forced) == (3, 0)
