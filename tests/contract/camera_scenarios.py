"""Play one camera scenario in this process and say as JSON what was seen: `camera_scenarios.py NAME FOLDER JSON`.

A producer is loaded once a process, so `test_cameras.py` starts this program for each scenario.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from appliance.bus.ring import RingReader, RingWriter, ring_path
from appliance.cameras.device import GenicamCamera
from appliance.cameras.messages import CameraLost, FrameArrived, SoftwareTrigger
from appliance.config import Camera
from appliance.ports.node import Publish
from appliance.schema.frame import FrameReady
from appliance.schema.health import Alarm, Health
from appliance.services._loop import SystemClock
from appliance.services.acquire import AcquireNode
from appliance.sim.plant import Plant

LIMIT_S = 20.0
"""No scenario needs a quarter of it; it only ends one that hangs."""


class Rig:
    """One acquire node with its real device and ring, turned by hand."""

    def __init__(self, folder: Path, arguments: dict) -> None:
        self.frames_wanted = arguments.pop("frames", 0)
        settings = msgspec.convert(arguments, Camera)
        self.folder = folder
        self.clock = SystemClock()
        self.ring = RingWriter.create(ring_path(folder, "top"), settings.slots, 320 * 240, settings.lease_ms)
        self.device = GenicamCamera("top", settings, self.ring, self.clock)
        self.node = AcquireNode("top", settings, self.ring)
        self.frames: list[FrameReady] = []
        self.arrived: list[FrameArrived] = []
        self.health: list[Health] = []
        self.alarms: list[str] = []
        self.on_frame: Callable[[FrameReady], None] = lambda _frame: None
        self.act(self.node.start(self.clock.now()))

    def act(self, outputs: object) -> None:
        for output in outputs:
            if not isinstance(output, Publish):
                self.device.write(output.message, self.clock.now())
            elif isinstance(output.message, FrameReady):
                self.frames.append(output.message)
                self.on_frame(output.message)
            elif isinstance(output.message, Health):
                self.health.append(output.message)
            elif isinstance(output.message, Alarm):
                self.alarms.append(output.message.kind)

    def turn_until(self, done: Callable[[], bool]) -> None:
        limit = self.clock.now() + int(LIMIT_S * 1e9)
        while not done():
            now = self.clock.now()
            if now > limit:
                raise TimeoutError(str(self.health[-1]))
            due = self.node.wake_at
            select.select([self.device.fileno()], [], [], 0.1 if due is None else max(0.0, (due - now) / 1e9))
            for message in self.device.read(self.clock.now()):
                if isinstance(message, FrameArrived):
                    self.arrived.append(message)
                self.act(self.node.receive("device:camera", message, self.clock.now()))
            self.act(self.node.wake(self.clock.now()))

    def opened(self) -> bool:
        return self.health[-1].components[0].condition == "ok"

    def take(self, number: int) -> None:
        """Trigger frame by frame, as a free-running camera needs none."""
        target = len(self.frames) + number
        while len(self.frames) < target:
            before = len(self.frames)
            self.device.write(SoftwareTrigger(), self.clock.now())
            self.turn_until(lambda before=before: len(self.frames) > before)

    def close(self) -> None:
        self.device.close()
        self.ring.close()


class Reader:
    """A reader in a process of its own, driven over pipes."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, __file__, "reader", str(folder), "{}"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.process.stdout.readline()

    def checksum(self, frame: FrameReady) -> int:
        self.process.stdin.write(msgspec.json.encode(frame) + b"\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def reader(folder: Path, _arguments: dict) -> None:
    frames = RingReader(folder, "judge")
    frames.attach("top")
    say("ready")
    for line in sys.stdin.buffer:
        with frames.borrow(msgspec.json.decode(line, type=FrameReady)) as pixels:
            say(str(zlib.crc32(np.ascontiguousarray(pixels))))
    frames.close()


def stream(folder: Path, arguments: dict) -> dict:
    rig = Rig(folder, arguments)
    rig.turn_until(rig.opened)
    there = Reader(folder)
    sums_here, sums_there, between = [], [], []

    def look(frame: FrameReady) -> None:
        with rig.ring.pixels(frame.ref.slot) as pixels:
            sums_here.append(zlib.crc32(pixels[: frame.rows * frame.columns]))
        sums_there.append(there.checksum(frame))
        latest = frame.arrived + frame.exposed_uncertainty_ns - round(frame.exposure_us * 1000)
        between.append(bool(triggered[0] - frame.exposed_uncertainty_ns <= frame.exposed_at <= latest))

    rig.on_frame = look
    triggered = [rig.clock.now()]
    while len(rig.frames) < rig.frames_wanted:
        triggered[0] = rig.clock.now()
        rig.take(1)
    there.close()
    rig.close()
    frames = rig.frames[: rig.frames_wanted]
    return {
        "copies": sorted({frame.copies for frame in frames}),
        "sums_here": sums_here[: len(frames)],
        "sums_there": sums_there[: len(frames)],
        "frame_ids": [frame.frame_id for frame in frames],
        "counts": msgspec.to_builtins(frames[-1].counts),
        "uncertainty_ns": [frame.exposed_uncertainty_ns for frame in frames],
        "is_between": between[: len(frames)],
        "encoders": [frame.encoder for frame in frames],
    }


def unplug(folder: Path, arguments: dict) -> dict:
    plant = Plant.open(Path(os.environ["FIRSTSHIFT_PLANT"]))
    rig = Rig(folder, arguments)
    rig.turn_until(rig.opened)
    rig.take(5)
    plant.unplug(0)
    rig.turn_until(lambda: not rig.opened())
    remedy = rig.health[-1].components[0].remedy
    plant.replug(0)
    rig.turn_until(rig.opened)
    rig.take(5)
    rig.close()
    plant.close()
    conditions = [health.condition for health in rig.health if health.condition != "starting"]
    changes = [new for old, new in zip([None, *conditions], conditions, strict=False) if new != old]
    epochs = list(dict.fromkeys(frame.ref.epoch for frame in rig.frames))
    first = [next(frame.frame_id for frame in rig.frames if frame.ref.epoch == epoch) for epoch in epochs]
    return {
        "conditions": changes,
        "remedy": remedy,
        "epochs": len(epochs),
        "first_ids": first,
        "alarms": rig.alarms,
        "counts": msgspec.to_builtins(rig.frames[-1].counts),
    }


def faults(folder: Path, arguments: dict) -> dict:
    plant = Plant.open(Path(os.environ["FIRSTSHIFT_PLANT"]))
    rig = Rig(folder, arguments)
    rig.turn_until(rig.opened)
    rig.take(3)
    plant.drop(0, 3)
    for _ in range(3):
        expose(rig, plant)
    plant.incomplete(0, 2)
    rig.take(3)
    hog = RingReader(folder, "hog")
    hog.attach("top")
    rig.take(arguments["slots"])
    rig.turn_until(lambda: rig.ring.out == arguments["slots"])
    for _ in range(4):
        expose(rig, plant)
    hog.close()
    rig.turn_until(lambda: rig.ring.out == 0)
    rig.take(3)
    told = {
        "counts": msgspec.to_builtins(rig.frames[-1].counts),
        "exposures": plant.camera_counters(0).exposures,
        "producer_underruns": max(frame.underruns for frame in rig.arrived),
        "published_incomplete": sum(not frame.complete for frame in rig.frames),
        "alarms": rig.alarms,
    }
    rig.close()
    plant.close()
    return told


def expose(rig: Rig, plant: Plant) -> None:
    """Trigger an exposure that will not arrive."""
    before = plant.camera_counters(0).exposures
    rig.device.write(SoftwareTrigger(), rig.clock.now())
    rig.turn_until(lambda: plant.camera_counters(0).exposures > before)
    settled = rig.clock.now() + 10_000_000  # exposure and readout: a trigger in them would be missed by the camera
    rig.turn_until(lambda: rig.clock.now() > settled)


def killed_reader(folder: Path, arguments: dict) -> dict:
    rig = Rig(folder, arguments)
    rig.turn_until(rig.opened)
    there = Reader(folder)
    rig.take(arguments["slots"])
    held = rig.ring.out
    there.process.send_signal(signal.SIGKILL)
    there.process.wait()
    rig.turn_until(lambda: rig.ring.out == 0)
    rig.take(arguments["slots"])
    told = {"held": held, "out_after": rig.ring.out, "forced": rig.ring.counts.forced}
    rig.close()
    return told


def close(folder: Path, arguments: dict) -> dict:
    rig = Rig(folder, arguments)
    rig.turn_until(rig.opened)
    rig.take(3)
    rig.close()
    maps = Path("/proc/self/maps").read_text().splitlines()
    return {
        "threads": [thread.name for thread in threading.enumerate()],
        "mappings": [line for line in maps if ".ring" in line],
    }


def refused(folder: Path, arguments: dict) -> dict:
    rig = Rig(folder, arguments)
    lost: list[CameraLost] = []
    while len(lost) < 2:
        select.select([rig.device.fileno()], [], [], LIMIT_S)
        lost += [message for message in rig.device.read(rig.clock.now()) if isinstance(message, CameraLost)]
    rig.close()
    return {"cause": lost[0].cause, "attempts": [one.attempt for one in lost]}


def in_use(folder: Path, arguments: dict) -> dict:
    first = Rig(folder, dict(arguments))
    first.turn_until(first.opened)
    other = folder / "other"
    other.mkdir()
    command = [sys.executable, __file__, "refused", str(other), json.dumps(arguments)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True).stdout
    first.close()
    return json.loads(told.splitlines()[-1])


if __name__ == "__main__":
    scenarios = {one.__name__: one for one in (stream, unplug, faults, killed_reader, close, refused, in_use, reader)}
    say(json.dumps(scenarios[sys.argv[1]](Path(sys.argv[2]), json.loads(sys.argv[3]))))
