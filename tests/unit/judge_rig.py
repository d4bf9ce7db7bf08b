"""Give the judge parts, exposures and frames, and a model that says what a test wants."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.governance.approval import Primary
from appliance.ports.inspector import Inspection
from appliance.ports.node import Output, Publish
from appliance.schema.clocks import MS, CameraNs, EncoderCounts, HostNs, McuTicks, S
from appliance.schema.errors import (
    ApplianceError,
    FrameOverwritten,
)
from appliance.schema.finding import ViewResult
from appliance.schema.frame import FrameCounts, FrameReady, PixelFormat, SlotRef
from appliance.schema.health import Alarm
from appliance.schema.limits import Limits
from appliance.schema.part import BeltPosition, PartEntered, PartExposed, PartId
from appliance.schema.policy import Basis, Policy, RiskLimits
from appliance.schema.verdict import Disposition, Reason, Verdict
from appliance.services._bundles import Bundles
from appliance.services.judge import JudgeNode
from appliance.sim.twins import PromiseTwin

BEGIN = 10 * S
WINDOW = 300 * MS
COUNTS = 50
MARGIN = 2 * MS
TOLERANCE = 5 * MS
KNOWN = 999
SIGNED = Primary("r", 3, "0" * 64, "qe-4")
UNSAMPLED = Policy(sample_share=0.0)
RISK = RiskLimits(1.0, 2.0, 0.001, 0.95, 3000, 1, 1000, "sha256:a", "f32", "0" * 64)
BY_RISK = Policy(basis=Basis.RISK, risk=RISK, sample_share=0.0)
DRIFT = Alarm("record", "drift", "scores of good parts rose by 3 sigma")


class Ring:
    """Lend pixels and remember what was given back."""

    def __init__(self) -> None:
        self.overwritten = False
        self.borrowed: list[int] = []
        self.released: list[int] = []
        self.refreshed = 0

    @contextmanager
    def borrow(self, frame: FrameReady) -> Iterator[NDArray[np.uint8]]:
        self.borrowed.append(frame.frame_id)
        yield np.zeros((2, 2), np.uint8)
        if self.overwritten:
            raise FrameOverwritten("camera top: slot 0 was reclaimed; raise slots")

    def release(self, frame: FrameReady) -> None:
        self.released.append(frame.frame_id)

    def refresh(self, now_ns: int) -> None:
        self.refreshed += 1


class Model:
    """Give the score that the test set, at the instant that the test set."""

    runtime, precision = "twin", "f32"

    def __init__(self, bundle: str = "sha256:a", accept: float | None = 1.0, reject: float | None = 2.0) -> None:
        self.bundle = bundle
        self.limits = Limits(accept, reject, known_parts=KNOWN)
        self.score = 0.5
        self.novelty_p: float | None = 1.0
        self.probability: float | None = None
        self.broken: tuple[str, ...] = ()
        self.finished: int | None = None
        self.fault: ApplianceError | None = None

    def inspect(self, frame: FrameReady, pixels: NDArray[np.uint8]) -> Inspection:
        if self.fault:
            raise self.fault
        view = ViewResult(
            frame.camera,
            frame.ref.epoch,
            frame.frame_id,
            self.score,
            None,
            (),
            self.broken,
            probability=self.probability,
            novelty_p=self.novelty_p,
        )
        finished = HostNs(frame.arrived + 5 * MS if self.finished is None else self.finished)
        return Inspection(view, 1.0, 3.0, finished)


class Rig:
    """Hold a judge with what it borrows, and play parts to it."""

    def __init__(
        self,
        cameras: Sequence[str] = ("top",),
        model: Model | None = None,
        policy: Policy = UNSAMPLED,
        primary: Primary | None = SIGNED,
        promise: PromiseTwin | None = None,
        judge: type[JudgeNode] = JudgeNode,
    ) -> None:
        self.ring = Ring()
        self.model = model or Model()
        self.cameras = tuple(cameras)
        self.said: list[Output] = []
        self.bundles = Bundles(self.model)
        self.promise = promise or PromiseTwin()
        self.node = judge(
            cameras,
            self.ring,
            self.bundles,
            TOLERANCE,
            COUNTS,
            MARGIN,
            policy=policy,
            promise=self.promise,
            primary=primary,
        )
        self.said += self.node.start(HostNs(BEGIN))

    def tell(self, message: PartEntered | PartExposed | FrameReady | Alarm | BeltPosition, now: int) -> list:
        outputs = list(self.node.receive("", message, HostNs(now)))
        self.said += outputs
        return [one.message for one in outputs if isinstance(one, Publish)]

    def wake(self, now: int) -> list:
        outputs = list(self.node.wake(HostNs(now)))
        self.said += outputs
        return [one.message for one in outputs if isinstance(one, Publish)]

    def part(self, index: int, *, now: int | None = None, camera: str = "top", **changes: object) -> list:
        """Play one whole part: entered, exposed, frame."""
        at = BEGIN + index * 100 * MS
        return [
            *self.tell(entered(index, self.cameras), at),
            *self.tell(exposed(index, camera), at),
            *self.tell(frame(index, camera, **changes), at + 10 * MS if now is None else now),
        ]

    @property
    def verdicts(self) -> list[Verdict]:
        return [one.message for one in self.said if isinstance(one, Publish) and isinstance(one.message, Verdict)]


def entered(index: int, cameras: Sequence[str] = ("top",), **changes: object) -> PartEntered:
    at = BEGIN + index * 100 * MS
    part = PartEntered(
        PartId(1, index + 1), HostNs(at), 1000, McuTicks(0), EncoderCounts(0), HostNs(at + WINDOW), tuple(cameras)
    )
    return replace(part, **changes)


def exposed(index: int, camera: str = "top") -> PartExposed:
    at = BEGIN + index * 100 * MS
    return PartExposed(PartId(1, index + 1), camera, index, HostNs(at), 1000, McuTicks(0), EncoderCounts(0))


def frame(index: int, camera: str = "top", **changes: object) -> FrameReady:
    at = BEGIN + index * 100 * MS
    ready = FrameReady(
        camera, SlotRef(1, index % 8, 2 * index + 1), index, CameraNs(at), HostNs(at), 1000, None, HostNs(at + 8 * MS),
        2, 2, PixelFormat.MONO8, 1.0, 0.0, 0, FrameCounts(),
    )  # fmt: skip
    return replace(ready, **changes)


def only(messages: list, kind: type) -> list:
    return [message for message in messages if isinstance(message, kind)]


def decision(verdict: Verdict) -> tuple[Disposition, tuple[Reason, ...]]:
    return verdict.disposition, verdict.reasons
