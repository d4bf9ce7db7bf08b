"""Measure what the touchscreen costs while it shows a live picture of 5 MP at 25 frames/s, and what others feel of it.

    python -m bench.hmi

One process plays camera and judge: it fills a ring, publishes each frame and borrows it with a lease, as `judge` does.
The whole touchscreen (run screen, 1280x800) runs beside it, drawn by the processor (offscreen) and by OpenGL (Xvfb,
Mesa's software rasteriser, no GPU). Blocks with the touchscreen running and stopped (SIGSTOP) take turns. Prints a
table and writes bench/results/hmi.json.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import zmq
from PySide6.QtQuick import QQuickItem

from appliance import config
from appliance.bus.channel import Publisher
from appliance.bus.ring import RingReader, RingWriter, ring_path
from appliance.schema.clocks import CameraNs, HostNs
from appliance.schema.frame import FrameCounts, FrameReady, PixelFormat
from appliance.sim.hmi_station import sample_station
from bench.fingerprint import fingerprint
from hmi import app, settings
from hmi.desk import open_desk
from hmi.pictures import Picture
from hmi.theme import Theme

ROWS, COLUMNS = 2048, 2448
HZ = 25
BLOCK_S = 3.0
ROUNDS = 4
SLOTS = 8
CAMERA = "top"
TICK = os.sysconf("SC_CLK_TCK")
RESULT = Path(__file__).parent / "results" / "hmi.json"


class Camera:
    """Fill a ring, tell of each frame, and borrow it as the judge does."""

    def __init__(self, runtime: Path, pixel_format: PixelFormat, context: zmq.Context) -> None:
        self.writer = RingWriter.create(ring_path(runtime, CAMERA), SLOTS, ROWS * COLUMNS)
        self.judge = RingReader(runtime, "judge")
        self.judge.attach(CAMERA)
        self.publisher = Publisher(context, runtime, f"acquire@{CAMERA}")
        self.pixel_format = pixel_format
        rng = np.random.default_rng(1)
        self.pictures = [rng.integers(0, 256, ROWS * COLUMNS, np.uint8) for _ in range(3)]
        self.free = list(range(SLOTS))
        self.count = 0

    def shoot(self) -> float:
        """Take one frame; gives what the judge's reading of it took, ms: every byte once."""
        if not self.free:
            self.free = self.writer.reclaim(HostNs(time.monotonic_ns()))
        slot = self.free.pop(0)
        with self.writer.pixels(slot) as view:
            view[:] = self.pictures[self.count % 3].data
        now = HostNs(time.monotonic_ns())
        ref = self.writer.publish(slot, now)
        frame = FrameReady(
            CAMERA, ref, self.count, CameraNs(now), now, 1000, None, now, ROWS, COLUMNS, self.pixel_format, 900.0, 0.0,
            0, FrameCounts(),
        )  # fmt: skip
        self.count += 1
        self.publisher.publish(f"frame.{CAMERA}", frame)
        begin = time.perf_counter()
        with self.judge.borrow(frame) as pixels:
            cv2.resize(pixels, (512, 512), interpolation=cv2.INTER_AREA)
        return (time.perf_counter() - begin) * 1000

    def run(self, seconds: float) -> list[float]:
        """Take frames at their rate for so long."""
        told = []
        due = time.perf_counter()
        for _ in range(round(seconds * HZ)):
            time.sleep(max(0.0, due - time.perf_counter()))
            due += 1 / HZ
            told.append(self.shoot())
        return told

    def close(self) -> None:
        """Give everything back."""
        self.publisher.close()
        self.judge.close()
        self.writer.close()


def cpu_s(pid: int) -> float:
    """Give the CPU time a process has used, s."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


@contextmanager
def display(way: str) -> Any:
    """Give the environment of one way of drawing."""
    if way == "software":
        yield {"QT_QPA_PLATFORM": "offscreen", "QT_QUICK_BACKEND": "software"}
        return
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x800x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=(write,), stderr=subprocess.DEVNULL) as server:
        os.close(write)
        number = os.read(read, 16).decode().strip()
        try:
            yield {"QT_QPA_PLATFORM": "xcb", "DISPLAY": f":{number}", "QSG_RHI_BACKEND": "opengl"}
        finally:
            server.terminate()
            os.close(read)  # not before: it writes the line's end later


def measure(way: str, pixel_format: PixelFormat) -> dict[str, float]:
    """Measure one way of drawing with one kind of frames."""
    with sample_station() as sample, zmq.Context() as context, display(way) as environment:
        camera = Camera(sample.loaded.runtime, pixel_format, context)
        command = [sys.executable, "-m", "bench.hmi", "--screen", str(sample.loaded.path)]
        begin = time.perf_counter()
        with (
            closing(camera),
            subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **environment}) as screen,
        ):
            assert screen.stdout is not None  # noqa: S101
            os.set_blocking(screen.stdout.fileno(), False)
            while b"appeared" not in (screen.stdout.read() or b""):
                camera.run(1 / HZ)
                if screen.poll() is not None or time.perf_counter() - begin > 30:
                    screen.kill()
                    raise SystemExit(f"{way}: the touchscreen shows nothing; ended with {screen.poll()}")
            first_s, first_cpu = time.perf_counter() - begin, cpu_s(screen.pid)
            camera.run(1.0)
            idle = cpu_s(screen.pid)
            time.sleep(BLOCK_S)
            idle = cpu_s(screen.pid) - idle
            used, on, off, shown = [], [], [], 0
            for _ in range(ROUNDS):
                screen.stdout.read()
                before = cpu_s(screen.pid)
                on += camera.run(BLOCK_S)
                drawn = (screen.stdout.read() or b"").count(b"appeared")
                used.append((cpu_s(screen.pid) - before) / max(drawn, 1) * 1000)
                shown += drawn
                screen.send_signal(signal.SIGSTOP)
                off += camera.run(BLOCK_S)
                screen.send_signal(signal.SIGCONT)
                camera.run(0.5)
            forced = camera.writer.counts.forced
            screen.terminate()
            screen.wait(10)
    return {
        "first_picture_s": round(first_s, 2),
        "first_picture_cpu_s": round(first_cpu, 2),
        "idle_cpu_percent": round(idle / BLOCK_S * 100, 1),
        "shown_hz": round(shown / (ROUNDS * BLOCK_S), 1),
        "cpu_ms_per_frame": round(statistics.median(used), 2),
        "cpu_ms_per_frame_least": round(min(used), 2),
        "cpu_ms_per_frame_most": round(max(used), 2),
        "judge_read_ms_on": round(statistics.median(on), 2),
        "judge_read_ms_off": round(statistics.median(off), 2),
        "judge_read_p99_ms_on": round(float(np.quantile(on, 0.99)), 2),
        "judge_read_p99_ms_off": round(float(np.quantile(off, 0.99)), 2),
        "frames": camera.count,
        "slots_taken_back_by_force": forced,
    }


def pictures_in(item: QQuickItem) -> Iterator[Picture]:
    """Yield the pictures under an item."""
    if isinstance(item, Picture):
        yield item
    for child in item.childItems():
        yield from pictures_in(child)


def show(config_path: Path) -> int:
    """Be the touchscreen: say when its first live picture is on the screen, and go on until told to end."""
    app.application()
    loaded = config.load(config_path)
    with closing(open_desk(loaded, app.words_of("en"))) as desk:
        panel = app.Panel(desk, Theme(4.91), settings.Settings(), "run")
        for item in pictures_in(panel.window.contentItem()):
            item.appeared.connect(lambda _source: print("appeared", flush=True))
        code = app.run(panel, full=False, size=(1280, 800))
        panel.close()
    return code


def main() -> int:
    if len(sys.argv) > 1:
        return show(Path(sys.argv[2]))
    told: dict[str, Any] = {"machine": fingerprint(), "rows": ROWS, "columns": COLUMNS, "hz": HZ, "ways": {}}
    for way in ("software", "opengl"):
        for pixel_format in (PixelFormat.MONO8, PixelFormat.BAYER_RG8):
            name = f"{way} {pixel_format.value}"
            told["ways"][name] = found = measure(way, pixel_format)
            print(f"{name:20} {found}", flush=True)
    RESULT.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
