"""Run the simulated plant as a process: belt, parts, their pictures, faults on command, and the truth of what happened.

    python -m appliance.sim.plant_process --plant FILE --parts 200 --rate 10 --seed 1 --truth truth.jsonl

Prints one JSON line {"event": "ready", ...} when the plant file stands and the first parts are painted, waits for the
line `start` on stdin (or SIGUSR1), and prints {"event": "done", ...} when all parts have passed the gate. Commands, one
a line: drop|incomplete|double CAMERA N, delay CAMERA N 50ms, unplug|replug CAMERA, belt stop|start, speed FACTOR, pause
5s (no part comes), gate off (the gate lost power; only needed when the microcontroller was killed), take N (a hand
takes the next N parts before the gate), extra (a part that nobody saw enter), slip COUNTS (of the encoder), glitch (an
illegal transition of it), stick part|gate low|high|free, quit.
"""

import argparse
import contextlib
import itertools
import json
import os
import re
import selectors
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TextIO

import cv2
import msgspec
import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from appliance.schema.clocks import HostNs
from appliance.schema.errors import ApplianceError, ConfigError
from appliance.sim.parts.dayone import code_mono8
from appliance.sim.parts.photographs import MARGIN_LEVEL, PhotographFolder, open_photographs, show, stream
from appliance.sim.parts.renderer import SIZE, Renderer, part_generator
from appliance.sim.parts.truth import DEFECT_RATE, PartTruth, truth_sequence
from appliance.sim.plant import Plant
from appliance.sim.plant_layout import (
    CAMERAS,
    EMPTY_BELT,
    MONO8,
    RGB8,
    SENSOR_HIGH,
    SENSOR_LOW,
    SENSOR_WORKS,
)
from appliance.sim.plant_line import COUNTS_PER_MM, PART_COUNTS, PITCH_COUNTS, Line, Station

TICK_S: Final = 0.02
UNITS_NS: Final = {"us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
CAMERA_NAMES: Final = ("top", "side")
SENSOR_LEVELS: Final = {"free": SENSOR_WORKS, "low": SENSOR_LOW, "high": SENSOR_HIGH}

Pictures = Iterator[tuple[PartTruth, NDArray[np.uint8]]]


class Supply(Struct, frozen=True):
    """Give the parts' pictures in the cameras' format, and what a camera sees without a part."""

    size: tuple[int, int]
    mono: bool
    empty: NDArray[np.uint8]
    pictures: Pictures
    render_ms: list[float]
    """Wall time of each picture so far, filled as they are made."""
    photographs: PhotographFolder | None


def main(arguments: list[str] | None = None) -> int:
    """Run one plant to its end; gives the exit code: 0 all parts passed, 1 ended early, 2 wrong usage."""
    cv2.setNumThreads(1)  # pictures are small; more threads only take cores from the appliance under test
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except (ApplianceError, OSError) as error:
        sys.stderr.write(f"plant: {error}\n")
        return 2


def obey(command: str, plant: Plant, line: Line, now: HostNs) -> None:
    """Do what one command line says; raises ConfigError, with nothing changed, when it makes no sense."""
    match command.split():
        case ["drop" | "incomplete" | "double" as fault, camera, n]:
            getattr(plant, fault)(_camera(camera), _count(n))
        case ["delay", camera, n, duration]:
            plant.delay(_camera(camera), _count(n), _duration_ns(duration))
        case ["unplug" | "replug" as fault, camera]:
            getattr(plant, fault)(_camera(camera))
        case ["belt", "stop" | "start" as wish]:
            line.held = wish == "stop"
        case ["pause", duration]:
            line.pause(_duration_ns(duration))
        case ["speed", factor]:
            line.speed_factor = _factor(factor)
        case ["gate", "off"]:
            line.lanes.spring_back(plant.counts(now))
        case ["take" | "extra" | "slip" | "glitch" | "stick", *_]:
            _disturb(command, plant, line)
        case _:
            raise ConfigError(
                f"plant command {command!r} is unknown; use drop, incomplete, double, delay, unplug, replug,"
                " belt stop, belt start, pause, speed, gate off, take, extra, slip, glitch, stick or quit"
            )


def _disturb(command: str, plant: Plant, line: Line) -> None:
    """Let what the microcontroller sees be no longer what is on the belt."""
    match command.split():
        case ["take", n]:
            line.to_take += _count(n)
        case ["extra"]:
            line.lay_extra()
        case ["slip", n]:
            plant.slip(_count(n))
        case ["glitch"]:
            plant.spoil_encoder()
        case ["stick", "part" | "gate" as sensor, "low" | "high" | "free" as level]:
            plant.stick(sensor, SENSOR_LEVELS[level])
        case _:
            raise ConfigError(
                f"plant command {command!r}: give take N, extra, slip COUNTS, glitch or stick part|gate low|high|free"
            )


def _run(options: argparse.Namespace) -> int:
    station = Station(
        parts=options.parts,
        rate_hz=options.rate,
        camera_counts=tuple(options.camera_counts),
        half_window=options.half_window,
        gate_counts=options.gate_counts,
        gate_sensor_counts=options.gate_sensor_counts,
    )
    _check(station)
    supply = _supply(options)
    pixel_format = MONO8 if supply.mono else RGB8
    cameras = dict.fromkeys(range(len(station.camera_counts)), (*supply.size, pixel_format))
    with Plant.create(options.plant, cameras) as plant, options.truth.open("w") as truth_file:
        plant.place_gate_sensor(station.gate_sensor_counts)
        for index in cameras:
            plant.write_scene(index, EMPTY_BELT, supply.empty, 0, 0, 0)
        spacing = np.random.default_rng((options.seed, PITCH_COUNTS))
        line = Line(plant, station, supply.pictures, _now, truth_file, spacing)
        passed = _Session(plant, line).run(_ready_line(options, station, supply, line))
        physical = options.physical or options.truth.with_name("physical.jsonl")
        with physical.open("w") as file:
            _write_outcome(line, file)
        _say("done", seed=options.seed, **_summary(line, supply, passed=passed))
    return 0 if passed else 1


class _Session:
    """Hold the conversation of one run: signals and stdin on one side, the line on the other."""

    def __init__(self, plant: Plant, line: Line) -> None:
        self._plant, self._line = plant, line
        self._started = self._ended = False
        self._selector = selectors.DefaultSelector()
        self._pending = b""
        self._parent = os.getppid()

    def run(self, ready: dict[str, object]) -> bool:
        """Run from `ready` to the last part; False when ended early."""
        signal.signal(signal.SIGUSR1, lambda *_: self._start())
        for ending in (signal.SIGTERM, signal.SIGINT):
            signal.signal(ending, lambda *_: self._end())
        # A regular file or a closed stdin cannot be waited for; signals still work then.
        with contextlib.suppress(ValueError, OSError):
            self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        while self._line.has_room():
            self._line.lay_next_part()
        _say("ready", **ready)
        try:
            with self._selector:
                while not self._ended and not self._line.is_done():
                    self._turn()
        finally:
            self._line.held = True
            self._line.tend()
        return self._line.is_done()

    def _turn(self) -> None:
        room = self._line.has_room()
        self._listen(0.0 if room else TICK_S)
        self._line.tend()
        if room:
            self._line.lay_next_part()
        if not self._started and os.getppid() != self._parent:
            self._end()  # whoever should have said `start` is gone

    def _listen(self, patience_s: float) -> None:
        if not self._selector.get_map():
            time.sleep(patience_s)
            return
        for key, _ in self._selector.select(patience_s):
            news = os.read(key.fd, 4096)
            if not news:
                self._selector.unregister(key.fd)
            *lines, self._pending = (self._pending + news).split(b"\n")
            for text in lines:
                self._hear(text.decode("utf-8", "replace").strip())

    def _hear(self, command: str) -> None:
        if command == "start":
            self._start()
        elif command == "quit":
            self._end()
        elif command:
            try:
                obey(command, self._plant, self._line, _now())
            except ConfigError as error:
                _say("refused", command=command, reason=str(error))
            else:
                _say("obeyed", command=command, counts=self._plant.counts(_now()))

    def _start(self) -> None:
        if not self._started:
            self._started, self._line.held = True, False

    def _end(self) -> None:
        self._ended = True


def _supply(options: argparse.Namespace) -> Supply:
    render_ms: list[float] = []
    if options.images is None:
        size = (options.width or SIZE[0], options.height or SIZE[1])
        renderer = Renderer(size)
        empty = renderer.render_empty(np.random.default_rng(options.seed))
        truths = truth_sequence(options.seed, options.defect_rate)
        pictures: Pictures = ((truth, renderer.render(truth, part_generator(truth)).image) for truth in truths)
        if options.pictures:
            pictures = _in_turn(list(itertools.islice(pictures, options.pictures)))
        folder, mono = None, options.mono
    else:
        folder = open_photographs(options.images, skip_unreadable=options.skip_unreadable)
        size = (options.width or folder.size[0], options.height or folder.size[1])
        empty = np.full((size[1], size[0], 3), MARGIN_LEVEL, np.uint8)
        truths = stream(folder, options.parts, options.seed)
        pictures = ((truth, show(folder, truth, size, mirrored=options.mirrored).image) for truth in truths)
        mono = options.mono or not folder.colour
    coded = _in_format(pictures, render_ms, mono=mono)
    return Supply(size, mono, code_mono8(empty) if mono else empty, coded, render_ms, folder)


def _in_turn(painted: list[tuple[PartTruth, NDArray[np.uint8]]]) -> Pictures:
    """Show painted parts again and again, numbered on."""
    for number, (truth, image) in enumerate(itertools.cycle(painted), 1):
        yield structs.replace(truth, number=number), image


def _in_format(pictures: Pictures, render_ms: list[float], *, mono: bool) -> Pictures:
    while True:
        begin = time.perf_counter()
        try:
            truth, image = next(pictures)
        except StopIteration:
            return
        if mono:
            image = code_mono8(image)
        render_ms.append((time.perf_counter() - begin) * 1e3)
        yield truth, image


def _check(station: Station) -> None:
    if station.parts < 1 or not 0.01 <= station.rate_hz <= 200:
        raise ConfigError(
            f"{station.parts} parts at {station.rate_hz} Hz: give at least 1 part and a rate of 0.01..200 Hz"
        )
    if not 1 <= len(station.camera_counts) <= CAMERAS:
        raise ConfigError(f"{len(station.camera_counts)} camera places; the plant has 1..{CAMERAS} cameras")
    widest = round(PITCH_COUNTS * 0.9)
    if not 0 < 2 * station.half_window <= widest:
        raise ConfigError(f"half window of {station.half_window} counts: windows overlap; the limit is {widest // 2}")
    if min(station.camera_counts) < station.half_window:
        raise ConfigError(
            f"camera at {min(station.camera_counts)} counts sees parts before the sensor; place it at or after the half"
            f" window of {station.half_window}"
        )


def _ready_line(options: argparse.Namespace, station: Station, supply: Supply, line: Line) -> dict[str, object]:
    folder = supply.photographs
    return {
        "plant": str(options.plant),
        "pid": os.getpid(),
        "parts": station.parts,
        "width": supply.size[0],
        "height": supply.size[1],
        "format": "Mono8" if supply.mono else "RGB8",
        "counts_per_s": line.full_speed(),
        "counts_per_mm": COUNTS_PER_MM,
        "pitch_counts": PITCH_COUNTS,
        "part_counts": PART_COUNTS,
        "camera_counts": station.camera_counts,
        "half_window": station.half_window,
        "gate_counts": station.gate_counts,
        "gate_sensor_counts": station.gate_sensor_counts,
        "images": None if folder is None else len(folder.test),
        "dropped_for_groups": 0 if folder is None else folder.dropped_for_groups,
        "unreadable": [] if folder is None else folder.unreadable,
    }


def _summary(line: Line, supply: Supply, *, passed: bool) -> dict[str, object]:
    times = np.array(supply.render_ms or [0.0])
    return {
        "passed": passed,
        **msgspec.to_builtins(line.report),
        "render_ms": {"p50": round(float(np.median(times)), 2), "max": round(float(times.max()), 2)},
        "cpu_s": round(time.process_time(), 2),
    }


def _write_outcome(line: Line, file: TextIO) -> None:
    file.writelines(json.dumps({"number": number, "lane": lane}) + "\n" for number, lane in line.outcome())


def _camera(word: str) -> int:
    if word in CAMERA_NAMES:
        return CAMERA_NAMES.index(word)
    if word.isdecimal() and int(word) < CAMERAS:
        return int(word)
    raise ConfigError(f"camera {word!r} is unknown; use 0..{CAMERAS - 1} or {', '.join(CAMERA_NAMES)}")


def _count(word: str) -> int:
    if not word.isdecimal() or int(word) > 1_000_000:
        raise ConfigError(f"count {word!r} is no whole number up to 1000000")
    return int(word)


def _duration_ns(word: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(us|ms|s)", word)
    if found is None:
        raise ConfigError(f"duration {word!r} has no unit; write it as 50ms, 200us or 1s")
    return round(float(found[1]) * UNITS_NS[found[2]])


def _factor(word: str) -> float:
    with contextlib.suppress(ValueError):
        if 0.01 <= float(word) <= 10:
            return float(word)
    raise ConfigError(f"speed factor {word!r} is outside 0.01..10; use `belt stop` for 0")


def _say(event: str, **values: object) -> None:
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


def _now() -> HostNs:
    return HostNs(time.monotonic_ns())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="plant_process", description="Run the simulated plant.")
    parser.add_argument("--plant", type=Path, required=True, help="plant file to make, on a tmpfs")
    parser.add_argument("--parts", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="parts/s at full speed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--truth", type=Path, required=True, help="JSON lines: number, truth, source, enter_counts, seed"
    )
    parser.add_argument("--physical", type=Path, help="JSON lines: number, lane; default physical.jsonl beside --truth")
    parser.add_argument("--images", type=Path, help="MVTec-style folder of photographs instead of rendered parts")
    parser.add_argument("--mirrored", action="store_true", help="photographs go on beside themselves as mirror images")
    parser.add_argument("--skip-unreadable", action="store_true", help="leave broken photographs out and list them")
    parser.add_argument("--width", type=int, help="px; default 1280, or what the photographs need")
    parser.add_argument("--height", type=int, help="px; default 1024, or what the photographs need")
    parser.add_argument("--pictures", type=int, default=0, help="paint so many parts at the start, show them in turn")
    parser.add_argument("--mono", action="store_true", help="Mono8 scenes instead of RGB8")
    parser.add_argument("--defect-rate", type=float, default=DEFECT_RATE, help="share of rendered parts with a defect")
    parser.add_argument(
        "--camera-counts", type=int, nargs="+", default=[300], help="each camera's place after the sensor"
    )
    parser.add_argument("--half-window", type=int, default=300, help="counts before and after the camera's place")
    parser.add_argument("--gate-counts", type=int, default=2000, help="the gate's place after the sensor")
    parser.add_argument(
        "--gate-sensor-counts", type=int, default=0, help="the gate's own sensor after the part sensor; 0: none"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
