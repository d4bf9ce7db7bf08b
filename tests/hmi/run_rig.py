"""Open the run screen over a sample station, for tests: touch it, let time pass, read what it says."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.hmi.hmi_rig import Rig, Stage  # isort: skip  # sets the platform before Qt is imported

from PySide6.QtCore import QPointF
from PySide6.QtQuick import QQuickItem

from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.clocks import EncoderCounts, HostNs, McuTicks
from appliance.schema.command import Command, PurgeDone, ResetFault, StartJob, StopJob, SubmitLabel
from appliance.schema.line import JobMode, LineState
from appliance.schema.part import PartId
from appliance.schema.policy import Mode
from appliance.schema.verdict import Disposition
from appliance.sim.hmi_station import Sample, sample_desk, sample_station
from hmi import app
from hmi.state import SeenPart

Open = Callable[..., tuple[Sample, Stage]]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Give what opens the run screen over a sample station; all is closed at the end."""
    closing: list[Callable[[], None]] = []
    with Rig() as rig:

        def run(mode: Mode = Mode.PRIMARY, role: str = "", language: str = "en") -> tuple[Sample, Stage]:
            sample = sample_station(mode)
            desk = sample_desk(sample, app.words_of(language))
            closing.extend((sample.close, desk.close))
            if role:
                sample.sign_in(desk, role)
            stage = rig.open("run", desk, language)
            steady(stage)
            return sample, stage

        yield run
        rig.close()
        for close in reversed(closing):
            close()


def steady(stage: Stage) -> None:
    """Let pictures be made and painted; the station's clock stands."""
    for _ in range(4):
        stage.desk.settle()
        stage.tick()


def later(sample: Sample, stage: Stage, seconds: float) -> None:
    sample.advance(seconds)
    steady(stage)


def open_sheet(stage: Stage) -> None:
    """Open the line's sheet and let it be laid out, as it is a frame later."""
    stage.touch("Line")
    steady(stage)
    stage.grab()
    stage.settle()


def said(stage: Stage, name: str) -> Any:
    return stage.view.property(name)


def asked(sample: Sample) -> list[Command]:
    """Give the decisions and wishes that were sent, not the audit notes."""
    return [
        wish
        for _, wish in sample.link.asked
        if isinstance(wish, SubmitLabel | StartJob | StopJob | PurgeDone | ResetFault)
    ]


def waiting(stage: Stage) -> SeenPart:
    return next(one for one in stage.desk.state.parts if one.manual is None)


def hold(stage: Stage, disposition: Disposition) -> Any:
    """Hold a part that was decided so on the screen; gives its view."""
    seen = next(
        one for one in stage.desk.state.parts if one.disposition is disposition and one.result and one.result.views
    )
    stage.view.freeze(str(seen.part))
    steady(stage)
    assert seen.result is not None
    return seen.result.views[0]


def gate(part: PartId, cause: Cause, now: HostNs) -> Actuation:
    order = (Disposition.NO_VERDICT, 0, now, McuTicks(0), EncoderCounts(0))
    return Actuation(part, Lane.REJECT, cause, *order)


def state_of(sample: Sample, mode: JobMode, *, sync_lost: bool = False) -> LineState:
    recipe = sample.loaded.recipe
    ready = mode is JobMode.CONTINUOUS and not sync_lost
    return LineState(sample.clock.now(), mode, "ready", ready, recipe=recipe.name, sync_lost=sync_lost)


def front_picture(stage: Stage) -> QQuickItem:
    """Give the picture that people see, among the two that take turns."""
    source = said(stage, "picture")["sources"][said(stage, "picture")["front"]]
    large = (one for one in stage.items(stage.item) if one.property("mapScale") is not None and one.width() > 300)
    return next(one for one in large if one.property("source") == source)


def on_screen(stage: Stage, x: float, y: float) -> tuple[int, int]:
    """Carry frame pixels to the window's."""
    item = front_picture(stage)
    scale, dx, dy = (float(item.property(name)) for name in ("mapScale", "offsetX", "offsetY"))
    place = item.mapToScene(QPointF(x * scale + dx, y * scale + dy))
    return round(place.x()), round(place.y())
