"""Swap bundles between any two messages: each part is judged by one bundle, which its result names."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from numpy.typing import NDArray

from appliance.ports.inspector import Inspection
from appliance.ports.node import Publish
from appliance.schema.clocks import MS, CameraNs, EncoderCounts, HostNs, McuTicks, S
from appliance.schema.command import Accepted, ActivateBundle, RollbackBundle, StageBundle
from appliance.schema.finding import Finding, ViewResult
from appliance.schema.frame import FrameCounts, FrameReady, PixelFormat, SlotRef
from appliance.schema.limits import Limits
from appliance.schema.part import PartEntered, PartExposed, PartId
from appliance.schema.policy import Policy
from appliance.schema.verdict import Disposition, InspectionResult, Verdict
from appliance.services._bundles import Bundles
from appliance.services._staging import Staged
from appliance.services.judge import JudgeNode
from appliance.sim.line_world import SIGNED
from appliance.sim.twins import PromiseTwin

CAMERAS = ("top", "side", "bottom")
PARTS = 5
STEP = 20 * MS
WINDOW = 400 * MS
SCORE = 0.5


class Ring:
    """Lend nothing worth looking at."""

    def attach(self, camera: str) -> None:
        pass

    @contextmanager
    def borrow(self, frame: FrameReady) -> Iterator[NDArray[np.uint8]]:
        yield np.zeros((2, 2), np.uint8)

    def release(self, frame: FrameReady) -> None:
        pass

    def refresh(self, now_ns: int) -> None:
        pass


class Model:
    """Sign each view with the bundle; every second bundle has limits that the score is over."""

    runtime, precision = "twin", "f32"

    def __init__(self, number: int) -> None:
        self.bundle = f"sha256:{number}"
        self.limits = Limits(1.0 - number % 2, 1.0 - number % 2, known_parts=999)

    def inspect(self, frame: FrameReady, pixels: NDArray[np.uint8]) -> Inspection:
        signed = Finding("seen", SCORE, None, text=self.bundle)
        view = ViewResult(frame.camera, frame.ref.epoch, frame.frame_id, SCORE, None, (signed,), novelty_p=1.0)
        return Inspection(view, 0.0, 0.0, frame.arrived)


class Event(Struct, frozen=True):
    """Name one thing that reaches the judge; a swap has no message."""

    at: int
    message: Struct | None = None
    back: bool = False


def messages(part: int) -> Iterator[Struct]:
    at = HostNs(part * STEP)
    name = PartId(1, part + 1)
    yield PartEntered(name, at, 0, McuTicks(0), EncoderCounts(0), HostNs(at + WINDOW), CAMERAS)
    for camera in CAMERAS:
        yield PartExposed(name, camera, part, at, 0, McuTicks(0), EncoderCounts(0))
        yield FrameReady(
            camera, SlotRef(1, part, 1), part, CameraNs(at), at, 0, None, at, 2, 2, PixelFormat.MONO8, 1.0, 0.0, 0,
            FrameCounts(),
        )  # fmt: skip


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Draw messages that overtake and double each other, with swaps and rollbacks between them."""
    jitter = draw(st.sampled_from([0, 5 * MS, 60 * MS]))
    times = st.integers(0, jitter)
    told = [(part * STEP, message) for part in range(PARTS) for message in messages(part)]
    events = [
        Event(at + draw(times), message) for at, message in told for _ in range(draw(st.sampled_from([1, 1, 1, 2])))
    ]
    span = st.integers(0, PARTS * STEP + jitter)
    events += [Event(at, None, back) for at, back in draw(st.lists(st.tuples(span, st.booleans()), max_size=8))]
    order = draw(st.permutations(range(len(events))))
    return sorted((events[index] for index in order), key=lambda event: event.at)


@given(histories())
def test_a_part_is_judged_by_the_bundle_that_its_result_names(history: list[Event]) -> None:
    """Every view, every limit and the result of a part belong to the bundle that was active when it entered."""
    bundles = Bundles(Model(0))
    by = {"policy": Policy(sample_share=0.0), "promise": PromiseTwin(), "primary": SIGNED}
    node = JudgeNode(CAMERAS, Ring(), bundles, STEP // 5, 50, 2 * MS, **by)
    active, said, swaps = {}, [], 0
    for event in history:
        now = HostNs(event.at)
        if event.message is None:
            swaps += 1
            active_before = bundles.active
            if event.back:
                node.command(RollbackBundle("operator-7"), now)
                continue
            node.command(StageBundle(f"{swaps}", "operator-7"), now)
            node.receive("device:stager", Staged(f"{swaps}", Model(swaps)), now)
            reply, _ = node.command(ActivateBundle(f"{swaps}", "operator-7"), now)

            assert Accepted(f"sha256:{swaps}") == reply
            assert bundles.previous is active_before
            continue
        if isinstance(event.message, PartEntered):
            active.setdefault(event.message.part, bundles.active)
        said += node.receive("", event.message, now)
    said += node.wake(HostNs(10 * S))
    results = [one.message for one in said if isinstance(one, Publish) and isinstance(one.message, InspectionResult)]
    verdicts = [one.message for one in said if isinstance(one, Publish) and isinstance(one.message, Verdict)]

    assert sorted(active, key=str) == sorted((one.part for one in results), key=str)
    assert [one.part for one in results] == [one.part for one in verdicts]
    for result, verdict in zip(results, verdicts, strict=True):
        own = active[result.part]
        signatures = {finding.text for view in result.views for finding in view.findings}

        assert own.bundle == result.bundle
        assert signatures <= {own.bundle}
        if verdict.disposition is not Disposition.NO_VERDICT:
            expected = Disposition.ACCEPT if own.limits.accept_below >= SCORE else Disposition.REJECT

            assert (expected, len(CAMERAS)) == (verdict.disposition, len(result.views))
