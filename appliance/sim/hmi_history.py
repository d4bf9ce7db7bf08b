"""Make up the days behind a sample station: parts with their pictures, verdicts, decisions, labels, people and alarms.

Everything follows from one seed. The parts are drawn as the simulated line draws them; what the model made of them is
made up to lie near the truth, as a fair model's would.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.imaging.heat import shrink
from appliance.ports.task import Surface, Window
from appliance.schema.actuation import Actuation, Cause, HandActuation, Lane, PlcAcknowledged
from appliance.schema.clocks import MS, EncoderCounts, HostNs, McuTicks, S, UtcNs
from appliance.schema.finding import Box, Finding, HeatMap, ViewResult
from appliance.schema.frame import SlotRef
from appliance.schema.ids import uuid7
from appliance.schema.label import GOOD, UNSURE, Label, LabelLevel, Region
from appliance.schema.part import PartEntered, PartExposed, PartId
from appliance.schema.policy import Mode
from appliance.schema.review import Change, ManualVerdict, Occasion, ReviewStep
from appliance.schema.topics import (
    ACTUATION,
    HAND,
    LABEL,
    MANUAL,
    PART_ENTERED,
    PART_EXPOSED,
    PLC_ACKNOWLEDGED,
    RESULT,
    SEALED,
    VERDICT,
)
from appliance.schema.verdict import Disposition, InspectionResult, Reason, SealedVerdict, StageTimes, Verdict
from appliance.sim.parts.objects import HOLE, KINDS, TruePart, true_parts

AT = UtcNs(int(datetime(2026, 11, 20, 10, 24, tzinfo=UTC).timestamp()) * S)
"""The moment that a sample station shows."""

HOST = HostNs(300_000 * S)
"""The same instant by CLOCK_MONOTONIC."""

BOOT = 0x5A3B1C07
CAMERA = "top"
SIZE = (1224, 1024)
"""(width, height) of the pictures."""

PICTURES = 28
"""Different pictures; parts share them."""

SHIFTS = 5
"""Whole shifts before the one that runs."""

SHIFT_PARTS = 110
SHIFT_NS = 8 * 3600 * S
SHIFT_BEGAN = UtcNs(int(datetime(2026, 11, 20, 6, tzinfo=UTC).timestamp()) * S)
NEWEST, NEWEST_NS = 40, 2 * S
"""The last parts follow each other closely."""

DUE_NS = 400 * MS
"""Sensor to the end of the time for a verdict."""

ACCEPT_BELOW, REJECT_ABOVE = 0.35, 0.75
"""Limits of the sample's bundle on its image score."""

BUNDLE = "day-one"
_ODDS_GOOD = (0.885, 0.005, 0.07, 0.015, 0.015, 0.01)
_ODDS_BAD = (0.03, 0.67, 0.22, 0.06, 0.02, 0.0)
_WAYS = (
    (Disposition.ACCEPT, Reason.WITHIN_LIMITS),
    (Disposition.REJECT, Reason.ABOVE_REJECT_LIMIT),
    (Disposition.REVIEW, Reason.BETWEEN_LIMITS),
    (Disposition.UNKNOWN, Reason.UNKNOWN_DEFECT),
    (Disposition.NO_VERDICT, Reason.VIEW_MISSING),
    (Disposition.REVIEW, Reason.RANDOM_SAMPLE),
)
"""Dispositions and first reasons, in the order of the odds."""


NO_SLOT = SlotRef(0, 0, 0)
"""Of frames whose ring is gone."""

Heard = PartEntered | PartExposed | Verdict | Actuation | HandActuation | ManualVerdict | Label
"""Facts that the touchscreen listens to, results apart."""


class Told(Struct, frozen=True):
    """Hold one part of the history."""

    part: PartId
    kind: str
    """What it truly is."""
    picture: int
    at: HostNs
    disposition: Disposition
    facts: tuple[tuple[str, Struct], ...]
    """Topic and message, in the order in which they were said."""
    waits: bool = False


@lru_cache(maxsize=1)
def pictures() -> tuple[TruePart, ...]:
    """Draw the pictures; 3 s."""
    return tuple(true_parts(range(PICTURES), SIZE, seed=11))


def defect_of(picture: TruePart) -> str:
    """Give the class that a picture truly shows."""
    return picture.defect or GOOD


def history(mode: Mode, waiting: int, bundle: str = "") -> Iterator[Told]:
    """Yield the parts of the days before, oldest first; the last `waiting` of those that people are asked about wait.

    In parallel mode people decide every part, and the last one waits at the line. bundle: id of the one that judged.
    """
    rng = np.random.default_rng(20261120)
    drawn = pictures()
    good = [number for number, item in enumerate(drawn) if item.defect is None]
    bad = [number for number, item in enumerate(drawn) if item.defect is not None]
    instants = list(_instants())
    ways: list[tuple[int, int]] = []
    for _ in instants:
        is_bad = rng.random() < 0.14
        picture = int(rng.choice(bad if is_bad else good))
        ways.append((picture, int(rng.choice(len(_WAYS), p=_ODDS_BAD if is_bad else _ODDS_GOOD))))
    for place, picture, way in ((-1, bad[2], 1), (-3, good[1], 2), (-5, bad[7], 1)):  # something to see on the screen
        ways[place] = (picture, way)
    asked = [index for index, (_, way) in enumerate(ways) if _WAYS[way][0] in {Disposition.REVIEW, Disposition.UNKNOWN}]
    open_ = frozenset(asked[len(asked) - waiting :] if waiting else ()) if mode is Mode.PRIMARY else {len(ways) - 1}
    for index, (at, (picture, way)) in enumerate(zip(instants, ways, strict=True)):
        yield _told(index, at, picture, way, mode, bundle, waits=index in open_, rng=rng)


def _instants() -> Iterator[HostNs]:
    for shift in range(SHIFTS, 0, -1):
        begin = SHIFT_BEGAN - shift * SHIFT_NS
        for number in range(SHIFT_PARTS):
            yield _host(UtcNs(begin + 600 * S + number * (SHIFT_NS - 1200 * S) // SHIFT_PARTS))
    newest_from = AT - NEWEST * NEWEST_NS
    for number in range(SHIFT_PARTS):
        yield _host(UtcNs(SHIFT_BEGAN + 600 * S + number * (newest_from - SHIFT_BEGAN - 900 * S) // SHIFT_PARTS))
    for number in range(NEWEST):
        yield _host(UtcNs(newest_from + number * NEWEST_NS))


def _told(
    index: int, at: HostNs, picture: int, way: int, mode: Mode, bundle: str, *, waits: bool, rng: np.random.Generator
) -> Told:
    part, truth = PartId(BOOT, index + 1), pictures()[picture]
    kind = defect_of(truth)
    disposition, reason = _WAYS[way]
    decided = HostNs(at + 120 * MS + int(rng.integers(0, 60)) * MS)
    counts = EncoderCounts(1000 * (index + 1))
    entered = PartEntered(part, at, 2000, McuTicks(at // 1000), counts, HostNs(at + DUE_NS), (CAMERA,))
    exposed = PartExposed(part, CAMERA, index, HostNs(at + 60 * MS), 2000, McuTicks(at // 1000 + 60_000), counts)
    facts: list[tuple[str, Struct]] = [(PART_ENTERED, entered), (PART_EXPOSED, exposed)]
    result = result_of(part, index, truth, disposition, reason, decided, float(rng.random()), bundle)
    verdict = Verdict(part, disposition, (reason,), decided, HostNs(at + DUE_NS), index + 1, 0.01 * (way in {0, 5}))
    if mode is Mode.PARALLEL:
        facts.append((SEALED, SealedVerdict(part, disposition, (reason,), decided, verdict.decide_by, result)))
        asked: Occasion | None = Occasion.PARALLEL
        facts.append(("review", ReviewStep(part, 1, Change.OPENED, Occasion.PARALLEL, "", "", _utc(at))))
        lane, cause = (Lane.REJECT, Cause.NO_VERDICT) if waits or kind != GOOD else (Lane.ACCEPT, Cause.OPERATOR)
        held = Disposition.NO_VERDICT
    else:
        facts += (
            [(RESULT, result), (VERDICT, verdict)]
            if disposition is not Disposition.NO_VERDICT
            else [(VERDICT, verdict)]
        )
        asked = _occasion(disposition, reason)
        accepts = disposition is Disposition.ACCEPT
        lane, cause = (Lane.ACCEPT, Cause.ACCEPTED) if accepts else (Lane.REJECT, Cause.DECIDED_REJECT)
        held = disposition
    gate = HostNs(at + 450 * MS)
    if mode is Mode.PARALLEL and not waits:
        facts += _decided(part, index, kind, Occasion.PARALLEL, HostNs(at + 300 * MS), rng, picture=truth)
    acted = index + 1 if lane is Lane.ACCEPT and cause is Cause.ACCEPTED else 0
    if not (mode is Mode.PARALLEL and waits):
        facts.append((ACTUATION, Actuation(part, lane, cause, held, acted, gate, McuTicks(gate // 1000), counts)))
        facts.append((PLC_ACKNOWLEDGED, PlcAcknowledged(part, index + 1, gate, HostNs(gate + 4 * MS))))
    if asked is not None and mode is Mode.PRIMARY:
        facts.append(("review", ReviewStep(part, 1, Change.OPENED, asked, "", "", _utc(gate))))
        if not waits:
            later = HostNs(min(gate + int(rng.integers(60, 900)) * S, HOST - 5 * S))
            facts += _decided(part, index, kind, asked, later, rng, picture=truth)
    return Told(part, kind, picture, at, disposition, tuple(facts), waits)


def _occasion(disposition: Disposition, reason: Reason) -> Occasion | None:
    if reason is Reason.RANDOM_SAMPLE:
        return Occasion.SAMPLE
    return {Disposition.REVIEW: Occasion.REVIEW, Disposition.UNKNOWN: Occasion.UNKNOWN}.get(disposition)


def _decided(
    part: PartId, index: int, kind: str, asked: Occasion, at: HostNs, rng: np.random.Generator, *, picture: TruePart
) -> list[tuple[str, Struct]]:
    """Let a person decide: nearly always rightly."""
    unknown = asked is Occasion.UNKNOWN
    person = "q-dora" if unknown else ("o-anna", "o-ben")[int(rng.integers(2))]
    said = other(kind) if rng.random() < 0.03 else kind
    seconds = float(np.round(rng.lognormal(np.log(38.0 if unknown else 6.5), 0.35), 1))
    utc = _utc(at)
    name = sample_id("label", index, utc)
    verdict = ManualVerdict(name, part, said == GOOD, said, person, asked, seconds, False, at, utc)
    level = LabelLevel.CLASSIFY if unknown else LabelLevel.CONFIRM
    regions = _regions(picture, said) if unknown else ()
    label = Label(name, part, level, person, said, seconds, False, utc, regions=regions, terminal="line-1")
    facts: list[tuple[str, Struct]] = [(MANUAL, verdict), (LABEL, label)]
    facts.append(("review", ReviewStep(part, 2, Change.DECIDED, asked, person, "", utc)))
    if asked is not Occasion.PARALLEL:
        lane = Lane.ACCEPT if said == GOOD else Lane.REJECT
        facts.append((HAND, HandActuation(part, lane, Cause.OPERATOR, name, person, HostNs(at + 3 * S))))
    return facts


def result_of(
    part: PartId,
    frame: int,
    truth: TruePart,
    disposition: Disposition,
    reason: Reason,
    at: HostNs,
    chance: float,
    bundle: str,
) -> InspectionResult:
    """Make up what the model saw of a part: findings where the truth has its defect, and a score that fits."""
    low, high = {
        Disposition.ACCEPT: (0.05, 0.33),
        Disposition.REJECT: (0.78, 0.99),
        Disposition.REVIEW: (0.37, 0.73),
        Disposition.UNKNOWN: (0.4, 0.9),
        Disposition.NO_VERDICT: (0.0, 0.0),
    }[disposition]
    if reason is Reason.RANDOM_SAMPLE:
        low, high = 0.05, 0.33
    score = low + (high - low) * chance
    findings = _findings(truth, score) if score >= ACCEPT_BELOW else ()
    view = ViewResult(
        CAMERA,
        1,
        frame,
        score,
        max(0.001, 1 - score),
        findings,
        probability=score,
        novelty_p=0.4,
        heat=_heat(truth) if score >= ACCEPT_BELOW else None,
    )
    views = () if disposition is Disposition.NO_VERDICT else (view,)
    stages = StageTimes(
        transfer_ms=14.0, queue_ms=0.6, preprocess_ms=2.1, inference_ms=11.0 + 6 * chance, decide_ms=0.3
    )
    return InspectionResult(part, views, bundle, "openvino", "f32", stages, 0, at)


def _findings(truth: TruePart, score: float) -> tuple[Finding, ...]:
    found = []
    for place, box, mask in zip(truth.kinds, truth.boxes, truth.masks, strict=True):
        if KINDS[place] == HOLE:
            continue
        found.append(Finding(KINDS[place], score, score, _box(box), float(mask.sum()), _outline(mask)))
    if not found:  # a false alarm on a good part
        found.append(Finding("stain", score, score, Box(790.0, 640.0, 70.0, 54.0), 2600.0))
    return tuple(found)


def _heat(truth: TruePart) -> HeatMap | None:
    """Make the map that a fair model would: high where the defect is, low noise elsewhere."""
    rows, columns = 80, 96
    grid = np.random.default_rng(int(truth.image[0, 0].sum())).random((rows, columns)) * 0.2
    for place, mask in zip(truth.kinds, truth.masks, strict=True):
        if KINDS[place] != HOLE:
            coarse = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
            grid += cv2.GaussianBlur(np.minimum(coarse * 4, 1), (0, 0), 1.5)
    width, height = SIZE
    return shrink([Surface(grid.astype(np.float32), Window(0, 0, width, height), 0.25, 1.0)])


def _regions(truth: TruePart, kind: str) -> tuple[Region, ...]:
    if kind in {GOOD, UNSURE}:
        return ()
    boxes = [_box(box) for place, box in zip(truth.kinds, truth.boxes, strict=True) if KINDS[place] == kind]
    return tuple(Region(CAMERA, kind, box) for box in boxes)


def _box(edges: NDArray[np.float64]) -> Box:
    left, top, right, bottom = (float(edge) for edge in edges)
    return Box(left, top, right - left, bottom - top)


def _outline(mask: NDArray[np.bool_]) -> tuple[tuple[float, float], ...]:
    """Give the outline of the largest piece of a mask, in frame pixels."""
    pieces, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not pieces:
        return ()
    largest = cv2.approxPolyDP(max(pieces, key=cv2.contourArea), 1.5, True)
    return tuple((float(x), float(y)) for x, y in largest.reshape(-1, 2))


def other(kind: str) -> str:
    """Give a class that a part of this class does not have."""
    return "scratch" if kind == GOOD else GOOD


def _host(utc: UtcNs) -> HostNs:
    return HostNs(HOST - (AT - utc))


def _utc(host: HostNs) -> UtcNs:
    return UtcNs(AT - (HOST - host))


def sample_id(word: str, number: int, at: UtcNs) -> str:
    """Make a UUID of version 7 that is the same each time."""
    noise = int.from_bytes(f"{word}{number}".encode().rjust(9, b"-")[-9:], "big") & (1 << 62) - 1
    return uuid7(at, (number & 0xFFF) << 62 | noise)
