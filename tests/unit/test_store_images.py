"""Images are encoded as promised, durable, paired by the judge's word, and written beside the loop."""

import select
from contextlib import closing, contextmanager

import cv2
import imagecodecs
import msgspec
import numpy as np
import pytest
import simplejpeg
import tifffile
from msgspec.structs import replace

from appliance.bus.ring import RingReader, RingWriter, ring_path
from appliance.schema.errors import FrameOverwritten, StoreError
from appliance.schema.finding import ViewResult
from appliance.schema.frame import FrameCounts, FrameName, FrameReady, PixelFormat, SlotRef
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition, InspectionResult, StageTimes
from appliance.storage.blobs import Blobs, encode
from appliance.storage.database import open_reader
from appliance.storage.image_messages import ImageFailed, ImageKept, ImageMissing, KeepImage, MeetRing, ReleaseFrame
from appliance.storage.image_plan import NEVER_SEEN, ImagePlan, draw
from appliance.storage.image_writer import QUEUE_LIMIT, ImageWriter
from appliance.storage.queries import images
from appliance.storage.record_store import DATABASE, RecordStore

UTC = 1_763_000_000_000_000_000
MS = 1_000_000
HOLD = 1500 * MS


class FixedClock:
    def now(self):
        return 0

    def utc(self):
        return UTC


class MemoryFrames:
    """Frames in memory: the contract of the ring without its file."""

    def __init__(self):
        self.pixels, self.out, self.refreshed = {}, set(), 0
        self.overwrite_on_exit = False
        self.met = []

    def add(self, frame, pixels):
        pixels.setflags(write=False)
        self.pixels[frame.ref] = pixels
        self.out.add(frame.ref)

    @contextmanager
    def borrow(self, frame):
        if frame.ref not in self.pixels:
            raise FrameOverwritten(f"frame {frame.frame_id} is gone")
        try:
            yield self.pixels[frame.ref]
        finally:
            self.out.discard(frame.ref)
        if self.overwrite_on_exit:
            raise FrameOverwritten(f"frame {frame.frame_id} was overwritten")

    def release(self, frame):
        self.out.discard(frame.ref)

    def attach(self, camera):
        self.met.append(camera)

    def close(self):
        self.met.append("closed")

    def refresh(self, now_ns):
        self.refreshed = now_ns


def frame_of(number, epoch=1, arrived=20 * MS, camera="top", pixel_format=PixelFormat.BAYER_RG8):
    return FrameReady(
        camera, SlotRef(epoch, number % 8, number * 2 + 1), number, 0, 11 * MS, 500, None, arrived, 32, 48,
        pixel_format, 100.0, 0.0, 0, FrameCounts(),
    )  # fmt: skip


def result_of(number, frames, finished=30 * MS):
    views = tuple(ViewResult(camera, 1, frame_id, 0.1, None, ()) for camera, frame_id in frames)
    return InspectionResult(PartId(1, number), views, "b", "openvino", "f32", StageTimes(), 0, finished)


@pytest.mark.parametrize("pixel_format", list(PixelFormat))
def test_lossless_means_the_very_pixels(rng, pixel_format):
    """What was not accepted is kept as the model saw it, the raw mosaic included."""
    shape = (33, 47, 3) if pixel_format is PixelFormat.RGB8 else (33, 47)
    pixels = rng.integers(0, 256, shape, dtype=np.uint8)
    pixels.setflags(write=False)
    encoded = encode(pixels, pixel_format, Disposition.REVIEW)
    (page,) = tifffile.TiffFile(memory := __import__("io").BytesIO(encoded.data)).pages
    memory.seek(0)

    assert ("tif", f"pixel_format={pixel_format.value}") == (encoded.extension, page.description)
    assert np.array_equal(pixels, tifffile.imread(memory))
    assert np.array_equal(pixels, imagecodecs.tiff_decode(encoded.data))


def test_an_accepted_bayer_frame_is_kept_in_true_colours():
    """PFNC BayerRG begins with a red pixel; taken for another pattern, red and blue would change places."""
    mosaic = np.zeros((32, 48), np.uint8)
    mosaic[0::2, 0::2] = 200  # red sites only
    mosaic.setflags(write=False)
    encoded = encode(mosaic, PixelFormat.BAYER_RG8, Disposition.ACCEPT)
    inner = simplejpeg.decode_jpeg(encoded.data, colorspace="RGB")[8:24, 8:40]
    red, green, blue = inner.reshape(-1, 3).mean(axis=0)

    assert "jpeg_q95_444" == encoded.encoding
    assert red > 150
    assert max(green, blue) < 30


def test_an_accepted_colour_or_grey_frame_is_close_to_the_pixels(rng):
    """JPEG q95 of what the camera gave; the colours are not swapped."""
    small = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    colour = cv2.resize(small, (48, 32), interpolation=cv2.INTER_LINEAR)
    grey = np.ascontiguousarray(colour[..., 0])
    jpeg = simplejpeg.decode_jpeg(encode(colour, PixelFormat.RGB8, Disposition.ACCEPT).data, colorspace="RGB")
    grey_jpeg = simplejpeg.decode_jpeg(encode(grey, PixelFormat.MONO8, Disposition.ACCEPT).data, colorspace="GRAY")

    assert np.abs(jpeg.astype(int) - colour).mean() < 3
    assert np.abs(grey_jpeg[..., 0].astype(int) - grey).mean() < 3


def test_a_failed_write_leaves_nothing(tmp_path):
    """An image file is whole or absent."""
    blobs = Blobs(tmp_path, 16)
    with pytest.raises(StoreError, match="cannot be written"):
        blobs.keep(b"x" * 10, "x" * 250, UTC)

    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]


def test_only_the_judge_pairs_frames_with_parts():
    """Frames arrive in any order; the result names which is the part's."""
    plan = ImagePlan(1.0, HOLD)
    steps = [*plan.frame(frame_of(5), 0), *plan.frame(frame_of(6), 0)]
    steps += plan.decided(PartId(1, 1), Disposition.REJECT, 0)
    steps += plan.result(result_of(1, [("top", 6)]), 0)

    assert [MeetRing("top"), KeepImage(frame_of(6), PartId(1, 1), Disposition.REJECT)] == steps
    assert [ReleaseFrame(frame_of(5))] == plan.expire(HOLD)


def test_the_order_of_frame_result_and_decision_does_not_matter():
    """The three come from three processes; whichever is last completes the pair."""
    import itertools

    keep = [KeepImage(frame_of(5), PartId(1, 1), Disposition.ACCEPT)]
    for order in itertools.permutations(range(3)):
        plan = ImagePlan(1.0, HOLD)
        deeds = (
            lambda plan: plan.frame(frame_of(5), 0),
            lambda plan: plan.result(result_of(1, [("top", 5)]), 0),
            lambda plan: plan.decided(PartId(1, 1), Disposition.ACCEPT, 0),
        )
        steps = [step for index in order for step in deeds[index](plan) if not isinstance(step, MeetRing)]

        assert keep == steps
        assert [] == plan.expire(HOLD * 9)


def test_a_frame_of_a_restarted_camera_is_never_taken_for_the_older_one():
    """Frame numbers begin anew with each run of a camera; the run's epoch tells two frames of one number apart."""
    plan = ImagePlan(1.0, HOLD)
    plan.decided(PartId(1, 1), Disposition.REJECT, 0)
    plan.result(result_of(1, [("top", 5)]), 0)
    other = plan.frame(frame_of(5, epoch=2), 0)
    seen = plan.frame(frame_of(5), 0)

    assert [MeetRing("top")] == other
    assert [MeetRing("top"), KeepImage(frame_of(5), PartId(1, 1), Disposition.REJECT)] == seen
    assert [ReleaseFrame(frame_of(5, epoch=2))] == plan.expire(HOLD)


def test_an_image_whose_frame_never_came_is_named(tmp_path):
    """After an outage of `record` the judge's word is fetched but the frames are gone: the row says so."""
    plan = ImagePlan(1.0, HOLD)
    plan.result(result_of(1, [("top", 5)]), 0)
    plan.decided(PartId(1, 1), Disposition.ACCEPT, 0)
    (missing,) = plan.expire(HOLD)
    store = RecordStore(tmp_path, 16)
    store.image_rows((missing,), UTC)
    store.close()
    with closing(open_reader(tmp_path / DATABASE)) as connection:
        (row,) = images(connection, PartId(1, 1))

    assert ImageMissing(PartId(1, 1), "top", 5, Disposition.ACCEPT, NEVER_SEEN) == missing
    assert ("top", 5, "accept", None, NEVER_SEEN) == tuple(
        row[name] for name in ("camera", "frame_id", "disposition", "path", "not_kept")
    )
    assert [] == plan.expire(HOLD * 9)


def test_the_image_of_a_part_without_a_view_is_kept() -> None:
    """A frame that was proven to be the part's but came late or incomplete is evidence like any other."""
    plan = ImagePlan(0.0, HOLD)
    plan.frame(frame_of(5), 0)
    plan.result(replace(result_of(1, []), unjudged=(FrameName("top", 1, 5),)), 0)

    assert [KeepImage(frame_of(5), PartId(1, 1), Disposition.NO_VERDICT)] == plan.decided(
        PartId(1, 1), Disposition.NO_VERDICT, 0
    )


def test_accepted_images_are_drawn_by_part_and_the_others_always_kept():
    """A sample of good parts must not depend on time or load; the rest is all evidence."""
    share = sum(draw(PartId(1, number)) < 0.25 for number in range(4000)) / 4000
    plan = ImagePlan(0.0, HOLD)
    plan.frame(frame_of(5), 0)
    plan.result(result_of(1, [("top", 5)]), 0)
    released, failed = plan.decided(PartId(1, 1), Disposition.ACCEPT, 0)
    plan.frame(frame_of(6), 0)
    plan.result(result_of(2, [("top", 6)]), 0)
    kept = plan.decided(PartId(1, 2), Disposition.UNKNOWN, 0)

    assert abs(share - 0.25) < 0.03
    assert ReleaseFrame(frame_of(5)) == released
    assert (False, "not drawn, record.accept_share is 0") == (failed.is_alarm, failed.reason)
    assert [KeepImage(frame_of(6), PartId(1, 2), Disposition.UNKNOWN)] == kept


@pytest.fixture
def rig(tmp_path):
    frames = MemoryFrames()
    writer = ImageWriter(frames, Blobs(tmp_path, 16), FixedClock())
    yield frames, writer
    writer.close()


def _answers(writer, count):
    found = []
    while len(found) < count:
        ready, _, _ = select.select([writer.fileno()], [], [], 10)
        assert ready, "no answer within 10 s"
        found += writer.read(0)
    return found


def test_the_writer_answers_gives_frames_back_and_shows_life(rig, rng, tmp_path):
    """Each request has one answer, the file is there when it comes, and no lease is left behind."""
    frames, writer = rig
    for number in range(6):
        frames.add(frame_of(number), rng.integers(0, 256, (32, 48), dtype=np.uint8))
        writer.write(KeepImage(frame_of(number), PartId(1, number), Disposition.REJECT), 0)
    frames.add(frame_of(6), np.zeros((32, 48), np.uint8))
    writer.write(MeetRing("top"), 0)
    writer.write(ReleaseFrame(frame_of(6)), 0)
    writer.write(KeepImage(frame_of(9), PartId(1, 9), Disposition.REJECT), 0)
    answers = _answers(writer, 7)
    writer.read(500 * MS)
    writer.close()

    assert [ImageKept] * 6 + [ImageFailed] == [type(answer) for answer in answers]
    assert all((tmp_path / answer.path).is_file() for answer in answers[:6])
    assert (set(), 500 * MS, ["top", "closed"]) == (frames.out, frames.refreshed, frames.met)


def test_images_come_out_of_a_real_ring_and_its_slots_go_back(tmp_path, rng):
    """The writer, a reader of the ring from its first frame on, holds each slot until its image is encoded."""
    ring = RingWriter.create(ring_path(tmp_path, "top"), 8, 32 * 48, 60_000)
    writer = ImageWriter(RingReader(tmp_path, "record"), Blobs(tmp_path / "images", 16), FixedClock())
    writer.write(MeetRing("top"), 0)
    writer.write(KeepImage(frame_of(9, epoch=5), PartId(1, 9), Disposition.REJECT), 0)
    (failed,) = _answers(writer, 1)
    mosaics = rng.integers(0, 256, (6, 32, 48), dtype=np.uint8)
    for slot, mosaic in enumerate(mosaics):
        with ring.pixels(slot) as pixels:
            pixels[: mosaic.size] = mosaic.tobytes()
        frame = msgspec.structs.replace(frame_of(slot), ref=ring.publish(slot, 0))
        writer.write(KeepImage(frame, PartId(1, slot), Disposition.REVIEW), 0)
    answers = _answers(writer, 6)
    writer.close()
    ring.reclaim(0)
    counts = ring.counts
    ring.close()
    kept = [tifffile.imread(tmp_path / "images" / answer.path) for answer in answers]

    assert isinstance(failed, ImageFailed)
    assert (6, 6, 0) == (counts.published, counts.returned, counts.forced)
    assert np.array_equal(mosaics, kept)


def test_pixels_overwritten_while_they_were_encoded_are_not_kept(rig, tmp_path):
    """An image that may be half another part's is no evidence."""
    frames, writer = rig
    frames.overwrite_on_exit = True
    frames.add(frame_of(1), np.zeros((32, 48), np.uint8))
    writer.write(KeepImage(frame_of(1), PartId(1, 1), Disposition.REJECT), 0)
    (answer,) = _answers(writer, 1)

    assert "overwritten" in answer.reason
    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_full_queue_refuses_and_gives_the_frame_back(rig):
    """A slow disk costs images, never a ring slot."""
    import threading

    frames, writer = rig
    gate = threading.Event()
    plain_refresh = frames.refresh
    frames.refresh = lambda now: (gate.wait(10), plain_refresh(now))[1]
    writer.read(0)
    for number in range(QUEUE_LIMIT + 4):
        frames.add(frame_of(number), np.zeros((32, 48), np.uint8))
        writer.write(KeepImage(frame_of(number), PartId(1, number), Disposition.ACCEPT), 0)
    gate.set()
    answers = _answers(writer, QUEUE_LIMIT + 4)
    writer.close()
    kept = sum(isinstance(answer, ImageKept) for answer in answers)

    assert (QUEUE_LIMIT - 1, 5, set()) == (kept, len(answers) - kept, frames.out)
