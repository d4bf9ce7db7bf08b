"""Decide which frame is kept as the image of which part, and how; pure.

Only the judge pairs frames with parts: `InspectionResult` names camera, run and frame. What arrives first is
never taken for what belongs together. Frames nobody claims in time are given back.
"""

import hashlib
from collections.abc import Iterable

from appliance.schema.clocks import HostNs
from appliance.schema.frame import FrameReady
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition, InspectionResult
from appliance.storage.image_messages import ImageFailed, ImageMissing, KeepImage, MeetRing, ReleaseFrame

Step = KeepImage | ReleaseFrame | MeetRing | ImageFailed | ImageMissing

NEVER_SEEN = "its frame was gone when record took the result: record was not running, or the ring had moved on"

_Key = tuple[str, int, int]
"""Camera, ring epoch and frame id: one frame for ever."""


class ImagePlan:
    """Hold frames and claims until they meet; at most for `hold_ns` each."""

    def __init__(self, accept_share: float, hold_ns: int) -> None:
        """Keep the images of `accept_share` of the accepted parts and of all others."""
        self._accept_share = accept_share
        self._hold_ns = hold_ns
        self._epochs: dict[str, int] = {}
        self._frames: dict[_Key, tuple[FrameReady, HostNs]] = {}
        self._claims: dict[_Key, tuple[InspectionResult, HostNs]] = {}
        self._ways: dict[PartId, tuple[Disposition, HostNs]] = {}

    @property
    def wake_at(self) -> HostNs | None:
        """Instant at which `expire` has something to do."""
        starts = (next(iter(table.values()))[1] for table in (self._frames, self._claims, self._ways) if table)
        earliest = min(starts, default=None)
        return None if earliest is None else HostNs(earliest + self._hold_ns)

    def frame(self, frame: FrameReady, now: HostNs) -> list[Step]:
        """Take a frame; the first of a camera's run also says that its ring is a new one."""
        key = (frame.camera, frame.ref.epoch, frame.frame_id)
        steps: list[Step] = []
        if self._epochs.get(frame.camera) != frame.ref.epoch:
            self._epochs[frame.camera] = frame.ref.epoch
            steps.append(MeetRing(frame.camera))
        if key in self._frames:
            steps.append(ReleaseFrame(self._frames.pop(key)[0]))
        self._frames[key] = (frame, now)
        return steps + self._match([key])

    def result(self, result: InspectionResult, now: HostNs) -> list[Step]:
        """Take the judge's word on which frames are the part's."""
        keys = [(view.camera, view.epoch, view.frame_id) for view in result.views]
        keys += [(name.camera, name.epoch, name.frame_id) for name in result.unjudged]
        for key in keys:
            self._claims.pop(key, None)
            self._claims[key] = (result, now)
        return self._match(keys)

    def decided(self, part: PartId, disposition: Disposition, now: HostNs) -> list[Step]:
        """Take a part's way from its verdict or, when there was none, its actuation; the first one holds."""
        if part in self._ways:
            return []
        self._ways[part] = (disposition, now)
        return self._match([key for key, (result, _) in self._claims.items() if result.part == part])

    def expire(self, now: HostNs) -> list[Step]:
        """Give back the frames nobody claimed in time, and name the images whose frame never came."""
        limit = now - self._hold_ns
        missing = []
        for claim in [key for key, (_, since) in self._claims.items() if since <= limit]:
            result, _ = self._claims.pop(claim)
            way, _ = self._ways.get(result.part, (Disposition.NO_VERDICT, now))
            if claim not in self._frames:
                missing.append(ImageMissing(result.part, claim[0], claim[2], way, NEVER_SEEN))
        for part in [key for key, (_, since) in self._ways.items() if since <= limit]:
            del self._ways[part]
        old = [key for key, (_, since) in self._frames.items() if since <= limit]
        return [*missing, *(ReleaseFrame(self._frames.pop(key)[0]) for key in old)]

    def _match(self, keys: Iterable[_Key]) -> list[Step]:
        steps: list[Step] = []
        for key in keys:
            frame, _ = self._frames.get(key, (None, None))
            result, _ = self._claims.get(key, (None, None))
            if frame is None or result is None or result.part not in self._ways:
                continue
            del self._claims[key]
            del self._frames[key]
            steps += self._keep(frame, result.part, self._ways[result.part][0])
        return steps

    def _keep(self, frame: FrameReady, part: PartId, way: Disposition) -> list[Step]:
        if way is Disposition.ACCEPT and draw(part) >= self._accept_share:
            reason = f"not drawn, record.accept_share is {self._accept_share:g}"
            return [ReleaseFrame(frame), ImageFailed(part, frame, way, reason, is_alarm=False)]
        return [KeepImage(frame, part, way)]


def draw(part: PartId) -> float:
    """Draw a number in [0, 1) that depends on the part alone, so that a repeated draw gives the same answer."""
    return int.from_bytes(hashlib.sha256(str(part).encode()).digest()[:8], "big") / (1 << 64)
