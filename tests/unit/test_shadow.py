"""Protect the shadow's place: it compares what the judge has judged, takes nobody's time and says nothing else."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.check.units import describe
from appliance.config import Config, Loaded, Mcu, Station
from appliance.ports.inspector import Inspection
from appliance.ports.node import Output, Publish
from appliance.schema.clocks import CameraNs, HostNs, S
from appliance.schema.command import Drain, RefusedReply
from appliance.schema.errors import ConfigError, FrameOverwritten, RuntimeFault
from appliance.schema.finding import ViewResult
from appliance.schema.frame import FrameCounts, FrameReady, PixelFormat, SlotRef
from appliance.schema.health import Condition, Health
from appliance.schema.limits import Limits
from appliance.schema.part import PartId
from appliance.schema.policy import Policy
from appliance.schema.recipe import Recipe
from appliance.schema.topics import SHADOW
from appliance.schema.verdict import Disposition, InspectionResult, Reason, ShadowResult, StageTimes, Verdict
from appliance.services._idle import cpu_runtime, step_aside
from appliance.services._wiring import heard_by, units, wire
from appliance.services.shadow import HELD_PER_VIEW, Copies, ShadowNode
from appliance.storage.fact_rows import row_of

NOW = HostNs(1)
VIEWS = ("top", "side")


class Ring:
    """Lend one buffer, which is filled with the frame's number, and overwrite it afterwards."""

    def __init__(self) -> None:
        self.pixels = np.zeros((4, 5), np.uint8)
        self.overwritten: set[int] = set()

    @contextmanager
    def borrow(self, frame: FrameReady) -> Iterator[NDArray[np.uint8]]:
        self.pixels[...] = frame.frame_id
        yield self.pixels
        self.pixels[...] = 255
        if frame.frame_id in self.overwritten:
            raise FrameOverwritten("camera top: slot was reclaimed")


class Model:
    """Score a frame by what its pixels show."""

    bundle, runtime, precision = "sha256:next", "openvino", "f32"

    def __init__(self, limit: float | None = 100.0) -> None:
        self.limits = Limits(limit, limit, known_parts=999)
        self.fault = ""
        self.broken: tuple[str, ...] = ()

    def inspect(self, frame: FrameReady, pixels: NDArray[np.uint8]) -> Inspection:
        if self.fault:
            raise RuntimeFault(self.fault)
        score = float(pixels.mean())
        view = ViewResult(frame.camera, frame.ref.epoch, frame.frame_id, score, None, (), self.broken, novelty_p=1.0)
        return Inspection(view, 1.0, 2.0, HostNs(99))


def frame(number: int, camera: str = "top", **changes: object) -> FrameReady:
    ready = FrameReady(
        camera, SlotRef(1, number % 8, 2), number, CameraNs(0), NOW, 0, None, NOW, 4, 5, PixelFormat.MONO8, 1.0, 0.0, 0,
        FrameCounts(),
    )  # fmt: skip
    return replace(ready, **changes)


def facts(
    number: int, views: Sequence[str] = ("top",), disposition: Disposition = Disposition.ACCEPT
) -> tuple[Verdict, InspectionResult]:
    part = PartId(1, number)
    seen = tuple(ViewResult(view, 1, number, 0.5, None, ()) for view in views)
    return (
        Verdict(part, disposition, (Reason.WITHIN_LIMITS,), NOW, NOW, number),
        InspectionResult(part, seen, "sha256:active", "openvino", "f32", StageTimes(), 0, NOW),
    )


class Rig:
    """Hold a shadow with its ring and model."""

    def __init__(self, views: Sequence[str] = ("top",), model: Model | None = None) -> None:
        self.ring, self.model = Ring(), model or Model()
        self.node = ShadowNode(views, self.ring, self.model, Policy())

    def tell(self, *messages: Struct) -> list[ShadowResult]:
        outputs = [one for message in messages for one in self.node.receive("", message, NOW)]
        return results(outputs)

    def health(self) -> Health:
        (output,) = self.node.wake(HostNs(10 * S))
        return output.message


def results(outputs: Sequence[Output]) -> list[ShadowResult]:
    assert all(isinstance(one, Publish) and one.topic == SHADOW for one in outputs)
    return [one.message for one in outputs]


def test_a_judged_part_is_compared_on_its_own_frame() -> None:
    """The pixels are those of the frame, though its slot was filled again before the judge had spoken."""
    (result,) = Rig().tell(frame(7), frame(8), *facts(7))

    assert (PartId(1, 7), 7.0, Disposition.ACCEPT, Disposition.ACCEPT, True) == (
        result.part,
        result.views[0].score,
        result.disposition,
        result.active_disposition,
        result.agrees,
    )
    assert ("sha256:next", "sha256:active", 99) == (result.bundle, result.active, result.finished)


@pytest.mark.parametrize(
    ("number", "limit", "broken", "expected"),
    [
        (7, 100.0, (), Disposition.ACCEPT),
        (7, 5.0, (), Disposition.REJECT),
        (7, 100.0, ("screws: found 1 screw, asked 2",), Disposition.REJECT),
        (7, None, (), Disposition.REVIEW),
    ],
)
def test_a_shadow_decides_as_the_judge_would(
    number: int, limit: float | None, broken: tuple[str, ...], expected: Disposition
) -> None:
    """The same limits and rules: what it says is what the line would have done with it."""
    rig = Rig(model=Model(limit))
    rig.model.broken = broken
    (result,) = rig.tell(frame(number), *facts(number))

    assert (expected, expected is Disposition.ACCEPT) == (result.disposition, result.agrees)


def test_the_random_sample_is_no_disagreement() -> None:
    """A part that would have been accepted and was drawn for a person is compared as the accept that it was."""
    rig = Rig()
    verdict, result = facts(7, disposition=Disposition.REVIEW)
    drawn = replace(verdict, reasons=(Reason.RANDOM_SAMPLE, Reason.WITHIN_LIMITS))
    (compared,) = rig.tell(frame(7), drawn, result)

    assert (Disposition.ACCEPT, True) == (compared.active_disposition, compared.agrees)


def test_order_of_the_judges_facts_does_not_matter() -> None:
    """Verdict and result may overtake each other; the second one starts the comparison, once."""
    rig = Rig()
    verdict, result = facts(7)

    assert 1 == len(rig.tell(frame(7), result, verdict))
    assert [] == rig.tell(verdict, result)


def test_a_part_needs_every_view() -> None:
    """One view of two says nothing about the part; nor does a part that the judge saw in one view alone."""
    rig = Rig(VIEWS)

    assert [] == rig.tell(frame(3), *facts(3, VIEWS))
    assert [] == rig.tell(frame(4), frame(4, "side"), *facts(4))
    assert 1 == len(rig.tell(frame(5), frame(5, "side"), *facts(5, VIEWS)))


@pytest.mark.parametrize("change", [{"complete": False}, {"camera": "unknown"}])
def test_what_the_judge_cannot_have_judged_is_not_copied(change: dict[str, object]) -> None:
    """Incomplete frames and foreign cameras take no room."""
    rig = Rig()
    rig.tell(frame(7, **change))

    assert [] == rig.tell(*facts(7))


def test_an_overwritten_copy_is_never_looked_at() -> None:
    """Pixels that changed while they were copied are dropped and counted."""
    rig = Rig()
    rig.ring.overwritten = {7}

    assert [] == rig.tell(frame(7), *facts(7))
    assert "0 parts compared, 0 decided alike, 1 frames missed" == rig.health().components[1].cause


def test_what_comes_too_fast_is_dropped_oldest_first() -> None:
    """Memory is bounded: a judge that falls silent costs the shadow frames and nothing else."""
    rig = Rig()
    rig.tell(*(frame(number) for number in range(HELD_PER_VIEW + 2)))
    compared = [rig.tell(*facts(number)) for number in range(HELD_PER_VIEW + 2)]

    assert [0, 0, *[1] * HELD_PER_VIEW] == [len(one) for one in compared]
    assert f"{HELD_PER_VIEW} parts compared, {HELD_PER_VIEW} decided alike, 2 frames missed" == (
        rig.health().components[1].cause
    )


def test_copies_use_their_buffers_again() -> None:
    """After the first frames nothing more is allocated."""
    copies, pixels = Copies(3), np.zeros((4, 5), np.uint8)
    seen = set()
    for number in range(20):
        copies.put(frame(number), pixels)
        if number % 2:
            seen |= {copy.ctypes.data for _, copy in copies.take([("top", 1, number)]) or ()}

    assert len(seen) <= 3


def test_a_model_that_fails_shows_in_health_and_goes_on() -> None:
    """The line is not concerned; the next part is compared again."""
    rig = Rig()
    rig.model.fault = "model: no memory"
    rig.tell(frame(7), *facts(7))
    health = rig.health()
    rig.model.fault = ""

    assert (Condition.DEGRADED, "model: no memory") == (health.condition, health.components[0].cause)
    assert 1 == len(rig.tell(frame(8), *facts(8)))


def test_without_its_bundle_it_stays_up_and_says_why() -> None:
    """A bundle that cannot be loaded is told of, and nothing is copied for it."""
    node = ShadowNode(("top",), Ring(), None, Policy(), "bundle next: no manifest.json; install it again")
    (health,) = [one.message for one in node.start(NOW)]

    assert [] == [one for message in (frame(7), *facts(7)) for one in node.receive("", message, NOW)]
    assert (Condition.FAILED, "bundle next: no manifest.json; install it again") == (
        health.condition,
        health.components[0].cause,
    )


def test_it_obeys_nobody_and_reports_each_second() -> None:
    """It takes no wishes, and its progress is real work or a real look."""
    rig = Rig()
    first = next(one.message for one in rig.node.start(NOW))
    early = rig.node.wake(HostNs(NOW + S - 1))
    reply, outputs = rig.node.command(Drain(), NOW)

    assert RefusedReply("shadow does not take Drain; it only looks on") == reply
    assert ((), ()) == (outputs, early)
    assert rig.health().progress > first.progress


MESSAGES = st.lists(
    st.one_of(
        st.builds(frame, st.integers(0, 9), st.sampled_from(VIEWS)),
        st.integers(0, 9).map(lambda number: facts(number, VIEWS)[0]),
        st.integers(0, 9).map(lambda number: facts(number, VIEWS)[1]),
    ),
    max_size=60,
)


@given(MESSAGES, st.sets(st.integers(0, 9)))
def test_whatever_comes_each_comparison_is_true(messages: list[Struct], overwritten: set[int]) -> None:
    """In any order, doubled or lost: what is compared was seen on the part's own frames, and on no other topic."""
    rig = Rig(VIEWS)
    rig.ring.overwritten = overwritten
    for result in rig.tell(*messages):
        assert {(view, result.part.number, float(result.part.number)) for view in VIEWS} == {
            (view.camera, view.frame_id, view.score) for view in result.views
        }
        assert result.part.number not in overwritten


def test_it_runs_where_nobody_else_wants_to() -> None:
    """The policy belongs to the thread that asks for it and to those it starts."""
    seen: list[int] = []

    def begin() -> None:
        step_aside()
        inner = threading.Thread(target=lambda: seen.append(os.sched_getscheduler(0)))
        inner.start()
        inner.join()

    outer = threading.Thread(target=begin)
    outer.start()
    outer.join()

    assert [os.SCHED_IDLE] == seen
    assert os.SCHED_IDLE != os.sched_getscheduler(0)


def test_it_leaves_the_gpu_to_the_judge() -> None:
    """A GPU shares its time between processes; the shadow has no claim to it."""
    assert ["openvino", "onnx", "openvino", "openvino"] == [
        cpu_runtime(name) for name in ("openvino", "onnx", "onnx-cuda", "tensorrt")
    ]


def station(tmp_path: Path, shadow: str) -> Loaded:
    place = Station("st1", str(tmp_path), str(tmp_path / "run"))
    mcu = Mcu(link="mcu", counts_per_mm=10, gate_mm=500, lead_mm=50, belt_mm_s=200)
    recipe = Recipe("r", 1, ("top",), "b", shadow)
    return Loaded(Config(place, mcu), recipe, tmp_path / "s.toml", "0" * 64)


def test_it_is_a_unit_only_where_the_recipe_names_it(tmp_path: Path) -> None:
    """No shadow, no process; and of those that run beside it `record` alone connects to it."""
    without, beside = station(tmp_path, ""), station(tmp_path, "next")
    listeners = [unit for unit in units(beside) if SHADOW in heard_by(unit, beside)]

    assert (False, True) == (SHADOW in units(without), SHADOW in units(beside))
    assert ["record"] == listeners
    with pytest.raises(ConfigError, match="names no shadow bundle"):
        wire("shadow", without)


def test_its_absence_is_not_a_failure_of_the_station() -> None:
    """A technician sees that it does not run, and that the line does."""
    (row,) = describe(SHADOW, present=False, health=None)

    assert (Condition.DEGRADED, "not running") == (row.condition, row.cause)


def test_its_facts_have_a_row() -> None:
    """What it would have decided can be asked for beside what was decided."""
    (result,) = Rig(model=Model(5.0)).tell(frame(7), *facts(7))
    row = row_of(result)

    assert ("shadow_results", PartId(1, 7), 99) == (row.table, row.part, row.at)
    assert ("reject", "accept", 0, 7.0) == tuple(
        row.columns[name] for name in ("disposition", "active_disposition", "agrees", "score")
    )
