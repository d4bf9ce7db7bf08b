"""Pair frames with parts on two independent proofs: the instant of exposure and the trigger's index.

A lost frame that shifts every later verdict by one part is the classic bug of this trade. So a frame belongs to a
part only when its exposure lies in the part's trigger window *and* camera and microcontroller agree on the count.
Either alone proves nothing: counts slip when a frame is lost, instants when a clock jumps.
"""

from enum import Enum

from msgspec import Struct

from appliance.schema.frame import FrameReady
from appliance.schema.part import PartExposed

PENDING = 64
"""Frames and exposures held for their partner; more than the longest belt holds parts."""


class Proof(Enum):
    """Say how well a frame and a part belong together."""

    AGREED = "agreed"
    """Instant and index agree."""
    UNPROVEN = "unproven"
    """The instant fits, but there was no count to compare with yet; the count starts here."""
    MISMATCH = "mismatch"
    """The instant fits, the index contradicts; the count starts anew."""
    AMBIGUOUS = "ambiguous"
    """The instant fits more than one part or frame, or the clocks are not known well enough to tell."""


class Pair(Struct, frozen=True):
    """Give a frame, the exposure it was found for, and the proof."""

    frame: FrameReady
    exposed: PartExposed
    proof: Proof


class Pairing:
    """Pair the frames of one camera; messages may come in any order, doubled or not at all."""

    def __init__(self, tolerance_ns: int, tolerance_counts: int) -> None:
        """Take how far exposure and trigger may lie apart, ns; under a quarter of the smallest spacing of two parts.

        As much again is granted to what the clocks do not know; a clock known worse proves nothing. `tolerance_counts`:
        how far the camera's and the microcontroller's encoder may drift apart; it keeps a camera clock that steps by
        one part's spacing from looking like a missed trigger. Cameras without an encoder input lack that guard.
        """
        self._tolerance = tolerance_ns
        self._tolerance_counts = tolerance_counts
        self._frames: dict[tuple[int, int], FrameReady] = {}
        self._exposures: dict[tuple[int, int], PartExposed] = {}
        self._seen_frames: dict[tuple[int, int], None] = {}
        self._seen_exposures: dict[tuple[int, int], None] = {}
        self._run: tuple[int, int] | None = None
        self._offset: int | None = None
        self._distance: int | None = None

    def frame(self, frame: FrameReady) -> Pair | None:
        """Take a frame; give its pair if its exposure is already known. A frame seen before gives None."""
        key = (frame.ref.epoch, frame.frame_id)
        if key in self._seen_frames:
            return None
        _remember(self._seen_frames, key)
        self._frames[key] = frame
        matches = [item for item in self._exposures.values() if self._near(frame, item)]
        return self._settle(frame, matches[0], len(matches)) if matches else None

    def exposed(self, exposed: PartExposed) -> Pair | None:
        """Take an exposure; give its pair if its frame is already there. An exposure seen before gives None."""
        key = (exposed.part.boot, exposed.trigger_index)
        if key in self._seen_exposures:
            return None
        _remember(self._seen_exposures, key)
        self._exposures[key] = exposed
        matches = [item for item in self._frames.values() if self._near(item, exposed)]
        return self._settle(matches[0], exposed, len(matches)) if matches else None

    def expire(self, before: int) -> list[FrameReady]:
        """Forget what happened up to a host instant, ns; give the frames that found no part."""
        for key in [key for key, item in self._exposures.items() if item.at <= before]:
            del self._exposures[key]
        old = [key for key, item in self._frames.items() if item.exposed_at <= before]
        return [self._frames.pop(key) for key in old]

    @property
    def oldest(self) -> int | None:
        """Instant of the oldest thing held, ns; None when nothing waits."""
        times = [item.at for item in self._exposures.values()] + [item.exposed_at for item in self._frames.values()]
        return min(times, default=None)

    def _near(self, frame: FrameReady, exposed: PartExposed) -> bool:
        return abs(frame.exposed_at - exposed.at) <= self._tolerance + _uncertainty(frame, exposed)

    def _settle(self, frame: FrameReady, exposed: PartExposed, matches: int) -> Pair:
        self._frames.pop((frame.ref.epoch, frame.frame_id), None)
        from_the_future = frame.exposed_at - frame.exposed_uncertainty_ns > frame.arrived
        vague = matches > 1 or _uncertainty(frame, exposed) > self._tolerance or from_the_future
        proof = Proof.AMBIGUOUS if vague else self._count(frame, exposed)
        if proof is Proof.AMBIGUOUS:
            self._offset = None
        else:
            self._exposures.pop((exposed.part.boot, exposed.trigger_index), None)
        return Pair(frame, exposed, proof)

    def _count(self, frame: FrameReady, exposed: PartExposed) -> Proof:
        run = (frame.ref.epoch, exposed.part.boot)
        offset = frame.frame_id - exposed.trigger_index
        if self._run != run:
            self._run, self._offset, self._distance = run, None, None
        if not self._same_place(frame, exposed):
            return Proof.MISMATCH
        known, self._offset = self._offset, offset
        if known is not None:
            return Proof.AGREED if known == offset else Proof.MISMATCH
        both_at_origin = frame.frame_id == 0 and exposed.trigger_index == 0
        return Proof.AGREED if both_at_origin else Proof.UNPROVEN

    def _same_place(self, frame: FrameReady, exposed: PartExposed) -> bool:
        """Say whether both encoders moved alike since the run's first pair; what does not fit teaches nothing."""
        if frame.encoder is None:
            return True
        distance = frame.encoder - exposed.at_counts
        if self._distance is None:
            self._distance = distance
        return abs(distance - self._distance) <= self._tolerance_counts


def _uncertainty(frame: FrameReady, exposed: PartExposed) -> int:
    return frame.exposed_uncertainty_ns + exposed.at_uncertainty_ns


def _remember(seen: dict[tuple[int, int], None], key: tuple[int, int]) -> None:
    seen[key] = None
    if len(seen) > PENDING:
        del seen[next(iter(seen))]
