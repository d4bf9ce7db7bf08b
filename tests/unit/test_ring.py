"""Rules of the frame ring, one by one."""

import ctypes
from pathlib import Path

import numpy as np
import pytest

from appliance.bus.ring import ROWS, RingReader, RingWriter, ring_path
from appliance.schema.clocks import MS, CameraNs, HostNs
from appliance.schema.errors import FrameOverwritten, StoreError
from appliance.schema.frame import FrameCounts, FrameReady, PixelFormat, SlotRef

LEASE_MS = 100


def frame_of(ref: SlotRef, pixel_format: PixelFormat = PixelFormat.MONO8) -> FrameReady:
    zero = HostNs(0)
    return FrameReady("top", ref, 7, CameraNs(0), zero, 0, None, zero, 4, 5, pixel_format, 1.0, 0.0, 0, FrameCounts())


@pytest.fixture
def writer(tmp_path: Path):
    ring = RingWriter.create(ring_path(tmp_path, "top"), 2, 60, LEASE_MS)
    yield ring
    ring.close()


@pytest.fixture
def reader(tmp_path: Path, writer: RingWriter):  # noqa: ARG001  the ring must exist
    frames = RingReader(tmp_path, "judge")
    frames.attach("top")
    yield frames
    frames.close()


def test_the_view_aliases_the_ring(writer: RingWriter, reader: RingReader) -> None:
    """A byte stored at the slot's address shows in a view taken before: nothing was copied."""
    ref = writer.publish(1, HostNs(1))
    with reader.borrow(frame_of(ref)) as pixels:
        ctypes.memset(writer.address(1), 42, 20)
        seen = pixels.tolist()

    assert seen == [[42] * 5] * 4


def test_colour_frames_have_three_channels(writer: RingWriter, reader: RingReader) -> None:
    """RGB8 is lent as (rows, columns, 3)."""
    ref = writer.publish(0, HostNs(1))
    with reader.borrow(frame_of(ref, PixelFormat.RGB8)) as pixels:
        shape = pixels.shape

    assert shape == (4, 5, 3)


def test_a_frame_waits_for_every_reader(writer: RingWriter, reader: RingReader, tmp_path: Path) -> None:
    """A slot comes back when the last living reader released it, and only once."""
    other = RingReader(tmp_path, "record")
    other.attach("top")
    frame = frame_of(writer.publish(0, HostNs(1)))
    reader.release(frame)
    before = writer.reclaim(HostNs(2))
    with other.borrow(frame):
        pass
    after = writer.reclaim(HostNs(3))
    again = writer.reclaim(HostNs(4))
    other.close()

    assert (before, after, again) == ([], [0], [])


def test_a_frozen_reader_gets_frame_overwritten(writer: RingWriter, reader: RingReader) -> None:
    """Past its lease a borrowed frame is reclaimed, counted as forced, and its reader is told on the way out."""
    frame = frame_of(writer.publish(0, HostNs(0)))
    with pytest.raises(FrameOverwritten, match="while it was read"), reader.borrow(frame):
        back = writer.reclaim(HostNs(LEASE_MS * MS))

    assert back == [0]
    assert writer.counts.forced == 1


def test_an_error_on_overwritten_pixels_is_an_overwritten_frame(writer: RingWriter, reader: RingReader) -> None:
    """What goes wrong on pixels that changed meanwhile is blamed on the change, and the cause is kept."""
    frame = frame_of(writer.publish(0, HostNs(0)))
    with pytest.raises(FrameOverwritten) as caught, reader.borrow(frame):
        _ = writer.reclaim(HostNs(LEASE_MS * MS))[1]

    assert isinstance(caught.value.__cause__, IndexError)


def test_a_suspended_reader_holds_nothing_back_until_it_lives_again(writer: RingWriter, reader: RingReader) -> None:
    """One lease is all a frozen reader can cost; a refresh makes frames wait for it again."""
    writer.publish(0, HostNs(0))
    writer.reclaim(HostNs(LEASE_MS * MS))
    suspended = [state.suspended for state in writer.readers()]
    writer.publish(0, HostNs(1))
    frozen = writer.reclaim(HostNs(2))
    reader.refresh(3)
    writer.publish(0, HostNs(4))
    alive = writer.reclaim(HostNs(5))

    assert suspended == [True]
    assert (frozen, alive) == ([0], [])


def test_a_reclaimed_frame_cannot_be_entered(writer: RingWriter, reader: RingReader) -> None:
    """A frame whose slot was reclaimed before is refused on entry."""
    frame = frame_of(writer.publish(0, HostNs(0)))
    reader.release(frame)
    writer.reclaim(HostNs(1))
    with pytest.raises(FrameOverwritten, match="before it was read"), reader.borrow(frame):
        pass


def test_a_late_release_does_not_free_the_next_frame(writer: RingWriter, reader: RingReader) -> None:
    """Releasing an older generation, even after a newer one was met, releases nothing else."""
    old = frame_of(writer.publish(0, HostNs(0)))
    reader.release(old)
    writer.reclaim(HostNs(1))
    new = frame_of(writer.publish(0, HostNs(2)))
    reader.release(old)

    assert writer.reclaim(HostNs(3)) == []
    reader.release(new)
    assert writer.reclaim(HostNs(4)) == [0]


@pytest.mark.parametrize("payload_bytes", [60, 200_000])
def test_a_restarted_ring_is_met_by_its_epoch(writer: RingWriter, reader: RingReader, payload_bytes: int) -> None:
    """Frames of an older epoch are refused, frames of the new one are lent, in the same file or a larger one."""
    old = frame_of(writer.publish(0, HostNs(0)))
    writer.restart(payload_bytes)
    new = frame_of(writer.publish(0, HostNs(1)))
    with pytest.raises(FrameOverwritten), reader.borrow(old):
        pass
    ctypes.memset(writer.address(0), 9, 20)
    with reader.borrow(new) as pixels:
        seen = int(pixels.sum())
    reader.release(old)

    assert seen == 9 * 20
    assert writer.reclaim(HostNs(2)) == [0]


def test_a_new_writer_replaces_the_file(tmp_path: Path, writer: RingWriter, reader: RingReader) -> None:
    """A restarted process makes a new file under the old name; its readers follow the epoch."""
    old = frame_of(writer.publish(0, HostNs(0)))
    second = RingWriter.create(ring_path(tmp_path, "top"), 2, 60, LEASE_MS)
    new = frame_of(second.publish(1, HostNs(1)))
    with reader.borrow(new) as pixels:
        shape = pixels.shape
    with pytest.raises(FrameOverwritten), reader.borrow(old):
        pass
    names = [state.name for state in second.readers()]
    second.close()

    assert shape == (4, 5)
    assert names == ["judge"]


def test_an_attached_reader_is_waited_for_before_its_first_frame(tmp_path: Path) -> None:
    """A reader that attached holds the very first frame, of a new writer's file as well."""
    early = RingReader(tmp_path, "judge")
    waiting = []
    for now in (1, 2):
        ring = RingWriter.create(ring_path(tmp_path, "top"), 2, 60, LEASE_MS)
        early.attach("top")
        frame = frame_of(ring.publish(0, HostNs(now)))
        waiting.append(ring.reclaim(HostNs(now)))
        with early.borrow(frame):
            pass
        waiting.append(ring.reclaim(HostNs(now)))
        ring.close()
    early.close()

    assert [[], [0], [], [0]] == waiting


def test_attaching_again_lets_go_of_nothing(writer: RingWriter, reader: RingReader) -> None:
    """A service that attaches at every sign of life of a camera still holds what it held."""
    frame = frame_of(writer.publish(0, HostNs(0)))
    reader.attach("top")
    held = writer.reclaim(HostNs(1))
    with reader.borrow(frame):
        pass

    assert [] == held
    assert [0] == writer.reclaim(HostNs(2))


def test_pixels_cannot_be_written_by_a_reader(writer: RingWriter, reader: RingReader) -> None:
    """The reader's mapping itself is read-only, not just the array's flag."""
    frame = frame_of(writer.publish(0, HostNs(0)))
    with reader.borrow(frame) as pixels, pytest.raises(ValueError, match="WRITEABLE"):
        pixels.flags.writeable = True


def test_a_ninth_reader_is_refused_with_names(writer: RingWriter, tmp_path: Path) -> None:
    """The table of readers is bounded; the refusal says who fills it."""
    readers = [RingReader(tmp_path, f"r{number}") for number in range(ROWS)]
    for one in readers:
        one.attach("top")
    late = RingReader(tmp_path, "late")
    with pytest.raises(StoreError, match=r"limit is 8: r0 \(pid"):
        late.attach("top")
    readers[3].close()
    late.attach("top")
    names = {state.name for state in writer.readers()}
    for one in [*readers, late]:
        one.close()

    assert "late" in names
    assert "r3" not in names


def test_a_full_tmpfs_is_one_clear_line(tmp_path: Path) -> None:
    """A ring that does not fit is refused when it is made, and leaves no file behind."""
    with pytest.raises(StoreError, match=r"needs .* MB on .*, free are"):
        RingWriter.create(tmp_path / "huge.ring", 64, 1 << 40)

    assert sorted(tmp_path.iterdir()) == []


def test_no_mapping_is_left(tmp_path: Path) -> None:
    """Closing writer and readers unmaps the ring in this process."""
    path = ring_path(tmp_path, "top")
    ring = RingWriter.create(path, 2, 60)
    frames = RingReader(tmp_path, "judge")
    with frames.borrow(frame_of(ring.publish(0, HostNs(0)))) as pixels:
        total = int(np.sum(pixels))
    del pixels
    frames.close()
    ring.close()

    assert total == 0
    assert str(path) not in Path("/proc/self/maps").read_text()


def test_a_reader_without_a_lease_holds_nothing_back(tmp_path: Path, writer: RingWriter) -> None:
    """The writer neither waits for it nor knows of it, even while it reads; what it read then is refused."""
    onlooker = RingReader(tmp_path, "shadow", lease=False)
    onlooker.attach("top")
    frame = frame_of(writer.publish(0, HostNs(1)))
    onlooker.refresh(1)
    with pytest.raises(FrameOverwritten, match="while it was read"), onlooker.borrow(frame):
        back, known = writer.reclaim(HostNs(2)), writer.readers()
    onlooker.close()

    assert ([0], []) == (back, known)
    assert 0 == writer.counts.forced


def test_a_reader_without_a_lease_reads_what_others_hold(
    tmp_path: Path, writer: RingWriter, reader: RingReader
) -> None:
    """It sees a frame for as long as someone else keeps it, and gives back nothing of theirs."""
    onlooker = RingReader(tmp_path, "shadow", lease=False)
    frame = frame_of(writer.publish(0, HostNs(1)))
    ctypes.memset(writer.address(0), 3, 20)
    with onlooker.borrow(frame) as pixels:
        seen = int(pixels.sum())
    onlooker.release(frame)
    held = writer.reclaim(HostNs(2))
    reader.release(frame)
    onlooker.close()

    assert (60, [], [0]) == (seen, held, writer.reclaim(HostNs(3)))
