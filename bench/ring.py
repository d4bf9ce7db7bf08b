"""Measure what a frame ring costs per frame, in one process and between two.

    python -m bench.ring

Prints a table and writes bench/results/ring.json. Wall times are of a machine that does other things too; the CPU
times stand beside them.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from appliance.bus.ring import RingReader, RingWriter, ring_path
from appliance.schema.clocks import CameraNs, HostNs
from appliance.schema.frame import FrameCounts, FrameReady, PixelFormat, SlotRef
from bench.fingerprint import fingerprint

ROWS, COLUMNS = 2048, 2448
"""The 5 MB frame of a common line camera sensor (IMX264 class)."""
FRAMES = 20_000
PAIRS = 3_000
TMPFS = Path("/dev/shm")  # noqa: S108  where rings live


def frame_of(ref: SlotRef) -> FrameReady:
    at, counts, mono = HostNs(0), FrameCounts(), PixelFormat.MONO8
    return FrameReady("top", ref, 0, CameraNs(0), at, 0, None, at, ROWS, COLUMNS, mono, 1.0, 0.0, 0, counts)


def timed(action: Callable[[], object], times: int) -> dict[str, float]:
    """Give wall and CPU time of one call in us."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        action()
    return {
        "wall_us": round((time.perf_counter() - wall) / times * 1e6, 3),
        "cpu_us": round((time.process_time() - cpu) / times * 1e6, 3),
    }


def one_process(folder: Path) -> dict[str, dict[str, float]]:
    """Time borrow and release of one frame, and a slot's whole round, writer and reader together."""
    writer = RingWriter.create(ring_path(folder, "top"), 8, ROWS * COLUMNS)
    reader = RingReader(folder, "judge")
    reader.attach("top")
    frame = frame_of(writer.publish(0, HostNs(0)))

    def borrow() -> None:
        with reader.borrow(frame):
            pass

    def round_trip() -> None:
        ref = writer.publish(1, HostNs(1))
        with reader.borrow(frame_of(ref)):
            pass
        writer.reclaim(HostNs(1))

    def copy() -> None:
        with reader.borrow(frame) as pixels:
            pixels.copy()

    told = {"borrow_release": timed(borrow, FRAMES), "one_copy_for_comparison": timed(copy, 200)}
    told["publish_borrow_reclaim"] = timed(round_trip, FRAMES)
    reader.close()
    writer.close()
    return told


def two_processes(folder: Path) -> dict[str, float]:
    """Time from publish here to the first pixel read there, the message over a pipe included."""
    writer = RingWriter.create(ring_path(folder, "top"), 8, ROWS * COLUMNS)
    command = [sys.executable, "-m", "bench.ring", "--reader", str(folder)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    if child.stdin is None or child.stdout is None:
        raise OSError("no pipe to the reader's process")
    child.stdout.readline()
    free, delays, cpu = list(range(8)), [], time.process_time()
    for number in range(PAIRS):
        slot = free.pop(0)
        with writer.pixels(slot) as pixels:
            pixels[0] = number % 256
        sent = time.monotonic_ns()
        child.stdin.write(msgspec.json.encode(frame_of(writer.publish(slot, HostNs(sent)))) + b"\n")
        child.stdin.flush()
        seen, pixel = map(int, child.stdout.readline().split())
        if pixel != number % 256:
            raise ValueError(f"frame {number}: pixel {pixel} was read, {number % 256} was written")
        delays.append(seen - sent)
        free += writer.reclaim(HostNs(seen))
    cpu_us = (time.process_time() - cpu) / PAIRS * 1e6
    child.stdin.close()
    child.wait()
    writer.close()
    p50, p99 = np.percentile(delays, [50, 99]) / 1000
    return {"p50_us": round(p50, 1), "p99_us": round(p99, 1), "writer_cpu_us": round(cpu_us, 1), "frames": PAIRS}


def read(folder: Path) -> None:
    """Be the other process."""
    frames = RingReader(folder, "judge")
    frames.attach("top")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin.buffer:
        with frames.borrow(msgspec.json.decode(line, type=FrameReady)) as pixels:
            pixel, now = int(pixels[0, 0]), time.monotonic_ns()
        sys.stdout.write(f"{now} {pixel}\n")
        sys.stdout.flush()
    frames.close()


def bytes_copied(folder: Path) -> int:
    """Count the bytes of a frame that lie elsewhere than in the ring once it is borrowed."""
    writer = RingWriter.create(ring_path(folder, "top"), 1, ROWS * COLUMNS)
    reader = RingReader(folder, "judge")
    with reader.borrow(frame_of(writer.publish(0, HostNs(0)))) as pixels:
        before = int(pixels[-1, -1])
        with writer.pixels(0) as memory:
            memory[ROWS * COLUMNS - 1] = before ^ 0xFF
        shared = int(pixels[-1, -1]) != before and not pixels.flags.owndata
        del pixels
    reader.close()
    writer.close()
    return 0 if shared else ROWS * COLUMNS


def main() -> None:
    with tempfile.TemporaryDirectory(dir=TMPFS if TMPFS.is_dir() else None) as name:
        folder = Path(name)
        told = {
            "frame_bytes": ROWS * COLUMNS,
            "bytes_copied_per_frame": bytes_copied(folder),
            "one_process": one_process(folder),
            "publish_to_pixel_in_another_process": two_processes(folder),
            "machine": fingerprint(),
        }
    for step, times in told["one_process"].items():
        print(f"{step:32} {times['wall_us']:9.2f} us wall {times['cpu_us']:9.2f} us CPU")
    pair = told["publish_to_pixel_in_another_process"]
    print(f"{'publish to pixel, two processes':32} {pair['p50_us']:9.1f} us p50  {pair['p99_us']:9.1f} us p99")
    print(f"{'bytes copied per frame':32} {told['bytes_copied_per_frame']:9} of {told['frame_bytes']}")
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "ring.json").write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--reader"]:
        read(Path(sys.argv[2]))
    else:
        main()
