"""Rules of the acquire node, on a real ring and without a camera."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.bus.ring import RingReader, RingWriter, ring_path
from appliance.cameras.messages import (
    CameraLost,
    CameraOpened,
    CameraStatistics,
    FrameArrived,
    LatchTime,
    Reopen,
    Requeue,
    Start,
    TimeLatched,
)
from appliance.config import Camera
from appliance.ports.node import Publish, Send
from appliance.schema.clocks import MS, CameraNs, EncoderCounts, HostNs, S
from appliance.schema.command import Drain, RefusedReply
from appliance.schema.frame import FrameCounts, FrameReady, PixelFormat
from appliance.schema.health import Alarm, Health
from appliance.services.acquire import RECLAIM_NS, TRANSFER_NS, AcquireNode, _ExposureAccount

SETTINGS = Camera(
    producer="x.cti", serial="1", width_px=16, height_px=16, pixel_format=PixelFormat.MONO8, slots=4, lease_ms=100
)
OPENED = CameraOpened("model", "1", 16 * 16, can_latch=True)


def arrived(slot: int, frame_id: int, at: int = S, **changes: object) -> FrameArrived:
    facts = {
        "slot": slot, "frame_id": frame_id, "exposed": CameraNs(at - 3 * MS), "arrived": HostNs(at),
        "exposure_us": 1000.0, "gain_db": 0.0, "encoder": EncoderCounts(7), "copies": 0, "underruns": 0,
    }  # fmt: skip
    return FrameArrived(**(facts | changes))


class Bench:
    """Feed a node and sort what it wants done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ring = RingWriter.create(ring_path(folder, "top"), SETTINGS.slots, 16 * 16, SETTINGS.lease_ms)
        self.node = AcquireNode("top", SETTINGS, self.ring)
        self.frames: list[FrameReady] = []
        self.health: list[Health] = []
        self.alarms: list[Alarm] = []
        self.sent: list[object] = []
        self.act(self.node.start(HostNs(0)))

    def feed(self, message: object, at: int) -> None:
        self.act(self.node.receive("device:camera", message, HostNs(at)))

    def act(self, outputs: object) -> None:
        for output in outputs:
            if isinstance(output, Send):
                self.sent.append(output.message)
            elif isinstance(output, Publish):
                kinds = {FrameReady: self.frames, Health: self.health, Alarm: self.alarms}
                kinds[type(output.message)].append(output.message)


@pytest.fixture
def bench(tmp_path: Path):
    made = Bench(tmp_path)
    yield made
    made.ring.close()


def test_an_opened_camera_is_started_after_its_clock_was_read(bench: Bench) -> None:
    """The first frame must find a clock: the latch is asked for before the start."""
    bench.feed(OPENED, 1)

    assert [LatchTime(), Start()] == bench.sent
    assert ["starting", "ok"] == [health.condition for health in bench.health]


def test_exposure_lies_on_the_latched_clock(bench: Bench) -> None:
    """With one latch the exposure's host time is the latch's midpoint plus the camera's own interval."""
    bench.feed(OPENED, 1)
    bench.feed(TimeLatched(HostNs(1000 * MS), HostNs(1000 * MS + 40_000), CameraNs(5 * S)), 1000 * MS)
    bench.feed(arrived(0, 0, 1020 * MS, exposed=CameraNs(5 * S + 10 * MS)), 1020 * MS)
    frame = bench.frames[0]

    assert 1010 * MS + 20_000 == frame.exposed_at
    assert 20_000 <= frame.exposed_uncertainty_ns <= 30_000
    assert 5 * S + 10 * MS == frame.exposed


@pytest.mark.parametrize("exposed", [None, CameraNs(5)])
def test_without_a_clock_the_uncertainty_is_honest(bench: Bench, exposed: CameraNs | None) -> None:
    """A frame without usable timestamp was exposed at some time within the longest transfer before it arrived."""
    bench.feed(CameraOpened("model", "1", 16 * 16), 1)
    bench.feed(arrived(0, 0, 1000 * MS, exposed=exposed), 1000 * MS)
    frame = bench.frames[0]

    assert TRANSFER_NS // 2 == frame.exposed_uncertainty_ns
    assert 1000 * MS - 1 * MS == frame.exposed_at + frame.exposed_uncertainty_ns
    assert "degraded" == bench.health[-1].condition


@given(st.lists(st.tuples(st.sampled_from(["good", "incomplete", "underrun", "missed"])), max_size=60))
def test_every_exposure_has_one_fate(fates: list[tuple[str]]) -> None:
    """Up to its newest frame, exposures = good + incomplete + under-run + missed, each counted as what it was."""
    account, underruns = _ExposureAccount(FrameCounts()), 0
    told = {"good": 0, "incomplete": 0, "underrun": 0, "missed": 0}
    pending: list[str] = []
    for frame_id, (fate,) in enumerate(fates):
        pending.append(fate)
        underruns += fate == "underrun"
        if fate in {"underrun", "missed"}:
            continue
        account.add(arrived(0, frame_id, underruns=underruns, complete=fate == "good"))
        for one in pending:
            told[one] += 1
        pending.clear()

        assert FrameCounts(**told) == account.counts


def test_an_underrun_the_gap_does_not_show_yet_is_kept(bench: Bench) -> None:
    """A producer may count an under-run before the frame behind the gap comes; it explains that gap, not none."""
    bench.feed(OPENED, 1)
    bench.feed(arrived(0, 0, underruns=1), 2)
    bench.feed(arrived(1, 2, underruns=1), 3)

    assert FrameCounts(2, 0, 1, 0) == bench.frames[-1].counts
    assert ["frame_lost"] == [alarm.kind for alarm in bench.alarms]


def test_a_count_that_goes_back_reopens_the_camera(bench: Bench) -> None:
    """Exposures that cannot be told apart are never published."""
    bench.feed(OPENED, 1)
    bench.feed(arrived(0, 5), 2)
    bench.feed(arrived(1, 3), 3)
    bench.feed(arrived(2, 4), 4)

    assert [5] == [frame.frame_id for frame in bench.frames]
    assert isinstance(bench.sent[-1], Reopen)


def test_incomplete_frames_are_published_as_such(bench: Bench) -> None:
    """An incomplete frame is a fact about an exposure, marked so that nobody judges it."""
    bench.feed(OPENED, 1)
    bench.feed(arrived(0, 0, complete=False), 2)

    assert [False] == [frame.complete for frame in bench.frames]
    assert FrameCounts(incomplete=1) == bench.frames[0].counts


def test_slots_go_back_to_the_camera_when_released(bench: Bench) -> None:
    """A released slot is requeued at the next wake, which is due while slots are out."""
    reader = RingReader(bench.folder, "judge")
    reader.attach("top")
    bench.feed(OPENED, S)
    bench.feed(arrived(2, 0), S)
    bench.sent.clear()
    due = bench.node.wake_at
    with reader.borrow(bench.frames[0]):
        bench.act(bench.node.wake(due))
    held = list(bench.sent)
    bench.act(bench.node.wake(HostNs(due + RECLAIM_NS)))
    reader.close()

    assert S + RECLAIM_NS == due
    assert [] == held
    assert [Requeue(2)] == bench.sent


def test_lent_out_slots_are_reported_with_who_holds_them(bench: Bench) -> None:
    """With no slot left to fill, health and alarm name the holder; it is well again when one comes back."""
    reader = RingReader(bench.folder, "judge")
    reader.attach("top")
    bench.feed(OPENED, S)
    for slot in range(SETTINGS.slots):
        bench.feed(arrived(slot, slot), S + slot)
    worst = bench.health[-1]
    for frame in bench.frames:
        reader.release(frame)
    bench.act(bench.node.wake(HostNs(S + RECLAIM_NS + SETTINGS.slots)))
    reader.close()

    assert ["slots_exhausted"] == [alarm.kind for alarm in bench.alarms]
    assert "judge 4" in worst.components[1].cause
    assert "degraded" == worst.condition
    assert "ok" == bench.health[-1].condition


def test_an_expired_lease_is_an_alarm_that_names_the_reader(bench: Bench) -> None:
    """A reader that keeps a frame past its lease loses it, and someone hears of it."""
    reader = RingReader(bench.folder, "judge")
    reader.attach("top")
    bench.feed(OPENED, S)
    bench.feed(arrived(0, 0), S)
    bench.act(bench.node.wake(HostNs(S + SETTINGS.lease_ms * MS)))
    reader.close()

    assert ["lease_expired"] == [alarm.kind for alarm in bench.alarms]
    assert "judge held a frame over lease_ms = 100 ms" in bench.alarms[0].text
    assert Requeue(0) in bench.sent


def test_a_lost_camera_is_failed_with_cause_and_remedy(bench: Bench) -> None:
    """One alarm a loss, progress with each try, and the new acquisition shows as a new epoch counting from 0."""
    bench.feed(OPENED, 1)
    bench.feed(arrived(0, 0), 2)
    for attempt in (1, 2, 3):
        bench.feed(CameraLost("camera top: gone; check cable", attempt, 200), 10 * S * attempt)
    failed = bench.health[-1]
    bench.feed(arrived(1, 1), 31 * S)
    bench.feed(OPENED, 32 * S)
    bench.feed(arrived(0, 0), 33 * S)

    assert ("failed", "camera top: gone", "check cable") == (
        failed.condition, failed.components[0].cause, failed.components[0].remedy
    )  # fmt: skip
    assert ["camera_lost"] == [alarm.kind for alarm in bench.alarms]
    assert [0, 0] == [frame.frame_id for frame in bench.frames]
    assert bench.frames[0].ref.epoch != bench.frames[1].ref.epoch
    assert FrameCounts(good=2) == bench.frames[1].counts


def test_health_is_told_once_a_second_and_progress_needs_work(bench: Bench) -> None:
    """A timer alone is no progress: only frames and answered polls feed the watchdog."""
    bench.feed(OPENED, 1)
    before = bench.health[-1].progress
    bench.act(bench.node.wake(HostNs(2 * S)))
    idle = bench.health[-1].progress
    bench.feed(CameraStatistics(0, 0, 4), 2 * S)
    bench.act(bench.node.wake(HostNs(3 * S + 1)))

    assert before == idle
    assert before + 1 == bench.health[-1].progress


def test_wishes_are_refused(bench: Bench) -> None:
    """A camera is set by its configuration alone."""
    reply, outputs = bench.node.command(Drain(), HostNs(1))

    assert isinstance(reply, RefusedReply)
    assert () == outputs
