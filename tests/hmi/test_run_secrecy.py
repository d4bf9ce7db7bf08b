"""In parallel mode nothing on the run screen depends on the model before a person has decided the part."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from tests.hmi.hmi_rig import Rig  # isort: skip  # sets the platform before Qt is imported

import hmi.fold as hmi_fold
import hmi.screens.run.parts as run_parts
import hmi.screens.run.view as run_view
from appliance.imaging.heat import shrink
from appliance.ports.task import Surface, Window
from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.clocks import MS, CameraNs, EncoderCounts, HostNs, McuTicks, UtcNs
from appliance.schema.finding import Box, Finding, ViewResult
from appliance.schema.frame import FrameCounts, FrameReady, PixelFormat, SlotRef
from appliance.schema.part import PartEntered, PartExposed, PartId
from appliance.schema.policy import Mode
from appliance.schema.review import ManualVerdict, Occasion
from appliance.schema.verdict import Disposition, InspectionResult, Reason, StageTimes, Verdict
from appliance.sim.hmi_station import Sample, sample_desk, sample_station
from hmi.client import units_of
from hmi.desk import Desk
from hmi.fold import StationFold
from hmi.screens.run.shown import Answer, answer_of
from hmi.screens.run.view import RunView
from hmi.state import SeenPart

import numpy as np  # isort: skip
from PySide6.QtGui import QImage  # isort: skip

BOOT, CAMERA = 77, "top"
ASKED = PartId(BOOT, 2)
PARTS = (PartId(BOOT, 1), ASKED, PartId(BOOT, 3))
BY_MODEL = (Cause.ACCEPTED, Cause.DECIDED_REJECT, Cause.LATE)


class Opinion(Struct, frozen=True):
    """Hold what the model makes of the part asked about."""

    disposition: Disposition
    reason: Reason
    score: float
    kind: str
    cause: Cause


opinions = st.builds(
    Opinion,
    st.sampled_from(Disposition),
    st.sampled_from(Reason),
    st.floats(-5, 5),
    st.sampled_from(("scratch", "stain", "text")),
    st.sampled_from(BY_MODEL),
)
orders = st.permutations(
    [(name, part) for part in PARTS for name in ("entered", "exposed", "frame", "verdict", "result", "gate", "manual")]
)
COMMON = Opinion(Disposition.REJECT, Reason.ABOVE_REJECT_LIMIT, 2.0, "scratch", Cause.DECIDED_REJECT)


@pytest.fixture(scope="module")
def station() -> Iterator[tuple[Sample, Desk]]:
    """Give a station in parallel mode and a desk over it."""
    with Rig(), sample_station(Mode.PARALLEL) as sample:
        desk = sample_desk(sample)
        sample.sign_in(desk, "operator")
        yield sample, desk
        desk.close()


def message(name: str, part: PartId, said: Opinion, now: HostNs) -> Struct:
    """Give one fact of a part; the model's words are those that it may never say in parallel mode."""
    at = HostNs(now + part.number * 200 * MS)
    match name:
        case "entered":
            return PartEntered(part, at, 1000, McuTicks(0), EncoderCounts(0), HostNs(at + 900 * MS), (CAMERA,))
        case "exposed":
            return PartExposed(part, CAMERA, part.number, at, 1000, McuTicks(0), EncoderCounts(0))
        case "frame":
            ref, counts = SlotRef(1, 0, 2), FrameCounts(good=1)
            rest = (at, 1000, None, at, 8, 8, PixelFormat.MONO8, 900.0, 0.0, 0, counts)
            return FrameReady(CAMERA, ref, part.number, CameraNs(0), *rest)
        case "verdict":
            return Verdict(part, said.disposition, (said.reason,), at, at, part.number)
        case "result":
            return InspectionResult(part, (seen_by(said, part),), "sha256:b", "openvino", "f32", StageTimes(), 0, at)
        case "gate":
            order = (said.disposition, part.number, at, McuTicks(0), EncoderCounts(0))
            return Actuation(part, Lane.REJECT, said.cause, *order)
    return ManualVerdict(
        f"v-{part}",
        part,
        True,
        "good",
        "o-ben",
        Occasion.PARALLEL,
        3.0,
        prediction_shown=False,
        decided=at,
        at=UtcNs(1),
    )


def seen_by(said: Opinion, part: PartId) -> ViewResult:
    found = Finding(said.kind, said.score, 0.5, Box(1.0, 2.0, 3.0 + abs(said.score), 4.0), text=said.kind)
    hot = np.zeros((8, 8), np.float32)
    hot[int(said.score) % 8, 3] = 9
    heat = shrink([Surface(hot, Window(0, 0, 64, 64), 1.0, 4.0)])
    return ViewResult(CAMERA, 1, part.number, said.score, None, (found,), (f"rule {said.score}",), 0.5, heat=heat)


def shown(view: RunView) -> dict[str, Any]:
    """Give every property that QML can read, the heat map as bytes."""
    found: dict[str, Any] = {}
    for place in range(view.metaObject().propertyCount()):
        name = view.metaObject().property(place).name()
        value = view.property(name)
        if isinstance(value, QImage):
            value = b"" if value.isNull() else bytes(value.constBits())
        found[name] = copy.deepcopy(value)
    return found


def story(
    station: tuple[Sample, Desk], order: Sequence[tuple[str, PartId]], said: Opinion, freeze: int
) -> list[dict[str, Any]]:
    """Play the messages; give all that the screen showed before a person had decided the part asked about."""
    sample, desk = station
    now = sample.clock.now()
    kept, view = desk._fold, None
    desk._fold = StationFold(units_of(sample.loaded), now, 5 * MS)
    desk._follow(sample.loaded.recipe)
    desk.tick()
    try:
        view, pages = RunView(desk), []
        for number, (name, part) in enumerate(order):
            if (name, part) == ("manual", ASKED):
                break
            sample.link.say(message(name, part, said if part == ASKED else COMMON, now))
            desk.tick()
            desk.settle()  # what is read from the database is there at a time of its own
            if number == freeze and desk.state.parts:
                view.freeze(str(ASKED))
            view.refresh()
            desk.settle()
            view.refresh()
            pages.append(shown(view))
        return pages
    finally:
        desk._fold = kept
        if view is not None:
            view.deleteLater()


@settings(max_examples=20)
@given(orders, opinions, opinions, st.integers(0, 25))
def test_nothing_shown_depends_on_the_model_before_the_person(
    station: tuple[Sample, Desk], order: list[tuple[str, PartId]], one: Opinion, other: Opinion, freeze: int
) -> None:
    """Two models that disagree about a part look the same on the screen, until a person has decided it."""
    assert story(station, order, one, freeze) == story(station, order, other, freeze)


ORDER = [(name, part) for part in PARTS for name in ("entered", "exposed", "frame", "verdict", "result", "gate")]
GOOD = Opinion(Disposition.ACCEPT, Reason.WITHIN_LIMITS, 0.1, "scratch", Cause.ACCEPTED)
BAD = Opinion(Disposition.REJECT, Reason.LOW_CONFIDENCE, 4.0, "stain", Cause.LATE)


def leaky_answer(seen: SeenPart, _mode: Mode | None, _told: object) -> Answer | None:
    """Show what was heard, whoever has decided."""
    if seen.verdict is None:
        return None
    return Answer(seen.verdict.disposition, seen.verdict.reasons, seen.result.views if seen.result else (), "f32")


def test_a_screen_that_leaked_would_be_seen(station: tuple[Sample, Desk], monkeypatch: pytest.MonkeyPatch) -> None:
    """Turned round, the rule is missed: of the fold through what the gate did, of the screen too through everything."""
    assert story(station, ORDER, GOOD, 8) == story(station, ORDER, BAD, 8)

    monkeypatch.setattr(hmi_fold, "_blank", lambda actuation: actuation)
    assert story(station, ORDER, GOOD, 8) != story(station, ORDER, BAD, 8)
    monkeypatch.undo()

    def openly(_fold: StationFold, known: Any, _mode: object) -> SeenPart:
        return SeenPart(known.part, known.heard, known.entered, known.verdict, known.result, frames=dict(known.frames))

    monkeypatch.setattr(StationFold, "_as_people_may", openly)
    assert story(station, ORDER, GOOD, 8) == story(station, ORDER, BAD, 8)
    for module in (run_view, run_parts):
        monkeypatch.setattr(module, "answer_of", leaky_answer)
    leaked = story(station, ORDER, GOOD, 8), story(station, ORDER, BAD, 8)

    assert {"verdict", "marks", "cells"} <= {
        name for one, other in zip(*leaked, strict=True) for name in one if one[name] != other[name]
    }


@given(opinions, st.sampled_from((Mode.PARALLEL, None)))
def test_the_screen_asks_for_the_persons_word_itself(said: Opinion, mode: Mode | None) -> None:
    """Even where a verdict was heard, what is not decided by a person has no answer on the screen."""
    verdict = message("verdict", ASKED, said, HostNs(0))
    result = message("result", ASKED, said, HostNs(0))
    assert isinstance(verdict, Verdict)
    assert isinstance(result, InspectionResult)
    seen = SeenPart(ASKED, HostNs(0), verdict=verdict, result=result)

    assert None is answer_of(seen, mode, None)
    assert None is not answer_of(seen, Mode.PRIMARY, None)
