"""Cameras through two unrelated GenTL producers: our simulated one and the one inside the genicam wheel.

Each scenario of `camera_scenarios.py` runs in a process of its own, because a producer is loaded once a process.
"""

import ctypes
import json
import os
import struct
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.bus.ring import RingWriter, ring_path
from appliance.cameras.chunks import ChunkField, ChunkReader, chunk_fields
from appliance.cameras.exposures import ExposureNumbers
from appliance.cameras.folder import FolderCamera
from appliance.cameras.gentl import Filled
from appliance.cameras.messages import CameraOpened, FrameArrived, Requeue, Start
from appliance.cameras.settings import limit_of
from appliance.cameras.slots import place
from appliance.config import Camera
from appliance.schema.clocks import HostNs
from appliance.schema.frame import PixelFormat
from appliance.sim.camera.build import build
from appliance.sim.plant import MONO8, Plant

ROOT = Path(__file__).parents[2]
SCENARIOS = Path(__file__).with_name("camera_scenarios.py")
LIMIT_S = 20.0
"""No scenario needs a quarter of it; it only ends one that hangs."""


def viky() -> Path:
    spec = find_spec("genicam")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "viky.cti"


@pytest.fixture(scope="session")
def sim() -> Path:
    return build()


@pytest.fixture
def plant(tmp_path: Path):
    with Plant.create(tmp_path / "plant", {0: (320, 240, MONO8)}) as made:
        made.run_belt(10_000, HostNs(time.monotonic_ns()))
        yield made


def play(scenario: str, folder: Path, producer: Path, plant: Path | None = None, **settings: object) -> dict:
    """Run a scenario in a fresh process; gives what it reports."""
    arguments = {"producer": str(producer), "serial": "SIM0", "width_px": 320, "height_px": 240, "slots": 6} | settings
    arguments = {"pixel_format": "Mono8", "trigger": "Software"} | arguments
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | ({"FIRSTSHIFT_PLANT": str(plant)} if plant else {})
    done = subprocess.run(
        [sys.executable, "-W", "error", str(SCENARIOS), scenario, str(folder), json.dumps(arguments)],
        capture_output=True, text=True, timeout=3 * LIMIT_S, env=environment, check=False,
    )  # fmt: skip

    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_frames_reach_another_process_without_a_copy(sim: Path, tmp_path: Path) -> None:
    """The simulated producer writes into the memory that the reader's process maps: 0 copies for every frame."""
    told = play("stream", tmp_path, sim, frames=200)

    assert [0] == told["copies"]
    assert told["sums_here"] == told["sums_there"]
    assert list(range(200)) == told["frame_ids"]
    assert {"good": 200, "incomplete": 0, "underrun": 0, "missed": 0} == told["counts"]
    assert len(set(told["sums_here"])) > 100


def test_a_foreign_producer_is_read_alike(tmp_path: Path) -> None:
    """The same consumer runs on a producer we did not write, without timestamps, trigger or exposure settings."""
    told = play("stream", tmp_path, viky(), serial="1", width_px=400, height_px=400, frames=20)

    assert [0] == told["copies"]
    assert told["sums_here"] == told["sums_there"]
    assert told["frame_ids"] == sorted(set(told["frame_ids"]))
    assert told["frame_ids"][-1] + 1 == sum(told["counts"].values())  # it counts from 1: its first is taken for lost
    assert 20 == told["counts"]["good"]
    assert min(told["uncertainty_ns"]) >= 50_000_000


def test_exposures_lie_in_host_time(sim: Path, tmp_path: Path) -> None:
    """With a latched clock an exposure's start lies between its trigger and its arrival, within its uncertainty."""
    told = play("stream", tmp_path, sim, frames=30)

    assert max(told["uncertainty_ns"]) < 5_000_000
    assert all(told["is_between"])
    assert all(encoder is not None for encoder in told["encoders"])


def test_an_unplugged_camera_comes_back_by_itself(sim: Path, plant: Plant, tmp_path: Path) -> None:
    """Unplugging is reported with cause and remedy; replugging goes on in a new epoch with exposures from 0."""
    told = play("unplug", tmp_path, sim, plant.path)

    assert ["ok", "failed", "ok"] == told["conditions"]
    assert "check cable and power" in told["remedy"]
    assert 2 == told["epochs"]
    assert [0, 0] == told["first_ids"]
    assert ["camera_lost"] == told["alarms"]
    assert 10 == told["counts"]["good"]


def test_every_exposure_is_accounted_for(sim: Path, plant: Plant, tmp_path: Path) -> None:
    """Exposures = good + incomplete + under-run + missed, whatever was lost on the way."""
    told = play("faults", tmp_path, sim, plant.path)
    counts = told["counts"]

    assert told["exposures"] == sum(counts.values())
    assert 3 == counts["missed"]
    assert 2 == counts["incomplete"]
    assert told["producer_underruns"] == counts["underrun"]
    assert counts["underrun"] >= 4
    assert 2 == told["published_incomplete"]
    assert "slots_exhausted" in told["alarms"]


def test_a_killed_reader_costs_no_slot(sim: Path, tmp_path: Path) -> None:
    """When a process that holds every slot dies, the camera has them again and no lease had to run out."""
    told = play("killed_reader", tmp_path, sim, lease_ms=60_000)

    assert told["held"] == 6
    assert told["out_after"] == 0
    assert told["forced"] == 0


def test_closing_leaves_nothing(sim: Path, tmp_path: Path) -> None:
    """Threads, mappings and descriptors end with the device and its ring."""
    told = play("close", tmp_path, sim)

    assert ["MainThread"] == told["threads"]
    assert [] == told["mappings"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"serial": "NONE"}, "serial NONE is not connected, serials seen are: SIM0, SIM1; check cable"),
        ({"producer": "/nowhere/x.cti"}, "producer /nowhere/x.cti does not exist; install"),
        ({"producer": __file__}, "cannot be loaded"),
        ({"width_px": 323}, "Width 323 px, limit is 16 to 2448 in steps of 8; correct [camera.top]"),
        ({"gain_db": 48.0}, "Gain 48.0 dB, limit is 0 to 24; correct [camera.top]"),
    ],
)
def test_a_camera_that_cannot_be_opened_says_why(sim: Path, tmp_path: Path, change: dict, words: str) -> None:
    """One line names the thing, the value, the limit and the remedy; the device goes on trying."""
    told = play("refused", tmp_path, **({"producer": sim} | change))

    assert words in told["cause"]
    assert [1, 2] == told["attempts"]


def test_a_camera_in_use_is_refused(sim: Path, plant: Plant, tmp_path: Path) -> None:
    """A second process is told that the camera is held, and by what to do."""
    told = play("in_use", tmp_path, sim, plant.path)

    assert "end the program that holds it" in told["cause"]


@pytest.mark.parametrize(("offset", "padding"), [(0, 0), (0, 4), (16, 0), (16, 4)])
@pytest.mark.parametrize("is_own", [True, False])
def test_copies_are_counted_by_where_the_pixels_were(tmp_path: Path, is_own: bool, offset: int, padding: int) -> None:
    """Pixels a producer left elsewhere, offset or padded are moved into the slot, packed, and that is one copy."""
    rows, columns = 4, 6
    ring = RingWriter.create(ring_path(tmp_path, "top"), 2, 4096)
    image = np.arange(rows * columns, dtype=np.uint8).reshape(rows, columns)
    padded = np.pad(image, ((0, 0), (0, padding))).tobytes()
    elsewhere = ctypes.create_string_buffer(4096)
    base = ctypes.addressof(elsewhere) if is_own else ring.address(1)
    ctypes.memmove(base + offset, padded, len(padded))
    copies = place(Filled(1, 0, None, False, 4096, base, columns, rows, padding, offset, 0, {}), columns, ring)
    with ring.pixels(1) as memory:
        seen = bytes(memory[: rows * columns])
    ring.close()

    assert image.tobytes() == seen
    assert (0 if not is_own and not offset and not padding else 1) == copies


CHUNK_XML = b"""<RegisterDescription xmlns="http://www.genicam.org/GenApi/Version_1_1">
  <Port Name="IdPort"><ChunkID>1001</ChunkID></Port>
  <Integer Name="ChunkFrameID"><pValue>IdReg</pValue></Integer>
  <IntReg Name="IdReg">
    <Address>0x2</Address><Length>4</Length><pPort>IdPort</pPort><Endianess>BigEndian</Endianess>
  </IntReg>
  <Port Name="GainPort"><ChunkID>a</ChunkID></Port>
  <FloatReg Name="ChunkGain"><Address>0</Address><Length>8</Length><pPort>GainPort</pPort></FloatReg>
  <SwissKnife Name="ChunkExposureTime"><Formula>1</Formula></SwissKnife>
</RegisterDescription>"""


def test_chunk_ids_are_hexadecimal() -> None:
    """A description's ChunkID 1001 is chunk 0x1001; computed features are left out."""
    fields = chunk_fields(CHUNK_XML, ("ChunkFrameID", "ChunkGain", "ChunkExposureTime", "ChunkEncoderValue"))
    values: dict[str, float] = {}
    chunks = ChunkReader(fields)
    chunks.read(0x1001, b"\xff\xff\x00\x00\x01\x02", values)
    chunks.read(0xA, struct.pack("<d", 1.5), values)

    assert {"ChunkFrameID": ChunkField(0x1001, 2, ">I"), "ChunkGain": ChunkField(0xA, 0, "<d")} == fields
    assert {"ChunkFrameID": 258, "ChunkGain": 1.5} == values
    assert not chunks.is_wanted(1001)


def test_short_block_ids_of_gige_wrap_without_a_gap() -> None:
    """GigE block ids run 1 to 65535 and on to 1; exposures run on from 0."""
    numbers = ExposureNumbers("GEV")
    seen = [numbers.number(block) for block in (1, 2, 65_535, 1, 3)]

    assert [0, 1, 65_534, 65_535, 65_537] == seen
    assert [0, 70_000] == [ExposureNumbers("U3V").number(block) for block in (0, 70_000)]


@pytest.mark.parametrize(
    ("numbers", "limit"),
    [
        ((16, 16, 64, 8), ""),
        ((20, 16, 64, 8), "16 to 64 in steps of 8"),
        ((72, 16, 64, 8), "16 to 64"),
        ((0.5, 0, 1, 0), ""),
    ],
)
def test_limits_are_named(numbers: tuple[float, float, float, float], limit: str) -> None:
    """A value outside its range or off its step is named with the limit it breaks."""
    assert limit == limit_of(*numbers)


def test_a_folder_is_replayed_like_a_camera(tmp_path: Path) -> None:
    """Images come in the order of their names, at their rate, as one copy each; a full ring is an under-run."""
    for name, value in (("a.png", 10), ("b.png", 20)):
        cv2.imwrite(str(tmp_path / name), np.full((16, 32), value, np.uint8))
    camera = Camera(producer=str(tmp_path), serial="-", width_px=32, height_px=16, pixel_format=PixelFormat.MONO8)
    ring = RingWriter.create(ring_path(tmp_path, "top"), 2, 16 * 32)
    device = FolderCamera("top", tmp_path, camera, ring, rate_hz=10)
    opened = device.read(HostNs(0))
    device.write(Start(), HostNs(0))
    messages = [message for tenth in range(6) for message in device.read(HostNs(tenth * 100_000_000))]
    device.write(Requeue(0), HostNs(0))
    messages += device.read(HostNs(600_000_000))
    device.close()
    frames = [message for message in messages if isinstance(message, FrameArrived)]
    pixels = []
    for slot in range(2):
        with ring.pixels(slot) as memory:
            pixels.append(memory[0])
    ring.close()

    assert [CameraOpened("folder", tmp_path.name, 512)] == opened
    assert [(0, 0, 0), (1, 1, 0), (5, 0, 3)] == [(frame.frame_id, frame.slot, frame.underruns) for frame in frames]
    assert {1} == {frame.copies for frame in frames}
    assert [20, 20] == pixels
