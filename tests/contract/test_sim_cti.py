"""The simulated camera `sim.cti`, opened as any vendor's GenTL producer is: by Harvester, and by its C entry points."""

import ctypes
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from genicam import genapi, gentl
from harvesters.core import Harvester, ImageAcquirer
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.build_c import compile_program
from appliance.sim.camera import generate
from appliance.sim.camera.build import HERE, build
from tests.contract import sim_rig
from tests.contract.sim_rig import (
    ERROR,
    MONO8,
    QUEUE,
    SENSOR,
    WINDOW,
    Data,
    Plant,
    check,
    expected,
    opened,
    snap,
    until,
)

INFO, STREAM = gentl.BUFFER_INFO_CMD_LIST, gentl.STREAM_INFO_CMD_LIST
ZIG = [sys.executable, "-m", "ziglang", "cc"]
pytest_plugins = ["tests.contract.sim_fixtures"]


def test_generated_header_is_up_to_date() -> None:
    """Constants are those of the installed genicam package."""
    assert generate.HEADER.read_text() == generate.render()


def test_plant_layout_is_that_of_the_header(tmp_path: Path) -> None:
    """The tests write the plant as C reads it."""
    rig = sim_rig
    names = [f"offsetof(struct plant_camera, {word})" for word in rig.WORDS]
    names += ["sizeof(struct plant)", "offsetof(struct plant, cameras)", "sizeof(struct plant_camera)"]
    names += ["offsetof(struct plant_camera, scenes)", "sizeof(struct plant_scene)", "offsetof(struct plant, parts)"]
    lines = "".join(f'printf("%zu ", {name});' for name in names)
    source = tmp_path / "layout.c"
    source.write_text(f'#include <stddef.h>\n#include <stdio.h>\n#include "plant.h"\nint main(void) {{ {lines} }}\n')
    program = compile_program([source], tmp_path / "layout", includes=[HERE.parent])
    printed = subprocess.run([program], capture_output=True, check=True).stdout
    mirrored = [*rig.WORDS.values(), rig.PLANT_BYTES, rig.CAMERA_AT, rig.CAMERA, rig.SCENES_AT, rig.SCENE, rig.HEADER]

    assert mirrored == [int(number) for number in printed.split()]


def test_an_up_to_date_build_runs_no_compiler(cti: Path) -> None:
    """Whoever needs the camera may call build() each time."""
    before = cti.stat().st_mtime_ns
    build(cti)

    assert before == cti.stat().st_mtime_ns


def test_two_cameras_are_listed(harvester: Harvester) -> None:
    """Cameras are told apart by serial number and bound by it, never by index."""
    found = [(d.id_, d.serial_number, d.vendor, d.model, d.tl_type) for d in harvester.device_info_list]

    assert [(f"firstshift-sim-{i}", f"SIM{i}", "firstshift", "sim", "Custom") for i in (0, 1)] == found


@pytest.mark.parametrize(
    ("name", "value"),
    [("Width", 2456), ("Width", 8), ("Width", 321), ("OffsetX", 2130), ("OffsetY", 1), ("ExposureTime", 9.0),
     ("ExposureTime", 1.1e6), ("Gain", 24.5), ("AcquisitionFrameRate", 0.0)],
)  # fmt: skip
def test_limits_and_increments(camera: ImageAcquirer, name: str, value: float) -> None:
    """A value out of limits is refused and the old one stays."""
    node = camera.remote_device.node_map.get_node(name)
    before = node.value
    with pytest.raises(genapi.OutOfRangeException):
        node.value = value

    assert before == node.value


def test_identity_and_clock(camera: ImageAcquirer) -> None:
    """The camera has its own clock in ns: it runs at the host's rate, from another origin."""
    nodes = camera.remote_device.node_map
    latched = []
    for _ in range(2):
        before = time.monotonic_ns()
        nodes.TimestampLatch.execute()
        latched.append((before, nodes.TimestampLatchValue.value, time.monotonic_ns()))
    (a0, a, a1), (b0, b, b1) = latched

    assert "SIM0" == nodes.DeviceSerialNumber.value
    assert True is (b0 - a1 <= b - a <= b1 - a0)
    assert True is (abs(a - a0) > 3_600_000_000_000)


def test_stream_locks_the_format(camera: ImageAcquirer) -> None:
    """While frames flow the payload cannot change size, by GenApi or by a direct register write."""
    nodes = camera.remote_device.node_map
    camera.start()
    with pytest.raises(genapi.AccessException):
        nodes.Width.value = 64
    with pytest.raises(genapi.AccessException):
        nodes.PixelFormat.value = "RGB8"
    camera.stop()
    nodes.Width.value = 64

    assert 64 * WINDOW[0] == nodes.PayloadSize.value


@settings(max_examples=25, deadline=None)
@given(
    pixel_format=st.sampled_from(["Mono8", "BayerRG8", "RGB8"]),
    over_part=st.booleans(),
    corner=st.tuples(st.integers(0, 400), st.integers(0, 300)),
    exposure_us=st.sampled_from([1000.0, 500.0, 137.0, 3000.0]),
    gain_db=st.sampled_from([0.0, 6.0, 2.5, 20.0]),
)
def test_pixels_are_scene_times_light(
    harvester: Harvester,
    plant: Plant,
    pixel_format: str,
    over_part: bool,
    corner: tuple[int, int],
    exposure_us: float,
    gain_db: float,
) -> None:
    """Crop, luma or mosaic, exposure and gain give what numpy gives; outside the scene is black."""
    plant.belt(1500 if over_part else 2000)
    camera = harvester.create({"serial_number": "SIM0"})
    nodes = camera.remote_device.node_map
    nodes.OffsetX.value = nodes.OffsetY.value = 0
    nodes.Height.value, nodes.Width.value = WINDOW
    nodes.OffsetX.value, nodes.OffsetY.value = corner[0] * 2, corner[1] * 2
    nodes.PixelFormat.value, nodes.ExposureTime.value, nodes.Gain.value = pixel_format, exposure_us, gain_db
    nodes.TriggerMode.value, nodes.TriggerSource.value = "On", "Software"
    camera.start()
    image = snap(camera)
    camera.stop()
    camera.destroy()
    factor = exposure_us / 1000 * 10 ** (gain_db / 20)
    window = (corner[0] * 2, corner[1] * 2, WINDOW[1], WINDOW[0])
    scene = plant.part if over_part else plant.empty

    np.testing.assert_array_equal(expected(scene, pixel_format, window, factor), image)


def test_whole_sensor(camera: ImageAcquirer, plant: Plant) -> None:
    """The largest frame has every pixel of the scene at its place."""
    plant.belt(0)
    nodes = camera.remote_device.node_map
    nodes.Width.value, nodes.Height.value = nodes.WidthMax.value, nodes.HeightMax.value
    camera.start()
    image = snap(camera)
    camera.stop()

    np.testing.assert_array_equal(plant.empty, image)


def test_chunks_tell_frame_time_position_and_light(camera: ImageAcquirer, plant: Plant) -> None:
    """Part identity comes with the frame: encoder at the trigger edge, exposure start in camera time."""
    nodes = camera.remote_device.node_map
    nodes.TriggerSource.value, nodes.Gain.value, nodes.ExposureTime.value = "Line1", 3.0, 250.0
    nodes.ChunkModeActive.value = True
    for name in nodes.ChunkSelector.symbolics:
        nodes.ChunkSelector.value = name
        nodes.ChunkEnable.value = True
    payload = nodes.PayloadSize.value
    nodes.TimestampLatch.execute()
    camera.start()
    got = []
    for counts in (1000, -5, 1999):
        ns = plant.edge(counts)
        with camera.fetch(timeout=5) as buffer:
            names = ("FrameID", "EncoderValue", "ExposureTime", "Gain")
            chunks = [nodes.get_node(f"Chunk{name}").value for name in names]
            got.append((*chunks, nodes.ChunkTimestamp.value == buffer.timestamp_ns, buffer.timestamp_ns - ns))
    camera.stop()
    offset = got[0][-1]

    assert WINDOW[0] * WINDOW[1] + 5 * 8 == payload
    assert [(i, counts, 250.0, 3.0, True, offset) for i, counts in enumerate((1000, -5, 1999))] == got


def test_line1_shows_the_part_under_the_edge(data: Data, camera: ImageAcquirer, plant: Plant) -> None:
    """The scene is that of the encoder at the edge, wherever the belt is by now; earlier edges do not count."""
    nodes = camera.remote_device.node_map
    plant.edge(1500)
    nodes.TriggerSource.value = "Line1"
    plant.belt(99999)
    plant.edge(1999)
    part = data.take()
    plant.edge(2000)
    empty = data.take()
    rows, columns = WINDOW
    seen = [data.pixels[slot][: rows * columns].reshape(WINDOW) for slot in (part, empty)]

    np.testing.assert_array_equal(expected(plant.part, "Mono8", (0, 0, columns, rows), 1.0), seen[0])
    np.testing.assert_array_equal(plant.empty[:rows, :columns], seen[1])


def test_slots_hold_the_pixels_and_tell_what_they_hold(data: Data, camera: ImageAcquirer, plant: Plant) -> None:
    """Frames land in the caller's pages with no copy in between, and a queued slot cannot be queued again."""
    camera.remote_device.node_map.TriggerSoftware.execute()
    slot = data.take()
    rows, columns = WINDOW
    wanted = {INFO.BUFFER_INFO_BASE: data.pixels[slot].ctypes.data, INFO.BUFFER_INFO_USER_PTR: slot + 1,
              INFO.BUFFER_INFO_WIDTH: columns, INFO.BUFFER_INFO_HEIGHT: rows, INFO.BUFFER_INFO_XOFFSET: 0,
              INFO.BUFFER_INFO_SIZE_FILLED: rows * columns, INFO.BUFFER_INFO_PIXELFORMAT: MONO8,
              INFO.BUFFER_INFO_PIXELFORMAT_NAMESPACE: 4, INFO.BUFFER_INFO_PAYLOADTYPE: 1,
              INFO.BUFFER_INFO_IS_INCOMPLETE: 0, INFO.BUFFER_INFO_CONTAINS_CHUNKDATA: 0,
              INFO.BUFFER_INFO_IS_QUEUED: 0, INFO.BUFFER_INFO_IMAGEPRESENT: 1, INFO.BUFFER_INFO_FRAMEID: 0}  # fmt: skip
    got = {command: data.info(slot, command) for command in wanted}
    picture = data.pixels[slot][: rows * columns].reshape(WINDOW)

    assert wanted == got
    np.testing.assert_array_equal(expected(plant.part, "Mono8", (0, 0, columns, rows), 1.0), picture)
    assert [0, ERROR.GC_ERR_RESOURCE_IN_USE] == [data.queue(slot), data.queue(slot)]
    assert ERROR.GC_ERR_BUSY == data.lib.DSRevokeBuffer(data.stream, data.buffers[slot], None, None)


def test_a_buffer_too_small_stays_untouched(data: Data, camera: ImageAcquirer) -> None:
    """A frame never runs over the end of its buffer: it comes incomplete, with the reason."""
    check(data.lib.DSFlushQueue(data.stream, QUEUE.ACQ_QUEUE_ALL_DISCARD))
    small = ctypes.c_void_p()
    size = ctypes.c_size_t(WINDOW[0] * WINDOW[1] - 1)
    check(data.lib.DSAllocAndAnnounceBuffer(data.stream, size, None, ctypes.byref(small)))
    data.buffers.append(small)
    check(data.queue(4))
    camera.remote_device.node_map.TriggerSoftware.execute()
    data.take()
    commands = (INFO.BUFFER_INFO_IS_INCOMPLETE, INFO.BUFFER_INFO_DATA_LARGER_THAN_BUFFER, INFO.BUFFER_INFO_SIZE_FILLED)

    assert [1, 1, 0] == [data.info(4, command) for command in commands]


def test_acquisition_ends_after_the_frames_asked_for(data: Data, camera: ImageAcquirer) -> None:
    """DSStartAcquisition with a number of frames delivers that many."""
    nodes = camera.remote_device.node_map
    check(data.lib.DSStopAcquisition(data.stream, 1))
    check(data.lib.DSStartAcquisition(data.stream, 0, ctypes.c_uint64(2)))
    nodes.TriggerMode.value = "Off"
    taken = [data.wait(timeout_ms)[0] for timeout_ms in (5000, 5000, 50)]

    assert [0, 0, ERROR.GC_ERR_TIMEOUT] == taken


def test_waiting_releases_the_interpreter(data: Data, camera: ImageAcquirer) -> None:
    """A thread that waits without limit for a frame does not stop the one that triggers it; EventKill ends a wait."""
    got: list[int] = []
    waiting = threading.Thread(target=lambda: got.extend([data.take(), data.wait(2**40)[0]]), daemon=True)
    waiting.start()
    camera.remote_device.node_map.TriggerSoftware.execute()
    fetched = (STREAM.STREAM_INFO_NUM_DELIVERED, STREAM.STREAM_INFO_NUM_AWAIT_DELIVERY)
    until(lambda: [1, 0] == list(map(data.count, fetched)))
    check(data.lib.EventKill(data.event))
    waiting.join(10)

    assert [0, ERROR.GC_ERR_ABORT] == got


def test_built_by_zig_and_without_a_plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare machine with only Python gets the camera too; with no plant it shows a moving ramp in free run."""
    monkeypatch.delenv("FIRSTSHIFT_PLANT", raising=False)
    lib = ctypes.CDLL(str(build(tmp_path / "zig.cti", cc=ZIG)))
    device, port = opened(lib, b"firstshift-sim-1")
    stream = ctypes.c_void_p()
    check(lib.DevOpenDataStream(device, b"stream", ctypes.byref(stream)))
    data = Data(lib, stream.value or 0, None, SENSOR[0] * SENSOR[1], 2)
    data.start()
    start, size = ctypes.c_uint32(1), ctypes.c_size_t(4)
    check(lib.GCWritePort(port, ctypes.c_uint64(0xDC), ctypes.byref(start), ctypes.byref(size)))
    slot = data.take()
    image = data.pixels[slot][: SENSOR[0] * SENSOR[1]].reshape(SENSOR)
    ramp = np.add.outer(np.arange(SENSOR[0]), np.arange(SENSOR[1])) + int(image[0, 0])

    np.testing.assert_array_equal(ramp.astype(np.uint8), image)
    check(lib.GCCloseLib())
