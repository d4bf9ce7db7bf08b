"""Compare a second bundle with the active one on the frames that parts were judged on; it decides nothing.

Frames are copied as they come, without a lease, so that no writer waits for this process; they are looked at only once
the judge has spoken about their part. What comes too fast is dropped and counted.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.decision.disposition import judge_view
from appliance.decision.fusion import fuse
from appliance.decision.sampling import before_the_draw
from appliance.ports.frames import Frames
from appliance.ports.inspector import Inspector
from appliance.ports.node import Output, Publish
from appliance.schema.clocks import HostNs, S
from appliance.schema.command import Command, RefusedReply, Reply
from appliance.schema.errors import ApplianceError, FrameOverwritten
from appliance.schema.frame import FrameReady
from appliance.schema.health import Component, Condition, Health
from appliance.schema.part import PartId
from appliance.schema.policy import Policy
from appliance.schema.topics import FRAME, RESULT, SHADOW, STATUS, VERDICT
from appliance.schema.verdict import InspectionResult, ShadowResult, Verdict

HEALTH_PERIOD = 1 * S
HELD_PER_VIEW = 4
"""Copies of frames kept until the judge has spoken: it is behind by two at most, else its parts are late anyway."""

TOLD = 64
"""Parts kept of which only one of the judge's two facts has come."""

_Fact = TypeVar("_Fact", InspectionResult, Verdict)

Name = tuple[str, int, int]
"""Camera, ring epoch and frame id."""


class Copies:
    """Keep copies of the last frames in buffers that are made once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[Name, tuple[FrameReady, NDArray[np.uint8]]] = {}
        self._free: list[NDArray[np.uint8]] = []

    def put(self, frame: FrameReady, pixels: NDArray[np.uint8]) -> bool:
        """Copy a frame; the oldest makes room for it, False says that one did."""
        self.drop(frame)
        crowded = len(self._held) >= self._limit
        if crowded:
            self.take([next(iter(self._held))])
        buffer = next((index for index, free in enumerate(self._free) if free.shape == pixels.shape), None)
        copy = np.empty_like(pixels) if buffer is None else self._free.pop(buffer)
        np.copyto(copy, pixels)
        self._held[_name_of(frame)] = (frame, copy)
        return not crowded

    def take(self, names: Sequence[Name]) -> list[tuple[FrameReady, NDArray[np.uint8]]] | None:
        """Give these frames and forget them, None when one is missing; the buffers are used again by the next `put`."""
        found = [self._held.pop(name) for name in names if name in self._held]
        self._free = [*self._free, *(copy for _, copy in found)][: self._limit]
        return found if len(found) == len(names) else None

    def drop(self, frame: FrameReady) -> None:
        """Forget a frame whose pixels cannot be trusted."""
        self.take([_name_of(frame)])


class ShadowNode:
    """Publish what a shadow bundle would have decided; blocks while it looks at a frame, which nobody waits for.

    In parallel mode the judge's facts are sealed, so there is nothing to compare with and nothing is said.
    """

    name = SHADOW
    topics = (FRAME, RESULT, VERDICT)

    def __init__(
        self,
        views: Sequence[str],
        frames: Frames,
        inspector: Inspector | None,
        policy: Policy,
        fault: str = "",
        pid: int = 0,
    ) -> None:
        """Take the recipe's views and policy, frames without a lease and the bundle; None: `fault` says why none."""
        self._views = frozenset(views)
        self._frames = frames
        self._inspector = inspector
        self._policy = policy
        self._fault = fault
        self._pid = pid
        self._copies = Copies(HELD_PER_VIEW * len(views))
        self._results: dict[PartId, InspectionResult] = {}
        self._verdicts: dict[PartId, Verdict] = {}
        self._health_at = HostNs(0)
        self._progress = 0
        self._missed = self._compared = self._agreed = 0

    @property
    def wake_at(self) -> HostNs | None:
        """Next health report."""
        return self._health_at

    def start(self, now: HostNs) -> Sequence[Output]:
        """State health at once."""
        return [self._health(now)]

    def receive(self, topic: str, message: Struct, now: HostNs) -> Sequence[Output]:
        """Take a frame, or one of the judge's two facts; the second one of a part starts the comparison."""
        self._progress += 1
        if self._inspector is None:
            return ()
        if isinstance(message, FrameReady):
            self._copy(message)
        elif isinstance(message, InspectionResult):
            _keep(self._results, message.part, message)
            return self._compare(message.part, self._inspector)
        elif isinstance(message, Verdict):
            _keep(self._verdicts, message.part, message)
            return self._compare(message.part, self._inspector)
        return ()

    def lost(self, topic: str, count: int, now: HostNs) -> Sequence[Output]:
        """Nothing to do: the parts are not compared."""
        return ()

    def command(self, command: Command, now: HostNs) -> tuple[Reply, Sequence[Output]]:
        """Refuse everything."""
        return RefusedReply(f"shadow does not take {type(command).__name__}; it only looks on"), ()

    def wake(self, now: HostNs) -> Sequence[Output]:
        """Report health."""
        if now < self._health_at:
            return ()
        self._progress += 1
        return [self._health(now)]

    def _copy(self, frame: FrameReady) -> None:
        if frame.camera not in self._views or not frame.complete:
            return
        try:
            with self._frames.borrow(frame) as pixels:
                self._missed += not self._copies.put(frame, pixels)
        except FrameOverwritten:
            self._copies.drop(frame)
            self._missed += 1

    def _compare(self, part: PartId, inspector: Inspector) -> Sequence[Output]:
        if part not in self._results or part not in self._verdicts:
            return ()
        result, verdict = self._results.pop(part), self._verdicts.pop(part)
        taken = self._copies.take([(view.camera, view.epoch, view.frame_id) for view in result.views])
        if taken is None or {view.camera for view in result.views} != self._views:
            return ()
        try:
            seen = [inspector.inspect(frame, copy) for frame, copy in taken]
        except ApplianceError as error:
            self._fault = str(error)
            return ()
        views = tuple(inspection.view for inspection in seen)
        by = (inspector.limits, self._policy, inspector.bundle, inspector.precision)
        disposition, reasons = fuse([judge_view(view, *by) for view in views], len(self._views))
        compared = ShadowResult(
            part=part,
            views=views,
            bundle=inspector.bundle,
            runtime=inspector.runtime,
            precision=inspector.precision,
            disposition=disposition,
            reasons=reasons,
            active=result.bundle,
            active_disposition=before_the_draw(verdict.disposition, verdict.reasons),
            finished=max(inspection.finished for inspection in seen),
        )
        self._compared += 1
        self._agreed += compared.agrees
        return [Publish(SHADOW, compared)]

    def _health(self, now: HostNs) -> Output:
        self._health_at = HostNs(now + HEALTH_PERIOD)
        remedy = "the line does not need it; name another bundle in the recipe, or none"
        if self._inspector is None:
            bundle = Component("bundle", Condition.FAILED, self._fault, remedy)
        elif self._fault:
            bundle = Component("bundle", Condition.DEGRADED, self._fault, remedy)
        else:
            note = "" if self._inspector.limits.calibrated else f", uncalibrated in {self._inspector.precision}"
            bundle = Component("bundle", Condition.OK, f"{self._inspector.bundle}{note}")
        told = f"{self._compared} parts compared, {self._agreed} decided alike, {self._missed} frames missed"
        components = (bundle, Component("comparison", Condition.OK, told))
        health = Health(self.name, bundle.condition, components, self._progress, now, self._pid)
        return Publish(STATUS + self.name, health)


def _name_of(frame: FrameReady) -> Name:
    return frame.camera, frame.ref.epoch, frame.frame_id


def _keep(held: dict[PartId, _Fact], part: PartId, fact: _Fact) -> None:
    held[part] = fact
    if len(held) > TOLD:
        del held[next(iter(held))]
