"""Play storms on the real core and judge each part by the rule alone: what reached the MCU, and when."""

from __future__ import annotations

import ctypes
import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from appliance.build_c import compile_shared
from firmware_bridge.build import CORE, core_sources
from firmware_bridge.configuration import configuration
from firmware_bridge.framing import RELIABLE, Decoder, Frame
from firmware_bridge.messages import (
    IDS,
    PACK,
    PROTOCOL_VERSION,
    SCHEMA_HASH,
    UNPACK,
    Arm,
    Configure,
    Decision,
    Disarm,
    GateCause,
    Heartbeat,
    Hello,
    ReleaseFault,
)  # fmt: skip

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "tests"
SOURCES = (HERE / "storm.c", HERE / "storm_line.c", HERE / "storm_host.c")
GATE, LEAD, MIN_GAP, HOLD = 5000, 300, 200, 200
HOST_LOST_US, HOST_GONE_US = 150_000, 500_000
TABLE = 64
STATION = configuration(
    gate_counts=GATE, lead_counts=LEAD, camera_counts=(1000, -1), min_gap_counts=MIN_GAP, gate_hold_counts=HOLD
)
GATE_SENSOR = GATE - 200
WATCHED_STATION = configuration(
    gate_counts=GATE,
    lead_counts=LEAD,
    camera_counts=(1000, 1500),
    min_gap_counts=MIN_GAP,
    gate_hold_counts=HOLD,
    gate_sensor_counts=GATE_SENSOR,
    gate_window_counts=80,
    encoder_max_hz=60_000,
    encoder_back_counts=20,
    shortest_part_counts=2,
    strobe_us=(200, 200),
    host_lost_rejects=3,
)
START_COVERED, START_EMPTY, START_FAULT = 1, 2, 4
START, ENTER, CLOSE, MEET, BYTES, REPORT, PERMIT = range(7)
RECORD = np.dtype(
    [("counts", "<i8"), ("tick", "<u8"), ("value", "<u4"), ("kind", "u1"), ("flag", "u1"), ("_", "u1", 2)]
)
RECORDS_PER_PART, BLOB_PER_PART = 40, 1200


class Wish(ctypes.Structure):
    """struct storm_wish of storm.h."""

    _fields_ = (
        ("seed", ctypes.c_uint64),
        *((name, ctypes.c_uint32) for name in ("parts", "noise", "trouble", "hostile")),
        *((name, ctypes.c_int32) for name in ("gate", "lead")),
        *((name, ctypes.c_uint32) for name in ("gap_min", "gap_spread", "gate_sensor")),
        ("gate_sensor_counts", ctypes.c_int32),
        ("configure", ctypes.c_char_p),
        ("configure_bytes", ctypes.c_uint32),
    )


TROUBLES = (
    *("chunks_lost", "chunks_damaged", "chunks_doubled", "chunks_held", "chunks_replayed", "garbage"),
    *("host_freezes", "host_restarts", "mcu_resets", "belt_stops", "sessions"),
)


class Log(ctypes.Structure):
    """struct storm_log of storm.h."""

    _fields_ = (
        ("records", ctypes.c_void_p),
        ("blob", ctypes.c_void_p),
        *((name, ctypes.c_uint32) for name in ("record_cap", "blob_cap", "record_count", "blob_count")),
        *((name, ctypes.c_uint32) for name in (*TROUBLES, "overflow")),
    )


class Day(NamedTuple):
    """One storm: how long, how bad the line, how often a whole unit fails."""

    seed: int
    parts: int
    noise: int
    trouble_ms: int
    hostile: bool = True
    gap: tuple[int, int] = (110, 500)
    watched: bool = False
    """With a sensor at the gate, watches over encoder and lamps; more may be rejected than the rule asks for."""


class Told(NamedTuple):
    """What happened on a day and what the rule says to it."""

    counts: Counter[str]
    causes: Counter[str]
    breaches: list[str]


def build(core: Path = CORE, out: Path = BUILD) -> ctypes.CDLL:
    """Build the storm round a core and load it."""
    return load(compile_shared([*core_sources(core), *SOURCES], out / "libfsstorm.so", includes=[core, HERE]))


def load(library: Path) -> ctypes.CDLL:
    """Load a storm."""
    storm = ctypes.CDLL(str(library))
    storm.storm_run.argtypes = (ctypes.POINTER(Wish), ctypes.POINTER(Log))

    assert storm.storm_record_size() == RECORD.itemsize
    return storm


def days(seed: int, parts: int) -> Iterator[Day]:
    """Give days of all kinds for so many parts: quiet, noisy, troubled, hostile, crowded."""
    rng = np.random.default_rng(seed)
    while parts > 0:
        size = min(parts, 2000)
        noise = int(rng.choice([0, 50, 200, 800, 2500]))
        trouble = int(rng.choice([0, 10_000, 4_000, 2_000, 1_000]))
        gap = [(220, 400), (110, 500), (60, 80), (40, 60)][int(rng.choice(4, p=[0.5, 0.35, 0.1, 0.05]))]
        hostile, watched = bool(rng.integers(0, 2)), rng.random() < 0.25
        yield Day(int(rng.integers(1, 2**62)), size, noise, trouble, hostile, gap, watched)
        parts -= size


def play(storm: ctypes.CDLL, day: Day) -> Told:
    """Play one day and judge it."""
    records = np.zeros(day.parts * RECORDS_PER_PART + 4000, RECORD)
    blob = np.zeros(day.parts * BLOB_PER_PART + 400_000, np.uint8)
    config = PACK[Configure](WATCHED_STATION if day.watched else STATION)
    wish = Wish(
        *(day.seed, day.parts, day.noise, day.trouble_ms, int(day.hostile)),
        *(GATE, LEAD, *day.gap, day.watched, GATE_SENSOR, config, len(config)),
    )
    log = Log(records.ctypes.data, blob.ctypes.data, len(records), len(blob))
    done = storm.storm_run(wish, log)

    assert (0, 0) == (done, log.overflow), f"storm {day} did not fit its log"
    told = judge(records[: log.record_count], blob[: log.blob_count].tobytes(), day)
    told.counts.update({name: getattr(log, name) for name in TROUBLES})
    return told


def play_all(storm: ctypes.CDLL, chosen: Sequence[Day] | Iterator[Day]) -> Told:
    """Play many days and add them up."""
    told = Told(Counter(), Counter(), [])
    for day in chosen:
        one = play(storm, day)
        told.counts.update(one.counts)
        told.causes.update(one.causes)
        told.breaches.extend(one.breaches)
    return told


# ---- the judge -------------------------------------------------------------------------------------------------------


class Part:
    """One part that entered since the MCU started, as far as the rule goes."""

    __slots__ = ("accept", "barred", "closed", "enter", "known", "number", "passes")

    def __init__(self, number: int, enter: int, *, barred: bool) -> None:
        self.number = number
        self.enter = enter
        self.barred = barred
        self.known = False
        """Its place at the gate is known: it holds a line of the MCU's table."""
        self.accept: bool | None = None
        self.closed = False
        self.passes = False


class Rule:
    """What may open the gate, since the MCU's last start, from the bytes that reached it."""

    def __init__(self, boot: int, counts: int, config: bytes, *, covered: bool, fault: bool) -> None:
        self.boot = boot
        self.decoder = Decoder()
        self.session = self.seq = 0
        self.heartbeat: int | None = None
        self.config = config
        self.configured = self.armed = False
        self.fault = fault
        self.number = int(covered)
        self.last_edge = counts
        self.parts: dict[int, Part] = {}
        self.by_index: dict[int, Part] = {}
        self.frames = 0

    def look(self, tick: int) -> None:
        """Note that time has passed."""
        if self.armed and not self.host_within(HOST_GONE_US - 1, tick):
            self.disarm()

    def host_within(self, limit_us: int, tick: int) -> bool:
        return self.heartbeat is not None and tick - self.heartbeat <= limit_us

    def disarm(self) -> None:
        self.armed = False
        for part in self.parts.values():
            part.barred = True

    def enter(self, index: int, counts: int) -> None:
        """Take a part's leading edge."""
        self.number += 1
        part = Part(self.number, counts, barred=not self.armed)
        part.known = self.configured and sum(one.known for one in self.parts.values()) < TABLE
        if self.configured and not part.known:
            self.fault = part.barred = True
            self.disarm()
        if counts - self.last_edge < MIN_GAP:
            part.barred = True
            if self.number - 1 in self.parts:
                self.parts[self.number - 1].barred = True
        self.last_edge = counts
        self.parts[part.number] = self.by_index[index] = part

    def close(self, index: int, tick: int) -> None:
        """Take the end of a part's decision window."""
        part = self.by_index.get(index)
        if part is not None:
            part.closed = True
            part.passes = part.accept is True and not part.barred and self.host_within(HOST_LOST_US, tick)

    def may_pass(self, index: int) -> bool:
        """Say whether the part at the gate may be in the good lane."""
        part = self.by_index.get(index)
        return part is not None and part.passes and not part.barred

    def forget(self, counts: int) -> None:
        """Drop the parts that are past the gate."""
        for number in [n for n, part in self.parts.items() if counts >= part.enter + GATE + HOLD // 2]:
            del self.parts[number]

    def take(self, data: bytes, tick: int) -> None:
        """Take bytes that reached the MCU."""
        for frame in self.decoder.feed(data):
            self.frames += 1
            if frame.id == IDS[Hello]:
                self.hello(frame)
            elif self.session and frame.version == PROTOCOL_VERSION and frame.key == self.session ^ self.boot:
                if frame.flags & RELIABLE:
                    if frame.seq != (self.seq + 1) & 0xFF:
                        continue
                    self.seq = frame.seq
                self.message(frame, tick)

    def hello(self, frame: Frame) -> None:
        if len(frame.payload) == 4 and frame.key and frame.key != self.session:
            self.session, self.seq, self.heartbeat = frame.key, 0, None
            self.disarm()

    def message(self, frame: Frame, tick: int) -> None:
        kind, payload = frame.id, frame.payload
        if kind == IDS[Heartbeat] and len(payload) == 8:
            self.heartbeat = tick
        elif kind == IDS[Configure]:
            self.configured |= payload == self.config
        elif kind == IDS[Arm] and payload == SCHEMA_HASH.to_bytes(4, "little"):
            self.armed |= self.configured and not self.fault and self.host_within(HOST_LOST_US, tick)
        elif kind == IDS[Disarm] and not payload:
            self.disarm()
        elif kind == IDS[ReleaseFault] and not payload:
            self.fault = False
        elif kind == IDS[Decision] and len(payload) == decision_bytes():
            decision = UNPACK[kind](payload)
            assert isinstance(decision, Decision)
            self.decide(decision, tick)

    def decide(self, decision: Decision, tick: int) -> None:
        part = self.parts.get(decision.part)
        if part is None or part.closed or part.barred:
            return
        if decision.accept != 1:
            part.accept = False
        elif part.accept is None and self.host_within(HOST_LOST_US, tick):
            part.accept = True


@functools.cache
def decision_bytes() -> int:
    return len(PACK[Decision](Decision(0, 0, 0)))


def judge(records: np.ndarray, blob: bytes, day: Day) -> Told:
    """Hold what physically happened against the rule."""
    name = str(day)
    told = Told(Counter(), Counter(), [])
    config = PACK[Configure](WATCHED_STATION if day.watched else STATION)
    rule, at, reported = Rule(0, 0, config, covered=False, fault=False), 0, {}
    for counts, tick, value, kind, flag, _ in records.tolist():
        rule.look(tick)
        if kind == BYTES:
            rule.take(blob[at : at + value], tick)
            at += value
        elif kind == ENTER:
            rule.forget(counts)
            rule.enter(value, counts)
        elif kind == CLOSE:
            rule.close(value, tick)
        elif kind == MEET:
            meet(told, rule, value, bool(flag), reported, day)
        elif kind == REPORT:
            told.causes[GateCause(flag >> 1).name] += 1
            if reported.setdefault(value, flag & 1) != flag & 1 or value > rule.number:
                told.breaches.append(f"{name}: part {value} reported twice or never seen")
        elif kind == PERMIT and flag and not rule.armed and not (day.hostile or day.watched):  # tests, purges
            told.breaches.append(f"{name}: run permit at tick {tick} while not armed")
        elif kind == START:
            told.counts["frames"] += rule.frames
            fault = bool(flag & START_FAULT) or (rule.fault and not flag & START_EMPTY)
            rule = Rule(value, counts, config, covered=bool(flag & START_COVERED), fault=fault)
            reported = {}
    told.counts["frames"] += rule.frames
    return told


def meet(told: Told, rule: Rule, index: int, passed: bool, reported: dict[int, int], day: Day) -> None:
    """Judge one part at the gate."""
    name = str(day)
    may, part = rule.may_pass(index), rule.by_index.get(index)
    told.counts["parts"] += 1
    told.counts["accepted" if passed else "rejected"] += 1
    told.counts["unseen"] += part is None
    if passed and not may:
        told.breaches.append(f"{name}: part {index} passed without a valid accept in time")
    if may and not passed and day.watched:
        told.counts["watched_rejects"] += 1
    elif may and not passed:
        told.counts["overkill"] += 1
        told.counts[f"overkill {name}"] += 1
    if part is not None and reported.get(part.number) != int(passed):
        told.breaches.append(f"{name}: part {index} went {passed} and was reported {reported.get(part.number)}")
