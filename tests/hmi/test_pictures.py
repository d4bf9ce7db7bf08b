"""What the screen shows of a camera is what lies in its ring, or nothing."""

import gc
import resource
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.bus.ring import RingWriter, ring_path
from appliance.schema.clocks import CameraNs, HostNs
from appliance.schema.frame import FrameCounts, FrameReady, PixelFormat, SlotRef
from hmi.darkroom import Darkroom, Pane, developed, name_of, read_image
from hmi.mapping import fit, to_frame, to_item
from tests.hmi.hmi_rig import QGuiApplication, QImage, QQuickWindow, app  # first: it chooses the platform

from hmi.pictures import Picture  # isort: skip  after the rig
from hmi.prints import Pictures  # isort: skip

ROWS, COLUMNS = 256, 320


class Ring:
    """A camera's ring, filled by hand."""

    def __init__(self, folder, pixel_format=PixelFormat.MONO8, slots=4, shape=(ROWS, COLUMNS)):
        self.writer = RingWriter.create(ring_path(folder, "top"), slots, shape[0] * shape[1])
        self.shape, self.pixel_format = shape, pixel_format
        self.free = list(range(slots))
        self.count = 0

    def frame(self, pixels):
        if not self.free:
            self.free = self.writer.reclaim(HostNs(self.count))
        slot = self.free.pop(0)
        with self.writer.pixels(slot) as view:
            view[: pixels.size] = np.ascontiguousarray(pixels).reshape(-1).data
        return self.named(self.writer.publish(slot, HostNs(self.count)))

    def named(self, ref):
        self.count += 1
        rows, columns = self.shape
        return FrameReady(
            "top",
            ref,
            self.count - 1,
            CameraNs(self.count),
            HostNs(self.count),
            1000,
            None,
            HostNs(self.count),
            rows,
            columns,
            self.pixel_format,
            900.0,
            0.0,
            0,
            FrameCounts(),
        )


class Loaded:
    """What `Pictures` reads of a configuration."""

    def __init__(self, folder):
        self.runtime, self.state = folder, folder


@pytest.fixture
def ring(tmp_path):
    made = Ring(tmp_path)
    yield made
    made.writer.close()


@pytest.fixture
def pictures(tmp_path):
    app.application()
    found = Pictures(Loaded(tmp_path), lambda _read, done: done(None), lambda _part, _camera: None)
    yield found
    found.close()


@pytest.fixture
def shown(pictures):
    """Give a window with one picture in it."""
    window = QQuickWindow()
    window.resize(400, 300)
    item = Picture(window.contentItem())
    item.setSize(window.size())
    item.serve(pictures)
    window.show()
    yield window, item
    pictures.leave(item)
    item.setParentItem(None)
    item.deleteLater()
    window.close()
    window.deleteLater()
    QGuiApplication.processEvents()


def drawing(seed=1, shape=(ROWS, COLUMNS)):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def settle(pictures):
    for _ in range(4):
        pictures.deliver()
        pictures.settle(5)
        pictures.deliver()
        QGuiApplication.processEvents()


def grab(window):
    image = window.grabWindow().convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : image.width() * 3].reshape(image.height(), image.width(), 3).copy()


def test_pixels_on_the_screen_are_those_of_the_ring_one_to_one(ring, pictures, shown):
    """At 1:1 each pixel of the screen is one of the frame, unchanged."""
    window, item = shown
    pixels = drawing()
    item.setProperty("source", "live:top")
    item.setProperty("zoom", 1.0)
    pictures.offer(ring.frame(pixels))
    settle(pictures)
    seen = grab(window)
    x, y = int(item.property("offsetX")), int(item.property("offsetY"))

    assert (1.0, "shown") == (item.property("mapScale"), item.property("status"))
    assert np.array_equal(np.repeat(pixels[:, :, None], 3, axis=2), seen[y : y + ROWS, x : x + COLUMNS])


def test_a_shrunk_picture_is_the_average_over_the_area(ring, pictures, shown):
    """Shrunk pixels on the screen equal OpenCV's own average of the ring's pixels, so no scratch is skipped."""
    window, item = shown
    item.setSize(window.size() * 0.5)
    pixels = drawing(2)
    item.setProperty("source", "live:top")
    pictures.offer(ring.frame(pixels))
    settle(pictures)
    scale = item.property("mapScale")
    size = (round(COLUMNS * scale), round(ROWS * scale))
    expected = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    x, y = int(item.property("offsetX")), int(item.property("offsetY"))

    assert np.array_equal(expected, grab(window)[y : y + size[1], x : x + size[0], 0])


def test_a_bayer_frame_is_shown_in_colour(tmp_path, pictures, shown):
    """A Bayer frame is demosaiced as `record` does it for people."""
    window, item = shown
    ring = Ring(tmp_path, PixelFormat.BAYER_RG8)
    pixels = drawing(3)
    item.setProperty("source", "live:top")
    item.setProperty("zoom", 1.0)
    pictures.offer(ring.frame(pixels))
    settle(pictures)
    x, y = int(item.property("offsetX")), int(item.property("offsetY"))
    expected = cv2.cvtColor(pixels, cv2.COLOR_BayerRGGB2RGB)
    seen = grab(window)[y : y + ROWS, x : x + COLUMNS]
    ring.writer.close()

    assert np.array_equal(expected, seen)


def test_a_shrunk_bayer_frame_averages_each_colour():
    """A plain colour keeps its value, and each colour is the average of its own pixels."""
    pixels = drawing(4)
    made = developed(pixels, PixelFormat.BAYER_RG8, Pane(100, 100))
    size = (made.image.shape[1], made.image.shape[0])
    red = cv2.resize(np.ascontiguousarray(pixels[0::2, 0::2]), size, interpolation=cv2.INTER_AREA)
    blue = cv2.resize(np.ascontiguousarray(pixels[1::2, 1::2]), size, interpolation=cv2.INTER_AREA)
    plain = np.zeros((ROWS, COLUMNS), np.uint8)
    plain[0::2, 0::2], plain[0::2, 1::2], plain[1::2, 0::2], plain[1::2, 1::2] = 200, 100, 100, 30

    assert np.array_equal(red, made.image[:, :, 0])
    assert np.array_equal(blue, made.image[:, :, 2])
    assert {(200, 100, 30)} == {
        tuple(map(int, pixel)) for pixel in developed(plain, PixelFormat.BAYER_RG8, Pane(100, 100)).image.reshape(-1, 3)
    }


def test_an_overwritten_frame_is_never_shown(ring, pictures, shown):
    """A frame whose slot was used again is dropped; the picture before it stays."""
    window, item = shown
    item.setProperty("source", "live:top")
    pictures.offer(ring.frame(np.full((ROWS, COLUMNS), 40, np.uint8)))
    settle(pictures)
    old = ring.named(SlotRef(1, 0, 2))
    pictures.offer(old)
    settle(pictures)
    middle = grab(window)[150, 200, 0]

    assert (40, 1) == (middle, pictures.gone)


def test_another_source_clears_the_picture_at_once(ring, pictures, shown):
    """No moment shows the picture of one part under the name of another."""
    window, item = shown
    item.setProperty("source", "live:top")
    pictures.offer(ring.frame(np.full((ROWS, COLUMNS), 200, np.uint8)))
    settle(pictures)
    before = grab(window)[150, 200, 0]
    item.setProperty("source", "part:0000002a-000007/top")
    QGuiApplication.processEvents()

    assert before == 200
    assert grab(window)[150, 200, 0] != 200


def test_a_picture_tells_when_it_has_appeared(ring, pictures, shown):
    """`appeared` comes after the picture is on the screen, and names what is."""
    window, item = shown
    told = []
    item.appeared.connect(told.append)
    item.setProperty("source", "live:top")
    settle(pictures)
    before = list(told)
    pictures.offer(ring.frame(drawing()))
    settle(pictures)
    grab(window)
    settle(pictures)

    assert ([], {"live:top"}) == (before, set(told))


def test_a_picture_that_was_painted_for_another_source_is_not_told(ring, pictures, shown):
    """A source set between painting and telling has not appeared, and the old one is no news any more."""
    window, item = shown
    item.setProperty("source", "live:top")
    pictures.offer(ring.frame(drawing()))
    for _ in range(2):
        pictures.deliver()
        pictures.settle(5)
    pictures._worker.deliver()
    grab(window)
    told = []
    item.appeared.connect(told.append)
    item.setProperty("source", "part:0000002a-000007/top")
    item.turn()

    assert item._told == item._drawn[0] > 0
    assert [] == told


@pytest.mark.parametrize("known_first", [True, False])
def test_a_part_shows_its_frame_as_soon_as_both_are_known(ring, tmp_path, known_first):
    """Whether the frame is copied first or the part's name for it is learned first, its picture comes at once."""
    app.application()
    frames, looked = {}, []
    pictures = Pictures(
        Loaded(tmp_path), lambda _read, done: (looked.append(1), done(None)), lambda part, _camera: frames.get(part)
    )
    window = QQuickWindow()
    window.resize(400, 300)
    item = Picture(window.contentItem())
    item.setSize(window.size())
    item.serve(pictures)
    item.setProperty("source", "part:0000002a-000007/top")
    pictures.deliver()
    before = item.property("status")
    frame = ring.frame(drawing())
    steps = [lambda: pictures.offer(frame), lambda: frames.update({"0000002a-000007": frame})]
    for step in reversed(steps) if known_first else steps:
        step()
        for _ in range(3):
            pictures.deliver()
            pictures.settle(5)
    pictures.deliver()
    after = item.property("status")
    pictures.close()
    item.deleteLater()
    window.close()
    window.deleteLater()
    QGuiApplication.processEvents()

    assert ("gone", "shown") == (before, after)
    assert len(looked) < 4


def test_what_is_not_there_is_said_to_be_gone(pictures, shown):
    """A part without a frame and without a stored image says so."""
    _, item = shown
    item.setProperty("source", "part:0000002a-000007/top")
    settle(pictures)

    assert item.property("status") == "gone"


@pytest.mark.parametrize("zoom", [0.0, 0.4, 1.0, 3.0])
def test_panned_and_zoomed_positions_go_there_and_back(zoom):
    """Item and frame positions map onto each other at every zoom, and the picture never leaves its pane."""
    mapping = fit(400, 300, ROWS, COLUMNS, zoom, (10.0, 250.0))
    back = to_frame(mapping, *to_item(mapping, 12.5, 200.25))

    assert back == pytest.approx((12.5, 200.25))
    assert mapping.x <= max(0, (400 - COLUMNS * mapping.scale) / 2 + 1)


def test_a_cut_is_the_same_as_cutting_the_whole():
    """What a zoomed pane shows lies where the mapping says."""
    pixels = drawing(5)
    made = developed(pixels, PixelFormat.MONO8, Pane(100, 80, 1.0, (160.0, 128.0)))
    left, top = round(-made.mapping.x), round(-made.mapping.y)
    width, height = 100, 80

    shown = made.image[-made.y : height - made.y, -made.x : width - made.x]
    assert np.array_equal(pixels[top : top + height, left : left + width], shown)


def test_stored_images_say_what_their_pixels_are(tmp_path):
    """Lossless and lossy files come back as they were kept."""
    from appliance.schema.verdict import Disposition
    from appliance.storage.blobs import encode

    for pixel_format in (PixelFormat.MONO8, PixelFormat.BAYER_RG8):
        pixels = drawing(6)
        raw = tmp_path / "raw.tif"
        raw.write_bytes(encode(pixels, pixel_format, Disposition.REJECT).data)
        lossy = tmp_path / "lossy.jpg"
        lossy.write_bytes(encode(pixels, pixel_format, Disposition.ACCEPT).data)
        found, kind = read_image(raw)

        assert (True, pixel_format) == (np.array_equal(pixels, found), kind)
        assert read_image(lossy)[1] is (PixelFormat.MONO8 if pixel_format is PixelFormat.MONO8 else PixelFormat.RGB8)


def test_frames_that_are_kept_are_bounded(tmp_path, monkeypatch):
    """The newest frames are held, as many as the limit allows, in buffers that are used again."""
    monkeypatch.setattr("hmi.darkroom.KEPT_BYTES", 3 * ROWS * COLUMNS)
    ring, room = Ring(tmp_path), Darkroom(tmp_path, tmp_path)
    frames = []
    for number in range(8):
        frames.append(ring.frame(drawing(number)))
        room.keep((frames[-1],))
    held = [frame.frame_id for frame in frames if room.develop(name_of(frame), Pane(64, 64)) is not None]
    newest = room.develop(name_of(frames[-1]), Pane(COLUMNS, ROWS))
    room.close()
    ring.writer.close()

    assert [5, 6, 7] == held
    assert np.array_equal(drawing(7), newest.image)


def flow(ring, pictures, frames):
    """Show so many frames, and give the memory of the process after a tenth of them and at the end, kB."""
    pool = [drawing(number, ring.shape) for number in range(4)]
    early = 0
    for number in range(frames):
        pictures.offer(ring.frame(pool[number % 4]))
        pictures.deliver()
        pictures.settle(5)
        pictures.deliver()
        pictures.settle(5)
        pictures.deliver()
        QGuiApplication.processEvents()
        if number == frames // 10:
            gc.collect()
            early = memory_kb()
    gc.collect()
    return early, memory_kb()


def memory_kb():
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() // 1024


def test_memory_stays_flat(ring, pictures, shown, monkeypatch):
    """Frames that went over the screen leave nothing behind; 10,000 of them in the slow test."""
    _, item = shown
    monkeypatch.setattr("hmi.darkroom.KEPT_BYTES", 12 * ROWS * COLUMNS)
    item.setProperty("source", "live:top")
    early, late = flow(ring, pictures, 400)

    assert late - early < 8_000


@pytest.mark.slow
def test_memory_stays_flat_for_ten_thousand_frames(tmp_path, pictures, shown):
    """10,000 frames of 5 MP leave nothing behind."""
    _, item = shown
    item.setProperty("source", "live:top")
    ring = Ring(tmp_path, shape=(2048, 2448), slots=8)
    early, late = flow(ring, pictures, 10_000)
    ring.writer.close()

    assert late - early < 16_000
